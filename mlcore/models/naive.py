"""Baselines that learn next to nothing: what a model must beat before it may speak."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator

from mlcore.errors import BarwiseError, did_you_mean
from mlcore.models.columns import given_column
from mlcore.models.horizons import PerHorizon
from mlcore.models.inputs import Validation, check_finite
from mlcore.store.state import ModelState
from mlcore.tasks import Task
from mlcore.windows import Windows

RULES = ("prior", "last_return", "reversal", "momentum")


class Naive(PerHorizon, BaseEstimator):
    """A rule instead of a model.

    ==============  =====================================================================================
    `rule`          what it says at the close of bar t
    ==============  =====================================================================================
    ``prior``       the class frequencies (mean return, quantiles) of the training rows, on every bar
    ``last_return`` the move of bar t goes on: up after an up bar, down after a down bar
    ``reversal``    the move of bar t turns round
    ``momentum``    the sum of the moves of the last `lookback` bars goes on (give `lookback` 2 or more)
    ==============  =====================================================================================

    The directional rules speak with fixed strength: half of the probability is put on the highest (or lowest) class
    and half is the prior; a return forecast is the sign times the mean absolute training label; quantiles of
    the training labels are shifted by as much. After a move of exactly 0 they say what ``prior`` says.

    Parameters
    ----------
    rule : one of the above.
    column : the feature that holds a bar's return: its name (the walk-forward tells the names) or its number.
    lookback : bars a window holds.
    seed : unused; kept because every model has one.
    """

    scaled = False  # the sign of a return is lost when its mean is taken off: the walk-forward hands raw features
    law_exceptions = {"model_finds_a_planted_signal": "its rules are fixed: it is there to be beaten"}

    def __init__(
        self, rule: str = "prior", column: str | int = "close_pct_change", lookback: int = 1, seed: int = 0
    ) -> None:
        self.rule = rule
        self.column = column
        self.lookback = lookback
        self.seed = seed

    def _fit_one(self, windows: Windows, y: np.ndarray, task: Task, validation: Validation | None) -> None:
        check_finite(windows.last)
        self._check_rule()
        wanted = f"The rule {self.rule!r}"
        self.column_ = None if self.rule == "prior" else given_column(self, windows.shape[2], wanted)
        self.prior_ = _prior(y, task)
        self.size_ = float(np.mean(np.abs(y)))

    def _get_state(self) -> ModelState:
        return ModelState(values={"prior": self.prior_.tolist(), "size": self.size_, "column": self.column_})

    def _set_state(self, state: ModelState) -> None:
        values = state.values
        self.prior_, self.size_, self.column_ = np.asarray(values["prior"]), values["size"], values["column"]

    def _check_rule(self) -> None:
        if self.rule not in RULES:
            raise BarwiseError(
                f"`rule` is {self.rule!r}, which is not known.{did_you_mean(self.rule, RULES)} "
                f"Known: {', '.join(RULES)}."
            )
        if self.rule == "momentum" and self.lookback < 2:
            raise BarwiseError(f"`lookback` is {self.lookback}; the rule 'momentum' sums moves and needs 2 or more.")

    def _predict_one(self, windows: Windows) -> np.ndarray:
        check_finite(windows.last)
        side = self._side(windows)[:, None]
        if self.task_.kind == "quantiles":
            return self.prior_ + side * self.size_
        if self.task_.kind == "regression":
            return np.where(side == 0, self.prior_, side * self.size_)
        scores = np.asarray(self.task_.scores)
        ends = np.eye(self.task_.n_outputs)[np.where(side[:, 0] > 0, scores.argmax(), scores.argmin())]
        return np.where(side == 0, self.prior_, 0.5 * ends + 0.5 * self.prior_)

    def _side(self, windows: Windows) -> np.ndarray:
        """-1, 0 or 1 for every window."""
        if self.column_ is None:
            return np.zeros(len(windows))
        if self.rule == "momentum":
            moves = check_finite(windows[:][:, :, self.column_]).sum(axis=1)
        else:
            moves = windows.last[:, self.column_]
        return np.sign(moves) * (-1.0 if self.rule == "reversal" else 1.0)


def _prior(y: np.ndarray, task: Task) -> np.ndarray:
    """``(n_outputs,)``: what the training labels were like."""
    if task.kind == "classes":
        return np.bincount(y.astype(np.int64), minlength=task.n_outputs) / len(y)
    if task.kind == "quantiles":
        return np.quantile(y, task.quantiles)
    return np.array([np.mean(y)])
