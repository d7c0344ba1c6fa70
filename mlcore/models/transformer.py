"""Transformer encoder (Vaswani et al. 2017, arXiv 1706.03762), causal, with attention in a band of bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.models.attention import BandedAttention
from mlcore.models.torch import TorchModel

# Shape suffix legend
#   T = bars of a stretch, B = stretches of a batch, F = features, D = width


def band_for(lookback: int, layers: int) -> int:
    """Return the widest band whose stack of `layers` stays inside `lookback`: ``layers (band - 1) + 1`` bars.

    >>> band_for(60, 2), band_for(60, 6)
    (30, 10)
    """
    return (lookback - 1) // layers + 1


class EncoderLayer(nn.Module):
    """Banded attention, then a feed-forward layer, each added to what it read.

    Layer norm comes before each of the two (Xiong et al. 2020): it trains without a long warm-up.
    Parameters: ``4 D^2 + 4 D + 2 D W + W + D + 4 D`` with W = `feed_forward`.
    """

    def __init__(self, width: int, heads: int, feed_forward: int, band: int, dropout: float) -> None:
        super().__init__()
        self.attention = BandedAttention(width, heads, band, dropout)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.linear1, self.linear2 = nn.Linear(width, feed_forward), nn.Linear(feed_forward, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_TBD: torch.Tensor) -> torch.Tensor:
        """Return ``(T - band + 1, B, D)``: the bars that have their full band."""
        attended_TBD = self.dropout(self.attention(self.norm1(x_TBD)))
        h_TBD = x_TBD[len(x_TBD) - len(attended_TBD) :] + attended_TBD
        inner_TBW = self.dropout(torch.relu(self.linear1(self.norm2(h_TBD))))
        return h_TBD + self.dropout(self.linear2(inner_TBW))


class TransformerNetwork(nn.Module):
    """Encoder layers over a stretch of bars.

    Each layer sees `band` bars and the stack ``layers (band - 1) + 1``: `receptive_field`. Bars without
    their full band are cut off, layer by layer, so what comes out is the same from a window and from a
    longer stretch, up to rounding.
    """

    exact_in_stretches = False  # softmax over a longer row of keys sums in another order: windows forecast

    def __init__(
        self, n_features: int, width: int, heads: int, layers: int, feed_forward: int, band: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.width = width
        self.receptive_field = layers * (band - 1) + 1
        self.embed = nn.Linear(n_features, width)
        self.layers = nn.Sequential(*(EncoderLayer(width, heads, feed_forward, band, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)

    def forward(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(T - receptive_field + 1, B, D)``."""
        return self.norm(self.layers(self.embed(x_TBF)))


@dataclass(kw_only=True, eq=False, repr=False)
class Transformer(TorchModel):
    """Causal Transformer encoder over the last `lookback` bars.

    One layer sees `band` bars; the stack sees ``layers (band - 1) + 1`` of them and no more. The band is
    chosen so that this fills the lookback: 30 bars a layer for 60 bars and two layers (59 are seen), 10 for
    six. So two bars further apart than a band meet only through the layers between. Positions are relative
    (rotated queries and keys): a bar has no number of its own.

    Parameters
    ----------
    lookback : bars behind a forecast, the newest one included.
    width : values a bar is told by inside the network; a multiple of twice `heads`.
    heads : heads of attention.
    layers : encoder layers.
    feed_forward : units of the feed-forward layer; None: four times `width`.
    band : bars that one layer sees; None: as many as the lookback holds. A stack that sees more is refused.
    dropout : share of values dropped, of attention weights too.

    The rest is told in `TorchModel`.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "light": {"lookback": 20, "width": 32, "heads": 4, "layers": 1, "feed_forward": 64},
        "default": {"lookback": 60, "width": 64, "heads": 4, "layers": 2, "feed_forward": 256, "dropout": 0.1},
        "deep": {
            "lookback": 120,
            "width": 256,
            "heads": 8,
            "layers": 6,
            "feed_forward": 1024,
            "dropout": 0.1,
            "learning_rate": 5e-4,
        },
    }

    width: int = 32
    heads: int = 4
    layers: int = 2
    feed_forward: int | None = None
    band: int | None = None
    dropout: float = 0.0

    def build(self, n_features: int) -> TransformerNetwork:
        if self.layers < 1:
            raise BarwiseError(f"`layers` is {self.layers}; it must be at least 1.")
        band = band_for(self.lookback, self.layers) if self.band is None else self.band
        field = self.layers * (band - 1) + 1
        if not 1 <= band <= field <= self.lookback:
            raise BarwiseError(
                f"`band` {band} in {self.layers} layers sees {field} bars; that must be 1 to `lookback` "
                f"{self.lookback}: band=None takes {band_for(self.lookback, self.layers)}."
            )
        feed_forward = 4 * self.width if self.feed_forward is None else self.feed_forward
        return TransformerNetwork(n_features, self.width, self.heads, self.layers, feed_forward, band, self.dropout)
