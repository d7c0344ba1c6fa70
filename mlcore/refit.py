"""One fold of a walk-forward: fit on its past, forecast its block."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlcore.confidence import ask
from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.folds import Fold, newest_split
from mlcore.forecasts import ReturnScale
from mlcore.models.inputs import checked_predict
from mlcore.scaling import Scaler
from mlcore.store.folds import StoredFold, save_fold
from mlcore.store.state import StoreError
from mlcore.tasks import Task
from mlcore.windows import Windows

FEWEST_TRAIN_ROWS = 30  # below this a fold forecasts nothing: what it learnt would be chance


@dataclass(frozen=True)
class Shared:
    """What all folds read; plain arrays, so that joblib maps them into the workers instead of copying them."""

    model: Any
    task: Task
    table: np.ndarray  # (N, F)
    columns: tuple[str, ...]
    values: np.ndarray  # (N,) labels
    ends: np.ndarray  # (N,)
    tradable: np.ndarray  # (N,) bool: the window is whole
    validation: float
    shuffle_labels: bool
    seed: int
    store: str | None = None  # folder that fitted folds are written below
    store_name: str | None = None  # the model's in MODELS
    interval: pd.Timedelta | None = None  # of the bars
    confidence: str | None = None  # name of the rule


@dataclass
class Outcome:
    """What comes back from one fold."""

    number: int
    raw: np.ndarray  # (n_test, n_outputs), NaN where nothing is forecast
    scale: ReturnScale | None = None
    more: dict[str, np.ndarray] = field(default_factory=dict)  # what else forecasts are made of, (n_test,) each
    n_validation: int = 0
    best_epoch: Any = None
    seconds: float = 0.0
    failure: str | None = None
    warnings: tuple[str, ...] = ()
    stored: str | None = None  # name of the folder below the store


def run_fold(shared: Shared, fold: Fold, record: dict[str, Any] | None = None) -> Outcome:
    """Fit a fresh model on the fold's training rows and forecast its test block; bad input ends up in `failure`.

    `record` is what the store is to say of the fold, where there is one (`mlcore.store.StoredFold`).
    """
    started = time.perf_counter()
    outcome = Outcome(fold.number, np.full((len(fold.test), shared.task.n_outputs), np.nan))
    # One thread for BLAS and OpenMP (torch's too): sums in one order, whatever the machine and the number of jobs.
    with threadpool_limits(1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", BarwiseWarning)
        try:
            _fit_and_forecast(shared, fold, outcome, record or {})
        except StoreError:
            raise  # a full disk is no reason to forecast nothing
        except BarwiseError as error:
            outcome.failure = str(error)
    said = (str(w.message) for w in caught if issubclass(w.category, BarwiseWarning))
    outcome.warnings = tuple(dict.fromkeys(said))
    for warning in caught:
        if not issubclass(warning.category, BarwiseWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    outcome.seconds = time.perf_counter() - started
    return outcome


def _fit_and_forecast(shared: Shared, fold: Fold, outcome: Outcome, record: dict[str, Any]) -> None:
    lookback = shared.model.lookback
    train, held_out = newest_split(fold.train, shared.ends, shared.validation)
    if len(train) < FEWEST_TRAIN_ROWS:
        raise BarwiseError(f"`train` leaves {len(train)} rows to fit on; at least {FEWEST_TRAIN_ROWS} are needed.")
    first = int(train[0]) - lookback + 1
    table, scaler = _local_table(shared, train, first, int(fold.test[-1]) + 1)
    past = table[: int(held_out[-1]) - first + 1]  # the model is handed no row after its last training row
    y = shared.values[fold.train]
    if shared.shuffle_labels:
        y = np.random.default_rng(_fold_seed(shared.seed, fold.number)).permutation(y)
    y_train, y_held_out = y[np.searchsorted(fold.train, train)], y[len(fold.train) - len(held_out) :]
    windows = Windows(past, train - first, lookback)
    judge = Windows(past, held_out - first, lookback)
    model = _fresh(shared, fold.number).fit(windows, y_train, task=shared.task, validation=(judge, y_held_out))
    if shared.task.kind != "classes":
        center = _center(shared.task)
        outcome.scale = ReturnScale.of(checked_predict(model, judge, shared.task)[:, center], y_held_out)
    ready = shared.tradable[fold.test]
    asked = Windows(table, fold.test[ready] - first, lookback)
    outcome.raw[ready], more = ask(model, asked, shared.task, shared.confidence)
    for name, values in more.items():
        outcome.more[name] = np.full(len(fold.test), np.nan)
        outcome.more[name][ready] = values
    outcome.n_validation, outcome.best_epoch = len(held_out), getattr(model, "best_epoch_", None)
    if shared.store is not None:
        stored = StoredFold(model, scaler, outcome.scale, shared.task, record)
        outcome.stored = save_fold(shared.store, stored, shared.store_name).name


def _local_table(shared: Shared, train: np.ndarray, first: int, stop: int) -> tuple[np.ndarray, Scaler | None]:
    """Rows `first` to `stop` as the model wants them; the scaler sees the inner training rows only."""
    rows = np.array(shared.table[first:stop])  # a copy of our own: the same alignment in every process
    if not getattr(shared.model, "scaled", True):
        return rows, None
    scaler = Scaler().fit(rows[train - first])
    return scaler.transform(rows), scaler


def _fresh(shared: Shared, number: int) -> Any:
    model = clone(shared.model)
    if "seed" in model.get_params(deep=False):
        model.set_params(seed=_fold_seed(shared.seed, number))
    model.feature_names_in_ = shared.columns  # sklearn's name for it; `naive` finds the return by it
    model.bar_interval_ = shared.interval  # what a clock like "1h" is measured by
    return model


def _fold_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)  # 31 bits: what LightGBM takes


def _center(task: Task) -> int:
    return int(np.argmin(np.abs(np.asarray(task.quantiles) - 0.5))) if task.kind == "quantiles" else 0
