"""Forecasts made again from a store, and traded: nothing is fitted."""

from __future__ import annotations

import ast
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import mlcore.labels  # noqa: F401  (enters the labels in their table)
from mlcore.bars import market_of, read_bars
from mlcore.errors import BarwiseError, KindError
from mlcore.features import table_for
from mlcore.metrics import forecast_quality
from mlcore.plugins import LABELS
from mlcore.store import StoredFold, StoreError, forecast_from_store, stored_folds
from mlcore.store.run import check_interval
from mlcore.tasks import Label
from mlcore.walkforward import WalkForwardRun
from strategies.backtest import backtest
from strategies.calibrated import Calibration
from strategies.causality import check_causality
from strategies.command import typed_command
from strategies.config import StoredConfig
from strategies.costs import Costs
from strategies.main_job import (
    Engine,
    Progress,
    check_trading,
    cost_notes,
    describe,
    make_policy,
    other_costs,
    repairs_of,
    threshold_notes,
    versions,
    with_warnings,
)
from strategies.policy import target_weights
from strategies.study import Study


def run_stored(config: StoredConfig, progress: Progress = lambda stage, done, total: None) -> Study:
    """Forecast the bars with the models of a store and trade that; nothing is written.

    Over the bars of the run that was stored, forecasts are its forecasts, bit for bit. Rivals are ``buy_and_hold`` and
    ``flat``: others would have to be fitted.

    Raises `LookAheadError` for bars inside a model's training span that were not asked for by name
    (``in_sample``), `StoreError` for a store that is not whole, `BarwiseError` for other bad input, and
    `ReconcileError` where the engines differ.
    """
    started = time.perf_counter()
    return with_warnings(lambda: _run(config, progress, started))


def _run(config: StoredConfig, progress: Progress, started: float) -> Study:
    check_trading(config)
    folds = stored_folds(config.store)
    calibration = Calibration(config.calibration, config.interval, config.latency, folds[0].record.get("confidence"))
    calibration.check(folds[0].task)
    bars = read_bars(config.bars, repair=repairs_of(config.repair), stamped=config.stamped, symbol=config.symbol)
    check_interval(folds[0], bars)  # before its label and features are made of them
    label, asked = label_of(str(folds[0].record["label"]["recipe"]), bars)
    raw = _forecast(config, bars, folds, progress)
    index = pd.DatetimeIndex(bars.index)
    run = calibration.of(raw, label, index) if label is not None else raw
    progress("trading", 0, 1)
    weights = _weigh(config, run.forecasts, bars)
    costs, span = Costs(config.commission, config.slippage), bars.loc[weights.index]
    options: dict[str, Any] = {"costs": costs, "cash": config.cash, "days_per_year": config.days_per_year}
    results, reconciliation = backtest(
        span, weights, engine=config.engine, forecasts=run.forecasts, in_sample=config.in_sample, **options
    )
    engine: Engine = "backtrader" if config.engine == "backtrader" else "vectorbt"
    rivals = {"buy_and_hold": 1.0, "flat": 0.0}
    baselines = {
        name: backtest(span, pd.Series(weight, span.index), engine=engine, **options)[0][engine]
        for name, weight in rivals.items()
    }
    progress("trading", 1, 1)
    quality = forecast_quality(run.forecasts, label, index) if label is not None else {}
    name = str(type(folds[0].model).__name__)
    return Study(
        title=f"{name} from the store {Path(config.store).name} on {Path(config.bars).name}",
        bars=span,
        forecasts=run.forecasts,
        results=results,
        baselines=baselines,
        reconciliation=reconciliation,
        forecast={key: value for key, value in quality.items() if key != "notes"},
        folds=run.folds,
        data=describe(bars),
        config=config.as_dict() | asked,
        versions=versions(),
        seed=int(folds[0].record["seed"]),
        seconds=time.perf_counter() - started,
        notes=(
            *_of_another(bars, folds[0]),
            *run.notes,
            *quality.get("notes", ()),
            *threshold_notes(config),
            *cost_notes(results, config.cash),
        ),
        raw=None if run is raw else raw.forecasts,
        reliability=None if label is None else calibration.reliability(raw, run, label, index),
        cost_grid=other_costs(config, span, weights),
        causality=check_causality(folds[0].model, bars),
        command=typed_command(),
        in_sample=bool((run.forecasts["trained_through"] >= run.forecasts.index).any()),
    )


