"""From a model's raw output to forecasts, and the guard that keeps them honest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlcore.bars.clock import bar_interval
from mlcore.bars.identity import check_market
from mlcore.confidence import Views, centre, confidence_rule
from mlcore.errors import BarwiseError, LookAheadError, did_you_mean
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
    spread: np.ndarray | None = None,
    gain: np.ndarray | None = None,
    confidence: str | None = None,
) -> pd.DataFrame:
    """Turn raw outputs ``(N, task.n_outputs)`` into forecasts, one row per stamp of `index`.

    Known at the close of each stamp's bar; traded at the next open. A row with a NaN output may not be traded:
    its signal and confidence are NaN. The signal, and the rule of confidence where none is named:

    ===========  ==================================================  ==============================================
    task         signal                                              confidence (`mlcore.confidence`)
    ===========  ==================================================  ==============================================
    classes      expected class score, sum of p_k x score_k          ``top_two_gap``: 0 where the likeliest class
                                                                     is flat or of the other side
    regression   tanh(prediction / `scale.spread`), 0 at spread 0    ``past_error``, which is `scale.residual`
    quantiles    tanh(median / `scale.spread`), 0 at spread 0        ``quantile_width``
    ===========  ==================================================  ==============================================

    Parameters
    ----------
    confidence : name of a rule in `CONFIDENCES`; some need what a model can tell besides its outputs:
    disagreement, spread : ``(N,)``, see `mlcore.confidence.Views`.
    gain : ``(N,)`` factor on the confidence, cut off at 1: an ensemble's that votes.

    Of several horizons the leading one speaks. Where 0.5 is not among the quantiles, the median is taken between its
    neighbours (`mlcore.confidence.centre`).

    Returns columns ``signal confidence <raw outputs> disagreement fold trained_through`` (DESIGN.md, Contracts).
    """
    raw = np.asarray(raw, dtype=np.float64)
    if raw.shape != (len(index), task.n_outputs):
        raise BarwiseError(f"`raw` has shape {raw.shape}; it must be ({len(index)}, {task.n_outputs}).")
    spoken = np.isfinite(raw).all(axis=1)
    signal, sure = np.full((2, len(raw)), np.nan)
    if spoken.any() or not len(raw):
        apart, thinned = (None if given is None else np.asarray(given)[spoken] for given in (disagreement, spread))
        signal[spoken], sure[spoken] = speak(raw[spoken], task, scale, apart, thinned, confidence)
        if gain is not None:
            sure = np.minimum(sure * gain, 1.0)
    frame = pd.DataFrame(raw, index=index.rename("timestamp"), columns=list(task.outputs))
    frame.insert(0, "confidence", sure)
    frame.insert(0, "signal", signal)
    frame["disagreement"] = np.nan if disagreement is None else np.asarray(disagreement, dtype=np.float64)
    frame["fold"] = np.broadcast_to(np.asarray(fold, dtype=np.int64), len(index))
    frame["trained_through"] = pd.Series(trained_through, index=frame.index).astype("datetime64[ns, UTC]")
    return frame


def signal_of(raw: np.ndarray, task: Task, spread: float) -> np.ndarray:
    """Return the signal ``(N,)`` of raw outputs; `spread` is the unit of returns (`ReturnScale`)."""
    middle = centre(raw, task)
    if task.kind != "classes":
        middle = np.tanh(middle / spread) if spread > 0 else np.zeros(len(raw))
    return np.clip(middle, -1.0, 1.0)


def speak(
    raw: np.ndarray,
    task: Task,
    scale: ReturnScale | None,
    disagreement: np.ndarray | None = None,
    spread: np.ndarray | None = None,
    confidence: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return signal and confidence, each ``(N,)``, of finite raw outputs ``(N, n_outputs)``; see `make_forecasts`."""
    if task.kind != "classes" and scale is None:
        raise BarwiseError(f"`scale` is missing: a task of kind {task.kind!r} needs a ReturnScale from past rows.")
    scale, lead = scale or ReturnScale(np.nan, np.nan), task.lead
    raw = raw[:, : lead.n_outputs]
    signal = signal_of(raw, lead, scale.spread)
    views = Views(raw, lead, signal, scale.residual, disagreement, spread)
    return signal, np.clip(confidence_rule(confidence, lead)(views), 0.0, 1.0)


def check_forecasts(forecasts: pd.DataFrame, bars: pd.DataFrame, in_sample: bool = False) -> None:
    """Refuse forecasts that an engine must not trade over `bars`.

    Refused (`LookAheadError`): a row whose `trained_through` is not before its bar, or is missing where there is a
    signal, unless `in_sample` is asked for by name; forecasts of longer bars than these, which close later than
    they. Refused (`BarwiseError`): missing columns, forecasts of another market than the bars (`check_market`), stamps
    that are not increasing and unique or are no bars, a signal outside [-1, 1] or a confidence outside [0, 1].
    """
    check_columns(forecasts, (*LEADING, "fold", "trained_through"))
    check_market(forecasts, bars)
    _check_stamps(forecasts.index, bars.index)
    check_interval(forecasts.index, bars.index)
    _check_range(forecasts, "signal", -1.0, 1.0)
    _check_range(forecasts, "confidence", 0.0, 1.0)
    if not in_sample:
        check_trained_through(forecasts)


def check_columns(forecasts: pd.DataFrame, names: Iterable[str] = LEADING) -> None:
    """Refuse a frame without the columns `names`, and say so where it looks like bars."""
    missing = [name for name in names if name not in forecasts.columns]
    if missing:
        swapped = " These are bars: are the two frames swapped?" if {"open", "close"} <= set(forecasts.columns) else ""
        raise BarwiseError(
            f"`forecasts` lack {', '.join(missing)}; make them with walk_forward or make_forecasts.{swapped}"
            f"{did_you_mean(missing[0], map(str, forecasts.columns))}"
        )


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


def check_interval(stamps: pd.Index, bars: pd.Index) -> None:
    """Refuse (`LookAheadError`) forecasts of longer bars than `bars`: a 1h forecast stamped 07:00 is known at 08:00.

    Their usual steps are compared (`bar_interval`); fewer than three stamps on either side have none.
    """
    if min(len(stamps), len(bars)) < 3:
        return
    ours, theirs = bar_interval(stamps), bar_interval(bars)
    if ours > theirs:
        raise LookAheadError(
            f"`forecasts` are {ours} apart and the bars {theirs}: a forecast is known when its own bar closes, later "
            "than the bar of that stamp here. Trade forecasts on the bars they were made from, or join them by when "
            "they were known (`mlcore.bars.join_known`)."
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
