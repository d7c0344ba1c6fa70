"""Convolutions for local patterns, an LSTM for the rest: the baseline that other sequence models must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.models.tcn import CausalConv
from mlcore.models.torch import TorchModel

# Shape suffix legend
#   T = bars of a stretch, B = stretches of a batch, F = features, C = channels, H = width


class CNNLSTMNetwork(nn.Module):
    """Causal convolutions (ReLU, no padding), then layers of LSTM cells from a zero state.

    The first state of the LSTM is that of bar ``convolutions (kernel - 1)``, the first with all its taps.
    """

    def __init__(
        self, n_features: int, channels: int, kernel: int, convolutions: int, width: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.width = width
        sizes = [n_features] + [channels] * convolutions
        self.convolutions = nn.Sequential(
            *(CausalConv(sizes[i], channels, kernel, dilation=1, weight_norm=False) for i in range(convolutions))
        )
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(channels, width, num_layers=layers, dropout=dropout if layers > 1 else 0.0)

    def forward(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(T - convolutions (kernel - 1), B, H)``, the newest bars."""
        c_TBC = self.dropout(self.convolutions(x_TBF))
        h_TBH, _ = self.lstm(c_TBC)
        return h_TBH


@dataclass(kw_only=True, eq=False, repr=False)
class CNNLSTM(TorchModel):
    """Convolutions and LSTM over the last `lookback` bars.

    A forecast starts `lookback` bars back, for every row alike. Training is dense, with ``lookback - 1`` bars
    of burn-in before the first row that is learned from, as for `LSTM`.

    Parameters
    ----------
    lookback : bars behind a forecast, the newest one included.
    channels : channels of a convolution.
    kernel : taps of a convolution.
    convolutions : convolutions in a row.
    width : hidden units of an LSTM layer.
    layers : stacked LSTM layers.
    dropout : share dropped after the convolutions and between LSTM layers.

    The rest is told in `TorchModel`.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "light": {"lookback": 20, "channels": 16, "width": 32},
        "default": {"lookback": 60, "channels": 64, "width": 128, "dropout": 0.1, "learning_rate": 2e-3},
        "deep": {
            "lookback": 120,
            "channels": 128,
            "convolutions": 3,
            "width": 256,
            "layers": 2,
            "dropout": 0.2,
            "learning_rate": 1e-3,
        },
    }

    channels: int = 32
    kernel: int = 3
    convolutions: int = 2
    width: int = 32
    layers: int = 1
    dropout: float = 0.0

    def build(self, n_features: int) -> CNNLSTMNetwork:
        used = self.convolutions * (self.kernel - 1)
        if self.convolutions < 1 or self.kernel < 1 or used >= self.lookback:
            raise BarwiseError(
                f"`convolutions` {self.convolutions} with `kernel` {self.kernel} take {used} bars of `lookback` "
                f"{self.lookback}; both must be at least 1 and leave a bar for the LSTM."
            )
        return CNNLSTMNetwork(
            n_features, self.channels, self.kernel, self.convolutions, self.width, self.layers, self.dropout
        )
