"""The main job: bars in, a model walked forward, both engines traded, everything the report needs out."""

from __future__ import annotations

import importlib.metadata
import inspect
import platform
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd

import mlcore.labels  # noqa: F401  (enters the labels in their table)
from mlcore import models
from mlcore.bars import bars_sha256, missing_bars, read_bars
from mlcore.confidence import check_confidence
from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.features import table_for
from mlcore.folds import WalkForward
from mlcore.metrics import forecast_quality
from mlcore.plugins import LABELS, MODELS
from mlcore.tasks import Label
from mlcore.walkforward import WalkForwardRun, walk_forward
from strategies.backtest import backtest
from strategies.config import StudyConfig
from strategies.costs import Costs
from strategies.policy import Policy, sizes_of, target_weights
from strategies.result import BacktestResult
from strategies.study import Study

LIBRARIES = [
    "barwise",
    "numpy",
    "pandas",
    "torch",
    "lightgbm",
    "scikit-learn",
    "TA-Lib",
    "backtrader",
    "vectorbt",
    "vectorbt-rust",
    "numba",
    "joblib",
    "pyarrow",
]


Engine = Literal["both", "backtrader", "vectorbt"]
LABEL_FLAGS = {name: name for name in ("horizon", "threshold", "edges", "quantiles")} | {"entry": "label_entry"}
MODEL_FLAGS = ("lookback", "loss", "loss_params", "class_weights")  # parameters of models with flags of their own
COSTLY = 0.25  # a share of the starting cash: costs above it are worth a word


class Progress(Protocol):
    """What `run_study` tells while it works: a bar of a name, done of total."""

    def __call__(self, stage: str, done: int, total: int) -> None: ...


def _silent(stage: str, done: int, total: int) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class _Protocol:
    """What the model and its rivals have in common: the same bars, label, features, folds, trading."""

    config: StudyConfig
    bars: pd.DataFrame
    features: Any
    label: Label
    progress: Progress

    def forecast(self, stage: str, model: Any, *, shuffle_labels: bool = False) -> WalkForwardRun:
        """Walk `model` forward over all folds."""
        config = self.config
        return walk_forward(
            self.bars,
            model,
            label=self.label,
            features=self.features,
            folds=WalkForward(config.train, config.test, expanding=config.expanding, latency=config.latency),
            max_gap=config.max_gap,
            n_jobs=config.n_jobs,
            seed=config.seed,
            shuffle_labels=shuffle_labels,
            confidence=self.confidence(model),
            progress=lambda done, total, *_: self.progress(stage, done, total),
        )

    def confidence(self, model: Any) -> str | None:
        """Return the config's rule of confidence, or None (the label's own) for a rival that cannot speak by it."""
        name = self.config.confidence
        try:
            check_confidence(name, self.label.task, model)
        except BarwiseError:
            if isinstance(model, MODELS["linear"]) and self.config.model != "linear":
                return None
            raise
        return name

    def weigh(self, run: WalkForwardRun) -> pd.Series:
        """Target weights from forecasts by the policy and the sizer of the config."""
        config = self.config
        return target_weights(
            run.forecasts,
            self.bars,
            policy=make_policy(config),
            sizer=config.sizer,
            sizer_params=config.sizer_params or {},
            days_per_year=config.days_per_year,
        )

    def trade(self, weights: pd.Series, engine: Engine, forecasts: pd.DataFrame | None = None) -> Any:
        """Trade weights over the out-of-sample span only."""
        config = self.config
        return backtest(
            self.bars.loc[weights.index],
            weights,
            engine=engine,
            costs=Costs(config.commission, config.slippage),
            cash=config.cash,
            days_per_year=config.days_per_year,
            forecasts=forecasts,
        )


