"""Walk forward: refit on the past, forecast the next block, move on; the forecasts of all blocks stitched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from mlcore.bars import market_of, name_market
from mlcore.confidence import check_confidence
from mlcore.errors import BarwiseError
from mlcore.folds import Fold, Length, WalkForward, check_share
from mlcore.forecasts import ReturnScale, make_forecasts
from mlcore.incremental import Updates, check_incremental, check_warm_start, cuts_of
from mlcore.kinds import checked
from mlcore.models.make import as_model
from mlcore.refit import Outcome, Shared, run_fold
from mlcore.stack import Member, Stack, stack
from mlcore.store.outcomes import KeptFolds
from mlcore.store.run import check_store, fold_records, write_run
from mlcore.tasks import Label, Task
from mlcore.together import check_batched, run_together

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class WalkForwardRun:
    """What a walk-forward leaves behind.

    forecasts
        One row per out-of-sample bar (DESIGN.md, Contracts); rows that may not be traded have a NaN signal.
    folds
        One dict a fold: ``fold train_start trained_through test_start test_end`` (stamps), ``n_train`` (inner training
        and validation rows), ``n_validation``, ``n_test``, ``n_forecasts``, ``seconds``, ``best_epoch`` (None where the
        model has none), ``residual`` (`ReturnScale`; None for classes), ``curve`` (the training curve, a point has
        ``epoch loss validation``; [] where the model has none), ``n_updates`` (between this refit and the next),
        ``note`` (None, or why the fold forecasts nothing), and ``stored`` (its folder in the store).
    notes
        Sentences the reader must see.
    explanation
        What the last fold's model says of itself over its first forecasts (`mlcore.explain`): name -> table; empty
        where the model says nothing, or the last fold could not be fitted.
    """

    forecasts: pd.DataFrame
    folds: list[dict[str, Any]]
    notes: tuple[str, ...] = field(default=())
    explanation: dict[str, pd.DataFrame] = field(default_factory=dict)


@checked
def walk_forward(
    bars: pd.DataFrame,
    model: Any,
    *,
    label: Label,
    features: pd.DataFrame,
    folds: WalkForward,
    max_gap: int = 3,
    n_jobs: int | None = 1,
    seed: int = 0,
    progress: Progress | None = None,
    shuffle_labels: bool = False,
    validation: float = 0.15,
    store: str | Path | None = None,
    symbol: str | None = None,
    confidence: str | None = None,
    stride: int = 1,
    warm_start: bool = False,
    incremental: Any = None,
    batched: bool = False,
    kept: KeptFolds | None = None,
) -> WalkForwardRun:
    """Refit `model` for every fold on past rows only and forecast every bar of its test block.

    A training row has a whole window (features past their warm-up, no gap longer than `max_gap` within lookback and
    feature memory), a known label, no long gap up to the label's end, and a label that ended before the test block
    (`WalkForward`). Of these rows the newest share `validation` is held out for early stopping; between
    them and the inner training rows stands the same purge. The scaler is fitted on the inner training rows. During
    the fit the model is handed no row after its last training row. A forecast of row t is known at the close of
    bar t; a block's first bars have their full past. A row whose window is not whole gets a NaN signal.

    A fold that cannot be fitted (too few rows, one class only) forecasts nothing and a note says why.

    Parameters
    ----------
    bars : checked bars, N rows; only their index is read here.
    model : a model (cloned, never fitted itself) or its name in `MODELS`.
    label : values and ends of all N rows. Of several horizons, the lead's make signal and confidence, and the longest
        sets the purge.
    features : ``(N, F)`` table on the index of `bars`; ``features.attrs["memory"]`` past bars go into a value.
        Without that entry (`pd.concat` and `join` lose it) the longest warm-up of a column, its NaN rows on top, is
        taken: never less than `feature_table` would say, more where a recursive feature warms up longer.
    folds : the schedule.
    max_gap : missing bars in a row that a window or a label may span.
    n_jobs : folds fitted at a time, by joblib; any number gives the same bytes (one thread inside a fold). None is what
        `joblib.parallel_config` says.
    seed : each fold's own seed is derived from it and the fold's number.
    progress : called as ``progress(done, total, seconds)`` when a fold is finished, in the order of finishing.
    shuffle_labels : permute the training labels (baseline: what the same model finds where nothing is to be found).
    validation : share of the training rows held out.
    store : folder to write every fitted fold to (`mlcore.store`); it may not hold another run. Off by default; the
        forecasts are the same with it and without.
    symbol : what the bars are of, for forecasts (``forecasts.attrs["symbol"]``) and store to tell; default: what the
        bars say themselves (``bars.attrs``, as `read_bars` leaves it), None where it is not known.
    confidence : rule of the forecasts' confidence, by its name in `CONFIDENCES` (`mlcore.confidence`); the default
        is that of the label's kind: ``top_two_gap``, ``past_error`` or ``quantile_width``.
    stride : fit on every stride-th of the inner training rows; labels that overlap say little more than one of them.
        Rows held out and rows forecast stay all. Saves time only where a row costs time: not in a network trained on
        whole stretches (`dense`), which reads the bars between anyway.
    warm_start : start the fit of a fold from the weights that the fold before ended with, instead of random ones, at a
        lower learning rate (`warm_rate` of the networks). Scaler and labels' scale are fitted anew on the fold's own
        training rows, so that they follow the market: the old weights meet inputs a little moved, which is the first
        thing the fit corrects. Folds then run in order, one at a time, whatever `n_jobs`.
    incremental : length of time or count of bars (``"1D"``, 24) after which, within a test block, the model is updated
        by a few steps on the rows whose labels have ended since it last learned, with the fold's own scaler. From there
        on its forecasts carry a newer `trained_through`. The next fold starts fresh, or with `warm_start` from the
        weights before any update: updated ones have seen the rows that the next fold's early stopping judges by.
    batched : fit the networks of all folds at once as one batched network (`mlcore.batched`), on the model's `device`:
        meant for a GPU, where it takes little longer than one fold. The same forecasts up to rounding, which a network
        with ReLUs can make grow; with ``precision="double"`` to the seventh digit. `n_jobs` says nothing then.
    kept : where finished folds are kept while the run lasts, and taken from if they are there (`mlcore.cache` is the
        way to ask for it); not with `store`, `warm_start` or `batched`. Folds that were kept explain nothing.

    Raises
    ------
    BarwiseError
        Tables that do not belong together, fewer bars than one fold needs, or no fold that could be fitted.
    """
    stride = check_stride(stride)
    model = as_model(model)
    check_confidence(confidence, label.task, model)
    check_warm_start(warm_start, model)
    every = check_incremental(incremental, model)
    if every is not None and store is not None:
        raise BarwiseError("`incremental` and `store` do not go together: the store holds one model a fold.")
    if batched:
        check_batched(model, warm_start)
    if kept is not None and (store is not None or warm_start or batched):
        raise BarwiseError("`kept` is for folds fitted one by one: without `store`, `warm_start`, `batched`.")
    name = None if store is None else check_store(store, model)
    symbol = symbol or market_of(bars)
    member = Member(bars, features, label)
    one = stack({"": member}, model.lookback, max_gap)
    check_task(model, one.task)
    plan = split(one, folds)
    shared = shared_of(
        one, model, plan, validation=validation, shuffle_labels=shuffle_labels, seed=seed,
        store=None if store is None else str(store), store_name=name, confidence=confidence,
        stride=stride, batched=batched, warm_start=warm_start,
        updates=updates_of(one, plan, every, folds.latency),
    )  # fmt: skip
    about = {
        "memory": member.memory, "max_gap": max_gap, "seed": seed, "shuffle_labels": shuffle_labels,
        "confidence": confidence, "stride": stride, "symbol": symbol,
    }  # fmt: skip
    records = [None] * len(plan) if store is None else fold_records(bars, features, label, plan, model.lookback, about)
    outcomes = run_folds(shared, plan, records, n_jobs, progress, kept)
    run = stitch(one, plan, outcomes, confidence)
    name_market(run.forecasts, symbol)
    if store is not None:
        write_run(store, run.folds, label.task)
    return run


@checked
def walk_forward_seeds(
    bars: pd.DataFrame,
    model: Any,
    *,
    seeds: Sequence[int],
    label: Label,
    features: pd.DataFrame,
    folds: WalkForward,
    max_gap: int = 3,
    shuffle_labels: bool = False,
    validation: float = 0.15,
) -> list[WalkForwardRun]:
    """Walk `model` forward once for every seed, all folds of all seeds fitted as one batch (`batched` above).

    Each run is what ``walk_forward(..., seed=seed, batched=True)`` gives, up to rounding.
    """
    model = as_model(model)
    check_batched(model, warm_start=False)
    one = stack({"": Member(bars, features, label)}, model.lookback, max_gap)
    check_task(model, one.task)
    plan = split(one, folds)
    given = {"validation": validation, "shuffle_labels": shuffle_labels, "batched": True}
    shareds = [shared_of(one, model, plan, seed=seed, **given) for seed in seeds]
    outcomes = list(run_together([(shared, fold, None) for shared in shareds for fold in plan]))
    n = len(plan)
    return [stitch(one, plan, outcomes[i * n : (i + 1) * n]) for i in range(len(seeds))]


def check_stride(stride: Any) -> int:
    """Return `stride` if it is a count of rows."""
    if isinstance(stride, bool) or stride != int(stride) or stride < 1:
        raise BarwiseError(f"`stride` is {stride!r}; it is a count of rows, 1 or more.")
    return int(stride)


def check_task(model: Any, task: Task) -> None:
    """Refuse a model whose loss or parameters do not fit the label: once, not in every fold."""
    if hasattr(model, "check_task"):
        model.check_task(task)


def split(stacked: Stack, folds: WalkForward) -> list[Fold]:
    """Cut the folds of all symbols at one moment."""
    return folds.split(stacked.clock, stacked.ends, stacked.whole & stacked.known, stacked.layout.moments)


def shared_of(stacked: Stack, model: Any, plan: Sequence[Fold], **options: Any) -> Shared:
    """Return what the folds of `plan` read of a stack; `options` are the other fields of `Shared`."""
    check_share(options["validation"], "validation")
    check_task(model, stacked.task)
    return Shared(
        model=model,
        task=stacked.task,
        table=stacked.table,
        columns=stacked.columns,
        values=stacked.values,
        ends=stacked.ends,
        tradable=stacked.whole,
        layout=stacked.layout,
        interval=stacked.interval,
        explained=plan[-1].number if plan else None,
        **options,
    )


def updates_of(stacked: Stack, plan: list[Fold], every: Length | None, latency: int) -> Updates | None:
    """Return when the folds' models are updated and on which rows; None where they are not."""
    if every is None:
        return None
    cuts = tuple(cuts_of(stacked.clock, stacked.layout.moments, fold, every) for fold in plan)
    return Updates(cuts, stacked.whole & stacked.known, stacked.ends, latency)


