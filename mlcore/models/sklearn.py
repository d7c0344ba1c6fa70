"""Any scikit-learn estimator as a model, by composition."""

from __future__ import annotations

import inspect
import warnings
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.utils.metaestimators import available_if

from mlcore.errors import BarwiseError
from mlcore.models.horizons import PerHorizon
from mlcore.models.inputs import Validation, check_update, flatten, predict_in_parts, spread_over_classes
from mlcore.tasks import Task
from mlcore.windows import Windows


def _goes_on(model: Any) -> bool:
    """Whether the estimator can learn from newer rows."""
    return hasattr(model.estimator, "partial_fit")


class Sklearn(PerHorizon, BaseEstimator):
    """A scikit-learn estimator on flattened windows.

    A classifier gives probabilities (`predict_proba`), a regressor returns, and a regressor with a parameter
    ``quantile`` (`QuantileRegressor`, `HistGradientBoostingRegressor(loss="quantile")`) or with ``loss="quantile"`` and
    ``alpha`` (`GradientBoostingRegressor`) one fit a quantile, sorted so that they cannot cross. `validation` is not
    used: what a library stops early by itself it stops on rows it chooses itself. Its ``random_state`` is our
    `seed`, its ``n_jobs`` 1. It cannot be stored (`mlcore.store` reads no pickles).

    Parameters
    ----------
    estimator : unfitted, cloned before each fit.
    lookback : bars a window holds; more than one are laid side by side.
    seed : random state of estimators that have one.
    """

    get_state = set_state = None  # type: ignore[assignment]  # a pickle would run code when it is read

    def __init__(self, estimator: Any = None, lookback: int = 1, seed: int = 0) -> None:
        self.estimator = estimator
        self.lookback = lookback
        self.seed = seed

    @classmethod
    def around(cls, kind: type, path: str, theirs: dict[str, Any], ours: dict[str, Any]) -> Sklearn:
        """Return the model around ``kind(**theirs)`` (`mlcore.models.by_path`)."""
        try:
            return cls(kind(**theirs), **ours)
        except TypeError as error:
            raise BarwiseError(f"`model` {path!r} cannot be made: {error}.") from None

    def check_task(self, task: Task) -> None:
        """Refuse a task that the estimator does not speak, and parameters that it would refuse in every fold."""
        for estimator in self._estimators(task.lead):
            try:
                getattr(estimator, "_validate_params", dict)()  # what scikit-learn does itself, first thing in each fit
            except ValueError as error:
                raise BarwiseError(f"`model` {type(estimator).__name__} cannot be fitted: {error}") from None

    def _fit_one(self, windows: Windows, y: np.ndarray, task: Task, validation: Validation | None) -> None:
        self.unit_ = 1.0 if task.kind == "classes" else float(np.std(y)) or 1.0  # log returns are tiny
        x, y = flatten(windows), y.astype(np.int64) if task.kind == "classes" else y / self.unit_
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="sklearn")
            self.estimators_ = [estimator.fit(x, y) for estimator in self._estimators(task)]

    @available_if(_goes_on)
    def update(self, windows: Windows, y: np.ndarray) -> Self:
        """Let the estimator's own `partial_fit` learn from newer rows, in the units of the fit; there only where it has
        one (`SGDClassifier`, `MLPRegressor`, ...). An unknown class is left out.

        Raises BarwiseError for several horizons, and for what the estimator refuses.
        """
        if self.horizon_models_:
            raise BarwiseError("`update`: a scikit-learn estimator is updated for one horizon only.")
        y = check_update(windows, y, lookback=self.lookback, n_features=self.n_features_in_)
        if self.task_.kind == "classes":
            known = np.isin(y, self.estimators_[0].classes_)
            windows, y = windows.take(known), y[known].astype(np.int64)
        if not len(y):
            return self
        x, targets = flatten(windows), y if self.task_.kind == "classes" else y / self.unit_
        try:
            for estimator in self.estimators_:
                estimator.partial_fit(x, targets)
        except (ValueError, AttributeError) as error:  # MLP's `lbfgs` has none, and says so when it is looked for
            raise BarwiseError(f"`update`: {type(self.estimator).__name__} refuses: {error}") from None
        return self

    def _estimators(self, task: Task) -> list[Any]:
        base = ExtraTreesClassifier() if self.estimator is None else self.estimator
        name = type(base).__name__
        if task.kind == "classes" and not (is_classifier(base) and hasattr(base, "predict_proba")):
            raise BarwiseError(
                f"`label` makes classes and {name} gives no probabilities of classes: take a classifier with "
                "predict_proba, or the label 'return'."
            )
        if task.kind != "classes" and not is_regressor(base):
            raise BarwiseError(f"`label` makes returns and {name} is no regressor: take one, or the label 'direction'.")
        if task.kind != "quantiles":
            return [self._own(base)]
        return [self._own(base, self._level(base, name, q)) for q in task.quantiles]

    def _own(self, base: Any, more: dict[str, Any] | None = None) -> Any:
        fixed = {"random_state": self.seed, "n_jobs": 1}
        estimator = clone(base)
        known = {name for name in estimator.get_params(deep=False) if name in fixed}
        return estimator.set_params(**{name: fixed[name] for name in known}, **(more or {}))

    @staticmethod
    def _level(base: Any, name: str, q: float) -> dict[str, Any]:
        known = inspect.signature(type(base)).parameters
        if "quantile" in known:
            return {"quantile": q} | ({"loss": "quantile"} if "loss" in known else {})
        if "alpha" in known and "loss" in known:
            return {"loss": "quantile", "alpha": q}
        raise BarwiseError(
            f"`label` makes quantiles and {name} has no parameter for a quantile: take QuantileRegressor."
        )

    def _predict_one(self, windows: Windows) -> np.ndarray:
        return predict_in_parts(self._predict, windows, np.float32)

    def _predict(self, x: np.ndarray) -> np.ndarray:
        if self.task_.kind == "classes":
            (model,) = self.estimators_
            return spread_over_classes(model.predict_proba(x), model.classes_.astype(int), self.task_.n_outputs)
        columns = np.column_stack([model.predict(x) for model in self.estimators_]).astype(np.float64) * self.unit_
        return np.sort(columns, axis=1) if self.task_.kind == "quantiles" else columns
