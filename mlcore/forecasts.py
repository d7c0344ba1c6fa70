"""From a model's raw output to forecasts, and the guard that keeps them honest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from mlcore.errors import BarwiseError, LookAheadError
from mlcore.tasks import Task

LEADING = ("signal", "confidence")
TRAILING = ("disagreement", "fold", "trained_through")


@dataclass(frozen=True)
class ReturnScale:
    """What a predicted return is measured by; both numbers come from the inner validation rows, so from the past.

    spread
        standard deviation of the model's predictions there (population), in label units.
    residual
        root mean square of label minus prediction there.
    """

    spread: float
    residual: float

    @classmethod
    def of(cls, predictions: np.ndarray, labels: np.ndarray) -> ReturnScale:
        """Measure ``(N,)`` validation predictions against their labels."""
        spread = float(np.std(predictions))
        if spread <= 1e-9 * float(np.max(np.abs(predictions))):  # one number for all rows, up to rounding: no view
            spread = 0.0
        return cls(spread, float(np.sqrt(np.mean((labels - predictions) ** 2))))


def make_forecasts(
    raw: np.ndarray,
    task: Task,
    *,
    index: pd.DatetimeIndex,
    fold: int | np.ndarray,
    trained_through: pd.Timestamp | pd.DatetimeIndex,
    scale: ReturnScale | None = None,
    disagreement: np.ndarray | None = None,
) -> pd.DataFrame:
    """Turn raw outputs ``(N, task.n_outputs)`` into forecasts, one row per stamp of `index`.

    Known at the close of each stamp's bar; traded at the next open. A row with a NaN output may not be traded:
    its signal and confidence are NaN. The rules:

    ===========  =================================================  ===============================================
    task         signal                                             confidence
    ===========  =================================================  ===============================================
    classes      expected class score, sum of p_k x score_k         gap between the two highest probabilities; 0 where
                                                                    the likeliest class is flat or of the other side
    regression   tanh(prediction / `scale.spread`), 0 at spread 0   2 Phi(abs(prediction) / `scale.residual`) - 1
    quantiles    tanh(median / `scale.spread`), 0 at spread 0       2 Phi(abs(median) / d) - 1, d the deviation of the
                                                                    normal law as wide as the outermost quantiles
    ===========  =================================================  ===============================================

    Of several horizons the leading one speaks. Where 0.5 is not among the quantiles, the median is taken between its
    neighbours (`center`).

    Returns columns ``signal confidence <raw outputs> disagreement fold trained_through`` (DESIGN.md, Contracts).
    """
    raw = np.asarray(raw, dtype=np.float64)
    if raw.shape != (len(index), task.n_outputs):
        raise BarwiseError(f"`raw` has shape {raw.shape}; it must be ({len(index)}, {task.n_outputs}).")
    signal, confidence = _speak(raw[:, : task.lead.n_outputs], task.lead, scale)
    silent = np.isnan(raw).any(axis=1)
    frame = pd.DataFrame(raw, index=index.rename("timestamp"), columns=list(task.outputs))
    frame.insert(0, "confidence", np.where(silent, np.nan, np.clip(confidence, 0.0, 1.0)))
    frame.insert(0, "signal", np.where(silent, np.nan, np.clip(signal, -1.0, 1.0)))
    frame["disagreement"] = np.nan if disagreement is None else np.asarray(disagreement, dtype=np.float64)
    frame["fold"] = np.broadcast_to(np.asarray(fold, dtype=np.int64), len(index))
    frame["trained_through"] = pd.Series(trained_through, index=frame.index).astype("datetime64[ns, UTC]")
    return frame


def center(raw: np.ndarray, task: Task) -> np.ndarray:
    """Return the ``(N,)`` return that raw outputs expect over the leading horizon: the median of quantiles.

    Without a quantile of 0.5, its neighbours' value at 0.5, on the line between them over the normal law's deviations.
    """
    if task.kind == "regression":
        return raw[:, 0]
    q = np.asarray(task.quantiles)
    exact = np.flatnonzero(q == 0.5)
    if exact.size or not q.min() < 0.5 < q.max():
        return raw[:, int(np.argmin(np.abs(q - 0.5)))]
    below, above = int(np.flatnonzero(q < 0.5).max()), int(np.flatnonzero(q > 0.5).min())
    share = float(norm.ppf(q[below]) / (norm.ppf(q[below]) - norm.ppf(q[above])))
    return (1 - share) * raw[:, below] + share * raw[:, above]


def view(raw: np.ndarray, task: Task) -> np.ndarray:
    """Return ``(N,)`` what raw outputs of one horizon lean to, in no fixed unit: expected class score, or return."""
    return (raw * np.asarray(task.scores)).sum(axis=1) if task.kind == "classes" else center(raw, task)


def _speak(raw: np.ndarray, task: Task, scale: ReturnScale | None) -> tuple[np.ndarray, np.ndarray]:
    if task.kind == "classes":
        return _class_view(raw, np.asarray(task.scores))
    if scale is None:
        raise BarwiseError(f"`scale` is missing: a task of kind {task.kind!r} needs a ReturnScale from past rows.")
    told = center(raw, task)
    if task.kind == "regression":
        deviation = np.full(len(raw), scale.residual)
    else:
        q = np.asarray(task.quantiles)
        deviation = (raw[:, q.argmax()] - raw[:, q.argmin()]) / float(norm.ppf(q.max()) - norm.ppf(q.min()))
    signal = np.tanh(told / scale.spread) if scale.spread > 0 else np.zeros(len(raw))
    return signal, 2.0 * norm.cdf(_times(np.abs(told), deviation)) - 1.0


def _class_view(raw: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expected score, and the top-two gap where the likeliest class is on the signal's side.

    A model that is sure of "flat" is not sure of the side that its signal leans to: confidence 0, or a sizer
    that grows with confidence would bet most on the bars where nothing is expected.
    """
    signal, top = (raw * scores).sum(axis=1), np.sort(raw, axis=1)
    sided = scores[np.argmax(raw, axis=1)] * signal > 0
    return signal, np.where(sided, top[:, -1] - top[:, -2], 0.0)


