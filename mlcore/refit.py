"""One fold of a walk-forward: fit on its past, forecast its block."""

from __future__ import annotations

import contextlib
import copy
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlcore.confidence import ask, centre
from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.explain import explanation_of
from mlcore.folds import Fold, newest_split
from mlcore.forecasts import ReturnScale
from mlcore.incremental import Updates
from mlcore.models.inputs import SYMBOL, UNKNOWN, Validation, checked_predict
from mlcore.scaling import Scaler
from mlcore.stack import Layout
from mlcore.store.folds import StoredFold, save_fold
from mlcore.store.state import StoreError
from mlcore.tasks import Task
from mlcore.windows import Windows

FEWEST_TRAIN_ROWS = 30  # below this a fold forecasts nothing: what it learnt would be chance
FEWEST_SCALER_ROWS = 30  # below this a symbol's scale is chance
CURVE_POINTS = 50  # of a fold's training curve at most: boosting has hundreds


@dataclass(frozen=True)
class Shared:
    """What all folds read; plain arrays, so that joblib maps them into the workers instead of copying them.

    Rows are those of the stack where there are several symbols (`mlcore.stack`).
    """

    model: Any
    task: Task
    table: np.ndarray  # (N, F)
    columns: tuple[str, ...]
    values: np.ndarray  # (N,) labels, or (N, H) of several horizons
    ends: np.ndarray  # (N,) moments, as `layout.moments`
    tradable: np.ndarray  # (N,) bool: the window is whole
    validation: float
    shuffle_labels: bool
    seed: int
    store: str | None = None  # folder that fitted folds are written below
    store_name: str | None = None  # the model's in MODELS
    confidence: str | None = None  # name of the rule
    interval: pd.Timedelta | None = None  # of the bars
    stride: int = 1  # of the inner training rows every stride-th is fitted on
    explained: int | None = None  # number of the fold whose model is asked what it looks at
    layout: Layout = field(default=None)  # type: ignore[assignment]  # default: one symbol
    batched: bool = False  # all folds are fitted at once
    warm_start: bool = False  # a fold's model starts from the one before
    updates: Updates | None = None  # between refits

    def __post_init__(self) -> None:
        if self.layout is None:
            object.__setattr__(self, "layout", Layout.of_one(len(self.table)))

    @property
    def tells_symbols(self) -> bool:
        """Whether the model is given the column `SYMBOL`: it can read it, and there is more than one."""
        return len(self.layout.starts) > 2 and bool(getattr(self.model, "reads_symbol", False))


@dataclass
class Outcome:
    """What comes back from one fold."""

    number: int
    raw: np.ndarray  # (n_test, n_outputs), NaN where nothing is forecast
    through: np.ndarray  # (n_test,) moment of the last bar that any label touched of which the row's model learned
    scale: ReturnScale | None = None
    more: dict[str, np.ndarray] = field(default_factory=dict)  # what else forecasts are made of, (n_test,) each
    curve: list[dict[str, float]] = field(default_factory=list)
    n_updates: int = 0
    model: Any = None  # as it was fitted, where the next fold starts from it
    n_validation: int = 0
    best_epoch: Any = None
    seconds: float = 0.0
    failure: str | None = None
    warnings: tuple[str, ...] = ()
    stored: str | None = None  # name of the folder below the store
    left_out: tuple[int, ...] = ()  # symbols with rows to forecast and too few before them to be scaled by
    explanation: dict[str, pd.DataFrame] = field(default_factory=dict)  # of the explained fold only


@dataclass(frozen=True)
class Rows:
    """What a fold's model is fitted on, and the tables it comes from."""

    inputs: Inputs
    windows: Windows
    y: np.ndarray
    validation: Validation


def run_fold(shared: Shared, fold: Fold, record: dict[str, Any] | None = None, start: Any = None) -> Outcome:
    """Fit a fresh model on the fold's training rows and forecast its test block; bad input ends up in `failure`.

    `record` is what the store is to say of the fold, where there is one (`mlcore.store.StoredFold`). `start` is a
    fitted model whose weights the fit begins with.
    """
    outcome = outcome_of(shared, fold)
    with watched(outcome):
        rows, model = fitted(shared, fold, start)
        finish(shared, fold, rows, model, outcome, record)
    return outcome


