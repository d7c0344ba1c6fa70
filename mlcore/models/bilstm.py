"""Bidirectional LSTM (Graves and Schmidhuber 2005), both ways inside the window and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from mlcore.models.torch import TorchModel

# Shape suffix legend
#   T = bars of a window, B = windows of a batch, F = features, H = units of one direction


class BiLSTMNetwork(nn.Module):
    """Layers of LSTM cells that read a window both ways; the window's end is the newest bar known.

    Parameters of one layer: ``8 (H (F + H) + 2 H)``, with ``2 H`` in place of F above the first.
    """

    def __init__(self, n_features: int, width: int = 128, layers: int = 2, dropout: float = 0.3) -> None:
        super().__init__()
        self.width = 2 * width
        between = dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(n_features, width, num_layers=layers, dropout=between, bidirectional=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(1, B, 2 H)``: where each direction of the last layer ends, dropped out."""
        h_TBI, _ = self.lstm(x_TBF)
        forward_BH, backward_BH = h_TBI[-1, :, : self.width // 2], h_TBI[0, :, self.width // 2 :]
        return self.dropout(torch.cat([forward_BH, backward_BH], dim=-1)[None])


@dataclass(kw_only=True, eq=False, repr=False)
class BiLSTM(TorchModel):
    """Bidirectional LSTM over the last `lookback` bars.

    What reads backwards starts at the newest bar of the window, so a forecast knows no later bar. A pass
    over a longer stretch would: hence training is on windows only, one per row, and slow.

    Parameters
    ----------
    lookback : bars behind a forecast, the newest one included.
    width : units of each direction; the head reads twice as many.
    layers : stacked layers.
    dropout : share of units dropped after each layer, the last one included.
    batch : windows of an optimiser step.

    The rest is told in `TorchModel`; `dense` must stay False.
    """

    causal = False
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "light": {"lookback": 20, "width": 32, "layers": 1},
        "default": {"lookback": 60, "width": 128, "layers": 2},
        "deep": {"lookback": 120, "width": 256, "layers": 3, "learning_rate": 1e-3},
    }

    width: int = 128
    layers: int = 2
    dropout: float = 0.3
    batch: int = 128
    learning_rate: float = 2e-3
    dense: bool = False

    def build(self, n_features: int) -> BiLSTMNetwork:
        return BiLSTMNetwork(n_features, self.width, self.layers, self.dropout)
