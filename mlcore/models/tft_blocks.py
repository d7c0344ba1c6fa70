"""Building blocks of the Temporal Fusion Transformer (Lim et al. 2021, arXiv 1912.09363, section 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from mlcore.errors import BarwiseError

# Shape suffix legend
#   T = bars passed through, B = stretches of a batch, N = positions (bars x stretches), V = variables, D = width
#   I = inputs of a layer, O = its outputs
#   Q = positions that ask, K = positions that are asked, A = heads, E = values of a head


class GateAddNorm(nn.Module):
    """``LayerNorm(skip + GLU(x))``, the gated skip connection: a gate near 0 leaves the block out.

    Parameters: ``2 (I O + O) + 2 O``.
    """

    def __init__(self, n_in: int, n_out: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(n_in, 2 * n_out)
        self.norm = nn.LayerNorm(n_out)

    def forward(self, x_NI: torch.Tensor, skip_NO: torch.Tensor) -> torch.Tensor:
        """Return ``(..., O)``."""
        return self.norm(skip_NO + F.glu(self.linear(self.dropout(x_NI)), dim=-1))


class GRN(nn.Module):
    """Gated residual network: two dense layers with ELU between, gated, added to what was read.

    The context enters the first layer without a bias of its own; another size of output has a linear skip.
    Parameters for I inputs, width D and O outputs: ``I D + D + D^2 + D + 2 (D O + O) + 2 O``, with a context
    ``D^2`` more, with ``I != O`` another ``I O + O``.
    """

    def __init__(
        self, n_in: int, width: int, n_out: int | None = None, *, context: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        n_out = n_in if n_out is None else n_out
        self.skip = nn.Identity() if n_in == n_out else nn.Linear(n_in, n_out)
        self.linear1, self.linear2 = nn.Linear(n_in, width), nn.Linear(width, width)
        self.context = nn.Linear(width, width, bias=False) if context else None
        self.gate = GateAddNorm(width, n_out, dropout)

    def forward(self, x_NI: torch.Tensor, context_ND: torch.Tensor | None = None) -> torch.Tensor:
        """Return ``(..., O)``; the context's leading axes need only broadcast to those of `x_NI`."""
        h_ND = self.linear1(x_NI)
        if self.context is not None:
            h_ND = h_ND + self.context(context_ND)
        return self.gate(self.linear2(F.elu(h_ND)), self.skip(x_NI))


class Linears(nn.Module):
    """One linear layer per variable, all in one product; each begins as `torch.nn.Linear` does."""

    def __init__(self, n_variables: int, n_in: int, n_out: int) -> None:
        super().__init__()
        bound = n_in**-0.5
        self.weight_VIO = nn.Parameter(torch.empty(n_variables, n_in, n_out).uniform_(-bound, bound))
        self.bias_V1O = nn.Parameter(torch.empty(n_variables, 1, n_out).uniform_(-bound, bound))

    def forward(self, x_VNI: torch.Tensor) -> torch.Tensor:
        """Return ``(V, N, O)``."""
        return torch.baddbmm(self.bias_V1O, x_VNI, self.weight_VIO)