def run_folds(
    shared: Shared,
    plan: list[Fold],
    records: Sequence[Any],
    n_jobs: int | None,
    progress: Progress | None,
    kept: KeptFolds | None = None,
) -> list[Outcome]:
    """Run every fold that is not kept and return the outcomes in the order of the folds."""
    started = time.perf_counter()
    outcomes = [held for fold in plan if kept is not None and (held := kept.load(fold.number)) is not None]
    known = {outcome.number for outcome in outcomes}
    finished: Iterator[Outcome]
    pairs = [(fold, record) for fold, record in zip(plan, records, strict=True) if fold.number not in known]
    if shared.batched:
        finished = run_together([(shared, fold, record) for fold, record in pairs])
    elif shared.warm_start:
        finished = _one_after_another(shared, pairs)
    else:
        work = (delayed(run_fold)(shared, fold, record) for fold, record in pairs)
        finished = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(work)
    for outcome in finished:
        if kept is not None:
            kept.save(outcome)
        outcomes.append(outcome)
        if progress is not None:
            progress(len(outcomes), len(plan), time.perf_counter() - started)
    return sorted(outcomes, key=lambda outcome: outcome.number)


def _one_after_another(shared: Shared, pairs: Sequence[tuple[Fold, Any]]) -> Iterator[Outcome]:
    """Run the folds in order, each from the model of the last one that could be fitted."""
    start = None
    for fold, record in pairs:
        outcome = run_fold(shared, fold, record, start)
        start, outcome.model = outcome.model or start, None
        yield outcome


