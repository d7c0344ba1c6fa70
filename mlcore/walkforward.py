"""Walk forward: refit on the past, forecast the next block, move on; the forecasts of all blocks stitched."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from mlcore.bars import bar_interval, missing_bars
from mlcore.confidence import check_confidence
from mlcore.errors import BarwiseError
from mlcore.folds import Fold, WalkForward
from mlcore.forecasts import ReturnScale, make_forecasts
from mlcore.gaps import finite_windows, label_mask, window_mask
from mlcore.models import MODELS
from mlcore.refit import Outcome, Shared, run_fold
from mlcore.store.run import check_store, fold_records, write_run
from mlcore.tasks import Label, Task

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class WalkForwardRun:
    """What a walk-forward leaves behind.

    forecasts
        One row per out-of-sample bar (DESIGN.md, Contracts); rows that may not be traded have a NaN signal.
    folds
        One dict a fold: ``fold train_start trained_through test_start test_end`` (stamps), ``n_train`` (inner training
        and validation rows), ``n_validation``, ``n_test``, ``n_forecasts``, ``seconds``, ``best_epoch`` (None where the
        model has none), ``note`` (None, or why the fold forecasts nothing), and ``stored`` (its folder in the store).
    notes
        Sentences the reader must see.
    """

    forecasts: pd.DataFrame
    folds: list[dict[str, Any]]
    notes: tuple[str, ...] = field(default=())


def walk_forward(
    bars: pd.DataFrame,
    model: Any,
    *,
    label: Label,
    features: pd.DataFrame,
    folds: WalkForward,
    max_gap: int = 3,
    n_jobs: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
    shuffle_labels: bool = False,
    validation: float = 0.15,
    store: str | Path | None = None,
    confidence: str | None = None,
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
    label : values and ends of all N rows.
    features : ``(N, F)`` table on the index of `bars`; ``features.attrs["memory"]`` past bars go into a value.
        Without that entry (`pd.concat` and `join` lose it) the longest warm-up of a column, its NaN rows on top, is
        taken: never less than `feature_table` would say, more where a recursive feature warms up longer.
    folds : the schedule.
    max_gap : missing bars in a row that a window or a label may span.
    n_jobs : folds fitted at a time, by joblib; any number gives the same bytes (one thread inside a fold).
    seed : each fold's own seed is derived from it and the fold's number.
    progress : called as ``progress(done, total, seconds)`` when a fold is finished, in the order of finishing.
    shuffle_labels : permute the training labels (baseline: what the same model finds where nothing is to be found).
    validation : share of the training rows held out.
    store : folder to write every fitted fold to (`mlcore.store`); it may not hold another run. Off by default; the
        forecasts are the same with it and without.
    confidence : rule of the forecasts' confidence, by its name in `CONFIDENCES` (`mlcore.confidence`); the default
        is that of the label's kind: ``top_two_gap``, ``past_error`` or ``quantile_width``.

    Raises
    ------
    BarwiseError
        Tables that do not belong together, fewer bars than one fold needs, or no fold that could be fitted.
    """
    index = pd.DatetimeIndex(bars.index)
    model = MODELS[model]() if isinstance(model, str) else model
    check_confidence(confidence, label.task, model)
    name = None if store is None else check_store(store, model)
    table, missing = _checked_table(features, bars, label), missing_bars(index)
    memory = int(features.attrs.get("memory", _longest_warm_up(table)))
    whole = window_mask(missing, model.lookback + memory, max_gap) & finite_windows(table, model.lookback)
    known = np.isfinite(label.values) & label_mask(missing, label.ends, max_gap)
    plan = folds.split(index, label.ends, whole & known)
    shared = Shared(
        model, label.task, table, tuple(map(str, features.columns)), label.values, label.ends, whole, validation,
        shuffle_labels, seed, None if store is None else str(store), name, bar_interval(index), confidence,
    )  # fmt: skip
    about = {
        "memory": memory, "max_gap": max_gap, "seed": seed, "shuffle_labels": shuffle_labels, "confidence": confidence
    }  # fmt: skip
    records = [None] * len(plan) if store is None else fold_records(bars, features, label, plan, model.lookback, about)
    outcomes = _run(shared, plan, records, n_jobs, progress)
    run = _stitch(index, plan, outcomes, label.task, confidence)
    if store is not None:
        write_run(store, run.folds, label.task)
    return run


