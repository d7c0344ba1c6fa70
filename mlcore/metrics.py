"""How good forecasts were; a number that is not defined is None, never NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from mlcore.confidence import centre
from mlcore.errors import BarwiseError
from mlcore.tasks import Label, Task

SMALLEST_PROBABILITY = 1e-15  # a class forecast with probability 0 that came true costs 34.5, not infinity
PRECISION_AT = (10, 20, 50)


def hit_rate(signal: np.ndarray, returns: np.ndarray) -> float | None:
    """Return the share of directional calls with the right sign.

    Over rows with a signal other than 0 (NaN is no call) and a known return; a return of exactly 0 is a miss,
    since a trade on it only paid. None where no row calls a side.

    >>> hit_rate(np.array([0.5, -0.1, 0.0, 0.2]), np.array([0.01, 0.02, -0.03, 0.01]))
    0.6667
    """
    called = _called(signal, returns)
    return _mean(np.sign(signal[called]) == np.sign(returns[called]))


def rank_ic(signal: np.ndarray, returns: np.ndarray) -> float | None:
    """Return Spearman's correlation of signal and return over the rows where both are known, ties at mean rank.

    None with fewer than 3 such rows, or where either side is constant.

    >>> rank_ic(np.array([0.1, 0.2, 0.3, np.nan]), np.array([1.0, 3.0, 2.0, 9.0]))
    0.5
    """
    both = np.isfinite(signal) & np.isfinite(returns)
    if both.sum() < 3:
        return None
    a, b = rankdata(signal[both]), rankdata(returns[both])
    a, b = a - a.mean(), b - b.mean()
    spread = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / spread) if spread > 0 else None


def log_loss(probabilities: np.ndarray, codes: np.ndarray) -> float | None:
    """Return the mean of -ln(probability of the class that came), natural log, over rows where both are known.

    `probabilities` is ``(N, K)``, `codes` ``(N,)`` class codes as float64 (NaN: not known). A probability
    below 1e-15 counts as 1e-15. None where no row is known.

    >>> log_loss(np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([0.0, 1.0]))
    0.4904
    """
    both = np.isfinite(codes) & np.isfinite(probabilities).all(axis=1)
    chosen = probabilities[both, codes[both].astype(np.int64)]
    return _mean(-np.log(np.maximum(chosen, SMALLEST_PROBABILITY)))


def rmse(predictions: np.ndarray, values: np.ndarray) -> float | None:
    """Return the root mean squared error in label units over rows where both are known; None without such rows.

    >>> rmse(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    1.4142
    """
    error = predictions - values
    mean = _mean(error[np.isfinite(error)] ** 2)
    return None if mean is None else float(np.sqrt(mean))


def pinball_loss(quantiles: np.ndarray, values: np.ndarray, levels: tuple[float, ...]) -> float | None:
    """Return the mean over rows and levels of max(q (y - f), (q - 1) (y - f)); `quantiles` is ``(N, K)``.

    >>> pinball_loss(np.array([[1.0, 2.0, 3.0]]), np.array([2.5]), (0.1, 0.5, 0.9))
    0.15
    """
    error = values[:, None] - quantiles
    error = error[np.isfinite(error).all(axis=1)]
    q = np.asarray(levels)
    return _mean(np.maximum(q * error, (q - 1.0) * error))


def precision_at_k(
    signal: np.ndarray, confidence: np.ndarray, returns: np.ndarray, k: int, groups: np.ndarray | None = None
) -> float | None:
    """Return the share of right signs among the `k` most confident directional calls of every group, pooled.

    Calls and hits as in `hit_rate`. Without `groups` all rows are one group; with the UTC day of each row this is
    "precision@k per day". A group with fewer than `k` calls gives all it has. Equal confidence: the
    stronger signal first, then the earlier row. None where no row calls a side.

    >>> signal, returns = np.array([0.3, -0.4, 0.9]), np.array([0.01, 0.02, 0.03])
    >>> precision_at_k(signal, np.array([0.2, 0.5, 0.8]), returns, k=2)
    0.5
    """
    if k < 1:
        raise BarwiseError(f"`k` is {k}; it must be at least 1.")
    called = np.flatnonzero(_called(signal, returns) & np.isfinite(confidence))
    group = (
        np.zeros(len(called), dtype=np.int64) if groups is None else np.unique(groups[called], return_inverse=True)[1]
    )
    order = np.lexsort((called, -np.abs(signal[called]), -confidence[called], group))
    place = np.arange(len(order)) - np.searchsorted(group[order], group[order])  # 0 = the most confident of its group
    chosen = called[order[place < k]]
    return _mean(np.sign(signal[chosen]) == np.sign(returns[chosen]))


def forecast_quality(forecasts: pd.DataFrame, label: Label, index: pd.DatetimeIndex) -> dict[str, Any]:
    """Hold forecasts against what came; `label` belongs to the bars stamped `index`.

    Returns ``{"n", "hit_rate", "rank_ic", "log_loss" | "rmse" | "pinball_loss", "precision_at_k",
    "precision_at_k_overall", "notes"}``. `n` counts rows with a signal and a known return; hits, ranks and losses
    are defined above, against the label's tradable log return (losses: against the label itself).
    `precision_at_k` takes the k most confident calls of each UTC day, pooled; `precision_at_k_overall`
    those of the whole span; k 10, 20, 50. A number that is not defined is None, and a note says why.
    Of several horizons all this is the leading one's; ``"horizons"`` holds the others, by their bars: ``n``,
    ``hit_rate``, ``rank_ic`` and the loss, of what their outputs lean to against their own returns.
    """
    rows = index.get_indexer(forecasts.index)
    if (rows < 0).any():
        raise BarwiseError(f"`forecasts` hold the stamp {forecasts.index[int(np.argmin(rows))]}, which is no bar.")
    signal, confidence = (forecasts[name].to_numpy(np.float64) for name in ("signal", "confidence"))
    days = index[rows].floor("D").asi8
    lead, *others = label.parts()
    returns = lead.returns[rows]
    name, loss = _loss(forecasts[list(lead.task.outputs)].to_numpy(np.float64), lead.values[rows], lead.task)
    quality: dict[str, Any] = {
        "n": int((np.isfinite(signal) & np.isfinite(returns)).sum()),
        "hit_rate": hit_rate(signal, returns),
        "rank_ic": rank_ic(signal, returns),
        name: loss,
        "precision_at_k": {k: precision_at_k(signal, confidence, returns, k, days) for k in PRECISION_AT},
        "precision_at_k_overall": {k: precision_at_k(signal, confidence, returns, k) for k in PRECISION_AT},
    }
    if others:
        quality["horizons"] = {one.task.horizons[0]: _horizon_quality(forecasts, one, rows) for one in others}
    return quality | {"notes": _notes(quality, name)}


def _horizon_quality(forecasts: pd.DataFrame, label: Label, rows: np.ndarray) -> dict[str, Any]:
    """What a horizon that does not lead would be worth as a signal, against its own returns."""
    raw = forecasts[list(label.task.outputs)].to_numpy(np.float64)
    told, returns = centre(raw, label.task), label.returns[rows]
    name, loss = _loss(raw, label.values[rows], label.task)
    return {
        "n": int((np.isfinite(told) & np.isfinite(returns)).sum()),
        "hit_rate": hit_rate(told, returns),
        "rank_ic": rank_ic(told, returns),
        name: loss,
    }


def _loss(raw: np.ndarray, values: np.ndarray, task: Task) -> tuple[str, float | None]:
    if task.kind == "classes":
        return "log_loss", log_loss(raw, values)
    if task.kind == "regression":
        return "rmse", rmse(raw[:, 0], values)
    return "pinball_loss", pinball_loss(raw, values, task.quantiles)


def _notes(quality: dict[str, Any], loss: str) -> list[str]:
    notes = []
    if quality["hit_rate"] is None:
        notes.append("Hit rate and precision are not defined: no forecast with a known return called a side.")
    if quality["rank_ic"] is None:
        notes.append("Rank IC is not defined: fewer than 3 forecasts with a known return, or all of them the same.")
    if quality[loss] is None:
        notes.append(f"{loss} is not defined: no forecast has a known label.")
    return notes


def _called(signal: np.ndarray, returns: np.ndarray) -> np.ndarray:
    return np.isfinite(signal) & (signal != 0) & np.isfinite(returns)


def _mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if values.size else None