def _of_another(bars: pd.DataFrame, fold: StoredFold) -> tuple[str, ...]:
    """Say so where the models were fitted on another symbol than the bars are of, as far as both are known."""
    then, now = fold.record.get("symbol"), market_of(bars)
    if then is None or now is None or then == now:
        return ()
    return (f"The models were fitted on {then} and forecast {now}: another market than the one they learned from.",)


def _weigh(config: StoredConfig, forecasts: pd.DataFrame, bars: pd.DataFrame) -> pd.Series:
    return target_weights(
        forecasts,
        bars,
        policy=make_policy(config),
        sizer=config.sizer,
        sizer_params=config.sizer_params or {},
        days_per_year=config.days_per_year,
    )


def _forecast(config: StoredConfig, bars: pd.DataFrame, folds: list[StoredFold], progress: Progress) -> WalkForwardRun:
    progress("from the store", 0, 1)
    features = table_for(folds[0].model, bars)
    forecasts = forecast_from_store(config.store, bars, features, start=config.start, in_sample=config.in_sample)
    progress("from the store", 1, 1)
    first = folds[0].record["test_start"]
    if forecasts.empty:
        raise BarwiseError(f"`bars` end at {bars.index[-1]}; the store forecasts from {first} on: give newer bars.")
    wanted = bars.index if config.start is None else bars.index[bars.index >= pd.Timestamp(config.start)]
    if config.start is not None and forecasts.index[0] != wanted[0]:
        raise BarwiseError(
            f"`start` is {config.start!r}; this run forecasts from {first} on. One of its folds (a folder fold-... in "
            "it) forecasts older bars too, with `--in-sample`."
        )
    return WalkForwardRun(forecasts, [row for fold in folds for row in _fold_rows(fold, forecasts)])


def _fold_rows(fold: StoredFold, forecasts: pd.DataFrame) -> list[dict[str, Any]]:
    """What the report tells of a fold that forecast any of these bars: one row, or none."""
    record, mine = fold.record, forecasts[forecasts["fold"] == fold.record["fold"]]
    if mine.empty:
        return []
    row = {
        "fold": record["fold"],
        "train_start": pd.Timestamp(record["train_start"]),
        "trained_through": pd.Timestamp(record["trained_through"]),
        "test_start": mine.index[0],
        "test_end": mine.index[-1],
        "n_test": len(mine),
        "n_forecasts": int(np.isfinite(mine["signal"]).sum()),
        "residual": None if fold.scale is None else fold.scale.residual,
    }
    return [row | ({"n_train": record["n_train"]} if "n_train" in record else {})]


def label_of(recipe: str, bars: pd.DataFrame) -> tuple[Label | None, dict[str, Any]]:
    """Return the label that a recipe of the store tells of, and its parameters as settings; (None, {}) for no recipe.

    The recipe is read, never run: a name of `LABELS` (or ``classes``, what the labels of classes call themselves) and
    plain values by keyword.
    """
    if not recipe:
        return None, {}
    name, _, inside = recipe.partition("(")
    try:
        call = ast.parse(f"f({inside}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or not name.isidentifier():
            raise ValueError
        given = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        name, given = _by_name(name, given)
        label = LABELS[name](bars, **given)
    except (SyntaxError, ValueError, TypeError) as error:
        if isinstance(error, BarwiseError) and not isinstance(error, KindError):
            raise
        raise StoreError(f"`label` of the store is {recipe!r}, which is no recipe of a label of this kit.") from None
    return label, {"label": name} | {"label_entry" if key == "entry" else key: value for key, value in given.items()}


def _by_name(name: str, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the label and the parameters it is called with: labels of classes tell their edges instead."""
    if name not in ("classes", "up_move", "down_move"):
        return name, given
    if not given.get("edges"):
        raise ValueError
    edges, rest = given["edges"], {key: value for key, value in given.items() if key != "edges"}
    if len(edges) > 2:
        return "five_class", rest | {"edges": tuple(edge for edge in edges if edge > 0)}
    return "direction" if name == "classes" else name, rest | {"threshold": abs(edges[-1])}
