"""An LSTM that is also given the conditional volatility of a GARCH(1,1) (Bollerslev 1986), fitted by `arch`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from arch import arch_model
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.models.columns import told_column
from mlcore.models.inputs import Validation, check_fit
from mlcore.models.lstm import LSTM, LSTMNetwork
from mlcore.store.state import ModelState
from mlcore.stretches import check_finite
from mlcore.tasks import Task
from mlcore.windows import Windows

# Shape suffix legend
#   T = bars of a stretch, B = stretches of a batch, F = features, H = width

RETURN = "log_return"  # the column that the variance is that of
SMALLEST = 1e-8  # of the training rows' variance: what the variance of the next bar never falls below


@dataclass(frozen=True)
class Garch:
    """``v(t+1) = omega + alpha (r(t) - mu)^2 + beta v(t)``; `start` is v of a window's first bar."""

    mu: float
    omega: float
    alpha: float
    beta: float
    start: float


def fit_garch(returns: np.ndarray) -> Garch:
    """Fit ``(N,)`` returns by maximum likelihood of normal errors; `start` is their variance.

    Raises BarwiseError for returns that do not vary, and where the fit ends on no number.
    """
    unit = float(returns.std())
    if not unit > 1e-12 * max(float(np.abs(returns).max()), 1e-300):
        raise BarwiseError(f"`{RETURN}` is {returns[0]} on all {len(returns)} training bars: it has no volatility.")
    model = arch_model(returns / unit, mean="Constant", vol="GARCH", p=1, q=1, rescale=False)
    mu, omega, alpha, beta = (float(x) for x in model.fit(disp="off", show_warning=False).params)
    found = Garch(mu * unit, omega * unit**2, alpha, beta, unit**2)
    if not np.isfinite([found.mu, found.omega, alpha, beta]).all() or min(omega, alpha, beta) < 0:
        raise BarwiseError(f"`{RETURN}`: GARCH(1,1) ended on {found} over {len(returns)} bars; train on more of them.")
    return found


class ConditionalVolatility(nn.Module):
    """The log of the next bar's deviation by `garch`, over that of the training rows; known at the close of a bar."""

    def __init__(self, garch: Garch) -> None:
        super().__init__()
        self.garch = garch

    def forward(self, r_TB: torch.Tensor) -> torch.Tensor:
        """Return ``(T, B)``: the recursion from `start` on, unrolled: ``v(t+1)`` sums what each bar gave by its age."""
        garch, bars_T = self.garch, torch.arange(len(r_TB), device=r_TB.device)
        age_TT = bars_T[:, None] - bars_T
        left_TT = torch.where(age_TT >= 0, garch.beta ** age_TT.clamp(min=0).to(r_TB.dtype), 0.0)
        given_TB = garch.omega / garch.start + garch.alpha / garch.start * (r_TB - garch.mu).square()
        v_TB = left_TT @ given_TB + garch.beta ** (bars_T[:, None] + 1).to(r_TB.dtype)
        return 0.5 * v_TB.clamp(min=SMALLEST).log()


class GarchLSTMNetwork(LSTMNetwork):
    """LSTM over the bars' features and their conditional volatility. Parameters: as `LSTM` on one feature more."""

    def __init__(
        self, column: int, garch: Garch, n_features: int, width: int = 32, layers: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__(n_features + 1, width, layers, dropout)
        self.column = column
        self.volatility = ConditionalVolatility(garch)

    stepping = None  # type: ignore[assignment]  # the recursion of the volatility begins with the window

    def forward(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(T, B, H)``: the hidden state after every bar."""
        v_TB = self.volatility(x_TBF[:, :, self.column])
        return super().forward(torch.cat([x_TBF, v_TB[:, :, None]], dim=-1))


@dataclass(kw_only=True, eq=False, repr=False)
class GarchLSTM(LSTM):
    """LSTM over the last `lookback` bars, told at each how much the next one is expected to move.

    A GARCH(1,1) of the scaled ``log_return`` is fitted anew on the training windows of each fold, and on nothing
    else. Its variance is run through each window from the window's oldest bar, where it starts at the variance
    of the training rows: of that start a share ``beta ** lookback`` is left at the newest bar (5% at 60 bars for a
    beta of .95), so that a forecast depends on its window alone. The LSTM reads the log of the deviation expected
    of the next bar, over that of the training rows. Training is dense: in a longer stretch the recursion, like the
    state, has more bars behind it.

    Training bars that a gap parts are laid end to end for the fit.

    Parameters are those of `LSTM`. The column is found by ``feature_names_in_``, which the walk-forward tells.

    Attributes
    ----------
    garch_ : the fitted `Garch`, in units of the column.
    """

    own_features = (RETURN,)

    def fit(
        self, windows: Windows, y: np.ndarray, *, task: Task, validation: Validation | None = None, **more: Any
    ) -> Self:
        """As `TorchModel.fit`, after the GARCH; also refused: no column ``log_return``, or one that does not vary."""
        y = check_fit(windows, y, task, lookback=self.lookback)
        check_finite(windows)
        column = told_column(self, RETURN, windows.shape[2])
        self.garch_ = fit_garch(windows.table[window_bars(windows), column].astype(np.float64))
        return super().fit(windows, y, task=task, validation=validation, **more)

    def build(self, n_features: int) -> GarchLSTMNetwork:
        garch = getattr(self, "garch_", Garch(0.0, 0.05, 0.05, 0.9, 1.0))  # not fitted: what is usual
        column = told_column(self, RETURN, n_features)
        return GarchLSTMNetwork(column, garch, n_features, self.width, self.layers, self.dropout)

    def get_state(self) -> ModelState:
        """As `TorchModel.get_state`, and the parameters of the GARCH."""
        state = super().get_state()
        return ModelState(state.arrays, state.texts, {**state.values, "garch": asdict(self.garch_)})

    def set_state(self, state: ModelState) -> Self:
        """Become the model that `state` was taken of; parameters and ``feature_names_in_`` are set already."""
        self.garch_ = Garch(**state.values["garch"])
        return super().set_state(state)


def window_bars(windows: Windows) -> np.ndarray:
    """Return the table rows that stand in any of `windows`, each once, oldest first."""
    rows = np.unique(windows.rows)
    inside = np.zeros(int(rows[-1]) + 2, dtype=np.int64)
    np.add.at(inside, rows - windows.lookback + 1, 1)
    np.add.at(inside, rows + 1, -1)
    return np.flatnonzero(np.cumsum(inside) > 0)
