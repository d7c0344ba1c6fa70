"""Linear models by scikit-learn: the rival every other model has to beat."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, QuantileRegressor, Ridge

from mlcore.explain import flat_names
from mlcore.losses import Loss, choose_loss, class_weights_of, row_weights, without_weights
from mlcore.models.horizons import PerHorizon
from mlcore.models.inputs import Validation, flatten, predict_in_parts, spread_over_classes
from mlcore.store.state import ModelState
from mlcore.tasks import Task
from mlcore.windows import Windows

LEARNT = ("coef_", "intercept_", "classes_")  # what scikit-learn's linear models predict from


KNOWN_LOSSES = ("cross_entropy", "squared", "weighted_squared", "pinball")


class Linear(PerHorizon, BaseEstimator):
    """Logistic regression for classes, ridge for returns, linear quantile regression for quantiles.

    The penalty is per row: the mean loss plus ``shrinkage / 2`` (classes) or ``shrinkage`` (returns) times the
    squared weights, so that one default means the same on 1,000 rows and on 100,000. It expects scaled features.
    `validation` is not used: nothing here is stopped early. A class missing from the training rows gets
    probability 0. Quantiles are sorted, so they cannot cross.

    Parameters
    ----------
    lookback : bars a window holds; more than one are laid side by side.
    shrinkage : penalty per row; larger means closer to the mean of the labels.
    max_iter : steps of the logistic solver at most.
    quantile_rows : rows at most for quantile regression (its linear program takes time as rows squared);
        more are thinned evenly over the whole training span.
    seed : unused (every solver here is deterministic); kept because every model has one.
    loss, loss_params, class_weights : as in `mlcore.losses`; focal and huber are not known here.
    """

    def __init__(
        self,
        lookback: int = 1,
        shrinkage: float = 0.01,
        max_iter: int = 300,
        quantile_rows: int = 2_000,
        seed: int = 0,
        loss: str | None = None,
        loss_params: dict[str, float] | None = None,
        class_weights: str | tuple[float, ...] | None = None,
    ) -> None:
        self.lookback = lookback
        self.shrinkage = shrinkage
        self.max_iter = max_iter
        self.quantile_rows = quantile_rows
        self.seed = seed
        self.loss = loss
        self.loss_params = loss_params
        self.class_weights = class_weights

    def check_task(self, task: Task) -> Loss:
        """Return the loss that `task` is trained by; refuse one that does not fit it."""
        return choose_loss(task, self.loss, self.loss_params, self.class_weights, known=KNOWN_LOSSES)

    def _fit_one(self, windows: Windows, y: np.ndarray, task: Task, validation: Validation | None) -> None:
        x, loss = flatten(windows, np.float64), self.check_task(task)
        self.weights_ = None
        if task.kind == "classes":
            self.weights_ = class_weights_of(y, task.n_outputs, loss.class_weights)
        fit = {"classes": self._fit_classes, "regression": self._fit_return, "quantiles": self._fit_quantiles}
        self.estimators_: list[Any] = fit[task.kind](x, y, row_weights(loss, y, self.weights_))
        for estimator in self.estimators_:  # one layout, or weights from the store would sum in another order
            estimator.coef_ = np.ascontiguousarray(estimator.coef_)

    def _fit_classes(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> list[Any]:
        model = LogisticRegression(C=1.0 / (self.shrinkage * len(y)), max_iter=self.max_iter)
        with warnings.catch_warnings():
            # Out of steps is no harm here: the penalty keeps the weights sane, and noise needs no last digit.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return [model.fit(x, y.astype(np.int64), sample_weight=weight)]

    def _fit_return(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> list[Any]:
        total = len(y) if weight is None else weight.sum()
        return [Ridge(alpha=self.shrinkage * total, copy_X=False).fit(x, y, sample_weight=weight)]

    def _fit_quantiles(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> list[Any]:
        kept = np.unique(np.linspace(0, len(y) - 1, min(len(y), self.quantile_rows)).astype(np.int64))
        self.unit_ = float(np.std(y)) or 1.0  # the L1 penalty is in units of y; log returns are tiny
        return [
            QuantileRegressor(quantile=q, alpha=self.shrinkage / 10, solver="highs").fit(x[kept], y[kept] / self.unit_)
            for q in self.task_.quantiles
        ]

    def _get_state(self) -> ModelState:
        """Weights and intercepts, one row of `LEARNT` an estimator (`mlcore.store`)."""
        arrays = {
            f"{name}{i}": np.asarray(getattr(estimator, name))
            for i, estimator in enumerate(self.estimators_)
            for name in LEARNT
            if hasattr(estimator, name)
        }
        return ModelState(arrays, values={"unit": getattr(self, "unit_", None), "weights": self.weights_})

    def _set_state(self, state: ModelState) -> None:
        self.unit_, self.weights_ = state.values["unit"], state.values.get("weights")
        kind = {"classes": LogisticRegression, "regression": Ridge, "quantiles": QuantileRegressor}[self.task_.kind]
        n = len(self.task_.quantiles) if self.task_.kind == "quantiles" else 1
        self.estimators_ = [kind() for _ in range(n)]
        for i, estimator in enumerate(self.estimators_):
            for name in LEARNT:
                if f"{name}{i}" in state.arrays:
                    setattr(estimator, name, state.arrays[f"{name}{i}"])

    def _predict_one(self, windows: Windows) -> np.ndarray:
        return predict_in_parts(self._predict, windows, np.float64)

    def _predict(self, x: np.ndarray) -> np.ndarray:
        if self.task_.kind == "classes":
            (model,) = self.estimators_
            told = spread_over_classes(model.predict_proba(x), model.classes_, self.task_.n_outputs)
            return without_weights(told, self.weights_)
        columns = np.stack([model.predict(x) for model in self.estimators_], axis=1)
        return np.sort(columns, axis=1) * self.unit_ if self.task_.kind == "quantiles" else columns

    def explain(self, windows: Windows) -> dict[str, pd.DataFrame]:
        """Return ``coefficients``: one row a feature (and bar back), one column an output; the windows do not matter.

        Features are scaled, so sizes compare. Classes: log-odds a deviation of the feature (of two classes the second
        against the first). Returns and quantiles: log return a deviation. Of several horizons the leading one's.
        """
        if self.horizon_models_:
            return self.horizon_models_[0].explain(windows)  # type: ignore[no-any-return]
        weights = np.concatenate([np.atleast_2d(estimator.coef_) for estimator in self.estimators_])
        if self.task_.kind == "classes":
            codes = self.estimators_[0].classes_
            outputs = [self.task_.outputs[int(code)] for code in (codes if len(codes) > 2 else codes[1:])]
        else:
            outputs = list(self.task_.outputs)
            weights = weights * (self.unit_ if self.task_.kind == "quantiles" else 1.0)
        return {"coefficients": pd.DataFrame(weights.T, flat_names(self, self.n_features_in_), outputs)}
