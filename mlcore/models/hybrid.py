"""Linear trend and exponential smoothing of the price's path, put together by a regression."""

from __future__ import annotations

from itertools import product

import numpy as np
from sklearn.base import BaseEstimator

from mlcore.errors import BarwiseError
from mlcore.models.columns import told_column
from mlcore.models.horizons import PerHorizon
from mlcore.models.inputs import Validation, parts
from mlcore.models.linear import Linear
from mlcore.store.state import ModelState
from mlcore.stretches import check_finite
from mlcore.tasks import Task
from mlcore.windows import Windows

# Shape suffix legend
#   N = rows, L = lookback, X = regressors (4)

RETURN = "log_return"
NUMBER = Task("regression", ("expected_return",))


def trend_weights(lookback: int) -> np.ndarray:
    """Return ``(L, 2)``: what each return of a window, oldest first, adds to the trend line at its newest bar.

    The line is fitted by least squares to the L + 1 log prices of the window; the columns are its height over
    the newest price, and its slope per bar. The price falls from the line when the height is negative.

    >>> trend_weights(2).round(2).tolist()  # after moves of 0 and 1: 1/6 below the price, rising by 1/2 a bar
    [[0.17, 0.5], [-0.17, 0.5]]
    """
    time = np.arange(lookback + 1.0) - lookback / 2
    path = paths(lookback)
    slope = time @ path / (time @ time)
    return np.stack([path.mean(axis=0) + slope * time[-1] - path[-1], slope], axis=1)


def smoothing_weights(lookback: int, level: float, slope: float) -> np.ndarray:
    """Return ``(L, 2)``, as `trend_weights`, for Holt's smoothing of the path; without a `slope`, the simple one.

    Level and slope start at the window's first price and at no slope. `level` and `slope` are Holt's alpha and
    beta-star, the weight of the newest bar in either.

    >>> smoothing_weights(2, level=1.0, slope=1.0).tolist()  # follows the price; the last move goes on
    [[0.0, 0.0], [0.0, 1.0]]
    """
    path = paths(lookback)
    height, rise = path[0], np.zeros(lookback)
    for price in path[1:]:
        before, height = height, level * price + (1 - level) * (height + rise)
        rise = slope * (height - before) + (1 - slope) * rise
    return np.stack([height - path[-1], rise], axis=1)


def paths(lookback: int) -> np.ndarray:
    """Return ``(L + 1, L)``: the log prices of a window as sums of its returns, from 0 on."""
    return np.tri(lookback + 1, lookback, -1)


