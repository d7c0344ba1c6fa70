"""Every number a forecast is judged by, each a function of how much every row counts: what a bootstrap needs.

Weights of 1 give the number itself; a resample's counts give what the number would be on the resampled rows, up to
rounding. A metric is NaN where it is not defined: `value_of` turns that into None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlcore.confidence import centre
from mlcore.errors import BarwiseError
from mlcore.metrics import PRECISION_AT, SMALLEST_PROBABILITY
from mlcore.tasks import Label, Task


@dataclass(frozen=True, eq=False)
class Rows:
    """Forecasts beside what came; only rows where both are known.

    stamps
        ``(N,)`` of the bars. day: ``(N,)`` int64, 0, 1, ... for each UTC day that has a row.
    signal, confidence, returns
        ``(N,)``; returns are the label's tradable log returns.
    raw
        ``(N, K)`` outputs. values: ``(N,)`` labels (class codes, or returns).
    """

    stamps: pd.DatetimeIndex
    day: np.ndarray
    signal: np.ndarray
    confidence: np.ndarray
    raw: np.ndarray
    values: np.ndarray
    returns: np.ndarray
    task: Task

    @classmethod
    def of(cls, forecasts: pd.DataFrame, label: Label, index: pd.DatetimeIndex) -> Rows:
        """Hold `forecasts` against `label`, which belongs to the bars stamped `index`; of several horizons the lead."""
        at = index.get_indexer(forecasts.index)
        if (at < 0).any():
            raise BarwiseError(f"`forecasts` hold the stamp {forecasts.index[int(np.argmin(at))]}, which is no bar.")
        label = label.parts()[0]
        signal, confidence = (forecasts[name].to_numpy(np.float64) for name in ("signal", "confidence"))
        lead = label.parts()[0]  # signal and confidence are the leading horizon's
        raw = forecasts[list(lead.task.outputs)].to_numpy(np.float64)
        values, returns = lead.values[at], lead.returns[at]
        known = np.isfinite(np.column_stack([signal, confidence, raw, values, returns])).all(axis=1)
        stamps = index[at[known]]
        signal, confidence, values, returns = signal[known], confidence[known], values[known], returns[known]
        return cls(stamps, _day(stamps), signal, confidence, raw[known], values, returns, lead.task)

    def at(self, stamps: pd.DatetimeIndex) -> Rows:
        """Return the rows of `stamps`, all of which must be there."""
        rows = self.stamps.get_indexer(stamps)
        signal, confidence, raw = self.signal[rows], self.confidence[rows], self.raw[rows]
        return Rows(stamps, _day(stamps), signal, confidence, raw, self.values[rows], self.returns[rows], self.task)

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def center(self) -> np.ndarray:
        """``(N,)``: the expected return, or the median."""
        return centre(self.raw, self.task)

    @property
    def classes(self) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
        """Names, the class forecast and the class that came; down and up by sign where the task has none."""
        if self.task.kind == "classes":
            return self.task.outputs, np.argmax(self.raw, axis=1), self.values.astype(np.int64)
        return ("down", "up"), (self.signal > 0).astype(np.int64), (self.returns > 0).astype(np.int64)


def _day(stamps: pd.DatetimeIndex) -> np.ndarray:
    return np.unique(stamps.floor("D").asi8, return_inverse=True)[1].astype(np.int64)


def is_event(task: Task) -> bool:
    """Whether the task is to tell an event (class 1) from none (class 0, which no one trades)."""
    return task.kind == "classes" and len(task.scores) == 2 and task.scores[0] == 0


@dataclass(frozen=True)
class Metric:
    """A number as a function of weights: `of` takes ``(B, N)`` weights of rows, or of days, to ``(B,)`` values."""

    of: Callable[[np.ndarray], np.ndarray]
    by_day: bool = False
    larger_is_better: bool = True


def value_of(metric: Metric, rows: Rows) -> float | None:
    """Return the number itself; None where it is not defined."""
    n = int(rows.day.max(initial=-1)) + 1 if metric.by_day else len(rows)
    if n == 0:
        return None
    found = float(metric.of(np.ones((1, n)))[0])
    return found if np.isfinite(found) else None


def metrics_of(rows: Rows) -> dict[str, Metric]:
    """Return every metric that the task of `rows` has, by name.

    ==============================================  ==================================================================
    name                                            what; when it is not defined
    ==============================================  ==================================================================
    ``accuracy precision recall f1``                of the likeliest class; the last three are means over the classes
                                                    that came or were forecast (one of them missing counts 0, as in
                                                    scikit-learn). Tasks without classes: down and up by sign
    ``precision_<class>`` ``recall_<class>``        of one class; never forecast (never came, neither): not defined
    ``f1_<class>``
    ``auc``                                         chance that a row where the class came ranks above one where it did
                                                    not, ties half; mean over classes. Without classes: the signal, for
                                                    returns above 0. Only one side there: not defined
    ``direction``                                   calls with the right sign (`metrics.hit_rate`); no call: not defined
    ``rank_ic``                                     Spearman, signal and return; a constant side: not defined
    ``precision_at_<k>_day`` ``_overall``           right among the k surest calls of each day (pooled), or of all;
                                                    right: of the return's sign, or, where the task tells an event from
                                                    none, the event came (the surest: of the highest probability)
    ``precision_at_<k>_ahead``                      right among the calls at least as sure as the k-th surest of the day
                                                    before (`surest_ahead`): a rule that can be followed
    ``log_loss`` ``brier``                          classes only
    ``mae rmse mape r2``                            expected return (median) against the label, which must be a return;
                                                    mape leaves labels of 0 out and is a fraction; r2 is against the
                                                    mean of these rows
    ``pinball``                                     quantiles only
    ==============================================  ==================================================================
    """
    found = _class_metrics(rows) | {"auc": _auc(rows), "rank_ic": Metric(_rank_ic(rows.signal, rows.returns))}
    called = rows.signal != 0
    found["direction"] = _share(np.sign(rows.signal) == np.sign(rows.returns), called)
    for k in PRECISION_AT:
        found[f"precision_at_{k}_day"] = _of_days(surest_of_days(rows, k))
        found[f"precision_at_{k}_overall"] = _precision_overall(rows, k)
        found[f"precision_at_{k}_ahead"] = _of_days(surest_ahead(rows, k))
    if rows.task.kind == "classes":
        came = np.eye(rows.task.n_outputs)[rows.values.astype(np.int64)]
        found["log_loss"] = _mean(row_losses(rows))
        found["brier"] = _mean(((rows.raw - came) ** 2).sum(axis=1))
    else:
        found |= _value_metrics(rows.center, rows.values)
    if rows.task.kind == "quantiles":
        found["pinball"] = _mean(row_losses(rows))
    return found


def row_losses(rows: Rows) -> np.ndarray:
    """Return ``(N,)`` the task's own loss of every row: -ln p, squared error, or pinball (mean over the levels)."""
    if rows.task.kind == "classes":
        p = rows.raw[np.arange(len(rows)), rows.values.astype(np.int64)]
        return -np.log(np.maximum(p, SMALLEST_PROBABILITY))
    if rows.task.kind == "regression":
        return (rows.values - rows.center) ** 2
    q, error = np.asarray(rows.task.quantiles), rows.values[:, None] - rows.raw
    return np.maximum(q * error, (q - 1.0) * error).mean(axis=1)


