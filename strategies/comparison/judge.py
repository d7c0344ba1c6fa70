"""Forecasts of many models held against each other over the same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from mlcore.bootstrap import (
    Estimate,
    Resamples,
    Superiority,
    block_length,
    differences,
    estimates,
    resample,
    superior,
)
from mlcore.errors import BarwiseError
from mlcore.quality import Rows, metrics_of, row_losses
from mlcore.tasks import Label

LEAST_COVERAGE = 0.95  # of the bars that any entrant forecasts: below it a model's rows would be the rows of all


@dataclass(frozen=True)
class Judged:
    """What came out of holding forecasts against what came.

    metrics
        model -> metric -> its number with a 95% interval.
    differences
        model -> baseline -> metric -> model minus baseline, with a paired 95% interval.
    superiority
        baseline -> the test whether any model's loss is lower, corrected for all that were tried.
    n, days, block, day_block
        Rows and days judged (the same for all), and the mean blocks they are resampled in.
    left_out
        model -> why it was not judged.
    """

    metrics: dict[str, dict[str, Estimate]]
    differences: dict[str, dict[str, dict[str, Estimate]]]
    superiority: dict[str, Superiority]
    n: int
    days: int
    block: float
    day_block: float
    left_out: dict[str, str]


def judge(
    forecasts: Mapping[str, pd.DataFrame],
    label: Label,
    index: pd.DatetimeIndex,
    *,
    baselines: tuple[str, ...],
    resamples: int = 1000,
    seed: int = 0,
    n_jobs: int = 1,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Judged:
    """Judge all `forecasts` over the rows that all of them forecast.

    A model that forecasts less than 95% of what the fullest does is left out, and said so. Rows are resampled in blocks
    as long as the most dependent losses ask for, and never shorter than the label's span.
    """
    rows, left_out = _common({name: Rows.of(frame, label, index) for name, frame in forecasts.items()})
    if not rows:
        raise BarwiseError("No model has a forecast with a known outcome: there is nothing to judge.")
    some = next(iter(rows.values()))
    losses = {name: row_losses(one) for name, one in rows.items()}
    stacked = np.column_stack(list(losses.values()))
    days = int(some.day.max()) + 1
    daily = np.stack([stacked[some.day == day].mean(axis=0) for day in range(days)])
    block, day_block = max(block_length(stacked), float(label.span)), block_length(daily)
    draws = Resamples(len(some), days, block, day_block, n=resamples, seed=seed)
    metrics: dict[str, dict[str, Estimate]] = {}
    drawn: dict[str, dict[str, np.ndarray]] = {}
    work = (delayed(_resampled)(name, one, draws) for name, one in rows.items())
    for done, (name, values, found) in enumerate(Parallel(n_jobs=n_jobs, return_as="generator_unordered")(work)):
        metrics[name], drawn[name] = values, found
        tell(done + 1, len(rows))
    rivals = tuple(name for name in baselines if name in rows)
    versus = {
        name: {rival: differences(metrics[name], metrics[rival], drawn[name], drawn[rival]) for rival in rivals}
        for name in rows
    }
    tests = {}
    for rival in rivals:
        others = {name: loss for name, loss in losses.items() if name not in (rival, "shuffled_label")}
        if others:
            tests[rival] = superior(losses[rival], others, block=block, reps=resamples, seed=seed)
    ordered = {name: metrics[name] for name in rows}
    return Judged(ordered, versus, tests, len(some), days, block, day_block, left_out)


def _common(rows: Mapping[str, Rows]) -> tuple[dict[str, Rows], dict[str, str]]:
    """The rows of all that forecast enough, at the stamps all of them have."""
    most = max((len(one) for one in rows.values()), default=0)
    left_out = {
        name: f"forecasts {len(one):,} bars with a known outcome where others forecast {most:,}: not judged with them"
        for name, one in rows.items()
        if len(one) < LEAST_COVERAGE * most or not len(one)
    }
    kept = {name: one for name, one in rows.items() if name not in left_out}
    stamps: pd.DatetimeIndex | None = None
    for one in kept.values():
        stamps = one.stamps if stamps is None else stamps.intersection(one.stamps)
    if stamps is None or not len(stamps):
        return {}, left_out
    return {name: one.at(stamps) for name, one in kept.items()}, left_out


def _resampled(name: str, rows: Rows, draws: Resamples) -> tuple[str, dict[str, Estimate], dict[str, np.ndarray]]:
    metrics = metrics_of(rows)
    drawn = resample(metrics, draws)
    return name, estimates(metrics, rows, drawn), drawn
