"""Scaling of a feature table, fitted on training rows only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mlcore.errors import BarwiseError

_CHUNK = 65_536  # rows scaled at a time: the float64 intermediate stays small beside the float32 result


class Scaler:
    """Mean 0 and deviation 1 over the training rows, clipped, as float32.

    `fit` on training rows only; `transform` of row `t` then knows nothing but row `t` and those rows.
    A column that does not vary over the training rows becomes 0. A value further than `clip` deviations
    from the mean is cut there: one broken bar must not drown a network. NaN (warm-up) stays NaN.

    Parameters
    ----------
    clip : deviations at which values are cut.
    """

    def __init__(self, clip: float = 10.0) -> None:
        if not clip > 0:
            raise BarwiseError(f"`clip` is {clip}; it is a number of deviations above 0.")
        self.clip = clip

    def fit(self, table: ArrayLike) -> Scaler:
        """Learn ``mean_`` and ``scale_`` (both ``(F,)``) from ``(n, F)`` training rows."""
        table = _as_table(table)
        if not len(table):
            raise BarwiseError("`table` has no row to fit the scaler on.")
        self.mean_ = table.mean(axis=0)
        if not np.isfinite(self.mean_).all():
            row, column = np.argwhere(~np.isfinite(table))[0]
            raise BarwiseError(
                f"`table` holds {table[row, column]} in training row {row}, column {column}: "
                "fit on rows after the warm-up."
            )
        deviation = table.std(axis=0)
        # Rounding leaves a constant column with a deviation of some 1e-16 of its size.
        constant = deviation <= 1e-12 * np.abs(self.mean_)
        self.scale_ = np.where(constant, np.inf, deviation)
        return self

    def transform(self, table: ArrayLike) -> np.ndarray:
        """Return ``(N, F)`` float32, C-ordered, of an ``(N, F)`` table."""
        table = _as_table(table)
        if table.shape[1] != len(self.mean_):
            raise BarwiseError(f"`table` has {table.shape[1]} columns; the scaler was fitted on {len(self.mean_)}.")
        scaled = np.empty(table.shape, dtype=np.float32)
        for start in range(0, len(table), _CHUNK):
            part = (table[start : start + _CHUNK] - self.mean_) / self.scale_
            scaled[start : start + _CHUNK] = np.clip(part, -self.clip, self.clip, out=part)
        return scaled


def _as_table(table: ArrayLike) -> np.ndarray:
    array = np.asarray(table, dtype=np.float64)
    if array.ndim != 2:
        raise BarwiseError(f"`table` has shape {array.shape}; it needs two dimensions, (rows, features).")
    return array