def run_study(config: StudyConfig, progress: Progress = _silent) -> Study:
    """Run the main job and return what it found; nothing is written.

    Raises `BarwiseError` for bad input, `ReconcileError` where the engines differ.
    """
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", BarwiseWarning)
        study = _run(config, progress, started)
    said = tuple(dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, BarwiseWarning)))
    for warning in caught:
        if not issubclass(warning.category, BarwiseWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return Study(**{**study.__dict__, "notes": said + study.notes})


def _run(config: StudyConfig, progress: Progress, started: float) -> Study:
    check_trading(config)  # before an hour of training, not after it
    bars = read_bars(config.bars, repair=_repairs(config.repair), stamped=config.stamped, symbol=config.symbol)
    model = make_model(config.model, config)
    protocol = _Protocol(config, bars, table_for(model, bars), make_label(bars, config), progress)
    run = protocol.forecast(config.model, model)
    results, reconciliation = protocol.trade(protocol.weigh(run), config.engine, run.forecasts)
    baselines = _baselines(protocol, model, run)
    quality = forecast_quality(run.forecasts, protocol.label, pd.DatetimeIndex(bars.index))
    quality_notes = quality.pop("notes")
    return Study(
        title=f"{config.model} on {Path(config.bars).name}",
        bars=bars.loc[run.forecasts.index],
        forecasts=run.forecasts,
        results=results,
        baselines=baselines,
        reconciliation=reconciliation,
        forecast=quality,
        folds=run.folds,
        data=describe(bars),
        config=config.as_dict(),
        versions=versions(),
        seed=config.seed,
        seconds=time.perf_counter() - started,
        notes=(*run.notes, *quality_notes, *_cost_notes(results, config.cash)),
        explanation=run.explanation,
    )


def make_policy(config: StudyConfig) -> Policy:
    """Build the policy of the config; refuse thresholds that make no sense."""
    return Policy(config.entry, config.exit, config.min_hold, config.band, config.side, config.min_confidence)


def check_trading(config: StudyConfig) -> None:
    """Refuse a policy, a sizer or sizer parameters that the trading at the end would refuse."""
    make_policy(config)
    forecast = pd.DataFrame({"signal": [1.0], "confidence": [1.0]}, index=pd.date_range("2024", periods=1, tz="UTC"))
    sizes_of(forecast, pd.Series([1.0], forecast.index), config.sizer, config.sizer_params or {})


def _repairs(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def make_label(bars: pd.DataFrame, config: StudyConfig) -> Label:
    """Build the config's label; a setting that the label does not know is refused, unless it is the default."""
    function = LABELS[config.label]
    given = {name: getattr(config, flag) for name, flag in LABEL_FLAGS.items()}
    known = _known(function, given)
    for name, flag in LABEL_FLAGS.items():
        if name not in known and given[name] != StudyConfig.__dataclass_fields__[flag].default:
            raise BarwiseError(f"`{flag}` is {given[name]!r}, and the label {config.label!r} has none: leave it out.")
    return function(bars, **{name: value for name, value in known.items() if value is not None})


def make_model(name: str, config: StudyConfig) -> Any:
    """Build a model by name, of the config's preset, flags and parameters; a flag that it does not know is refused."""
    given = config.set or {}
    flags = {flag: getattr(config, flag) for flag in MODEL_FLAGS if getattr(config, flag) is not None}
    for flag in ("seed", *MODEL_FLAGS):
        if flag in given:
            raise BarwiseError(
                f"`set` holds `{flag}`, which has a flag of its own: say `--{flag.replace('_', '-')} {given[flag]}`."
            )
    # a model by import path has both
    known = _known(models.by_path.face_of(name) if "." in name else MODELS[name], flags | {"seed": config.seed})
    for flag, value in flags.items():
        if flag not in known:
            raise BarwiseError(f"`{flag}` is {value!r}, and the model {name!r} has none: leave it out.")
    return models.make_model(name, config.preset, **known, **given)


def _known(function: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if name in inspect.signature(function).parameters}


def _baselines(protocol: _Protocol, model: Any, run: WalkForwardRun) -> dict[str, BacktestResult]:
    """Trade the rivals over the same bars with the same costs: held, flat, shuffled labels, linear."""
    index = run.forecasts.index
    engine: Engine = "backtrader" if protocol.config.engine == "backtrader" else "vectorbt"
    shuffled = protocol.forecast("shuffled labels", model, shuffle_labels=True)
    linear = run if protocol.config.model == "linear" else protocol.forecast("linear", MODELS["linear"]())
    weights = {
        "buy_and_hold": pd.Series(1.0, index=index),
        "flat": pd.Series(0.0, index=index),
        "shuffled_label": protocol.weigh(shuffled),
        "linear": protocol.weigh(linear),
    }
    return {name: protocol.trade(weight, engine)[0][engine] for name, weight in weights.items()}


def _cost_notes(results: dict[str, BacktestResult], cash: float) -> list[str]:
    """Say so where the costs, not the forecasts, decided the outcome; the engines agree, so the first speaks."""
    metrics = next(iter(results.values())).metrics
    paid = (metrics["commission_paid"] or 0.0) + (metrics["slippage_paid"] or 0.0)
    if paid < COSTLY * cash:
        return []
    return [
        f"Commission and slippage took {paid / cash:.0%} of the starting cash in {metrics['n_orders']:,} orders: "
        "trade less (raise `--entry`, `--min-hold`, `--band`) or look further ahead (`--horizon`)."
    ]


def describe(bars: pd.DataFrame) -> dict[str, Any]:
    """Rows, gaps (places where bars are missing), first and last stamp, and the hash of the bars."""
    return {
        "rows": len(bars),
        "gaps": int((missing_bars(pd.DatetimeIndex(bars.index)) > 0).sum()),
        "first": bars.index[0].isoformat(),
        "last": bars.index[-1].isoformat(),
        "sha256": bars_sha256(bars),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that a result depends on."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            found[library] = "not installed"
    return found


__all__ = ["BarwiseError", "Progress", "describe", "make_label", "make_model", "run_study", "versions"]