def _times(size: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """How many units `size` is; a unit of 0 makes any size certain, and 0 nothing."""
    return np.divide(size, unit, out=np.where(size > 0, np.inf, 0.0), where=unit > 0)


def check_forecasts(forecasts: pd.DataFrame, bars: pd.DataFrame, in_sample: bool = False) -> None:
    """Refuse forecasts that an engine must not trade over `bars`.

    Refused (`LookAheadError`): a row whose `trained_through` is not before its bar, or is missing where there is a
    signal, unless `in_sample` is asked for by name. Refused (`BarwiseError`): missing columns, stamps that
    are not increasing and unique or are no bars, a signal outside [-1, 1] or a confidence outside [0, 1].
    """
    missing = [name for name in (*LEADING, "fold", "trained_through") if name not in forecasts.columns]
    if missing:
        raise BarwiseError(f"`forecasts` lack {', '.join(missing)}; make them with walk_forward or make_forecasts.")
    _check_stamps(forecasts.index, bars.index)
    _check_range(forecasts, "signal", -1.0, 1.0)
    _check_range(forecasts, "confidence", 0.0, 1.0)
    if not in_sample:
        check_trained_through(forecasts)


def _check_stamps(stamps: pd.Index, bars: pd.Index) -> None:
    _check_utc(stamps)
    if not (stamps.is_monotonic_increasing and stamps.is_unique):
        raise BarwiseError("`forecasts` are not increasing or not unique in time: sort them, and drop double stamps.")
    foreign = ~stamps.isin(bars)
    if foreign.any():
        row = int(np.argmax(foreign))
        raise BarwiseError(
            f"`forecasts` row {row} is stamped {stamps[row]}, which is no bar: forecasts and bars must be of "
            "one market and one interval."
        )


def _check_range(forecasts: pd.DataFrame, column: str, low: float, high: float) -> None:
    values = forecasts[column].to_numpy(np.float64)
    outside = (values < low) | (values > high)  # NaN is neither: it means flat
    if outside.any():
        row = int(np.argmax(outside))
        raise BarwiseError(
            f"`{column}` is {values[row]} at {forecasts.index[row]}; it must lie in [{low:g}, {high:g}] (NaN: no view)."
        )


def check_trained_through(forecasts: pd.DataFrame) -> None:
    """Refuse forecasts (`LookAheadError`) that may have known their own bar, without any bars to look at.

    Refused: a row whose `trained_through` is not before its stamp, or is missing where there is a signal.
    Refused (`BarwiseError`): stamps, of the index or of `trained_through`, that are not in UTC.
    """
    if "trained_through" not in forecasts.columns:
        raise LookAheadError(
            "`forecasts` lack trained_through: nothing says that a bar was not known to the model that forecast it. "
            "Make them with walk_forward or make_forecasts."
        )
    _check_utc(forecasts.index)
    trained = _stamps_of(forecasts["trained_through"])
    late = np.asarray(trained >= forecasts.index)
    unknown = np.asarray(trained.isna()) & forecasts["signal"].notna().to_numpy()
    if (late | unknown).any():
        row = int(np.argmax(late | unknown))
        raise LookAheadError(
            f"`forecasts` row {row}, stamped {forecasts.index[row]}, was trained through {trained[row]}: it must be "
            "trained through a bar before its own. Refit on older rows, or ask for an in-sample run (`in_sample=True`)."
        )


def _check_utc(stamps: pd.Index) -> None:
    if not isinstance(stamps, pd.DatetimeIndex) or stamps.tz is None:
        raise BarwiseError("`forecasts` must have an index of UTC stamps named `timestamp`.")


def _stamps_of(column: pd.Series) -> pd.DatetimeIndex:
    """Return `column` as stamps with a time zone; a column of nothing but NaT has them in any."""
    try:
        stamps = pd.DatetimeIndex(column)
    except (TypeError, ValueError):
        stamps = None
    if stamps is not None and stamps.tz is None and stamps.isna().all():
        return stamps.tz_localize("UTC")
    if stamps is None or stamps.tz is None:
        raise BarwiseError(
            f"`trained_through` of the forecasts is of type {column.dtype}: it must hold UTC stamps, for instance by "
            "`.dt.tz_localize('UTC')`."
        )
    return stamps