def loss_name(task: Task) -> str:
    """Return what `row_losses` are: ``log_loss``, ``squared_error`` or ``pinball``."""
    return {"classes": "log_loss", "regression": "squared_error", "quantiles": "pinball"}[task.kind]


def _sums(columns: list[np.ndarray]) -> Callable[[np.ndarray], list[np.ndarray]]:
    stacked = np.column_stack(columns).astype(np.float64)
    return lambda weights: list((weights @ stacked).T)


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)


def _mean(values: np.ndarray) -> Metric:
    sums = _sums([values, np.ones(len(values))])
    return Metric(lambda weights: _ratio(*sums(weights)), larger_is_better=False)


def _share(right: np.ndarray, counted: np.ndarray) -> Metric:
    sums = _sums([right & counted, counted])
    return Metric(lambda weights: _ratio(*sums(weights)))


def _class_metrics(rows: Rows) -> dict[str, Metric]:
    names, told, came = rows.classes
    found = {"accuracy": _share(told == came, np.ones(len(rows), dtype=bool))}
    counts = [_sums([(told == k) & (came == k), told == k, came == k]) for k in range(len(names))]
    for name, sums in zip(names, counts, strict=True):
        for word, ratio in _RATIOS.items():
            found[f"{word}_{name}"] = Metric(_of_counts(sums, ratio))
    for word, ratio in _RATIOS.items():
        found[word] = Metric(_macro(counts, ratio))
    return found


