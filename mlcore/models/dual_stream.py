"""Two streams of one market: the trend in long bars, the volatility in short ones, joined by when a bar was known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

import pandas as pd
import torch
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.features import clock_bars, clock_columns, plain_columns
from mlcore.models.columns import told_columns
from mlcore.models.tcn import CausalConv
from mlcore.models.torch import TorchModel
from mlcore.store.state import ModelState

# Shape suffix legend
#   T = bars of a stretch, B = stretches of a batch, F = features, G = features of a stream, H = width of a layer
#   S = bars that come out, K = bars of a stride, P = places in a stride that are read, J = strides


class StackedLSTM(nn.Module):
    """LSTM layers of falling width. Parameters of a layer: ``4 (H (G + H) + 2 H)``."""

    def __init__(self, n_features: int, widths: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.width = widths[-1]
        self.layers = nn.ModuleList(nn.LSTM(size, width) for size, width in pairwise((n_features, *widths)))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_TBG: torch.Tensor) -> torch.Tensor:
        """Return ``(T, B, H)``: the states of the last layer."""
        for layer in self.layers:
            x_TBG = self.dropout(layer(x_TBG)[0])
        return x_TBG


class TrendStream(nn.Module):
    """LSTM layers that step over the joined columns of a slow clock, one longer bar a step.

    Those columns stand still for a stride, the while a longer bar grows. Bar t reads the rows ``t, t - K, t - 2 K,
    ...``: the longer bar known at t, the one before, and so on, each once. All bars of a stretch at the same place
    in their stride are one sequence.
    """

    columns_G: torch.Tensor

    def __init__(self, columns: Sequence[int], widths: Sequence[int], stride: int, steps: int, dropout: float) -> None:
        super().__init__()
        self.stride, self.steps = stride, steps
        self.register_buffer("columns_G", torch.tensor(columns), persistent=False)
        self.lstm = StackedLSTM(len(columns), widths, dropout)

    def forward(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(T - (steps - 1) stride, B, H)``: the newest state at each bar with `steps` steps behind it."""
        out = len(x_TBF) - (self.steps - 1) * self.stride
        x_TBG = x_TBF.index_select(2, self.columns_G)
        x_TBG = torch.cat([x_TBG, x_TBG.new_zeros(-len(x_TBG) % self.stride, *x_TBG.shape[1:])])
        x_JPBG = x_TBG.unflatten(0, (-1, self.stride))[:, : min(out, self.stride)]
        h_JPBH = self.lstm(x_JPBG.flatten(1, 2)).unflatten(1, x_JPBG.shape[1:3])
        return h_JPBH[self.steps - 1 :].flatten(0, 1)[:out]


