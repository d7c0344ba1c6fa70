"""The main job: bars in, a model walked forward, both engines traded, everything the report needs out."""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd

import mlcore.labels  # noqa: F401  (enters the labels in their table)
from mlcore import models
from mlcore.bars import bars_sha256, between, missing_bars, read_bars
from mlcore.confidence import check_confidence
from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.features import table_for
from mlcore.folds import WalkForward
from mlcore.metrics import forecast_quality
from mlcore.plugins import LABELS, MODELS
from mlcore.stack import Member, label_for
from mlcore.tasks import Label
from mlcore.versions import versions_of
from mlcore.walkforward import WalkForwardRun, walk_forward
from strategies.backtest import backtest
from strategies.calibrated import Calibration
from strategies.causality import check_causality
from strategies.command import typed_command
from strategies.config import StoredConfig, StudyConfig
from strategies.costs import Costs
from strategies.policy import Policy, target_weights
from strategies.result import BacktestResult
from strategies.sizers import sizes_of
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
MODEL_FLAGS = (
    "lookback",
    "loss",
    "loss_params",
    "class_weights",
    "schedule",
)  # parameters of models with flags of their own
COSTLY = 0.25  # a share of the starting cash: costs above it are worth a word


class Progress(Protocol):
    """What `run_study` tells while it works: a bar of a name, done of total."""

    def __call__(self, stage: str, done: int, total: int) -> None: ...


def _silent(stage: str, done: int, total: int) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class StudyProtocol:
    """What the model and its rivals have in common: the same bars, label, features, folds, trading.

    `lookback` is the model's: a rival of a shorter one learns from the rows that the model can use, too.
    """

    config: StudyConfig
    bars: pd.DataFrame
    features: Any
    label: Label
    progress: Progress
    lookback: int

    def forecast(
        self, stage: str, model: Any, *, shuffle_labels: bool = False, store: str | None = None, rival: bool = False
    ) -> WalkForwardRun:
        """Walk `model` forward over all folds; a `rival` is refitted from nothing, whatever the model does."""
        own = () if rival else ("warm_start", "incremental", "batched")
        training: dict[str, Any] = {name: getattr(self.config, name) for name in own}
        options = self.options(stage, model) | training | {"shuffle_labels": shuffle_labels, "store": store}
        return self.walk(stage, model, options)

    def walk(self, stage: str, model: Any, options: dict[str, Any]) -> WalkForwardRun:
        """Walk `model` forward over the bars; `options` are the protocol's."""
        label = label_for(model, Member(self.bars, self.features, self.label), self.lookback, self.config.max_gap)
        return walk_forward(self.bars, model, label=label, features=self.features, **options)

    def options(self, stage: str, model: Any) -> dict[str, Any]:
        """Return what every walk of the protocol has in common."""
        config = self.config
        return {
            "folds": WalkForward(config.train, config.test, expanding=config.expanding, latency=config.latency),
            "max_gap": config.max_gap,
            "n_jobs": config.n_jobs,
            "seed": config.seed,
            "confidence": self.confidence(model),
            "progress": lambda done, total, *_: self.progress(stage, done, total),
        }

    @property
    def index(self) -> pd.DatetimeIndex:
        """The stamps of the bars."""
        return pd.DatetimeIndex(self.bars.index)

    def calibration(self, model: Any) -> Calibration:
        """What is done to forecasts before they are traded, the rivals' too."""
        config = self.config
        return Calibration(config.calibration, config.interval, config.latency, self.confidence(model))

    def calibrated(self, run: WalkForwardRun, model: Any) -> WalkForwardRun:
        """The run with the forecasts that are traded."""
        return self.calibration(model).of(run, self.label, self.index)

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
    return with_warnings(lambda: _run(config, progress, started))


def with_warnings(make: Callable[[], Study]) -> Study:
    """Make a study; the kit's own warnings become its first notes, others stay warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", BarwiseWarning)
        study = make()
    said = tuple(dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, BarwiseWarning)))
    for warning in caught:
        if not issubclass(warning.category, BarwiseWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return replace(study, notes=said + study.notes)


def _run(config: StudyConfig, progress: Progress, started: float) -> Study:
    check_trading(config)  # before an hour of training, not after it
    bars = read_bars(config.file, repair=repairs_of(config.repair), stamped=config.stamped, symbol=config.symbol)
    bars = between(bars, config.start, config.end)
    model = make_model(config.model, config)
    features, label = table_for(model, bars), make_label(bars, config)
    protocol = StudyProtocol(config, bars, features, label, progress, model.lookback)
    return study_of(protocol, model, f"{config.model} on {Path(config.file).name}", started)


def study_of(protocol: StudyProtocol, model: Any, title: str, started: float) -> Study:
    """Forecast, trade in the config's engines, and hold it against the rivals."""
    config, bars, progress = protocol.config, protocol.bars, protocol.progress
    calibration = protocol.calibration(model)
    calibration.check(protocol.label.task)
    raw = protocol.forecast(config.model, model, store=config.store)
    run = protocol.calibrated(raw, model)
    n_traded = 4 + _is_not_linear(model)
    progress("trading", 0, n_traded)
    weights = protocol.weigh(run)
    results, reconciliation = protocol.trade(weights, config.engine, run.forecasts)
    progress("trading", 1, n_traded)
    baselines = _baselines(protocol, model, run, n_traded)
    quality = forecast_quality(run.forecasts, protocol.label, protocol.index)
    quality_notes = quality.pop("notes")
    return Study(
        title=title,
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
        notes=(*run.notes, *quality_notes, *threshold_notes(config), *cost_notes(results, config.cash)),
        explanation=run.explanation,
        raw=None if run is raw else raw.forecasts,
        reliability=calibration.reliability(raw, run, protocol.label, protocol.index),
        cost_grid=other_costs(config, bars.loc[weights.index], weights),
        causality=check_causality(model, bars),
        command=typed_command(),
    )


