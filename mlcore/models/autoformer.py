"""Autoformer (Wu et al. 2021, arXiv 2106.13008): decomposition and auto-correlation; its encoder, as a forecaster."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.models.explain import by_bars_back, mean_over_windows
from mlcore.models.informer import TokenEmbedding
from mlcore.models.torch import TorchModel
from mlcore.windows import Windows

# Shape suffix legend
#   B = windows of a batch, L = bars of a window, D = width, A = heads, E = values of a head (D / A)
#   K = bars that are looked at (as many as L), P = delays that are kept


class Decomposition(nn.Module):
    """A series as its moving mean (trend) and the rest (seasonal); the window's borders are repeated.

    The mean is centred, over `kernel` bars (odd), and stays inside the window: it ends at the bar forecast from.
    """

    def __init__(self, kernel: int = 25) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise BarwiseError(f"`kernel` is {kernel}; a centred mean needs an odd number of bars.")
        self.kernel = kernel

    def forward(self, x_BLD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the seasonal part and the trend, ``(B, L, D)`` each."""
        side = self.kernel // 2
        padded = torch.cat([x_BLD[:, :1].expand(-1, side, -1), x_BLD, x_BLD[:, -1:].expand(-1, side, -1)], dim=1)
        trend_BLD = F.avg_pool1d(padded.transpose(1, 2), self.kernel, stride=1).transpose(1, 2)
        return x_BLD - trend_BLD, trend_BLD