def stitch(stacked: Stack, plan: list[Fold], outcomes: list[Outcome], confidence: str | None = None) -> WalkForwardRun:
    """Return the run: the forecasts of all blocks, in the order of the stack's rows.

    Raises BarwiseError where no fold could be fitted.
    """
    pairs = list(zip(plan, outcomes, strict=True))
    failures = [_told(stacked, fold, outcome.failure) for fold, outcome in pairs if outcome.failure]
    if len(failures) == len(plan):
        raise BarwiseError(f"No fold could be fitted. {failures[0]}")
    parts = [forecasts_of(stacked, fold, outcome, confidence) for fold, outcome in pairs]
    rows = [_fold_row(stacked, fold, outcome) for fold, outcome in pairs]
    said = dict.fromkeys(text for outcome in outcomes for text in outcome.warnings)
    order = np.argsort(np.concatenate([fold.test for fold in plan]), kind="stable")
    forecasts = pd.concat(parts).iloc[order]
    return WalkForwardRun(forecasts, rows, (*failures, *said), outcomes[-1].explanation)


def forecasts_of(stacked: Stack, fold: Fold, outcome: Outcome, confidence: str | None = None) -> pd.DataFrame:
    """Return the forecasts of one test block."""
    return make_forecasts(
        outcome.raw,
        stacked.task,
        index=stacked.stamps[fold.test],
        fold=fold.number,
        trained_through=stacked.clock[outcome.through],
        scale=outcome.scale or ReturnScale(0.0, 0.0),
        confidence=confidence,
        **outcome.more,  # type: ignore[arg-type]
    )


