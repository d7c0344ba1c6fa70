"""Layers of recurrent cells over a stretch of bars: what `LSTM` and `GRU` have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from mlcore.models.stepping import RecurrentState
from mlcore.models.torch import TorchModel

# Shape suffix legend
#   T = bars of a stretch, B = stretches of a batch, F = features, H = width


class RecurrentNetwork(nn.Module):
    """Layers of `cell` over a stretch of bars, from a zero state. Causal: bar t sees bars <= t."""

    cell: ClassVar[type[nn.LSTM] | type[nn.GRU]]

    def __init__(self, n_features: int, width: int = 32, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = width
        self.layers = self.cell(n_features, width, num_layers=layers, dropout=dropout if layers > 1 else 0.0)

    def forward(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(T, B, H)``: the hidden state after every bar."""
        h_TBH, _ = self.layers(x_TBF)
        return h_TBH

    def stepping(self, lookback: int) -> RecurrentState:
        """Keep a run for each bar of the lookback."""
        return RecurrentState(self.layers, lookback)


@dataclass(kw_only=True, eq=False, repr=False)
class Recurrent(TorchModel):
    """Settings of a `RecurrentNetwork` over the last `lookback` bars.

    A forecast starts from a zero state `lookback` bars back, for every row alike. Training is dense:
    one pass over a longer stretch, whose first ``lookback - 1`` bars only warm the state up (burn-in,
    no loss), so that every row is learned with at least `lookback` bars behind it.

    Parameters
    ----------
    lookback : bars behind a forecast, the newest one included.
    width : hidden units of a layer.
    layers : stacked layers.
    dropout : share of units dropped between layers; without effect for one layer.

    The rest is told in `TorchModel`.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "light": {"lookback": 20, "width": 32, "layers": 1},
        "default": {"lookback": 60, "width": 128, "layers": 2, "dropout": 0.1, "learning_rate": 2e-3},
        "deep": {"lookback": 120, "width": 256, "layers": 3, "dropout": 0.2, "learning_rate": 1e-3},
    }
    network: ClassVar[type[RecurrentNetwork]]

    width: int = 32
    layers: int = 1
    dropout: float = 0.0
    learning_rate: float = 8e-3

    def build(self, n_features: int) -> RecurrentNetwork:
        return self.network(n_features, self.width, self.layers, self.dropout)
