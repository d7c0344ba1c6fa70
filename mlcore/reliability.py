"""Whether forecasts mean what they say: Brier score, reliability table, coverage of intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError


def brier_score(probabilities: np.ndarray, codes: np.ndarray) -> float | None:
    """Return the mean over rows of the squared distance of probabilities to what came, summed over classes (0 to 2).

    `probabilities` is ``(N, K)``, `codes` ``(N,)`` class codes as float64 (NaN: not known). Rows where either is not
    known do not count; None where none is left. Source: Brier (1950), his form for several classes.

    >>> brier_score(np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([0.0, 1.0]))
    0.25
    """
    known = _known(probabilities, codes)
    if not known.any():
        return None
    came = np.eye(probabilities.shape[1])[codes[known].astype(np.int64)]
    return float(np.mean(((probabilities[known] - came) ** 2).sum(axis=1)))


def reliability_table(
    probabilities: np.ndarray, codes: np.ndarray, outputs: tuple[str, ...], bins: int = 10
) -> pd.DataFrame:
    """Return how often a class came where it was given a probability, one row a class and filled bin.

    Columns ``output low high n forecast frequency``: the class, the bin ``[low, high)`` (the last one closed), rows in
    it, mean probability and share of rows where the class came, with equally wide bins from 0 to 1.

    >>> reliability_table(np.array([[0.2, 0.8], [0.3, 0.7]]), np.array([1.0, 0.0]), ("p_down", "p_up"), bins=2)
       output  low  high  n  forecast  frequency
    0  p_down  0.0   0.5  2      0.25        0.5
    1    p_up  0.5   1.0  2      0.75        0.5
    """
    if bins < 1:
        raise BarwiseError(f"`bins` is {bins}; it must be at least 1.")
    known = _known(probabilities, codes)
    rows = []
    for k, output in enumerate(outputs):
        p, came = probabilities[known, k], codes[known] == k
        place = np.minimum((p * bins).astype(np.int64), bins - 1)
        for held in np.unique(place):
            inside = place == held
            told = {"output": output, "low": held / bins, "high": (held + 1) / bins, "n": int(inside.sum())}
            rows.append(told | {"forecast": float(p[inside].mean()), "frequency": float(came[inside].mean())})
    return pd.DataFrame(rows, columns=["output", "low", "high", "n", "forecast", "frequency"])


def calibration_error(table: pd.DataFrame) -> float | None:
    """Return the mean distance of forecast and frequency over a `reliability_table`, each bin weighing its rows.

    0 is perfect. All classes count (classwise expected calibration error, averaged over classes). None for no rows.
    Source: Naeini, Cooper, Hauskrecht (2015); Kull et al. (2019).
    """
    if not len(table):
        return None
    return float(np.average((table["forecast"] - table["frequency"]).abs(), weights=table["n"]))


def interval_coverage(low: np.ndarray, high: np.ndarray, values: np.ndarray) -> float | None:
    """Return the share of rows whose value lies in ``[low, high]``; rows with a NaN do not count, None without rows.

    >>> interval_coverage(np.array([0.0, 0.0]), np.array([1.0, 1.0]), np.array([1.0, 2.0]))
    0.5
    """
    known = np.isfinite(low) & np.isfinite(high) & np.isfinite(values)
    return float(np.mean((low <= values)[known] & (values <= high)[known])) if known.any() else None


def _known(probabilities: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return np.isfinite(codes) & np.isfinite(probabilities).all(axis=1)