class VariableGRNs(nn.Module):
    """One GRN per variable, without context, all in one product. Parameters: V times those of ``GRN(D, D)``."""

    def __init__(self, n_variables: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear1, self.linear2 = Linears(n_variables, width, width), Linears(n_variables, width, width)
        self.dropout = nn.Dropout(dropout)
        self.gate = Linears(n_variables, width, 2 * width)
        self.scale_V1D = nn.Parameter(torch.ones(n_variables, 1, width))
        self.shift_V1D = nn.Parameter(torch.zeros(n_variables, 1, width))

    def forward(self, x_VND: torch.Tensor) -> torch.Tensor:
        """Return ``(V, N, D)``."""
        h_VND = self.dropout(self.linear2(F.elu(self.linear1(x_VND))))
        sum_VND = x_VND + F.glu(self.gate(h_VND), dim=-1)
        return F.layer_norm(sum_VND, sum_VND.shape[-1:]) * self.scale_V1D + self.shift_V1D


class VariableSelection(nn.Module):
    """Variable selection network: each variable through its own GRN, then their mean by weights that a GRN gives.

    The weights begin nearly even: begun at random they often settle on one variable, and what another one tells is
    never learnt. Parameters: those of ``GRN(V D, D, V)``, with or without context, and of V ``GRN(D, D)``.
    """

    def __init__(self, n_variables: int, width: int, *, context: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.weights = GRN(n_variables * width, width, n_variables, context=context, dropout=dropout)
        nn.init.constant_(self.weights.gate.norm.weight, 0.1)
        self.variables = VariableGRNs(n_variables, width, dropout)

    def forward(
        self, embedded_VND: torch.Tensor, context_ND: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the selection ``(N, D)`` and the weights ``(N, V)``: at least 0, their sum 1."""
        flat_NI = embedded_VND.transpose(0, 1).flatten(1)
        weights_NV = self.weights(flat_NI, context_ND).softmax(dim=-1)
        selected_ND = torch.einsum("vnd,nv->nd", self.variables(embedded_VND), weights_NV)
        return selected_ND, weights_NV


class InterpretableAttention(nn.Module):
    """Multi-head attention whose heads share their values and are averaged, so that one set of weights tells all.

    No biases. Parameters: ``2 D^2`` for queries and keys, ``2 D^2 / A`` for values and output.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise BarwiseError(f"`width` is {width}; it must be a multiple of `heads` {heads}.")
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width // heads, bias=False)
        self.out = nn.Linear(width // heads, width, bias=False)
        self.dropout = dropout

    def split(self, x_NQD: torch.Tensor) -> torch.Tensor:
        """Return ``(N, A, Q, E)`` of ``(N, Q, D)``."""
        return x_NQD.unflatten(-1, (self.heads, -1)).transpose(-2, -3)

    def attend(
        self, q_NAQE: torch.Tensor, k_NAKE: torch.Tensor, v_NKE: torch.Tensor, unseen_QK: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ``(N, Q, D)`` and the weights ``(N, A, Q, K)``; a key marked in `unseen_QK` has weight 0."""
        product_NAQK = q_NAQE @ k_NAKE.transpose(-1, -2) * q_NAQE.shape[-1] ** -0.5
        weights_NAQK = product_NAQK.masked_fill(unseen_QK, -torch.inf).softmax(dim=-1)
        mean_NQK = F.dropout(weights_NAQK, self.dropout, self.training).mean(dim=-3)
        return self.out(mean_NQK @ v_NKE), weights_NAQK

    def forward(
        self, queries_NQD: torch.Tensor, keys_NKD: torch.Tensor, unseen_QK: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ``(N, Q, D)`` and the weights ``(N, A, Q, K)``."""
        q_NAQE, k_NAKE = self.split(self.query(queries_NQD)), self.split(self.key(keys_NKD))
        return self.attend(q_NAQE, k_NAKE, self.value(keys_NKD), unseen_QK)


def lstm_cells(
    lstm: nn.LSTM, x_TBI: torch.Tensor, states_TBD: torch.Tensor, state_BD: torch.Tensor, cell_BD: torch.Tensor
) -> torch.Tensor:
    """Return the cells ``(T, B, D)`` behind the states of a one-layer LSTM that began at `state_BD`, `cell_BD`.

    torch gives the last cell only. Here the gates are reckoned again from the states, all at once, and the cells
    from the gates, one after another: for T bars about as long as the LSTM itself took.
    """
    into, again, bias_into, bias_again = lstm.all_weights[0]
    before_TBD = torch.cat([state_BD[None], states_TBD[:-1]])
    gates_TBO = F.linear(x_TBI, into, bias_into + bias_again) + F.linear(before_TBD, again)
    in_TBD, forget_TBD, new_TBD, _ = gates_TBO.chunk(4, dim=-1)
    added_TBD, kept_TBD = in_TBD.sigmoid() * new_TBD.tanh(), forget_TBD.sigmoid()
    cells = [cell_BD]
    for added_BD, kept_BD in zip(added_TBD.unbind(), kept_TBD.unbind(), strict=True):
        cells.append(torch.addcmul(added_BD, kept_BD, cells[-1]))
    return torch.stack(cells[1:])
