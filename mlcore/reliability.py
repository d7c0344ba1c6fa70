"""Whether forecasts mean what they say: Brier score, reliability table, coverage of intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from mlcore.errors import BarwiseError
from mlcore.metrics import log_loss
from mlcore.tasks import Label, Task


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


def normal_interval(predictions: np.ndarray, deviations: np.ndarray, coverage: float) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(low, high)``: where a normal law of these means and deviations keeps `coverage` of its draws.

    >>> low, high = normal_interval(np.array([1.0]), np.array([2.0]), 0.8)
    >>> low.round(3), high.round(3)
    (array([-1.563]), array([3.563]))
    """
    half = float(norm.ppf((1.0 + coverage) / 2.0)) * deviations
    return predictions - half, predictions + half


def forecast_reliability(
    forecasts: pd.DataFrame,
    label: Label,
    index: pd.DatetimeIndex,
    *,
    coverage: float = 0.8,
    residuals: Mapping[int, float] | None = None,
) -> dict[str, Any]:
    """Hold what forecasts promise against what came; `label` belongs to the bars stamped `index`.

    Of several horizons the lead's. Classes: ``{"kind": "classes", "n", "brier_score", "log_loss", "calibration_error",
    "brier_of_shares", "curve", "folds"}``; `curve` is `reliability_table` as records, `brier_of_shares` the Brier score
    of who gives every row the shares that the classes turned out to have.

    Returns and quantiles: ``{"kind": "interval", "promised", "n", "coverage", "width", "curve", "folds"}``: `coverage`
    is the share of labels inside (of quantiles the outermost two, which then also say what is `promised`), `width` the
    mean distance of its ends (log return), `curve` the share of labels at or below each quantile (empty for one
    number). The interval of a number: columns ``low high`` where a calibration made them, else that of the normal law
    on which its confidence rests, `residuals` deviation by fold.

    ``folds`` holds ``fold n`` and the numbers of each fold: whether the promise drifts. What is not defined is None.
    """
    lead = label.parts()[0]
    task, values = lead.task, lead.values[index.get_indexer(pd.DatetimeIndex(forecasts.index))]
    fold = forecasts["fold"].to_numpy(np.int64)
    if task.kind == "classes":
        raw = forecasts[list(task.outputs)].to_numpy(np.float64)
        curve = reliability_table(raw, values, task.outputs)
        whole = _of_classes(raw, values, task) | {"brier_of_shares": _brier_of_shares(raw, values)}
        whole["curve"] = curve.to_dict("records")
        folds = [{"fold": int(k), **_of_classes(raw[fold == k], values[fold == k], task)} for k in np.unique(fold)]
        return {"kind": "classes", **whole, "folds": folds}
    low, high, promised = _interval(forecasts, task, coverage, residuals or {})
    folds = [
        {"fold": int(k), **_of_interval(low[fold == k], high[fold == k], values[fold == k])} for k in np.unique(fold)
    ]
    whole = _of_interval(low, high, values) | {"curve": _levels(forecasts, values, task), "folds": folds}
    return {"kind": "interval", "promised": promised, **whole}


def _of_classes(raw: np.ndarray, values: np.ndarray, task: Task) -> dict[str, Any]:
    error = calibration_error(reliability_table(raw, values, task.outputs))
    n = int(_known(raw, values).sum())
    return {"n": n, "brier_score": brier_score(raw, values), "log_loss": log_loss(raw, values)} | {
        "calibration_error": error
    }


def _brier_of_shares(raw: np.ndarray, values: np.ndarray) -> float | None:
    codes = values[_known(raw, values)].astype(np.int64)
    shares = np.bincount(codes, minlength=raw.shape[1]) / max(len(codes), 1)
    return float(1.0 - (shares**2).sum()) if len(codes) else None


def _of_interval(low: np.ndarray, high: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    known = np.isfinite(low) & np.isfinite(high) & np.isfinite(values)
    width = float(np.mean((high - low)[known])) if known.any() else None
    return {"n": int(known.sum()), "coverage": interval_coverage(low, high, values), "width": width}


def _interval(
    forecasts: pd.DataFrame, task: Task, coverage: float, residuals: Mapping[int, float]
) -> tuple[np.ndarray, np.ndarray, float]:
    if task.kind == "quantiles":
        first, last = task.outputs[0], task.outputs[len(task.quantiles) - 1]
        promised = round(task.quantiles[-1] - task.quantiles[0], 12)
        return forecasts[first].to_numpy(np.float64), forecasts[last].to_numpy(np.float64), promised
    if "low" in forecasts:
        return forecasts["low"].to_numpy(np.float64), forecasts["high"].to_numpy(np.float64), coverage
    deviation = forecasts["fold"].map(dict(residuals)).to_numpy(np.float64, na_value=np.nan)
    low, high = normal_interval(forecasts[task.outputs[0]].to_numpy(np.float64), deviation, coverage)
    return low, high, coverage


def _levels(forecasts: pd.DataFrame, values: np.ndarray, task: Task) -> list[dict[str, Any]]:
    told = []
    for level, output in zip(task.quantiles, task.outputs, strict=False):
        forecast = forecasts[output].to_numpy(np.float64)
        known = np.isfinite(forecast) & np.isfinite(values)
        below = float(np.mean(values[known] <= forecast[known])) if known.any() else None
        told.append({"output": output, "n": int(known.sum()), "forecast": level, "frequency": below})
    return told
