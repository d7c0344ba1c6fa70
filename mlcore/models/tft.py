"""Temporal Fusion Transformer (Lim et al. 2021, arXiv 1912.09363), trained on long stretches of bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.explain import feature_names
from mlcore.features.recipes import Recipe
from mlcore.models.explain import by_bars_back, mean_over_windows
from mlcore.models.inputs import SYMBOL, Validation, symbol_column
from mlcore.models.tft_blocks import GRN, GateAddNorm, InterpretableAttention, Linears, VariableSelection, lstm_cells
from mlcore.models.torch import TorchModel
from mlcore.store.state import ModelState
from mlcore.tasks import Task
from mlcore.windows import Windows

# Shape suffix legend
#   T = bars passed through, S = rows that are forecast (T - lookback + 1), B = stretches of a batch, L = lookback
#   F = features, V = variables, D = width, A = heads, E = values of a head, K = steps of the decoder
#   M = positions L + K
#   N = positions in one axis

AHEAD = "calendar_ahead"


@dataclass(frozen=True)
class Layout:
    """Which column of the table is what to a TFT.

    observed : columns known up to their own bar only.
    known : for every known-ahead variable its columns for the bar itself, then for each step of the decoder.
    symbol : the column with the symbol's code, if any. symbols : codes it may have.
    """

    observed: tuple[int, ...]
    known: tuple[tuple[int, ...], ...] = ()
    symbol: int | None = None
    symbols: int = 1


def layout_of(names: Sequence[str], steps: Sequence[int], symbols: int = 1) -> tuple[Layout, tuple[str, ...]]:
    """Return the layout of a table with columns `names`, and the names of its variables, past ones first.

    >>> layout_of(["rsi", "calendar_ahead_day_sine_0", "calendar_ahead_day_sine_1", "symbol"], steps=(1,))[1]
    ('rsi', 'calendar_ahead_day_sine')
    """
    place = {name: column for column, name in enumerate(names)}
    ahead = [name for name in names if name.startswith(AHEAD)]
    variables = list(dict.fromkeys(name.rpartition("_")[0] for name in ahead))
    try:
        known = tuple(tuple(place[f"{name}_{step}"] for step in (0, *steps)) for name in variables)
    except KeyError as error:
        raise BarwiseError(
            f"`features` hold {ahead[0]!r} but not {error}: `steps` {tuple(steps)} needs the clock of those bars. "
            "Make the table with mlcore.features.table_for(model, bars)."
        ) from None
    observed = [name for name in names if name not in ahead and name != SYMBOL]
    layout = Layout(tuple(place[name] for name in observed), known, place.get(SYMBOL), symbols)
    return layout, (*observed, *variables)


class TFTNetwork(nn.Module):
    """The whole network, its last linear layer (the head's) left out.

    In a stretch, what concerns one bar alone (embedding, selection, enrichment) is worked out once for all rows
    that look back at it; decoder and attention are each row's own. Dense or windowed, a row is given nothing
    after its own bar save the known inputs that stand in that bar's columns.
    """

    number_K: torch.Tensor  # how far ahead a step is, told to the decoder where no clock is

    def __init__(
        self, layout: Layout, width: int, heads: int, lookback: int, steps: Sequence[int], dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.layout, self.lookback, self.steps, self.width = layout, lookback, len(steps), len(steps) * width
        self.register_buffer("number_K", torch.tensor(steps, dtype=torch.float32) / max(steps), persistent=False)
        self.n_known = len(layout.known) or 1
        n_past = len(layout.observed) + len(layout.known)
        self.embed_observed = Linears(len(layout.observed), 1, width) if layout.observed else None
        self.embed_known = Linears(self.n_known, 1, width)
        self.symbol = nn.Parameter(torch.zeros(layout.symbols, width))
        self.select_static = VariableSelection(1, width, context=False, dropout=dropout)
        self.contexts = nn.ModuleList(GRN(width, width, dropout=dropout) for _ in range(4))
        self.select_past = VariableSelection(n_past, width, dropout=dropout)
        self.select_ahead = VariableSelection(self.n_known, width, dropout=dropout)
        self.encoder, self.decoder = nn.LSTM(width, width), nn.LSTM(width, width)
        self.gate_lstm = GateAddNorm(width, width, dropout)
        self.enrich = GRN(width, width, context=True, dropout=dropout)
        self.attention = InterpretableAttention(width, heads, dropout)
        self.gate_attention = GateAddNorm(width, width, dropout)
        self.position_wise = GRN(width, width, dropout=dropout)
        self.gate_last = GateAddNorm(width, width)

    def forward(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(S, B, K D)``: the decoder's steps side by side, for every row with a full lookback."""
        return self.outlook(x_TBF)[0].flatten(2)

    def outlook(self, x_TBF: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the decoder's steps ``(S, B, K, D)``, and the weights they came by.

        attention : ``(S, B, A, K, M)``, oldest bar first, the steps ahead last. past : ``(T, B, V)``, ahead :
        ``(S, B, K, V)``, the variables' weights.
        """
        selection_BD, enrichment_BD, state_BD, cell_BD = self.static(x_TBF)
        past_TBD, past_weights_TBV = self.select(self.past(x_TBF), self.select_past, selection_BD)
        ahead_VN, around_BD = self.ahead(x_TBF), selection_BD[None, :, None]
        ahead_SBKD, ahead_weights_SBKV = self.select(ahead_VN, self.select_ahead, around_BD)
        encoded_TBD, cells_SBD = self.encode(past_TBD, state_BD, cell_BD)
        decoded_SBKD = self.decode(ahead_SBKD, encoded_TBD[-len(cells_SBD) :], cells_SBD)
        temporal_TBD = self.gate_lstm(encoded_TBD, past_TBD)
        temporal_SBKD = self.gate_lstm(decoded_SBKD, ahead_SBKD)
        rich_TBD = self.enrich(temporal_TBD, enrichment_BD)
        rich_SBKD = self.enrich(temporal_SBKD, enrichment_BD[None, :, None])
        attended_SBKD, shares = self.look_back(rich_TBD, rich_SBKD)
        heard_SBKD = self.position_wise(self.gate_attention(attended_SBKD, rich_SBKD))
        weights = {"attention": shares, "past": past_weights_TBV, "ahead": ahead_weights_SBKV}
        return self.gate_last(heard_SBKD, temporal_SBKD), weights

    def static(self, x_TBF: torch.Tensor) -> list[torch.Tensor]:
        """Return the four contexts ``(B, D)``: for selection, enrichment, and the encoder's state and cell.

        A symbol without a code of training gets zeros, where every code's embedding begins.
        """
        if self.layout.symbol is None:
            embedded_BD = self.symbol[:1].expand(x_TBF.shape[1], -1)
        else:
            code_B = x_TBF[-1, :, self.layout.symbol].round().long()
            met_B1 = ((code_B >= 0) & (code_B < len(self.symbol)))[:, None]
            embedded_BD = self.symbol[code_B.clamp(0, len(self.symbol) - 1)] * met_B1
        static_BD, _ = self.select_static(embedded_BD[None])
        return [context(static_BD) for context in self.contexts]

    def past(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return the embedded variables of every bar, ``(V, T, B, D)``, the observed ones first."""
        parts = []
        if self.embed_observed is not None:
            parts.append(self._embedded(x_TBF[..., list(self.layout.observed)], self.embed_observed))
        if self.layout.known:
            here_TBV = x_TBF[..., [columns[0] for columns in self.layout.known]]
            parts.append(self._embedded(here_TBV, self.embed_known))
        return torch.cat(parts)

    def ahead(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return the embedded known variables of the steps ahead of every row, ``(V, S, B, K, D)``."""
        rows_SBF = x_TBF[self.lookback - 1 :]
        if self.layout.known:
            columns = [column for known in self.layout.known for column in known[1:]]
            values_SBKV = rows_SBF[..., columns].unflatten(-1, (self.n_known, self.steps)).transpose(-1, -2)
        else:
            values_SBKV = self.number_K[:, None].expand(*rows_SBF.shape[:2], -1, -1)
        return self._embedded(values_SBKV, self.embed_known)

    @staticmethod
    def _embedded(values_NV: torch.Tensor, embed: Linears) -> torch.Tensor:
        flat_VN1 = values_NV.flatten(0, -2).transpose(0, 1)[..., None]
        return embed(flat_VN1).unflatten(1, values_NV.shape[:-1])

    @staticmethod
    def select(
        embedded_VND: torch.Tensor, network: VariableSelection, context_BD: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the selection and the weights of embedded variables with any axes between V and D."""
        axes = embedded_VND.shape[1:-1]
        context_ND = context_BD.expand(*axes, -1).flatten(0, -2)
        selected_ND, weights_NV = network(embedded_VND.flatten(1, -2), context_ND)
        return selected_ND.unflatten(0, axes), weights_NV.unflatten(0, axes)

    def encode(
        self, past_TBD: torch.Tensor, state_BD: torch.Tensor, cell_BD: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the encoder's states ``(T, B, D)`` and the cells ``(S, B, D)`` of the rows."""
        states_TBD, (_, last_1BD) = self.encoder(past_TBD, (state_BD[None], cell_BD[None]))
        if len(past_TBD) == self.lookback:
            return states_TBD, last_1BD
        cells_TBD = lstm_cells(self.encoder, past_TBD, states_TBD, state_BD, cell_BD)
        return states_TBD, cells_TBD[self.lookback - 1 :]

    def decode(self, ahead_SBKD: torch.Tensor, state_SBD: torch.Tensor, cell_SBD: torch.Tensor) -> torch.Tensor:
        """Return the decoder's states ``(S, B, K, D)``, begun where the encoder stands at each row."""
        s, b, _, _ = ahead_SBKD.shape
        state_ND, cell_ND = state_SBD.flatten(0, 1), cell_SBD.flatten(0, 1)
        into, again, bias_into, bias_again = self.decoder.all_weights[0]
        decoded = []
        for ahead_ND in ahead_SBKD.flatten(0, 1).unbind(1):  # ONNX: no LSTM of a batch made on the way
            gates_NO = F.linear(ahead_ND, into, bias_into + bias_again) + F.linear(state_ND, again)
            in_ND, forget_ND, new_ND, out_ND = gates_NO.chunk(4, dim=-1)
            cell_ND = forget_ND.sigmoid() * cell_ND + in_ND.sigmoid() * new_ND.tanh()
            state_ND = out_ND.sigmoid() * cell_ND.tanh()
            decoded.append(state_ND)
        return torch.stack(decoded, dim=1).unflatten(0, (s, b))

    def look_back(self, rich_TBD: torch.Tensor, rich_SBKD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what each step ahead attends to, ``(S, B, K, D)``, and its weights ``(S, B, A, K, M)``.

        A step sees the lookback, itself and the steps before it: attention rows are 0 above the diagonal.
        """
        attention, bars = self.attention, self.lookback
        key_TBD, value_TBE = attention.key(rich_TBD), attention.value(rich_TBD)
        key_SBLD = key_TBD.unfold(0, bars, 1).transpose(-1, -2)
        value_SBLE = value_TBE.unfold(0, bars, 1).transpose(-1, -2)
        keys_SBMD = torch.cat([key_SBLD, attention.key(rich_SBKD)], dim=2)
        values_SBME = torch.cat([value_SBLE, attention.value(rich_SBKD)], dim=2)
        position_M = torch.arange(bars + self.steps, device=rich_TBD.device)
        unseen_KM = position_M > position_M[bars:, None]
        queries_SBAKE = attention.split(attention.query(rich_SBKD))
        return attention.attend(queries_SBAKE, attention.split(keys_SBMD), values_SBME, unseen_KM)


@dataclass(kw_only=True, eq=False, repr=False)
class TFT(TorchModel):
    """Temporal Fusion Transformer over the last `lookback` bars and the clock of bars ahead.

    The table's columns by name: ``calendar_ahead_*`` are known ahead (`own_features` asks for them, and `table_for`
    makes them), ``symbol`` is the static category, all others are observed. In windows without names all are
    observed, and the decoder is told how far ahead its step is, no more. Without ``symbol`` the static input is a
    learned constant; a symbol that was not trained on counts as zeros.

    The decoder takes one step for each of `steps`: name the task's horizons. The network's output is its steps side by
    side, as many times `width` values, and the head's one linear layer reads them all for every horizon; in the paper
    each horizon reads its own step, which with one of each is the same. More steps than horizons do harm: of two
    planted answers five steps found one, one or two steps both. Quantiles do not cross (the paper's may).

    Training is dense: a stretch's first ``lookback - 1`` bars only warm the encoder up; a forecast starts from the
    static state `lookback` bars back, for every row alike. Attention reaches `lookback` bars back in both.

    Parameters
    ----------
    lookback : bars behind a forecast, the newest one included.
    width : values of a variable, a bar and a step inside the network; a multiple of `heads`.
    heads : heads of the interpretable attention.
    steps : how many bars ahead each step of the decoder is, rising.
    dropout : share of values dropped in every gated block, and of attention weights.

    The rest is told in `TorchModel`.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "light": {"lookback": 20, "width": 16},
        "default": {"lookback": 60, "width": 64, "learning_rate": 2e-3},
        "deep": {"lookback": 120, "width": 160, "learning_rate": 1e-3, "dropout": 0.2},
    }

    embeds_symbol = False

    width: int = 32
    heads: int = 4
    steps: tuple[int, ...] = (5,)
    dropout: float = 0.1

    @property
    def own_features(self) -> tuple[Recipe, ...]:
        """The clock of the bars that are `steps` ahead, besides the features the user chose."""
        return ((AHEAD, {"steps": tuple(self.steps)}),)

    def build(self, n_features: int) -> TFTNetwork:
        steps = tuple(self.steps)
        if not steps or min(steps) < 1 or any(late <= early for early, late in pairwise(steps)):
            raise BarwiseError(f"`steps` are {self.steps!r}; they must be whole numbers of at least 1 that rise.")
        names = getattr(self, "feature_names_in_", None)
        if names is not None and not any(name.startswith(AHEAD) for name in names):
            raise BarwiseError(
                f"`features` hold no {AHEAD!r}, the clock of the bars ahead: make the table with "
                "mlcore.features.table_for(model, bars)."
            )
        layout, _ = layout_of(self._names(n_features), steps, getattr(self, "n_symbols_", 1))
        return TFTNetwork(layout, self.width, self.heads, self.lookback, steps, self.dropout)

    def _names(self, n_features: int) -> list[str]:
        names = feature_names(self, n_features)
        if len(names) != n_features:
            raise BarwiseError(f"`feature_names_in_` holds {len(names)} names for {n_features} features.")
        return names

    def fit(self, windows: Windows, y: np.ndarray, *, task: Task, validation: Validation | None = None) -> Self:
        """Fit on `windows` and labels `y` ``(N,)``; see `TorchModel.fit`. Symbols' codes are read from the rows."""
        column = symbol_column(self)
        self.n_symbols_ = 1 if column is None else 1 + int(windows.last[:, column].max(initial=0))
        return super().fit(windows, y, task=task, validation=validation)

    def get_state(self) -> ModelState:
        """As `TorchModel.get_state`, with the names of the columns and the number of symbols."""
        state = super().get_state()
        mine = {"columns": getattr(self, "feature_names_in_", None), "n_symbols": self.n_symbols_}
        return ModelState(state.arrays, values={**state.values, **mine})

    def set_state(self, state: ModelState) -> Self:
        """Become the model that `state` was taken of."""
        self.n_symbols_ = state.values["n_symbols"]
        if (columns := state.values["columns"]) is not None:
            self.feature_names_in_ = tuple(columns)
        return super().set_state(state)

    def explain(self, windows: Windows) -> dict[str, pd.DataFrame]:
        """Return what the forecasts of `windows` looked at, as means over windows.

        attention : one row per bar back (0 the newest bar, -5 the step five bars ahead), columns ``mean`` and one per
        head; a column's sum is 1. variable_weights : one row per variable, columns ``past`` (over the lookback) and
        ``ahead`` (over the steps; 0 for what is not known ahead); a column's sum is 1, or 0 without a clock ahead.
        """
        told = mean_over_windows(self, windows, TFT._looks)
        layout, names = layout_of(self._names(self.n_features_in_), self.steps)
        ahead = np.zeros(len(names))
        if layout.known:
            ahead[len(layout.observed) :] = told["ahead"]
        variables = pd.DataFrame({"past": told["past"], "ahead": ahead}, index=list(names))
        return {"attention": by_bars_back(told["attention"], ahead=tuple(self.steps)), "variable_weights": variables}

    @staticmethod
    def _looks(network: Any, x_TBF: torch.Tensor) -> dict[str, torch.Tensor]:
        _, weights = network.outlook(x_TBF)
        return {
            "attention": weights["attention"][0].mean(dim=2),
            "past": weights["past"].mean(dim=0),
            "ahead": weights["ahead"][0].mean(dim=1),
        }
