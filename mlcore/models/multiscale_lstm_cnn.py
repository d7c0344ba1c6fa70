"""Convolutions on bars of several lengths side by side, an LSTM over what they found, attention over its states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.features import clock_columns, plain_columns
from mlcore.models.attention import BandedAttention
from mlcore.models.columns import told_columns
from mlcore.models.inputs import check_windows
from mlcore.models.tcn import CausalConv
from mlcore.models.torch import PREDICT_WINDOWS, TorchModel
from mlcore.stretches import check_finite
from mlcore.training import threads
from mlcore.windows import Windows

# Shape suffix legend
#   T = bars of a stretch, B = stretches of a batch, F = features, G = features of a branch, C = channels of a branch
#   H = width, A = heads of attention, K = bars of the attention's band


class Branch(nn.Module):
    """Causal convolutions (ReLU) over the columns of one clock, as they were known at each bar.

    Those columns stand still while a longer bar grows. Taps stand `scale` bars apart, so each of them reads another
    longer bar: at bar t the newest one that was whole at t, the one before, and so on.
    """

    columns_G: torch.Tensor

    def __init__(self, columns: Sequence[int], channels: int, kernel: int, convolutions: int, scale: int) -> None:
        super().__init__()
        self.width = channels
        self.register_buffer("columns_G", torch.tensor(columns), persistent=False)
        sizes = [len(columns)] + [channels] * convolutions
        self.convolutions = nn.Sequential(
            *(CausalConv(size, channels, kernel, dilation=scale, weight_norm=False) for size in sizes[:-1])
        )

    def forward(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(T - convolutions (kernel - 1) scale, B, C)``, the newest bars."""
        return self.convolutions(x_TBF.index_select(2, self.columns_G))


