"""The symbol as an input that does not change in time: found by its column's name, embedded by networks."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from mlcore.models.inputs import symbol_column
from mlcore.windows import Windows

# Shape suffix legend
#   T = bars passed through, B = stretches of a batch, F = features, E = numbers that stand for a symbol


class SymbolEmbedding(nn.Module):
    """Swap the column of codes for learnt numbers, `width` a symbol, behind the other features.

    A code that is not of the `n` symbols trained on (-1) gets the mean of theirs.
    """

    def __init__(self, column: int, n: int, width: int) -> None:
        super().__init__()
        self.column, self.n, self.width = column, n, width
        self.weight = nn.Parameter(0.1 * torch.randn(n, width))

    def n_out(self, n_features: int) -> int:
        """Features that come out where `n_features` go in."""
        return n_features - 1 + self.width

    def forward(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """``(T, B, F)`` to ``(T, B, F - 1 + E)``."""
        code_TB = x_TBF[..., self.column].long()
        known_TB = (code_TB >= 0) & (code_TB < self.n)
        weight = torch.cat([self.weight, self.weight.mean(dim=0, keepdim=True)])
        told_TBE = F.embedding(torch.where(known_TB, code_TB, self.n), weight)
        rest = x_TBF[..., : self.column], x_TBF[..., self.column + 1 :]
        return torch.cat([*rest, told_TBE], dim=-1)


def embedding_of(model: Any, windows: Windows) -> SymbolEmbedding | None:
    """Return a new embedding for the symbols of `windows`, `model.symbol_width` wide; None without their column."""
    column = symbol_column(model)
    if column is None:
        return None
    return SymbolEmbedding(column, int(windows.last[:, column].max()) + 1, model.symbol_width)
