"""The laws of a confidence rule: a pure function of each row's own views, in [0, 1], of the signal's side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd

from mlcore.checks.laws import first_difference, require, same, sample_bars
from mlcore.confidence import Rule, Views, centre
from mlcore.forecasts import ReturnScale, make_forecasts, signal_of
from mlcore.plugins import CONFIDENCES
from mlcore.tasks import Task

TASKS = (
    Task("classes", ("p_down", "p_up"), scores=(-1.0, 1.0)),
    Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0)),
    Task("classes", ("a", "b", "c", "d", "e"), scores=(-1.0, -0.5, 0.0, 0.5, 1.0)),
    Task("regression", ("expected_return",)),
    Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9)),
)
UNIT = 0.01  # of returns


def sample_views(task: Task, n: int = 300, *, seed: int = 0) -> Views:
    """Return views with all that may occur: certainty, no opinion, members and passes that agree or do not."""
    rng = np.random.default_rng(seed)
    if task.kind == "classes":
        raw = rng.dirichlet(np.full(task.n_outputs, 0.4), n)
        raw[0], raw[1:3] = 1.0 / task.n_outputs, np.eye(task.n_outputs)[[0, -1]]
    else:
        raw = np.sort(rng.normal(0.0, UNIT, (n, task.n_outputs)), axis=1)
        raw[0], raw[1:3] = 0.0, [[3 * UNIT], [-3 * UNIT]]
    disagreement, spread = rng.uniform(0.0, 1.0, n), rng.exponential(UNIT, n)
    disagreement[:4] = spread[:4] = 0.0
    return Views(raw, task, signal_of(raw, task, UNIT), UNIT, disagreement, spread)


def surer_and_surer(task: Task, side: int = 1, n: int = 40) -> Views:
    """Return views that begin with no opinion and end with certainty of one side, whatever a rule looks at."""
    t = np.linspace(0.0, 1.0, n)[:, None]
    if task.kind == "classes":
        raw = (1.0 - t) / task.n_outputs + t * np.eye(task.n_outputs)[-1 if side > 0 else 0]
    else:
        width = np.zeros(1) if task.kind == "regression" else np.asarray(task.quantiles) - 0.5
        raw = side * 3.0 * UNIT * t + UNIT * (1.05 - t) * width
    unsure = 0.5 * (1.0 - t[:, 0])
    return Views(raw, task, signal_of(raw, task, UNIT), UNIT, unsure, unsure * UNIT)


def tasks_of(rule: Any) -> tuple[Task, ...]:
    """Return the tasks of `TASKS` that `rule` is for."""
    return tuple(task for task in TASKS if task.kind in rule.kinds)


def rows_of(views: Views, rows: Any) -> Views:
    """Return the views of some rows."""
    arrays = {f.name: getattr(views, f.name)[rows] for f in fields(views) if f.name not in ("task", "residual")}
    return replace(views, **arrays)


def confidence_lies_in_zero_to_one(rule: Rule) -> None:
    """Confidence is finite, in [0, 1], one number a row, and not the same for all."""
    for task in tasks_of(rule):
        views = sample_views(task)
        sure = rule(views)
        require(sure.shape == (len(views.raw),) and np.isfinite(sure).all(), rule, "it is not one finite number a row.")
        require(sure.min() >= 0.0 and sure.max() <= 1.0, rule, f"it runs from {sure.min()} to {sure.max()}.")
        require(np.ptp(sure) > 0.5, rule, "it hardly tells rows apart.")


def confidence_grows_with_sureness(rule: Rule) -> None:
    """Where all that can tell of sureness grows, confidence never falls; it begins at 0 and all but ends at 1."""
    for task in tasks_of(rule):
        for side in (-1, 1):
            sure = rule(surer_and_surer(task, side))
            require((np.diff(sure) >= -1e-12).all(), rule, f"it falls on the way to certainty ({task.kind}).")
            require(sure[0] < 1e-9 and sure[-1] > 0.99, rule, f"it goes from {sure[0]} to {sure[-1]} ({task.kind}).")


def confidence_is_of_the_side_that_the_signal_calls(rule: Rule) -> None:
    """Classes: 0 where the likeliest class is flat, or on the other side than the signal."""
    for task in tasks_of(rule):
        if task.kind == "classes":
            views = sample_views(task)
            likeliest = np.asarray(task.scores)[views.raw.argmax(axis=1)]
            other = likeliest * centre(views.raw, task) <= 0
            require((rule(views)[other] == 0.0).all(), rule, "it is sure of a side that the signal does not call.")


def confidence_is_the_same_for_long_and_short(rule: Rule) -> None:
    """A forecast turned upside down is as sure as before."""
    for task in tasks_of(rule):
        views = sample_views(task)
        turned = views.raw[:, ::-1] if task.kind == "classes" else -views.raw[:, ::-1]
        again = rule(replace(views, raw=turned, signal=-views.signal))
        require(np.allclose(again, rule(views), atol=1e-9), rule, f"long and short differ ({task.kind}).")


def confidence_looks_at_its_own_row_only(rule: Rule) -> None:
    """Confidence is bit for bit the same when other rows are left out, and twice; its input stays as it was."""
    for task in tasks_of(rule):
        views, before = sample_views(task), sample_views(task)
        whole = rule(views)
        for rows in (slice(0, 1), slice(40, 43), slice(None)):
            part = rule(rows_of(views, rows))
            require(same(part, whole[rows]), rule, f"other rows matter, {first_difference(part, whole[rows])}.")
        require(
            all(same(getattr(views, f), getattr(before, f)) for f in ("raw", "spread")), rule, "it changed its input."
        )


def confidence_is_silent_where_the_forecast_is(rule: Rule) -> None:
    """A row that may not be traded has no confidence; the others have theirs, whatever stands beside the silent one."""
    name, index = CONFIDENCES.name_of(rule), pd.DatetimeIndex(sample_bars(300).index)
    for task in tasks_of(rule):
        views = sample_views(task)
        raw, more = views.raw.copy(), {"disagreement": views.disagreement, "spread": views.spread}
        raw[7, -1] = np.nan
        made = make_forecasts(
            raw, task, index=index, fold=0, trained_through=index[0] - (index[1] - index[0]), confidence=name,
            scale=ReturnScale(UNIT, UNIT), **more,
        )["confidence"].to_numpy()  # fmt: skip
        expected = rule(views)
        expected[7] = np.nan
        require(same(made, expected), rule, f"not silent, or not alone: {first_difference(made, expected)}.")


CONFIDENCE_CHECKS: tuple[Callable[[Rule], None], ...] = (
    confidence_lies_in_zero_to_one,
    confidence_grows_with_sureness,
    confidence_is_of_the_side_that_the_signal_calls,
    confidence_is_the_same_for_long_and_short,
    confidence_looks_at_its_own_row_only,
    confidence_is_silent_where_the_forecast_is,
)
