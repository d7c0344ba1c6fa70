"""Intervals and corrected tests for forecasts whose rows depend on each other: the stationary bootstrap of `arch`.

Labels that overlap, and markets that are quiet for days, make neighbouring rows alike. Rows are therefore drawn in
blocks of random length, the same ones for every model (so differences are paired).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from arch.bootstrap import SPA, StationaryBootstrap, optimal_block_length

from mlcore.errors import BarwiseError
from mlcore.quality import Metric, Rows, value_of

COVERAGE = 0.95
CHUNK = 50  # resamples held at a time
MOST_UNDEFINED = 0.05  # a share of resamples: an interval of what is often not defined means little
MOST_LOSSES = 4000  # rows that a test of superiority reads: its variance takes time that grows with their square


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval; None where it is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None


def block_length(series: np.ndarray) -> float:
    """Return the block length, in rows, that suits the most dependent column of `series` ``(N,)`` or ``(N, K)``.

    Politis and White's rule (2004, corrected 2009) for the stationary bootstrap; at least 1, at most a third of the
    rows. Columns that do not vary have no say.
    """
    columns = np.asarray(series, dtype=np.float64)
    columns = columns[:, None] if columns.ndim == 1 else columns
    columns = columns[:, columns.std(axis=0) > 1e-12 * np.abs(columns).max(axis=0, initial=1e-300)]
    if len(columns) < 8 or not columns.shape[1]:
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a column without any dependence divides by nothing
        lengths = optimal_block_length(pd.DataFrame(columns))["stationary"].to_numpy(np.float64)
    return float(np.clip(np.nan_to_num(lengths, nan=1.0).max(), 1.0, len(columns) / 3))


@dataclass(frozen=True)
class Resamples:
    """How often each row, and each day, is drawn; the same draws every time they are asked for.

    n_rows, n_days : how many there are. block, day_block : mean length of a block, in rows and in days.
    """

    n_rows: int
    n_days: int
    block: float
    day_block: float = 1.0
    n: int = 1000
    seed: int = 0

    def rows(self) -> Iterator[np.ndarray]:
        """Yield ``(b, N)`` float64 counts until `n` resamples were drawn."""
        return self._counts(self.n_rows, self.block)

    def days(self) -> Iterator[np.ndarray]:
        """Yield ``(b, D)`` float64 counts until `n` resamples were drawn."""
        return self._counts(self.n_days, self.day_block)

    def _counts(self, n: int, block: float) -> Iterator[np.ndarray]:
        rng = np.random.default_rng(self.seed)
        draws = StationaryBootstrap(block, np.arange(n), seed=rng).bootstrap(self.n)  # type: ignore[arg-type]
        for first in range(0, self.n, CHUNK):
            size = min(CHUNK, self.n - first)
            yield np.stack([np.bincount(next(draws)[0][0], minlength=n) for _ in range(size)]).astype(np.float64)


def resample(metrics: Mapping[str, Metric], resamples: Resamples) -> dict[str, np.ndarray]:
    """Return ``(n,)`` values of every metric, one a resample, NaN where it is not defined there."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in metrics}
    for by_day, counts in ((False, resamples.rows), (True, resamples.days)):
        these = {name: metric for name, metric in metrics.items() if metric.by_day == by_day}
        for weights in counts() if these else ():
            for name, metric in these.items():
                found[name].append(metric.of(weights))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def estimate(value: float | None, drawn: np.ndarray) -> Estimate:
    """Return `value` with the percentile interval of its resampled values."""
    known = drawn[np.isfinite(drawn)]
    if value is None or len(known) < (1 - MOST_UNDEFINED) * len(drawn):
        return Estimate(value)
    low, high = np.quantile(known, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Estimate(value, float(low), float(high))


def estimates(metrics: Mapping[str, Metric], rows: Rows, drawn: Mapping[str, np.ndarray]) -> dict[str, Estimate]:
    """Return every metric with its interval; `drawn` comes from `resample`."""
    return {name: estimate(value_of(metric, rows), drawn[name]) for name, metric in metrics.items()}


def differences(
    ours: Mapping[str, Estimate],
    theirs: Mapping[str, Estimate],
    drawn: Mapping[str, np.ndarray],
    drawn_theirs: Mapping[str, np.ndarray],
) -> dict[str, Estimate]:
    """Return our metric minus theirs, with its interval, for every metric both have; paired, draw by draw."""
    found = {}
    for name in drawn:
        if name not in drawn_theirs:
            continue
        a, b = ours[name].value, theirs[name].value
        value = None if a is None or b is None else a - b
        found[name] = estimate(value, drawn[name] - drawn_theirs[name])
    return found


@dataclass(frozen=True)
class Superiority:
    """Which models have a lower expected loss than a benchmark, corrected for how many were tried.

    p_value
        That no model at all is better, by Hansen's test of superior predictive ability (consistent).
    better
        Names of those that are better at 5% (Romano and Wolf's step-wise test: one wrong name in 20 such tables).
    """

    p_value: float
    better: tuple[str, ...]


def superior(
    benchmark: np.ndarray,
    models: Mapping[str, np.ndarray],
    *,
    block: float,
    size: float = 0.05,
    reps: int = 1000,
    seed: int = 0,
) -> Superiority:
    """Test the LOSSES ``(N,)`` of `models` against those of `benchmark` over the same rows; smaller is better.

    Each difference is measured in units of its own standard error, so that no wild model hides a steady one. More than
    4,000 rows are averaged over neighbours first (whole stretches of rows: means and dependence stay).
    """
    if not models:
        raise BarwiseError("`models` is empty: there is nothing to test.")
    stretch = -(-len(benchmark) // MOST_LOSSES)
    gain = _averaged(np.column_stack([benchmark - loss for loss in models.values()]), stretch)
    length = max(1.0, block / stretch)
    errors = _errors(gain, length, reps, seed)
    usable = errors > 0
    names = [name for name, there in zip(models, usable, strict=True) if there]
    if not names:  # all the same as the benchmark, row by row
        return Superiority(1.0, ())
    rng = np.random.default_rng(seed)
    scaled = -gain[:, usable] / errors[usable]
    test = SPA(np.zeros(len(gain)), scaled, block_size=length, reps=reps, studentize=False, seed=rng)  # type: ignore[arg-type]
    test.compute()
    p_value = float(test.pvalues["consistent"])
    return Superiority(p_value, tuple(names[at] for at in _stepwise(test, len(names), size)))


def _stepwise(test: SPA, n: int, size: float) -> list[int]:
    """Take the better ones out and test the rest again, until none is found (Romano and Wolf 2005).

    `arch.bootstrap.StepM` does so too, but fails where all models are better (8.0.0).
    """
    left = np.ones(n, dtype=np.bool_)
    while left.any():
        test.subset(left)
        test.compute()
        found = test.better_models(size)
        if not len(found):
            break
        left[found] = False
    return [int(at) for at in np.flatnonzero(~left)]


def _averaged(values: np.ndarray, stretch: int) -> np.ndarray:
    """Means of `stretch` neighbouring rows; a shorter rest at the end is left out."""
    whole = len(values) // stretch * stretch
    return values[:whole].reshape(-1, stretch, values.shape[1]).mean(axis=1)


def _errors(gain: np.ndarray, block: float, reps: int, seed: int) -> np.ndarray:
    """Standard errors of the means of `gain` ``(N, K)``; 0 where a column does not vary."""
    means = [weights @ gain / len(gain) for weights in Resamples(len(gain), 1, block, n=reps, seed=seed + 1).rows()]
    errors = np.concatenate(means).std(axis=0)
    return np.where(errors > 1e-12 * np.abs(gain).max(axis=0, initial=0.0), errors, 0.0)