def fitted(shared: Shared, fold: Fold, start: Any = None) -> tuple[Rows, Any]:
    """Return the fold's training rows and its model, fitted on them."""
    rows = training_rows(shared, fold)
    model = fresh(shared, fold.number)
    if start is not None:
        model.warm_start_from(start)
    with told_in_one_line(model):
        model.fit(rows.windows, rows.y, task=shared.task, validation=rows.validation)
    return rows, model


@contextlib.contextmanager
def told_in_one_line(model: Any) -> Iterator[None]:
    """Say what a library refuses (a parameter out of its range, mostly) as an error of ours, which it was caused by.

    Refusals are ValueErrors, and LightGBM's own error. Anything else is a bug, and is not swallowed.
    """
    try:
        yield
    except BarwiseError:
        raise
    except Exception as error:
        if not (isinstance(error, ValueError) or type(error).__module__.startswith("lightgbm")):
            raise
        said = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise BarwiseError(f"`model` {model!r} cannot be fitted: {type(error).__name__}: {said}") from error


def outcome_of(shared: Shared, fold: Fold) -> Outcome:
    """Return what is known of a fold before its model is fitted."""
    raw = np.full((len(fold.test), shared.task.n_outputs), np.nan)
    return Outcome(fold.number, raw, np.full(len(fold.test), fold.trained_through, dtype=np.int64))


