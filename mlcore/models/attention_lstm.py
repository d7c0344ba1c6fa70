"""LSTM whose newest state looks back at all states of its window by multi-head attention, plus a residual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import nn

from mlcore.explain import bars_back
from mlcore.models.attention import BandedAttention
from mlcore.models.inputs import check_windows
from mlcore.models.torch import PREDICT_WINDOWS, TorchModel
from mlcore.stretches import check_finite
from mlcore.training import threads
from mlcore.windows import Windows

# Shape suffix legend
#   T = bars of a stretch, B = stretches of a batch, F = features, H = width, A = heads of attention, L = lookback


class AttentionLSTMNetwork(nn.Module):
    """LSTM states; at every bar, attention over the last `lookback` of them; their sum, layer-normed. Causal."""

    def __init__(
        self, n_features: int, width: int, layers: int, heads: int, lookback: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.width = width
        self.lstm = nn.LSTM(n_features, width, num_layers=layers, dropout=dropout if layers > 1 else 0.0)
        self.attention = BandedAttention(width, heads, lookback, dropout)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(T - lookback + 1, B, H)``, the newest bars."""
        h_TBH, _ = self.lstm(x_TBF)
        context_TBH = self.dropout(self.attention(h_TBH))
        return self.norm(h_TBH[len(h_TBH) - len(context_TBH) :] + context_TBH)

    def weights(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return the attention weights ``(T - lookback + 1, B, A, L)``, oldest bar first."""
        return self.attention.weights(self.lstm(x_TBF)[0])


@dataclass(kw_only=True, eq=False, repr=False)
class AttentionLSTM(TorchModel):
    """LSTM with multi-head attention over the last `lookback` bars.

    A forecast starts from a zero state `lookback` bars back, for every row alike. Training is dense, as for
    `LSTM`: in a longer stretch the states that attention looks at have more bars behind them than in a window.

    Parameters
    ----------
    lookback : bars behind a forecast, the newest one included.
    width : hidden units of a layer; a multiple of twice `heads`.
    layers : stacked LSTM layers.
    heads : heads of attention.
    dropout : share dropped between layers, of attention weights and of what attention adds.

    The rest is told in `TorchModel`.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "light": {"lookback": 20, "width": 32, "layers": 1},
        "default": {"lookback": 60, "width": 128, "layers": 2, "dropout": 0.1, "learning_rate": 2e-3},
        "deep": {"lookback": 120, "width": 256, "layers": 3, "dropout": 0.2, "learning_rate": 1e-3},
    }

    width: int = 32
    layers: int = 1
    heads: int = 4
    dropout: float = 0.0

    def build(self, n_features: int) -> AttentionLSTMNetwork:
        return AttentionLSTMNetwork(n_features, self.width, self.layers, self.heads, self.lookback, self.dropout)

    @torch.no_grad()
    def attention(self, windows: Windows) -> np.ndarray:
        """Return ``(N, heads, lookback)`` float64: what share of each bar the newest state took, oldest bar first.

        The shares of a head sum to 1. They are known when the forecast is: at the close of the window's last bar.
        """
        check_windows(windows, lookback=self.lookback, n_features=self.n_features_in_)
        check_finite(windows)
        parts: list[np.ndarray] = [np.empty((0, self.heads, self.lookback))]
        network = self.network_.eval().network
        with threads(self.threads):
            for at in range(0, len(windows), PREDICT_WINDOWS):
                x_BTF = np.ascontiguousarray(windows[at : at + PREDICT_WINDOWS], dtype=np.float32)
                shares_BAL = network.weights(torch.from_numpy(x_BTF).transpose(0, 1))[0]  # type: ignore[operator]
                parts.append(shares_BAL.double().numpy())
        return np.concatenate(parts)

    def explain(self, windows: Windows) -> dict[str, pd.DataFrame]:
        """Return ``attention``: the mean share of each bar back (rows), one column a head."""
        shares_AL = self.attention(windows).mean(axis=0)
        columns = [f"head {head + 1}" for head in range(self.heads)]
        return {"attention": pd.DataFrame(shares_AL.T, bars_back(self.lookback), columns)}
