"""Temporal convolutional network whose newest output looks back at earlier ones by multi-head attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.models.attention import BandedAttention
from mlcore.models.tcn import TCNNetwork, dilations_for, receptive_field
from mlcore.models.torch import TorchModel

# Shape suffix legend
#   T = bars of a stretch, B = stretches of a batch, F = features, D = width


class TCNAttentionNetwork(nn.Module):
    """TCN, then attention over its last `band` outputs; their sum, layer-normed. Causal.

    A bar's output depends on ``TCN's field + band - 1`` bars: `receptive_field`.
    """

    exact_in_stretches = False  # softmax over a longer row of keys sums in another order: windows forecast

    def __init__(
        self, n_features: int, width: int, dilations: Sequence[int], kernel: int, heads: int, band: int, dropout: float
    ) -> None:
        super().__init__()
        self.width = width
        self.tcn = TCNNetwork(n_features, [width] * len(dilations), dilations, kernel, dropout=dropout)
        self.attention = BandedAttention(width, heads, band, dropout)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)
        self.receptive_field = self.tcn.receptive_field + band - 1

    def forward(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(T - receptive_field + 1, B, D)``: the output at every bar that has its full past."""
        h_TBD = self.tcn(x_TBF)
        context_TBD = self.dropout(self.attention(h_TBD))
        return self.norm(h_TBD[len(h_TBD) - len(context_TBD) :] + context_TBD)


@dataclass(kw_only=True, eq=False, repr=False)
class TCNAttention(TorchModel):
    """TCN with attention over the last `lookback` bars.

    The convolutions take about half of the lookback and attention reaches over the rest, so that what is seen
    fills the lookback and stays inside it: 29 bars and a band of 32 make 60.

    Parameters
    ----------
    lookback : bars behind a forecast, the newest one included.
    width : channels of a block; a multiple of twice `heads`.
    levels : residual blocks with dilations 1, 2, 4, ...; None: as many as half of the lookback holds.
        A field longer than `lookback` is refused; what is left is the band of attention.
    kernel : taps of a convolution.
    heads : heads of attention.
    dropout : share dropped after each convolution, of attention weights and of what attention adds.

    The rest is told in `TorchModel`.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "light": {"lookback": 20, "width": 32},
        "default": {"lookback": 120, "width": 64, "levels": 4, "dropout": 0.1, "learning_rate": 2e-3},
        "deep": {"lookback": 240, "width": 128, "levels": 5, "dropout": 0.2, "learning_rate": 1e-3},
    }

    width: int = 32
    levels: int | None = None
    kernel: int = 3
    heads: int = 4
    dropout: float = 0.0

    def build(self, n_features: int) -> TCNAttentionNetwork:
        if self.levels is None:
            dilations = dilations_for(max(self.lookback // 2 + 1, 2 * self.kernel - 1), self.kernel)
        else:
            dilations = tuple(2**i for i in range(self.levels))
        field = receptive_field(dilations, self.kernel)
        if field > self.lookback:
            raise BarwiseError(
                f"`levels` {len(dilations)} with `kernel` {self.kernel} sees {field} bars, more than `lookback` "
                f"{self.lookback}: set lookback to {field} or more, or take fewer levels."
            )
        band = self.lookback - field + 1
        return TCNAttentionNetwork(n_features, self.width, dilations, self.kernel, self.heads, band, self.dropout)