def _checked_table(features: pd.DataFrame, bars: pd.DataFrame, label: Label) -> np.ndarray:
    if not features.index.equals(bars.index):
        raise BarwiseError("`features` are not on the index of `bars`: make them from the same bars, one row a bar.")
    if not features.shape[1]:
        raise BarwiseError("`features` has no column: name at least one feature.")
    if label.values.shape != (len(bars),) or label.ends.shape != (len(bars),):
        raise BarwiseError(f"`label` has {len(label.values)} rows and `bars` {len(bars)}: make it from the same bars.")
    return np.ascontiguousarray(features.to_numpy(np.float64))


def _longest_warm_up(table: np.ndarray) -> int:
    """Return the NaN rows on top of the column that has most of them."""
    known = ~np.isnan(table)
    return int(np.where(known.any(axis=0), known.argmax(axis=0), len(table)).max())


def _run(
    shared: Shared, plan: list[Fold], records: Sequence[Any], n_jobs: int, progress: Progress | None
) -> list[Outcome]:
    started, outcomes = time.perf_counter(), []
    work = (delayed(run_fold)(shared, fold, record) for fold, record in zip(plan, records, strict=True))
    finished = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(work)
    for outcome in finished:
        outcomes.append(outcome)
        if progress is not None:
            progress(len(outcomes), len(plan), time.perf_counter() - started)
    return sorted(outcomes, key=lambda outcome: outcome.number)


def _stitch(
    index: pd.DatetimeIndex, plan: list[Fold], outcomes: list[Outcome], task: Task, confidence: str | None
) -> WalkForwardRun:
    pairs = list(zip(plan, outcomes, strict=True))
    failures = [_told(index, fold, outcome.failure) for fold, outcome in pairs if outcome.failure]
    if len(failures) == len(plan):
        raise BarwiseError(f"No fold could be fitted. {failures[0]}")
    parts = [
        make_forecasts(
            outcome.raw,
            task,
            index=index[fold.test],
            fold=fold.number,
            trained_through=index[fold.trained_through],
            scale=outcome.scale or ReturnScale(0.0, 0.0),
            confidence=confidence,
            **outcome.more,  # type: ignore[arg-type]
        )
        for fold, outcome in pairs
    ]
    rows = [_fold_row(index, fold, outcome) for fold, outcome in pairs]
    said = dict.fromkeys(text for outcome in outcomes for text in outcome.warnings)
    return WalkForwardRun(pd.concat(parts), rows, (*failures, *said))


def _told(index: pd.DatetimeIndex, fold: Fold, failure: str | None) -> str:
    first, last = index[fold.test[0]], index[fold.test[-1]]
    return f"Fold {fold.number} (test {first} to {last}) forecasts nothing: {failure}"


def _fold_row(index: pd.DatetimeIndex, fold: Fold, outcome: Outcome) -> dict[str, Any]:
    return {
        "fold": fold.number,
        "train_start": index[fold.train[0]],
        "trained_through": index[fold.trained_through],
        "test_start": index[fold.test[0]],
        "test_end": index[fold.test[-1]],
        "n_train": len(fold.train),
        "n_validation": outcome.n_validation,
        "n_test": len(fold.test),
        "n_forecasts": int(np.isfinite(outcome.raw).all(axis=1).sum()),
        "seconds": outcome.seconds,
        "best_epoch": outcome.best_epoch,
        "note": outcome.failure,
        **({} if outcome.stored is None else {"stored": outcome.stored}),
    }
