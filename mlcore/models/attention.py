"""Multi-head attention of each bar to the last few bars, itself included (Vaswani et al. 2017), made causal."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from mlcore.errors import BarwiseError

# Shape suffix legend
#   T = bars passed through, S = bars that have their full band (T - band + 1), B = stretches of a batch
#   D = width, A = heads, E = values of a head (D / A), K = bars of the band


class BandedAttention(nn.Module):
    """Attention of bar t to bars ``t - band + 1 .. t``; bars without a full band do not come out.

    Positions are relative: queries and keys are rotated by their place in the stretch (Su et al. 2021, arXiv
    2104.09864), so that a product depends on the distance of two bars alone and a bar's output is the same,
    up to rounding, wherever a stretch begins. Parameters: ``4 D^2 + 4 D``, as `torch.nn.MultiheadAttention`.

    Parameters
    ----------
    width : values of a bar; a multiple of twice `heads` (a head's values are rotated in pairs).
    heads : heads of attention. band : bars that one bar sees. dropout : share of attention weights dropped.
    """

    turns_E2: torch.Tensor

    def __init__(self, width: int, heads: int, band: int, dropout: float = 0.0) -> None:
        super().__init__()
        if heads < 1 or width % (2 * heads):
            raise BarwiseError(f"`width` is {width}; with `heads` {heads} it must be a multiple of {2 * heads}.")
        self.heads, self.band, self.dropout = heads, band, dropout
        self.into = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        half = width // heads // 2
        self.register_buffer("turns_E2", 10_000.0 ** (-torch.arange(half) / half), persistent=False)

    def _rotated(self, x_BATE: torch.Tensor, first: int) -> torch.Tensor:
        """Rotate pairs of values by an angle that grows with the bar's place, `first` for the first bar."""
        places_T = torch.arange(first, first + x_BATE.shape[2], device=x_BATE.device, dtype=x_BATE.dtype)
        angle_TE2 = places_T[:, None] * self.turns_E2
        cos, sin = angle_TE2.cos(), angle_TE2.sin()
        one, two = x_BATE.chunk(2, dim=-1)
        return torch.cat([one * cos - two * sin, one * sin + two * cos], dim=-1)

    def _parts(self, x_TBD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries ``(B, A, S, E)``, keys and values ``(B, A, T, E)``, and the band ``(S, T)``, True where seen."""
        t, b, d = x_TBD.shape
        parts = self.into(x_TBD).view(t, b, 3, self.heads, d // self.heads)
        q_BATE, k_BATE, v_BATE = parts.permute(2, 1, 3, 0, 4)
        q_BASE = self._rotated(q_BATE[:, :, self.band - 1 :], self.band - 1)
        distance_ST = (
            torch.arange(t, device=x_TBD.device) - torch.arange(t - self.band + 1, device=x_TBD.device)[:, None]
        )
        seen_ST = (distance_ST >= 0) & (distance_ST < self.band)
        return q_BASE, self._rotated(k_BATE, 0), v_BATE, seen_ST

    def forward(self, x_TBD: torch.Tensor) -> torch.Tensor:
        """Return ``(T - band + 1, B, D)``, the newest bars."""
        q_BASE, k_BATE, v_BATE, seen_ST = self._parts(x_TBD)
        dropout = self.dropout if self.training else 0.0
        context_BASE = F.scaled_dot_product_attention(q_BASE, k_BATE, v_BATE, attn_mask=seen_ST, dropout_p=dropout)
        return self.out(context_BASE.permute(2, 0, 1, 3).flatten(2))

    def weights(self, x_TBD: torch.Tensor) -> torch.Tensor:
        """Return what `forward` weighs by: ``(S, B, A, K)``, oldest bar of the band first; they sum to 1."""
        q_BASE, k_BATE, _, seen_ST = self._parts(x_TBD)
        product_BAST = q_BASE @ k_BATE.transpose(-1, -2) / q_BASE.shape[-1] ** 0.5
        share_BAST = product_BAST.masked_fill(~seen_ST, -torch.inf).softmax(dim=-1)
        b, a, s, _ = share_BAST.shape
        return share_BAST[:, :, seen_ST].view(b, a, s, self.band).permute(2, 0, 1, 3)
