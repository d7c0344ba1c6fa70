"""What gradient-boosted trees share, whichever library grows them: inputs, labels, early stopping, explanations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from mlcore.errors import BarwiseError
from mlcore.losses import ClassWeights, Loss, choose_loss, class_weights_of, row_weights, without_weights
from mlcore.models.horizons import PerHorizon
from mlcore.models.inputs import PART, Validation, check_update, check_windows, spread_over_classes, symbol_column
from mlcore.models.summaries import Summaries
from mlcore.store.state import ModelState
from mlcore.tasks import Task
from mlcore.windows import Windows

UPDATE_ROUNDS = 2  # trees (a class) that an update adds
UPDATE_LEAF = 5  # rows that a leaf of theirs holds at least
SHARE, POSITIVE = pd.Interval(0, 1, "right"), pd.Interval(0, np.inf, "neither")
NOT_NEGATIVE, COUNT = pd.Interval(0, np.inf, "left"), pd.Interval(1, np.inf, "left")
SHARED_LIMITS: Mapping[str, pd.Interval] = {
    "n_estimators": COUNT,
    "patience": COUNT,
    "learning_rate": POSITIVE,
    "min_child_share": pd.Interval(0, 1, "left"),
}
Rows = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # (N, C) columns, (N,) targets and weights


class BoostedTrees(PerHorizon, BaseEstimator, ABC):
    """Boosters on `Summaries` of a window; several horizons have boosters of their own.

    A library's face gives `_objectives`, `_boost`, `_go_on`, `_raw`, `_contributions`, `_gains` and its own state.

    Attributes
    ----------
    boosters_ : one, or for quantiles one each where the library cannot do several at a time.
    best_epoch_ : rounds kept, one a booster. n_features_in_ : features of the training windows. task_ : the task.
    """

    lookback: int
    lags: Sequence[int]
    rolling: Sequence[int]
    momentum: Sequence[int]
    n_estimators: int
    patience: int
    loss: str | None
    loss_params: dict[str, float] | None
    class_weights: ClassWeights
    known_losses: ClassVar[tuple[str, ...]]
    limits: ClassVar[Mapping[str, pd.Interval]]  # what the library takes; beyond it every fit would fail

    @abstractmethod
    def _objectives(self, loss: Loss) -> list[dict[str, Any]]:
        """Return the library's options for the task, one dict a booster."""

    @abstractmethod
    def _boost(self, train: Rows, held_out: Rows | None, objective: dict[str, Any]) -> tuple[Any, int]:
        """Return a booster that ends with its best round, and the number of its rounds."""

    @abstractmethod
    def _go_on(self, booster: Any, train: Rows, objective: dict[str, Any]) -> Any:
        """Return a new booster: `UPDATE_ROUNDS` more rounds, grown on `train`, in leaves of `UPDATE_LEAF` or more."""

    @abstractmethod
    def _raw(self, booster: Any, x: np.ndarray) -> np.ndarray:
        """Return what a booster says of ``(N, C)`` columns: ``(N,)`` or ``(N, K)``."""

    @abstractmethod
    def _contributions(self, booster: Any, x: np.ndarray) -> np.ndarray:
        """Return the SHAP values ``(N, K, C + 1)`` of a booster's raw outputs, the expected value last."""

    @abstractmethod
    def _gains(self, booster: Any, n_columns: int) -> np.ndarray:
        """Return ``(C,)`` the total gain of the splits on each column."""

    def check_task(self, task: Task) -> Loss:
        """Return the loss that `task` is trained by; refuse one that does not fit it, and parameters out of range."""
        for name, limit in {**SHARED_LIMITS, **self.limits}.items():
            if (value := getattr(self, name)) not in limit:
                raise BarwiseError(f"`{name}` is {value}; it must be in {limit}.")
        return choose_loss(task, self.loss, self.loss_params, self.class_weights, known=self.known_losses)

    def _fit_one(self, windows: Windows, y: np.ndarray, task: Task, validation: Validation | None) -> None:
        loss = self.check_task(task)
        self.weights_ = None
        if task.kind == "classes":
            self.weights_ = class_weights_of(y, task.n_outputs, loss.class_weights)
        targets, judged = self._targets(y, validation)
        train = self._columns(windows), targets, row_weights(loss, y, weights=self.weights_)
        held_out = None
        if judged is not None and len(judged[0]):
            weight = row_weights(loss, self._labels(judged[1]), weights=self.weights_)
            held_out = self._columns(judged[0]), judged[1], weight
        grown = [self._boost(train, held_out, objective) for objective in self._objectives(loss)]
        self.boosters_ = [booster for booster, _ in grown]
        self.best_epoch_ = tuple(rounds for _, rounds in grown)

    def update(self, windows: Windows, y: np.ndarray) -> Self:
        """Add `UPDATE_ROUNDS` trees grown on newer rows, in the units of the fit; an unknown class is left out.

        A leaf may hold as few as `UPDATE_LEAF` rows: there are not many. Raises BarwiseError for several horizons.
        """
        if self.horizon_models_:
            raise BarwiseError(f"`update`: {type(self).__name__} is updated for one horizon only.")
        y = check_update(windows, y, lookback=self.lookback, n_features=self.n_features_in_)
        if self.task_.kind == "classes":
            known = np.isin(y, self.classes_)
            windows, y = windows.take(known), y[known]
            targets = np.searchsorted(self.classes_, y).astype(np.float64)
        else:
            targets = (y - self.center_) / self.unit_
        if len(targets) < 2 * UPDATE_LEAF:
            return self
        loss = self.check_task(self.task_)
        train = self._columns(windows), targets, row_weights(loss, y, weights=self.weights_)
        pairs = zip(self.boosters_, self._objectives(loss), strict=True)
        self.boosters_ = [self._go_on(booster, train, objective) for booster, objective in pairs]
        return self

    def _summaries(self) -> Summaries:
        return Summaries.within(self.lookback, self.lags, self.rolling, self.momentum)

    def _names(self) -> list[str]:
        features = list(getattr(self, "feature_names_in_", map(str, range(self.n_features_in_))))
        return self._summaries().names(features, symbol_column(self))

    def _columns(self, windows: Windows) -> np.ndarray:
        return self._summaries().of(windows, symbol_column(self))

    def _targets(self, y: np.ndarray, validation: Validation | None) -> tuple[np.ndarray, Validation | None]:
        """Labels as the library wants them: codes without holes, or returns in units of their own deviation."""
        if self.task_.kind == "classes":
            self.classes_ = np.unique(y).astype(np.int64)
            if validation is not None:  # a class that was never trained on has no probability to be judged by
                known = np.isin(validation[1], self.classes_)
                validation = validation[0].take(known), np.searchsorted(self.classes_, validation[1][known])
            return np.searchsorted(self.classes_, y), validation
        self.center_, self.unit_ = float(np.mean(y)), float(np.std(y)) or 1.0
        if validation is not None:
            validation = validation[0], (validation[1] - self.center_) / self.unit_
        return (y - self.center_) / self.unit_, validation

    def _labels(self, targets: np.ndarray) -> np.ndarray:
        """Targets as the labels they were made of."""
        if self.task_.kind == "classes":
            return self.classes_[targets.astype(np.int64)]
        return targets * self.unit_ + self.center_

    def _predict_one(self, windows: Windows) -> np.ndarray:
        step = max(1, PART // len(self._names()))
        pieces = (windows.take(slice(at, at + step)) for at in range(0, len(windows), step))
        return np.concatenate([self._predict(self._columns(piece)) for piece in pieces])

    def _predict(self, x: np.ndarray) -> np.ndarray:
        raw = [np.asarray(self._raw(booster, x), dtype=np.float64) for booster in self.boosters_]
        columns = np.column_stack(raw)
        if self.task_.kind != "classes":
            columns = columns * self.unit_ + self.center_
            return np.sort(columns, axis=1) if self.task_.kind == "quantiles" else columns
        probabilities = np.column_stack([1.0 - columns, columns]) if columns.shape[1] == 1 else columns
        told = spread_over_classes(probabilities, self.classes_, self.task_.n_outputs)
        return without_weights(told, self.weights_)

    def explain(self, windows: Windows) -> dict[str, pd.DataFrame]:
        """Return what the trees look at, by feature and by summary of it (`Summaries`).

        ``importance``
            share of the training gain of each column, all boosters together; known when the model was fitted.
        ``shap``
            mean absolute SHAP value over `windows` (Lundberg et al. 2018, exact for trees) in the unit of the raw
            output (log-odds for classes, deviations of the label else), averaged over classes or quantiles.
        """
        check_windows(windows, lookback=self.lookback, n_features=self.n_features_in_)
        x = self._columns(windows)
        names = self._names()
        gains = sum(self._gains(booster, len(names)) for booster in self.boosters_)
        total = float(np.sum(gains))
        parts = [self._contributions(booster, x)[:, :, :-1] for booster in self.boosters_]
        shap = np.abs(np.concatenate(parts, axis=1)).mean(axis=(0, 1))
        return {
            "importance": pd.DataFrame({"share of gain": gains / total if total else gains}, index=names),
            "shap": pd.DataFrame({"mean |SHAP|": shap}, index=names),
        }

    def _learnt(self) -> dict[str, Any]:
        values: dict[str, Any] = {"best_epoch": self.best_epoch_, "weights": self.weights_}
        if self.task_.kind == "classes":
            return values | {"classes": self.classes_.tolist()}
        return values | {"center": self.center_, "unit": self.unit_}

    def _set_learnt(self, state: ModelState) -> None:
        values = state.values
        self.best_epoch_, self.weights_ = values["best_epoch"], values.get("weights")
        if self.task_.kind == "classes":
            self.classes_ = np.asarray(values["classes"], dtype=np.int64)
        else:
            self.center_, self.unit_ = values["center"], values["unit"]