@contextlib.contextmanager
def watched(outcome: Outcome) -> Iterator[None]:
    """Note down in `outcome` what goes wrong inside the block, what is warned of, and the seconds it takes."""
    started = time.perf_counter()
    # One thread for BLAS and OpenMP (torch's too): sums in one order, whatever the machine and the number of jobs.
    with threadpool_limits(1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", BarwiseWarning)
        try:
            yield
        except StoreError:
            raise  # a full disk is no reason to forecast nothing
        except BarwiseError as error:
            outcome.failure = str(error)
    said = [str(w.message) for w in caught if issubclass(w.category, BarwiseWarning)]
    outcome.warnings = tuple(dict.fromkeys((*outcome.warnings, *said)))
    for warning in caught:
        if not issubclass(warning.category, BarwiseWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    outcome.seconds += time.perf_counter() - started


def training_rows(shared: Shared, fold: Fold) -> Rows:
    """Return the fold's inner training rows and the newest ones, held out; nothing later is in their table."""
    train, held_out = newest_split(fold.train, shared.ends, shared.validation, shared.layout.moments)
    train = train[(len(train) - 1) % shared.stride :: shared.stride]  # the newest one stays
    _check_enough(train)
    inputs = Inputs(shared, fold, train)
    train, held_out = inputs.those_scaled(train), inputs.those_scaled(held_out)
    _check_enough(train)
    y = shared.values[fold.train]
    if shared.shuffle_labels:
        y = np.random.default_rng(_fold_seed(shared.seed, fold.number)).permutation(y)
    y_train, y_held_out = (y[np.searchsorted(fold.train, rows)] for rows in (train, held_out))
    # The model is handed no row after its last training row, of any symbol.
    windows, judge = inputs.windows(train, held_out)
    return Rows(inputs, windows, y_train, (judge, y_held_out))


def finish(
    shared: Shared, fold: Fold, rows: Rows, model: Any, outcome: Outcome, record: dict[str, Any] | None = None
) -> None:
    """Forecast the fold's test block with its fitted model, and tell what came of the fit."""
    judge(shared, rows, model, outcome)
    if shared.store is not None:
        stored = StoredFold(model, rows.inputs.scalers[0], outcome.scale, shared.task, record or {})
        outcome.stored = save_fold(shared.store, stored, shared.store_name).name
    if shared.warm_start:  # the next fold starts from the fit: an updated model has seen rows it will be judged by
        outcome.model = copy.deepcopy(model) if shared.updates else model
    forecast_block(shared, fold, rows.inputs, model, outcome)
    if fold.number == shared.explained:
        ready = rows.inputs.those_scaled(fold.test[shared.tradable[fold.test]])
        outcome.explanation = explanation_of(model, rows.inputs.windows(ready)[0])


def judge(shared: Shared, rows: Rows, model: Any, outcome: Outcome) -> None:
    """Note in `outcome` what the held-out rows say of a fitted model."""
    held_out, y_held_out = rows.validation
    if shared.task.kind != "classes":
        told, came = checked_predict(model, held_out, shared.task), y_held_out.reshape(len(y_held_out), -1)[:, 0]
        lead = shared.task.lead
        outcome.scale = ReturnScale.of(centre(told[:, : lead.n_outputs], lead), came)  # the lead's, as the signal is
    outcome.n_validation, outcome.best_epoch = len(held_out), getattr(model, "best_epoch_", None)
    outcome.curve = curve_of(model)


def forecast_block(shared: Shared, fold: Fold, inputs: Inputs, model: Any, outcome: Outcome) -> None:
    """Forecast the test block; where updates are due, part by part, the model updated before each part."""
    moments = shared.layout.moments[fold.test]
    updates = shared.updates
    cuts = updates.cuts[fold.number] if updates else ()
    bounds = [int(moments.min()), *map(int, cuts), int(moments.max()) + 1]
    through = fold.trained_through
    for number, (begin, end) in enumerate(pairwise(bounds)):
        if updates and number:
            rows = inputs.those_scaled(updates.rows(bounds[number - 1], begin))
            if len(rows):
                _update(shared, fold, rows, inputs, model)
                through, outcome.n_updates = max(through, int(updates.ends[rows].max())), outcome.n_updates + 1
        part = np.flatnonzero((moments >= begin) & (moments < end))
        outcome.through[part] = through
        ready = inputs.those_scaled(fold.test[part][shared.tradable[fold.test[part]]])
        (ahead,) = inputs.windows(ready)
        _forecast(shared, ahead, model, outcome, part[np.searchsorted(fold.test[part], ready)])
    asked = fold.test[shared.tradable[fold.test]]
    symbol_of = shared.layout.symbol_of
    outcome.left_out = tuple(np.setdiff1d(symbol_of(asked), symbol_of(inputs.those_scaled(asked))).tolist())


def _forecast(shared: Shared, ahead: Windows, model: Any, outcome: Outcome, place: np.ndarray) -> None:
    """Forecast windows into their places in the block."""
    outcome.raw[place], more = ask(model, ahead, shared.task, shared.confidence)
    for name, values in more.items():
        outcome.more.setdefault(name, np.full(len(outcome.raw), np.nan))[place] = values


def _update(shared: Shared, fold: Fold, rows: np.ndarray, inputs: Inputs, model: Any) -> None:
    """Update `model` on `rows`; nothing later is in the table that it is handed."""
    y = shared.values[rows]
    if shared.shuffle_labels:
        y = np.random.default_rng([_fold_seed(shared.seed, fold.number), int(rows[0])]).permutation(y)
    model.update(inputs.windows(rows)[0], y)


def curve_of(model: Any) -> list[dict[str, float]]:
    """Return the model's training curve (`history_`) as plain numbers, thinned to `CURVE_POINTS`; without one, []."""
    history = getattr(model, "history_", None) or []
    kept = set(np.linspace(0, len(history) - 1, min(len(history), CURVE_POINTS)).round().astype(int).tolist())
    losses = [entry["validation"] for entry in history]
    if np.isfinite(losses).any():
        kept.add(int(np.nanargmin(losses)))  # what was kept of the training is on the curve
    return [{key: float(history[i][key]) for key in ("epoch", "loss", "validation")} for i in sorted(kept)]


def _check_enough(train: np.ndarray) -> None:
    if len(train) < FEWEST_TRAIN_ROWS:
        raise BarwiseError(f"`train` leaves {len(train)} rows to fit on; at least {FEWEST_TRAIN_ROWS} are needed.")


class Inputs:
    """Rows of one fold as the model wants them: scaled symbol by symbol, the symbol told where it is asked for.

    scalers
        Symbol -> its scaler (None for a model that wants raw features): fitted on its inner training rows, or, where
        those are too few, on all its rows with a whole window from the first training moment to the last bar that any
        training label touched. A symbol without enough of either is not here: it is neither trained on nor forecast.
    codes
        Symbol -> 0, 1, ... for those that `train` has rows of, in their order. What is listed later changes none.
    """

    def __init__(self, shared: Shared, fold: Fold, train: np.ndarray) -> None:
        self.shared = shared
        self.scalers = _scalers(shared, fold, train)
        known = (symbol for symbol, _ in shared.layout.by_symbol(self.those_scaled(train)))
        self.codes = {symbol: code for code, symbol in enumerate(known)}

    def those_scaled(self, rows: np.ndarray) -> np.ndarray:
        """Return those of `rows` whose symbol has a scaler."""
        return rows[np.isin(self.shared.layout.symbol_of(rows), list(self.scalers))]

    def windows(self, *rows: np.ndarray) -> list[Windows]:
        """Return the windows of each set of rows, over one table that holds their bars and no later one."""
        lookback = self.shared.model.lookback
        every = np.unique(np.concatenate(rows))
        if not len(every):
            return [Windows(np.empty((0, self.shared.table.shape[1] + self.shared.tells_symbols)), every, lookback)]
        parts, places, size = [], [], 0
        for symbol, of_symbol in self.shared.layout.by_symbol(every):
            first = of_symbol[0] - lookback + 1
            parts.append(self._table(symbol, first, of_symbol[-1] + 1))
            places.append(of_symbol - first + size)
            size += len(parts[-1])
        table = parts[0] if len(parts) == 1 else np.concatenate(parts)
        place = np.concatenate(places)
        pooled = len(self.shared.layout.starts) > 2
        return [
            Windows(
                table,
                place[np.searchsorted(every, some)],
                lookback,
                self.shared.layout.moments[some] if pooled else None,
            )
            for some in rows
        ]

    def _table(self, symbol: int, first: int, stop: int) -> np.ndarray:
        scaler = self.scalers[symbol]
        table = np.array(self.shared.table[first:stop])  # a copy of our own: the same alignment in every process
        table = table if scaler is None else scaler.transform(table)
        if not self.shared.tells_symbols:
            return table
        code = np.full((len(table), 1), self.codes.get(symbol, UNKNOWN), dtype=table.dtype)
        return np.concatenate([table, code], axis=1)


def _scalers(shared: Shared, fold: Fold, train: np.ndarray) -> dict[int, Scaler | None]:
    """Return what `Inputs.scalers` says; nothing after the fold's `trained_through` goes in."""
    layout, moments = shared.layout, shared.layout.moments
    if not getattr(shared.model, "scaled", True):
        return dict.fromkeys(range(len(layout.starts) - 1))
    opened = moments[fold.train].min()
    before = np.flatnonzero(shared.tradable & (moments >= opened) & (moments <= fold.trained_through))
    rows = dict(layout.by_symbol(before)) | {
        symbol: of_symbol for symbol, of_symbol in layout.by_symbol(train) if len(of_symbol) >= FEWEST_SCALER_ROWS
    }
    return {
        symbol: Scaler().fit(shared.table[of_symbol])
        for symbol, of_symbol in sorted(rows.items())
        if len(of_symbol) >= FEWEST_SCALER_ROWS
    }


def fresh(shared: Shared, number: int) -> Any:
    """Return an unfitted model of the fold's own: another seed, and the columns' names."""
    model = clone(shared.model)
    if "seed" in model.get_params(deep=False):
        model.set_params(seed=_fold_seed(shared.seed, number))
    # sklearn's name for it; `naive` finds the return by it
    model.feature_names_in_ = (*shared.columns, SYMBOL) if shared.tells_symbols else shared.columns
    model.bar_interval_ = shared.interval  # what a clock like "1h" is measured by
    return model


def _fold_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)  # 31 bits: what LightGBM takes
