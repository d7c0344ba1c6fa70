"""Informer (Zhou et al. 2021, arXiv 2012.07436): ProbSparse attention and distilling; its encoder, as a forecaster."""

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
from mlcore.models.torch import TorchModel
from mlcore.windows import Windows

# Shape suffix legend
#   B = windows of a batch, L = bars of a window (halved by each distilling), I = features, D = width
#   A = heads, E = values of a head (D / A), U = sampled keys, K = keys (as many as L)


def sparsity(length: int, factor: int) -> int:
    """Return the paper's u: how many keys are sampled and how many queries are active, of `length`.

    >>> sparsity(96, 5), sparsity(720, 5), sparsity(12, 5)
    (25, 35, 12)
    """
    return min(length, factor * math.ceil(math.log(length))) or 1


class ProbSparseAttention(nn.Module):
    """Attention where only the `u` queries that differ most from an even look have a look of their own.

    How much a query differs is its largest product with a sample of keys, less their sum over L. The others take
    the mean of all values. The sample is drawn once, when the network is built, and kept with its weights: the paper's
    code draws anew in every call, so that the same window is never forecast twice alike. Selection is
    per window and head: nothing of the batch matters. It looks at all bars of the window, so a causal mask would
    not make it causal; there is none, for the window ends at the bar that is forecast from.

    Parameters: ``4 (D^2 + D)``. With ``u = L`` it is full attention. The products of all pairs are taken: for a
    window of 60 or 240 bars that takes half as long as to gather the sampled keys; what is sparse is what is learned.
    """

    sampled_LU: torch.Tensor

    def __init__(self, width: int, heads: int, length: int, factor: int = 5, dropout: float = 0.0) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise BarwiseError(f"`width` is {width}; it must be a multiple of `heads` {heads}.")
        if factor < 1:
            raise BarwiseError(f"`factor` is {factor}; it must be at least 1.")
        self.heads, self.active = heads, sparsity(length, factor)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = dropout
        self.register_buffer("sampled_LU", torch.randint(length, (length, self.active)))

    def _split(self, x_BLD: torch.Tensor) -> torch.Tensor:
        return x_BLD.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def weights(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """Return ``(B, A, L, K)``: what share of each bar a bar takes; rows sum to 1, lazy ones are even."""
        q_BALE, k_BAKE = self._split(self.query(x_BLD)), self._split(self.key(x_BLD))
        product_BALK = q_BALE @ k_BAKE.transpose(-1, -2)
        weights_BALK = (product_BALK * q_BALE.shape[-1] ** -0.5).softmax(dim=-1)
        length = x_BLD.shape[1]
        met_BALU = product_BALK.detach().gather(-1, self.sampled_LU.expand(*product_BALK.shape[:2], -1, -1))
        sparse_BAL = met_BALU.amax(dim=-1) - met_BALU.sum(dim=-1) / length
        active_BAL = torch.zeros_like(sparse_BAL).scatter(-1, sparse_BAL.topk(self.active).indices, 1.0)
        return torch.where(active_BAL[..., None] > 0, weights_BALK, 1.0 / length)

    def forward(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """Return ``(B, L, D)``."""
        shares_BALK = F.dropout(self.weights(x_BLD), self.dropout, self.training)
        context_BALE = shares_BALK @ self._split(self.value(x_BLD))
        return self.out(context_BALE.transpose(1, 2).flatten(2))


class TokenEmbedding(nn.Module):
    """A convolution over three bars, the border repeated, inside the window. Parameters: ``3 I D (+ D)``."""

    def __init__(self, n_features: int, width: int, *, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_features, width, 3, padding=1, padding_mode="replicate", bias=bias)

    def forward(self, x_BLI: torch.Tensor) -> torch.Tensor:
        """Return ``(B, L, D)``."""
        return self.conv(x_BLI.transpose(1, 2)).transpose(1, 2)


class InformerLayer(nn.Module):
    """ProbSparse attention, then a feed-forward layer, each added to what it read and layer-normed.

    Parameters: ``4 (D^2 + D) + 2 D W + W + D + 4 D`` with W = `feed_forward`.
    """

    def __init__(self, width: int, heads: int, feed_forward: int, length: int, factor: int, dropout: float) -> None:
        super().__init__()
        self.attention = ProbSparseAttention(width, heads, length, factor, dropout)
        self.linear1, self.linear2 = nn.Linear(width, feed_forward), nn.Linear(feed_forward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """Return ``(B, L, D)``."""
        h_BLD = self.norm1(x_BLD + self.dropout(self.attention(x_BLD)))
        inner_BLD = self.linear2(self.dropout(F.gelu(self.linear1(h_BLD))))
        return self.norm2(h_BLD + self.dropout(inner_BLD))


class Distil(nn.Module):
    """Convolution, layer norm, ELU, and the largest of three bars at every second one: half the length.

    The paper's code has batch norm, which ties the windows of a batch together in training, and whose running means
    would not be those of the epoch that is kept; layer norm has as many parameters. ``3 D^2 + D + 2 D``.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, padding=1, padding_mode="replicate")
        self.norm = nn.LayerNorm(width)

    def forward(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """Return ``(B, ceil(L / 2), D)``; the last one has seen the newest bar."""
        h_BLD = F.elu(self.norm(self.conv(x_BLD.transpose(1, 2)).transpose(1, 2)))
        return F.max_pool1d(h_BLD.transpose(1, 2), 3, stride=2, padding=1).transpose(1, 2)


class InformerNetwork(nn.Module):
    """Embedding and positions, encoder layers with distilling between them, layer norm: the newest place is read."""

    position_LD: torch.Tensor

    def __init__(
        self,
        n_features: int,
        width: int,
        heads: int,
        layers: int,
        feed_forward: int,
        lookback: int,
        factor: int = 5,
        *,
        distil: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = width
        self.embed = TokenEmbedding(n_features, width)
        self.register_buffer("position_LD", positions(lookback, width), persistent=False)
        self.dropout = nn.Dropout(dropout)
        self.stack, length = nn.Sequential(), lookback
        for layer in range(layers):
            if layer and distil:
                self.stack.append(Distil(width))
                length = (length + 1) // 2
            self.stack.append(InformerLayer(width, heads, feed_forward, length, factor, dropout))
        self.norm = nn.LayerNorm(width)

    def embedded(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(B, L, D)``, what the first layer reads."""
        return self.dropout(self.embed(x_TBF.transpose(0, 1)) + self.position_LD)

    def forward(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(1, B, D)`` of windows ``(L, B, F)``."""
        return self.norm(self.stack(self.embedded(x_TBF))[:, -1])[None]

    def newest(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(B, A, L)``: what share of each bar the newest one takes in the first layer."""
        return self.stack[0].attention.weights(self.embedded(x_TBF))[:, :, -1]  # type: ignore[operator, union-attr]


def positions(length: int, width: int) -> torch.Tensor:
    """Return ``(L, D)`` sines and cosines of the place (Vaswani et al. 2017), the oldest bar at 0."""
    turns = 10_000.0 ** (-torch.arange(0, width, 2) / width)
    angle = torch.arange(length)[:, None] * turns
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :width]


@dataclass(kw_only=True, eq=False, repr=False)
class Informer(TorchModel):
    """Informer's encoder over the last `lookback` bars; trained on windows, one per row.

    One forecast is made from the newest bar, so the decoder, which writes many bars at once from placeholders, is left
    out, and so are its tables of calendar embeddings: the clock is among the features.

    Parameters
    ----------
    lookback : bars behind a forecast, the newest one included.
    width : values of a bar inside the network; a multiple of `heads`.
    heads : heads of attention.
    layers : encoder layers; between two of them the length is halved.
    feed_forward : units of the feed-forward layer; None: four times `width`.
    factor : ``factor * ceil(ln L)`` of L queries are active, and as many keys sampled.
    distil : halve the length between layers.
    dropout : share of values dropped, of attention weights too.
    batch : windows of an optimiser step.

    The rest is told in `TorchModel`; `dense` must stay False.
    """

    causal = False
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "light": {"lookback": 20, "width": 32, "layers": 1, "factor": 3},
        "default": {"lookback": 60, "width": 64, "layers": 2},
        "deep": {"lookback": 240, "width": 256, "heads": 8, "layers": 3, "learning_rate": 3e-4},
    }

    width: int = 32
    heads: int = 4
    layers: int = 2
    feed_forward: int | None = None
    factor: int = 5
    distil: bool = True
    dropout: float = 0.05
    batch: int = 128
    learning_rate: float = 1e-3
    dense: bool = False

    def build(self, n_features: int) -> InformerNetwork:
        if self.layers < 1:
            raise BarwiseError(f"`layers` is {self.layers}; it must be at least 1.")
        feed_forward = 4 * self.width if self.feed_forward is None else self.feed_forward
        return InformerNetwork(
            n_features,
            self.width,
            self.heads,
            self.layers,
            feed_forward,
            self.lookback,
            self.factor,
            distil=self.distil,
            dropout=self.dropout,
        )

    def explain(self, windows: Windows) -> dict[str, pd.DataFrame]:
        """Return ``attention``: what share of each bar the newest one takes in the first layer, a mean over windows.

        One row per bar back (0 the newest), columns ``mean`` and one per head; a column's sum is 1. Where the newest
        bar is no active query its shares are even.
        """
        told = mean_over_windows(self, windows, lambda network, x_TBF: {"attention": network.newest(x_TBF)})
        return {"attention": by_bars_back(told["attention"])}