_Counts = Callable[[np.ndarray], list[np.ndarray]]
_RATIOS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "precision": lambda both, told, came: _ratio(both, told),
    "recall": lambda both, told, came: _ratio(both, came),
    "f1": lambda both, told, came: _ratio(2 * both, told + came),
}


def _of_counts(sums: _Counts, ratio: Callable[..., np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda weights: ratio(*sums(weights))


def _macro(counts: list[_Counts], ratio: Callable[..., np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    def of(weights: np.ndarray) -> np.ndarray:
        sums = [count(weights) for count in counts]
        there = np.array([told + came > 0 for _, told, came in sums])
        each = np.nan_to_num([ratio(*one) for one in sums])
        return _ratio((each * there).sum(axis=0), there.sum(axis=0).astype(np.float64))

    return of


def _value_metrics(center: np.ndarray, values: np.ndarray) -> dict[str, Metric]:
    error, moved = values - center, values != 0
    relative = np.abs(np.divide(error, values, out=np.zeros(len(values)), where=moved))
    squares = _sums([error**2, np.ones(len(values)), values, values**2])
    share = _sums([relative, moved])

    def r2(weights: np.ndarray) -> np.ndarray:
        missed, n, total, square = squares(weights)
        spread = square - _ratio(total**2, n)
        return 1 - _ratio(missed, np.where(spread > 1e-12 * square, spread, 0.0))

    return {
        "mae": _mean(np.abs(error)),
        "rmse": Metric(lambda weights: np.sqrt(_ratio(*squares(weights)[:2])), larger_is_better=False),
        "mape": Metric(lambda weights: _ratio(*share(weights)), larger_is_better=False),
        "r2": Metric(r2),
    }


def _auc(rows: Rows) -> Metric:
    if rows.task.kind != "classes":
        return Metric(_auc_of(rows.signal, rows.returns > 0))
    codes = rows.values.astype(np.int64)
    wanted = [1] if rows.task.n_outputs == 2 else range(rows.task.n_outputs)
    each = [_auc_of(rows.raw[:, k], codes == k) for k in wanted]

    def mean(weights: np.ndarray) -> np.ndarray:
        found = np.array([one(weights) for one in each])
        return _ratio(np.nan_to_num(found).sum(axis=0), np.isfinite(found).sum(axis=0).astype(np.float64))

    return Metric(mean)


def _auc_of(p: np.ndarray, came: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    order = np.argsort(p, kind="stable")
    ends = _ends_of_ties(p[order])
    yes = came[order]

    def of(weights: np.ndarray) -> np.ndarray:
        taken = weights[:, order]
        positive, negative = _tied(taken * yes, ends), _tied(taken * ~yes, ends)
        below = np.cumsum(negative, axis=1) - 0.5 * negative
        return _ratio((positive * below).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))

    return of


def _ends_of_ties(ordered: np.ndarray) -> np.ndarray:
    """Places of the last row of each run of equal values."""
    return np.flatnonzero(np.r_[np.diff(ordered) > 0, np.ones(min(len(ordered), 1), dtype=bool)])


def _tied(weights: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """``(B, G)``: the weight of each run of equal values."""
    return np.diff(np.cumsum(weights, axis=1)[:, ends], prepend=0.0, axis=1)


def _rank_ic(signal: np.ndarray, returns: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    first, second = _ranks(signal), _ranks(returns)

    def of(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=1, keepdims=True)
        a, b = (ranks(weights) - (total + 1) / 2 for ranks in (first, second))  # less their weighted mean
        spread = np.sqrt(((weights * a * a).sum(axis=1)) * ((weights * b * b).sum(axis=1)))
        enough = (total[:, 0] >= 3) & (spread > 1e-9)
        return _ratio((weights * a * b).sum(axis=1), np.where(enough, spread, 0.0))

    return of


def _ranks(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """``(B, N)`` mean ranks of the rows, each row as many as it weighs."""
    order = np.argsort(values, kind="stable")
    ends = _ends_of_ties(values[order])
    run = np.empty(len(values), dtype=np.int64)
    run[order] = np.searchsorted(ends, np.arange(len(values)))

    def of(weights: np.ndarray) -> np.ndarray:
        upto = np.cumsum(weights[:, order], axis=1)[:, ends]
        before = np.concatenate([np.zeros((len(weights), 1)), upto[:, :-1]], axis=1)
        return ((before + upto + 1) / 2)[:, run]

    return of


def _calls(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Places of the calls, the surest first (ties: the stronger signal, then the earlier), and which are right."""
    if is_event(rows.task):
        order = np.argsort(-rows.raw[:, 1], kind="stable")
        return order, rows.values[order] == 1
    called = np.flatnonzero(rows.signal != 0)
    order = called[np.lexsort((called, -np.abs(rows.signal[called]), -rows.confidence[called]))]
    return order, np.sign(rows.signal[order]) == np.sign(rows.returns[order])


def _precision_overall(rows: Rows, k: int) -> Metric:
    order, right = _calls(rows)

    def of(weights: np.ndarray) -> np.ndarray:
        taken = weights[:, order]
        before = np.cumsum(taken, axis=1) - taken
        chosen = np.clip(k - before, 0.0, taken)
        return _ratio(chosen @ right.astype(np.float64), chosen.sum(axis=1))

    return Metric(of)


def surest_of_days(rows: Rows, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(D,)`` right calls and ``(D,)`` calls among the `k` surest of every day of `rows`.

    Which they are is known when the day is over. Of a model that buys low prices they lie at the day's low, and
    prices rise from a day's low, on a random walk too: three calls in four are right without any skill.
    `surest_ahead` has no such hindsight.
    """
    order, right = _calls(rows)
    day = rows.day[order]
    by_day = np.argsort(day, kind="stable")
    place = np.arange(len(day)) - np.searchsorted(day[by_day], day[by_day])
    chosen = by_day[place < k]
    n = int(rows.day.max(initial=-1)) + 1
    hits = np.bincount(day[chosen], weights=right[chosen], minlength=n)
    return hits, np.bincount(day[chosen], minlength=n).astype(np.float64)


def surest_ahead(rows: Rows, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(D,)`` right calls and ``(D,)`` calls at least as sure as the `k`-th surest of the day before.

    The bar is known before the day begins, so that a call can be taken as it comes. The first day has none, nor has one
    after a day with fewer than `k` calls. As sure: of the confidence, or of the event's probability (`is_event`).
    """
    order, right = _calls(rows)
    sure = (rows.raw[:, 1] if is_event(rows.task) else rows.confidence)[order]
    day, n = rows.day[order], int(rows.day.max(initial=-1)) + 1
    bar = np.full(n + 1, np.inf)
    by_day = np.argsort(day, kind="stable")
    place = np.arange(len(day)) - np.searchsorted(day[by_day], day[by_day])
    last = by_day[place == k - 1]
    bar[day[last] + 1] = sure[last]
    chosen = sure >= bar[day]
    hits = np.bincount(day[chosen], weights=right[chosen], minlength=n)
    return hits, np.bincount(day[chosen], minlength=n).astype(np.float64)


def _of_days(counts: tuple[np.ndarray, np.ndarray]) -> Metric:
    sums = _sums(list(counts))
    return Metric(lambda weights: _ratio(*sums(weights)), by_day=True)