def other_costs(config: StudyConfig | StoredConfig, bars: pd.DataFrame, weights: pd.Series) -> pd.DataFrame | None:
    """Trade the weights at other costs and delays, in vectorbt; None where only backtrader was asked for."""
    if config.engine == "backtrader":
        return None
    from strategies.vbt.other_costs import trade_at_costs  # an engine is imported only to run

    costs = Costs(config.commission, config.slippage)
    return trade_at_costs(bars, weights, costs, cash=config.cash, days_per_year=config.days_per_year)


def make_policy(config: StudyConfig | StoredConfig) -> Policy:
    """Build the policy of the config; refuse thresholds that make no sense."""
    return Policy(config.entry, config.exit, config.min_hold, config.band, config.side, config.min_confidence)


def check_trading(config: StudyConfig | StoredConfig) -> None:
    """Refuse a policy, a sizer or sizer parameters that the trading at the end would refuse."""
    make_policy(config)
    forecast = pd.DataFrame({"signal": [1.0], "confidence": [1.0]}, index=pd.date_range("2024", periods=1, tz="UTC"))
    sizes_of(forecast, pd.Series([1.0], forecast.index), config.sizer, config.sizer_params or {})


def repairs_of(text: str) -> tuple[str, ...]:
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
    given = dict(config.set or {})
    kind = models.by_path.face_of(name) if "." in name else MODELS[name]
    if config.members is not None:
        given["members"] = _members(name, kind, config, given)
    if hasattr(kind, "member_models") and config.lookback is not None:
        raise BarwiseError(
            "`lookback` is each member's own in an ensemble: choose a preset of the member (`lstm:light`)."
        )
    flags = {flag: getattr(config, flag) for flag in MODEL_FLAGS if getattr(config, flag) is not None}
    for flag in ("seed", *MODEL_FLAGS):
        if flag in given:
            raise BarwiseError(
                f"`set` holds `{flag}`, which has a flag of its own: say `--{flag.replace('_', '-')} {given[flag]}`."
            )
    known = _known(kind, flags | {"seed": config.seed})
    for flag, value in flags.items():
        if flag not in known:
            raise BarwiseError(f"`{flag}` is {value!r}, and the model {name!r} has none: leave it out.")
    return models.make_model(name, config.preset, **known, **given)


def _members(name: str, kind: Any, config: StudyConfig, given: dict[str, Any]) -> tuple[str, ...]:
    """Return the names after `--members`; refuse them for a model that has no members, or said twice."""
    if "members" not in inspect.signature(kind).parameters:
        ensembles = [known for known in MODELS if "members" in inspect.signature(MODELS[known]).parameters]
        raise BarwiseError(f"`members` is given and {name!r} is one model; ensembles are {', '.join(ensembles)}.")
    if "members" in given:
        raise BarwiseError("`set` holds `members`, which has a flag of its own: say `--members`.")
    members = tuple(member.strip() for member in (config.members or "").split(",") if member.strip())
    if not members:
        raise BarwiseError(f"`members` is {config.members!r}; name at least one model: --members lstm,lightgbm.")
    return members


def _known(function: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if name in inspect.signature(function).parameters}


def _rivals(protocol: StudyProtocol, model: Any, run: WalkForwardRun) -> Iterator[tuple[str, pd.Series]]:
    """Weigh the rivals on the same bars by the same rule: held, flat, shuffled labels, and linear."""
    index = run.forecasts.index
    yield "buy_and_hold", pd.Series(1.0, index=index)
    yield "flat", pd.Series(0.0, index=index)
    shuffled = protocol.forecast("shuffled labels", model, shuffle_labels=True)
    yield "shuffled_label", protocol.weigh(protocol.calibrated(shuffled, model))
    if _is_not_linear(model):
        linear = MODELS["linear"]()
        yield "linear", protocol.weigh(protocol.calibrated(protocol.forecast("linear", linear, rival=True), linear))


def _is_not_linear(model: Any) -> bool:
    """Tell whether `model` differs from the linear rival; not by its seed, which is every fold's own."""
    linear = MODELS["linear"]()
    if type(model) is not type(linear):
        return True
    mine, its = (one.get_params(deep=False) | {"seed": 0} for one in (model, linear))
    return bool(mine != its)


def _baselines(protocol: StudyProtocol, model: Any, run: WalkForwardRun, n_traded: int) -> dict[str, BacktestResult]:
    """Trade the rivals over the same bars with the same costs, in one engine."""
    engine: Engine = "backtrader" if protocol.config.engine == "backtrader" else "vectorbt"
    found: dict[str, BacktestResult] = {}
    for name, weights in _rivals(protocol, model, run):
        found[name] = protocol.trade(weights, engine)[0][engine]
        protocol.progress("trading", 1 + len(found), n_traded)
    return found


def threshold_notes(config: StudyConfig | StoredConfig) -> list[str]:
    """Say that corrected signals are held against a threshold that raw ones would meet more or less often."""
    corrected = config.calibration != "none" or config.interval is not None
    if not corrected or not (config.entry or config.exit):
        return []
    return [
        f"Signals are calibrated, and `entry` {config.entry:g} and `exit` {config.exit:g} are held against them, the "
        "rivals' too: a calibration changes the size of signals, so these thresholds mean something else than for "
        "signals as forecast, and something else in each fold."
    ]


def cost_notes(results: dict[str, BacktestResult], cash: float) -> list[str]:
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
    return versions_of(*LIBRARIES)


__all__ = ["BarwiseError", "Progress", "describe", "make_label", "make_model", "run_study", "versions"]