class AutoCorrelation(nn.Module):
    """Each bar takes the window, rolled by the delays at which it is most like itself, weighed by how much.

    The correlation at a delay is circular: the sum over bars of the product of the query with the key so many bars
    before. It is summed from the products of all pairs, which for a window of bars is as good as the paper's FFT.
    Delays are chosen per window and head, in training as in forecasting. The paper's code takes one choice for the
    whole batch in training, and one for all heads: a window would then depend on the batch it came in. A mask is
    not offered, for the paper's code takes one and ignores it; the window ends at the bar that is forecast from.

    Parameters: ``4 (D^2 + D)``. Delays that are kept: ``factor ln L``, rounded down, at least 1.
    """

    def __init__(self, width: int, heads: int, length: int, factor: int = 1) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise BarwiseError(f"`width` is {width}; it must be a multiple of `heads` {heads}.")
        if factor < 1:
            raise BarwiseError(f"`factor` is {factor}; it must be at least 1.")
        self.heads, self.kept = heads, min(length, max(1, int(factor * math.log(length))))
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def _split(self, x_BLD: torch.Tensor) -> torch.Tensor:
        return x_BLD.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def correlation(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """Return ``(B, A, L)``: the correlation at every delay, a mean over the head's values."""
        q_BALE, k_BAKE = self._split(self.query(x_BLD)), self._split(self.key(x_BLD))
        product_BALK = q_BALE @ k_BAKE.transpose(-1, -2) / q_BALE.shape[-1]
        bar = torch.arange(x_BLD.shape[1], device=x_BLD.device)
        later_LK = (bar[:, None] + bar) % len(bar)  # at delay l, key k meets query k + l
        return product_BALK.gather(2, later_LK.expand_as(product_BALK)).sum(dim=-1)

    def weights(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """Return ``(B, A, L, K)``: what share of each bar a bar takes; rows sum to 1, most shares are 0."""
        strength_BAP, delay_BAP = self.correlation(x_BLD).topk(self.kept)
        bar = torch.arange(x_BLD.shape[1], device=x_BLD.device)
        share_BAL = strength_BAP.new_zeros(*strength_BAP.shape[:2], len(bar))
        share_BAL = share_BAL.scatter(-1, delay_BAP, strength_BAP.softmax(dim=-1))
        delay_LK = (bar - bar[:, None]) % len(bar)  # bar l takes bar l + delay
        return share_BAL[:, :, delay_LK]

    def forward(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """Return ``(B, L, D)``."""
        context_BALE = self.weights(x_BLD) @ self._split(self.value(x_BLD))
        return self.out(context_BALE.transpose(1, 2).flatten(2))


class AutoformerLayer(nn.Module):
    """Auto-correlation, decomposition, feed-forward layer, decomposition: the trends are taken off and kept.

    Parameters: ``4 (D^2 + D) + 2 D W`` with W = `feed_forward`, which has no biases.
    """

    def __init__(
        self, width: int, heads: int, feed_forward: int, length: int, kernel: int, factor: int, dropout: float
    ) -> None:
        super().__init__()
        self.attention = AutoCorrelation(width, heads, length, factor)
        self.linear1 = nn.Linear(width, feed_forward, bias=False)
        self.linear2 = nn.Linear(feed_forward, width, bias=False)
        self.decompose = Decomposition(kernel)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BLD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the seasonal part and the trend that was taken off, ``(B, L, D)`` each."""
        seasonal_BLD, trend1_BLD = self.decompose(x_BLD + self.dropout(self.attention(x_BLD)))
        inner_BLD = self.linear2(self.dropout(F.gelu(self.linear1(seasonal_BLD))))
        seasonal_BLD, trend2_BLD = self.decompose(seasonal_BLD + self.dropout(inner_BLD))
        return seasonal_BLD, trend1_BLD + trend2_BLD


class SeasonalNorm(nn.Module):
    """Layer norm less its mean over the window's bars: what is left has no level. Parameters: ``2 D``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """Return ``(B, L, D)``."""
        normed_BLD = self.norm(x_BLD)
        return normed_BLD - normed_BLD.mean(dim=1, keepdim=True)


class AutoformerNetwork(nn.Module):
    """Embedding without positions, layers, and the newest bar's seasonal part plus the trends that were taken off."""

    def __init__(
        self,
        n_features: int,
        width: int,
        heads: int,
        layers: int,
        feed_forward: int,
        lookback: int,
        kernel: int = 25,
        factor: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = width
        self.embed = TokenEmbedding(n_features, width, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            AutoformerLayer(width, heads, feed_forward, lookback, kernel, factor, dropout) for _ in range(layers)
        )
        self.norm = SeasonalNorm(width)

    def embedded(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(B, L, D)``, what the first layer reads."""
        return self.dropout(self.embed(x_TBF.transpose(0, 1)))

    def forward(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(1, B, D)`` of windows ``(L, B, F)``."""
        seasonal_BLD = self.embedded(x_TBF)
        trend_BD = torch.zeros_like(seasonal_BLD[:, -1])
        for layer in self.layers:
            seasonal_BLD, taken_BLD = layer(seasonal_BLD)
            trend_BD = trend_BD + taken_BLD[:, -1]
        return (self.norm(seasonal_BLD)[:, -1] + trend_BD)[None]

    def newest(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(B, A, L)``: what share of each bar the newest one takes in the first layer."""
        return self.layers[0].attention.weights(self.embedded(x_TBF))[:, :, -1]  # type: ignore[operator, union-attr]


@dataclass(kw_only=True, eq=False, repr=False)
class Autoformer(TorchModel):
    """Autoformer's encoder over the last `lookback` bars; trained on windows, one per row.

    One forecast is made from the newest bar, so the decoder is left out. Its gathering of trends is kept: what the
    layers take off is added to the seasonal part again, at the newest bar. Without a decoder there are no calendar
    layers either: the clock is among the features.

    Parameters
    ----------
    lookback : bars behind a forecast, the newest one included.
    width : values of a bar inside the network; a multiple of `heads`.
    heads : heads of auto-correlation, each with delays of its own.
    layers : encoder layers.
    feed_forward : units of the feed-forward layer; None: four times `width`.
    kernel : bars of the moving mean that is the trend; odd.
    factor : ``factor * ln L`` delays are kept.
    dropout : share of values dropped.
    batch : windows of an optimiser step.

    The rest is told in `TorchModel`; `dense` must stay False.
    """

    causal = False
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "light": {"lookback": 20, "width": 32, "layers": 1, "kernel": 9},
        "default": {"lookback": 60, "width": 64, "layers": 2},
        "deep": {"lookback": 240, "width": 256, "heads": 8, "layers": 3, "factor": 3, "learning_rate": 3e-4},
    }

    width: int = 32
    heads: int = 4
    layers: int = 2
    feed_forward: int | None = None
    kernel: int = 25
    factor: int = 1
    dropout: float = 0.05
    batch: int = 128
    learning_rate: float = 1e-3
    dense: bool = False

    def build(self, n_features: int) -> AutoformerNetwork:
        if self.layers < 1:
            raise BarwiseError(f"`layers` is {self.layers}; it must be at least 1.")
        feed_forward = 4 * self.width if self.feed_forward is None else self.feed_forward
        return AutoformerNetwork(
            n_features,
            self.width,
            self.heads,
            self.layers,
            feed_forward,
            self.lookback,
            self.kernel,
            self.factor,
            self.dropout,
        )

    def explain(self, windows: Windows) -> dict[str, pd.DataFrame]:
        """Return ``attention``: what share of each bar the newest one takes in the first layer, a mean over windows.

        One row per bar back (0 the newest), columns ``mean`` and one per head; a column's sum is 1. A delay of d bars
        rolls the window: the newest bar then takes the bar ``lookback - d`` back.
        """
        told = mean_over_windows(self, windows, lambda network, x_TBF: {"attention": network.newest(x_TBF)})
        return {"attention": by_bars_back(told["attention"])}