class VolatilityStream(nn.Module):
    """Causal convolutions (ReLU, no padding) and LSTM layers over the newest bars of the plain columns.

    Parameters: a convolution ``C (K G + 1)``, an LSTM layer ``4 (H (G + H) + 2 H)``.
    """

    columns_G: torch.Tensor

    def __init__(
        self, columns: Sequence[int], channels: Sequence[int], kernel: int, widths: Sequence[int], dropout: float
    ) -> None:
        super().__init__()
        self.register_buffer("columns_G", torch.tensor(columns), persistent=False)
        sizes = pairwise((len(columns), *channels))
        self.convolutions = nn.Sequential(*(CausalConv(c, d, kernel, dilation=1, weight_norm=False) for c, d in sizes))
        self.dropout = nn.Dropout(dropout)
        self.lstm = StackedLSTM(channels[-1], widths, dropout)

    def forward(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(T - convolutions (kernel - 1), B, H)``."""
        return self.lstm(self.dropout(self.convolutions(x_TBF.index_select(2, self.columns_G))))


class DualStreamNetwork(nn.Module):
    """The newest state of both streams, side by side, through dense layers with ReLU. Causal."""

    def __init__(
        self, trend: TrendStream, volatility: VolatilityStream, widths: Sequence[int], lookback: int, bars: int
    ) -> None:
        super().__init__()
        self.width, self.lookback, self.bars = widths[-1], lookback, bars
        self.trend, self.volatility = trend, volatility
        both = trend.lstm.width + volatility.lstm.width
        layers = [[nn.Linear(size, width), nn.ReLU()] for size, width in pairwise((both, *widths))]
        self.head = nn.Sequential(*(part for layer in layers for part in layer))

    def forward(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(T - lookback + 1, B, H)``, the newest bars."""
        out = len(x_TBF) - self.lookback + 1
        slow = out + (self.trend.steps - 1) * self.trend.stride
        trend_SBH = self.trend(x_TBF[len(x_TBF) - slow :])
        volatility_TBH = self.volatility(x_TBF[len(x_TBF) - (out + self.bars - 1) :])
        return self.head(torch.cat([trend_SBH, volatility_TBH[len(volatility_TBH) - out :]], dim=-1))


@dataclass(kw_only=True, eq=False, repr=False)
class DualStream(TorchModel):
    """A trend stream on 1h bars and a volatility stream on the bars themselves (15m in the study), 60 bars each.

    The long bars are real ones, put together from the past: it asks for their features as ``clocks``, which
    `mlcore.features.table_for` joins by when each bar was whole; a 1h bar stamped 10:00 is not seen before the close
    of the bar that ends at 11:00. Both streams start from a zero state inside the window. Training is dense:
    in a longer stretch the states have more bars behind them than in a window, as for `LSTM`.

    Parameters
    ----------
    lookback : bars behind a forecast, the newest one included; 240 bars of 15m hold 60 of 1h.
    slow : the trend's clock: a duration that the bars' interval divides, or a multiple of it, "4x".
    bars : bars that each stream reads at most, of its own clock; fewer where `lookback` holds fewer.
    trend_widths : units of the trend's LSTM layers.
    channels, kernel : channels of the volatility's convolutions, and taps of each.
    volatility_widths : units of the volatility's LSTM layers.
    head_widths : units of the dense layers above both.
    dropout : share dropped after the convolutions and after each LSTM layer.

    The rest is told in `TorchModel`. Columns are found by ``feature_names_in_``, the stride of a duration by
    ``bar_interval_``; the walk-forward tells both.

    Attributes
    ----------
    stride_ : bars in one of the slow clock.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "light": {"lookback": 120, "trend_widths": (32, 16), "channels": (16, 8), "volatility_widths": (16, 8)},
        "default": {"lookback": 240, "dropout": 0.1},
        "deep": {
            "lookback": 480,
            "bars": 120,
            "trend_widths": (128, 64),
            "channels": (64, 32),
            "volatility_widths": (64, 32),
            "head_widths": (64, 32),
            "dropout": 0.2,
            "learning_rate": 2e-3,
        },
    }

    lookback: int = 240
    slow: str = "1h"
    bars: int = 60
    trend_widths: tuple[int, ...] = (64, 32)
    channels: tuple[int, ...] = (32, 16)
    kernel: int = 3
    volatility_widths: tuple[int, ...] = (32, 16)
    head_widths: tuple[int, ...] = (32, 16)
    dropout: float = 0.0
    stretch: int = 128

    @property
    def clocks(self) -> tuple[str, ...]:
        """The clock it reads beside the bars' own (`mlcore.features.table_for`)."""
        return (self.slow,)

    def build(self, n_features: int) -> DualStreamNetwork:
        stride = self.stride_ = self._stride()
        names, volatility_bars = told_columns(self, n_features), min(self.bars, self.lookback)
        steps = min(self.bars, (self.lookback - 1) // stride + 1)
        taken = len(self.channels) * (self.kernel - 1)
        if not 1 <= taken + 1 <= volatility_bars or self.kernel < 1:
            raise BarwiseError(
                f"`bars` {self.bars} and `lookback` {self.lookback} give the volatility stream {volatility_bars} "
                f"bars, of which {len(self.channels)} convolutions of `kernel` {self.kernel} take {taken}: leave "
                "one at least."
            )
        trend = TrendStream(clock_columns(names, self.slow), self.trend_widths, stride, steps, self.dropout)
        volatility = VolatilityStream(
            plain_columns(names), self.channels, self.kernel, self.volatility_widths, self.dropout
        )
        return DualStreamNetwork(trend, volatility, self.head_widths, self.lookback, volatility_bars)

    def _stride(self) -> int:
        """Return how many bars make one of the slow clock."""
        for name in ("trend_widths", "channels", "volatility_widths", "head_widths"):
            if not getattr(self, name):
                raise BarwiseError(f"`{name}` is {getattr(self, name)!r}; give the width of one layer at least.")
        interval: pd.Timedelta | None = getattr(self, "bar_interval_", None)
        if interval is None and not self.slow.endswith("x"):
            if hasattr(self, "stride_"):  # restored from the store
                return self.stride_
            raise BarwiseError(
                f"`slow` is {self.slow!r}, and nobody told how long a bar is: fit by `walk_forward`, set "
                "`model.bar_interval_` to the bars' interval, or give a multiple such as slow='4x'."
            )
        return clock_bars(self.slow, pd.Timedelta(1) if interval is None else interval)

    def get_state(self) -> ModelState:
        """As `TorchModel.get_state`, and the stride."""
        state = super().get_state()
        return ModelState(state.arrays, state.texts, {**state.values, "stride": self.stride_})

    def set_state(self, state: ModelState) -> Self:
        """Become the model that `state` was taken of; parameters and ``feature_names_in_`` are set already."""
        self.stride_ = int(state.values["stride"])
        return super().set_state(state)