def _span(stacked: Stack, rows: np.ndarray) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return the first and the last stamp of some rows."""
    moments = stacked.layout.moments[rows]
    return stacked.clock[moments.min()], stacked.clock[moments.max()]


def _told(stacked: Stack, fold: Fold, failure: str | None) -> str:
    first, last = _span(stacked, fold.test)
    return f"Fold {fold.number} (test {first} to {last}) forecasts nothing: {failure}"


def _fold_row(stacked: Stack, fold: Fold, outcome: Outcome) -> dict[str, Any]:
    test_start, test_end = _span(stacked, fold.test)
    return {
        "fold": fold.number,
        "train_start": _span(stacked, fold.train)[0],
        "trained_through": stacked.clock[fold.trained_through],
        "test_start": test_start,
        "test_end": test_end,
        "n_train": len(fold.train),
        "n_validation": outcome.n_validation,
        "n_test": len(fold.test),
        "n_forecasts": int(np.isfinite(outcome.raw).all(axis=1).sum()),
        "seconds": outcome.seconds,
        "best_epoch": outcome.best_epoch,
        "residual": None if outcome.scale is None else outcome.scale.residual,
        "curve": outcome.curve,
        "n_updates": outcome.n_updates,
        "note": outcome.failure,
        **({} if outcome.stored is None else {"stored": outcome.stored}),
    }