class Hybrid(PerHorizon, BaseEstimator):
    """Two extrapolations of the log price in the window, for short horizons and sideways markets.

    One is a straight line by least squares, the other exponential smoothing, Holt's or the simple one (Holt 1957;
    Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., 8.1 and 8.2). Each tells how far
    the price stands from it, and its slope: the line's move up to any horizon is a sum of the two. They are put
    together as Granger and Ramanathan (1984) combine forecasts, by a regression on the training labels, with a small
    penalty: ridge for returns, logistic for classes, ridge and the quantiles of its training residuals for quantiles.
    A sideways market shows in weights that pull the price back to the line, a trending one in weights on the slopes.

    The smoothing's two parameters are those of a grid whose extrapolation explains the training labels best (least
    squares; classes by their scores). No network, no random choice; all of it starts inside the window.

    Parameters
    ----------
    lookback : returns behind a forecast, the newest one included; at least 3.
    levels : weights of the newest price in the smoothed level that are tried.
    slopes : weights of the newest rise in the smoothed slope that are tried; 0 is simple smoothing.
    shrinkage : penalty per row, as in `Linear`.
    max_iter : steps of the logistic solver at most.
    seed : unused; kept because every model has one.

    The column ``log_return`` is found by ``feature_names_in_``, which the walk-forward tells.

    Attributes
    ----------
    smoothing_ : the chosen (level, slope). linear_ : the fitted `Linear` on the four regressors.
    """

    own_features = (RETURN,)

    def __init__(
        self,
        lookback: int = 30,
        levels: tuple[float, ...] = (0.1, 0.2, 0.4, 0.7, 1.0),
        slopes: tuple[float, ...] = (0.0, 0.1, 0.3, 1.0),
        shrinkage: float = 0.01,
        max_iter: int = 300,
        seed: int = 0,
    ) -> None:
        self.lookback = lookback
        self.levels = levels
        self.slopes = slopes
        self.shrinkage = shrinkage
        self.max_iter = max_iter
        self.seed = seed

    def check_task(self, task: Task) -> None:
        """Refuse parameters that are out of range; every task is spoken."""
        self._check()

    def _fit_one(self, windows: Windows, y: np.ndarray, task: Task, validation: Validation | None) -> None:
        check_finite(windows)
        self.column_ = told_column(self, RETURN, windows.shape[2])
        target = np.asarray(task.scores)[y.astype(np.int64)] if task.kind == "classes" else y
        self.smoothing_, x_NX = self._best_smoothing(windows, target)
        self.scale_ = np.sqrt(np.square(x_NX).mean(axis=0))
        self.scale_[self.scale_ <= 1e-12 * self.scale_.max()] = np.inf  # a level of 1 leaves no distance
        x_NX = x_NX / self.scale_
        self.linear_ = self._linear().fit(_rows(x_NX), y, task=task if task.kind == "classes" else NUMBER)
        self.residuals_ = np.zeros(0)
        if task.kind == "quantiles":
            self.residuals_ = np.quantile(y - self.linear_.predict(_rows(x_NX))[:, 0], task.quantiles)

    def _check(self) -> None:
        if self.lookback < 3:
            raise BarwiseError(f"`lookback` is {self.lookback}; a trend needs 3 returns at least.")
        for name, least in (("levels", 1e-6), ("slopes", 0.0)):
            given = getattr(self, name)
            if not len(given) or not all(least <= value <= 1 for value in given):
                raise BarwiseError(f"`{name}` are {given}; they must be numbers up to 1{', above 0' * (least > 0)}.")

    def _best_smoothing(self, windows: Windows, target: np.ndarray) -> tuple[tuple[float, float], np.ndarray]:
        """Return the smoothing whose regressors, beside the trend's, leave the least of `target` unexplained."""
        pairs = [(float(level), float(slope)) for level, slope in product(self.levels, self.slopes)]
        weights = [trend_weights(self.lookback), *(smoothing_weights(self.lookback, *pair) for pair in pairs)]
        all_NX = self._filtered(windows, np.hstack(weights))
        left = []
        for i in range(len(pairs)):
            x_NX = all_NX[:, [0, 1, 2 * i + 2, 2 * i + 3]]
            known = np.column_stack([x_NX / (np.abs(x_NX).max(axis=0) + 1e-300), np.ones(len(x_NX))])
            fitted = known @ np.linalg.lstsq(known, target, rcond=1e-9)[0]
            left.append(float(np.square(target - fitted).sum()))
        best = int(np.argmin(left))
        return pairs[best], all_NX[:, [0, 1, 2 * best + 2, 2 * best + 3]]

    def _filtered(self, windows: Windows, weights: np.ndarray) -> np.ndarray:
        """Return the windows' returns times `weights`, part by part."""
        found = np.empty((len(windows), weights.shape[1]))
        for part in parts(windows):
            found[part] = windows[part][:, :, self.column_].astype(np.float64) @ weights
        return found

    def _linear(self) -> Linear:
        return Linear(shrinkage=self.shrinkage, max_iter=self.max_iter)

    def _predict_one(self, windows: Windows) -> np.ndarray:
        check_finite(windows)
        weights = np.hstack([trend_weights(self.lookback), smoothing_weights(self.lookback, *self.smoothing_)])
        raw = self.linear_.predict(_rows(self._filtered(windows, weights) / self.scale_))
        return raw + self.residuals_ if self.task_.kind == "quantiles" else raw

    def _get_state(self) -> ModelState:
        """What the fit has learnt, as numbers (`mlcore.store`)."""
        inner = self.linear_.get_state()
        arrays = {**inner.arrays, "residuals": self.residuals_, "scale": self.scale_}
        values = {"linear": dict(inner.values), "smoothing": self.smoothing_, "column": self.column_}
        return ModelState(arrays, values=values)

    def _set_state(self, state: ModelState) -> None:
        values = state.values
        self.column_, self.smoothing_ = values["column"], tuple(values["smoothing"])
        self.residuals_, self.scale_ = state.arrays["residuals"], state.arrays["scale"]
        self.linear_ = self._linear().set_state(ModelState(state.arrays, values=values["linear"]))


def _rows(x_NX: np.ndarray) -> Windows:
    """Return a table as windows of one row."""
    return Windows(np.ascontiguousarray(x_NX), np.arange(len(x_NX)))
