"""A claim, what was found, and whether it holds: said from an interval, never from a number alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import binom

from mlcore.bootstrap import COVERAGE, Estimate
from mlcore.quality import Metric, Rows, row_losses, surest_ahead, surest_of_days

Outcome = Literal["holds", "does not hold", "undecided", "not tested"]


@dataclass(frozen=True)
class Verdict:
    """One claim and what became of it; `found` holds the numbers with their intervals."""

    claim: str
    outcome: Outcome
    found: str

    def __str__(self) -> str:
        return f"{self.outcome.upper()}: {self.claim}. {self.found}"


def above(one: Estimate, threshold: float) -> Outcome:
    """Return whether a number is at or above `threshold`: only where the whole interval says so.

    >>> above(Estimate(0.58, 0.56, 0.6), 0.55), above(Estimate(0.58, 0.5, 0.6), 0.55)
    ('holds', 'undecided')
    """
    if one.low is None or one.high is None:
        return "not tested"
    return "holds" if one.low >= threshold else "does not hold" if one.high < threshold else "undecided"


def below(one: Estimate, threshold: float) -> Outcome:
    """Return whether a number is below `threshold`: only where the whole interval says so."""
    if one.low is None or one.high is None:
        return "not tested"
    return "holds" if one.high < threshold else "does not hold" if one.low >= threshold else "undecided"


def median_of(values: np.ndarray) -> Estimate:
    """Return the median with a 95% interval from the order of the values alone (binomial); no law is assumed."""
    values = np.sort(np.asarray(values, dtype=np.float64))
    n = len(values)
    if n < 6:  # fewer than six values do not hold the median between them with 95%
        return Estimate(float(np.median(values)) if n else None)
    rank = int(binom.ppf((1 - COVERAGE) / 2, n, 0.5))
    return Estimate(float(np.median(values)), float(values[max(rank - 1, 0)]), float(values[min(n - rank, n - 1)]))


def daily_counts(rows: Rows, ks: tuple[int, ...], day: np.ndarray | None = None) -> pd.DataFrame:
    """Return what every day adds to pooled numbers, one row a day.

    Columns ``hits_<k>`` and ``calls_<k>`` (right calls among the k surest, with hindsight; ``_ahead``: among those as
    sure as the k-th surest of the day before, which can be followed), ``loss`` (summed), ``came`` (rows of class
    1), ``n`` (rows). `day` ``(N,)`` gives other groups than UTC days: the index holds its values.
    """
    keys, codes = np.unique(rows.stamps.floor("D") if day is None else day, return_inverse=True)
    grouped = Rows(
        rows.stamps,
        codes.astype(np.int64),
        rows.signal,
        rows.confidence,
        rows.raw,
        rows.values,
        rows.returns,
        rows.task,
    )
    found = {}
    for k in ks:
        found[f"hits_{k}"], found[f"calls_{k}"] = surest_of_days(grouped, k)
        found[f"hits_{k}_ahead"], found[f"calls_{k}_ahead"] = surest_ahead(grouped, k)
    n = len(keys)
    found["loss"] = np.bincount(codes, weights=row_losses(rows), minlength=n)
    found["came"] = np.bincount(codes, weights=rows.values == 1, minlength=n)
    found["n"] = np.bincount(codes, minlength=n).astype(np.float64)
    return pd.DataFrame(found, index=pd.Index(keys, name="day"))


def pooled(days: pd.DataFrame, top: str, bottom: str) -> Metric:
    """Return the ratio of two summed columns of `daily_counts` as a metric of day weights."""
    parts = days[[top, bottom]].to_numpy(np.float64)

    def of(weights: np.ndarray) -> np.ndarray:
        above_line, below_line = (weights @ parts).T
        return np.divide(above_line, below_line, out=np.full(len(weights), np.nan), where=below_line > 0)

    return Metric(of, by_day=True)


def corrected(drawn: np.ndarray, value: float | None, tried: int) -> Estimate:
    """Return the interval that holds for all of `tried` numbers at once with 95% (Bonferroni)."""
    known = drawn[np.isfinite(drawn)]
    if value is None or not len(known) or not math.isfinite(value):
        return Estimate(value)
    tail = (1 - COVERAGE) / 2 / max(tried, 1)
    low, high = np.quantile(known, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))


def in_words(one: Estimate, form: str = "{:.1%}") -> str:
    """Return a number and its interval, as ``56.0% [54.1%, 57.9%]``."""
    if one.value is None:
        return "undefined"
    if one.low is None or one.high is None:
        return form.format(one.value)
    return f"{form.format(one.value)} [{form.format(one.low)}, {form.format(one.high)}]"