class MultiscaleLSTMCNNNetwork(nn.Module):
    """A branch of convolutions for each clock; an LSTM over all their channels; attention over its states.

    Parameters: a branch ``C (K G + 1)`` and ``C (K C + 1)`` for each further convolution, the LSTM as `LSTM` on
    ``3 C``, attention ``4 H^2 + 4 H``, layer norm ``2 H``. What comes out at bar t saw `lookback` bars in a window.
    """

    def __init__(self, branches: Sequence[Branch], width: int, layers: int, heads: int, band: int, dropout: float):
        super().__init__()
        self.width = width
        self.branches = nn.ModuleList(branches)
        self.dropout = nn.Dropout(dropout)
        channels = sum(branch.width for branch in branches)
        self.lstm = nn.LSTM(channels, width, num_layers=layers, dropout=dropout if layers > 1 else 0.0)
        self.attention = BandedAttention(width, heads, band, dropout)
        self.norm = nn.LayerNorm(width)

    def states(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return the states of the LSTM ``(T', B, H)``, from the first bar on that has all taps of all branches."""
        found = [branch(x_TBF) for branch in self.branches]
        newest = min(len(c_TBC) for c_TBC in found)
        c_TBC = torch.cat([c_TBC[len(c_TBC) - newest :] for c_TBC in found], dim=-1)
        return self.lstm(self.dropout(c_TBC))[0]

    def forward(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(T - lookback + 1, B, H)``, the newest bars."""
        h_TBH = self.states(x_TBF)
        context_TBH = self.dropout(self.attention(h_TBH))
        return self.norm(h_TBH[len(h_TBH) - len(context_TBH) :] + context_TBH)

    def weights(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return the attention weights ``(T - lookback + 1, B, A, K)``, oldest bar first."""
        return self.attention.weights(self.states(x_TBF))


@dataclass(kw_only=True, eq=False, repr=False)
class MultiscaleLSTMCNN(TorchModel):
    """Convolutions on the bars and on 5 and 15 times longer ones, LSTM, attention, over the last `lookback` bars.

    The longer bars are real ones, put together from the past: it asks for their features as ``clocks``, which
    `mlcore.features.table_for` joins by when each bar was whole. Their convolutions step back over the joined columns
    in strides of one longer bar. A forecast starts from a zero state of the LSTM, at the first bar of the window
    with all taps behind it. Training is dense, with ``lookback - 1`` bars of burn-in, as for `AttentionLSTM`.

    Parameters
    ----------
    lookback : bars behind a forecast, the newest one included. The longest strides take
        ``convolutions (kernel - 1) max(scales)`` of them, the rest are steps of the LSTM.
    scales : lengths of the longer bars, in bars; rising.
    channels : channels of a convolution.
    kernel : taps of a convolution.
    convolutions : convolutions in a row, in each branch.
    width : hidden units of an LSTM layer; a multiple of twice `heads`.
    layers : stacked LSTM layers.
    heads : heads of attention.
    dropout : share dropped after the convolutions, between layers, of attention weights and of what attention adds.

    The rest is told in `TorchModel`. Columns are found by ``feature_names_in_``.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "light": {"lookback": 60, "channels": 16, "convolutions": 1, "width": 32},
        "default": {"channels": 32, "width": 128, "layers": 2, "dropout": 0.1, "learning_rate": 2e-3},
        "deep": {
            "lookback": 240,
            "channels": 64,
            "width": 256,
            "layers": 3,
            "dropout": 0.2,
            "learning_rate": 1e-3,
        },
    }

    lookback: int = 120
    scales: tuple[int, ...] = (5, 15)
    channels: int = 16
    kernel: int = 3
    convolutions: int = 2
    width: int = 32
    layers: int = 1
    heads: int = 4
    dropout: float = 0.0

    @property
    def clocks(self) -> tuple[str, ...]:
        """The clocks it reads beside the bars' own (`mlcore.features.table_for`)."""
        return tuple(f"{scale}x" for scale in self.scales)

    def build(self, n_features: int) -> MultiscaleLSTMCNNNetwork:
        band = self._band()
        names = told_columns(self, n_features)
        places = [plain_columns(names), *(clock_columns(names, clock) for clock in self.clocks)]
        branches = [
            Branch(columns, self.channels, self.kernel, self.convolutions, scale)
            for columns, scale in zip(places, (1, *self.scales), strict=True)
        ]
        return MultiscaleLSTMCNNNetwork(branches, self.width, self.layers, self.heads, band, self.dropout)

    def _band(self) -> int:
        """Return the bars that the LSTM reads of a window."""
        if not self.scales or list(self.scales) != sorted({int(scale) for scale in self.scales}) or self.scales[0] < 2:
            raise BarwiseError(f"`scales` are {self.scales}; they must be whole numbers of at least 2, rising.")
        used = self.convolutions * (self.kernel - 1) * self.scales[-1]
        if self.convolutions < 1 or self.kernel < 1 or used >= self.lookback:
            raise BarwiseError(
                f"`convolutions` {self.convolutions} with `kernel` {self.kernel} on bars {self.scales[-1]} times as "
                f"long take {used} bars of `lookback` {self.lookback}; both must be at least 1 and leave a bar for "
                "the LSTM."
            )
        return self.lookback - used

    @torch.no_grad()
    def explain(self, windows: Windows) -> dict[str, pd.DataFrame]:
        """Return ``attention``: the mean share that each head gave to the state so many bars back, rows 0, 1, ..."""
        check_windows(windows, lookback=self.lookback, n_features=self.n_features_in_)
        check_finite(windows)
        total, network = 0.0, self.network_.eval().network
        with threads(self.threads):
            for at in range(0, len(windows), PREDICT_WINDOWS):
                x_BTF = torch.from_numpy(np.ascontiguousarray(windows[at : at + PREDICT_WINDOWS], dtype=np.float32))
                total += network.weights(x_BTF.transpose(0, 1))[0].double().sum(dim=0)  # type: ignore[operator]
        shares_AK = np.asarray(total) / max(len(windows), 1)
        heads = [f"head{head}" for head in range(self.heads)]
        frame = pd.DataFrame(shares_AK[:, ::-1].T, columns=heads)
        return {"attention": frame.rename_axis("bars_back")}
