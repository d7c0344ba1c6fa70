"""A whole comparison: every model trained on one protocol, traded in both engines, and judged."""

from __future__ import annotations

import functools
import time
import warnings
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mlcore.bars import bars_sha256, between, read_bars
from mlcore.confidence import confidence_rule
from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.quality import loss_name
from strategies.backtest import backtest
from strategies.command import typed_command
from strategies.comparison.config import ComparisonConfig
from strategies.comparison.entrants import Entrant, Protocol, Told, enter, first_rows, one_start
from strategies.comparison.judge import Judged, judge
from strategies.comparison.trading import HELD, Account, compare_accounts
from strategies.costs import Costs
from strategies.folder import work_folder
from strategies.main_job import check_trading, describe, make_label, make_model, make_policy, versions
from strategies.policy import target_weights
from strategies.reconcile import ReconcileError
from strategies.result import BacktestResult

FORECAST_BASELINES = ("naive", "linear", "shuffled_label")


@dataclass(frozen=True)
class Comparison:
    """What was found.

    entrants
        All that were trained, failed ones too: the models asked for, the baselines, ``shuffled_label``.
    tried
        How many models were: the number that every correction uses.
    results
        name -> engine -> account, of all entrants with forecasts and of ``buy_and_hold``.
    reconciled
        name -> largest relative difference of the engines, or the sentence that says how they differ.
    """

    config: ComparisonConfig
    entrants: dict[str, Entrant]
    tried: int
    judged: Judged
    results: dict[str, dict[str, BacktestResult]]
    reconciled: dict[str, float | str | None]
    accounts: dict[str, Account]
    loss: str
    data: dict[str, Any]
    versions: dict[str, str]
    seconds: float
    notes: tuple[str, ...] = ()
    command: str | None = None

    @property
    def agrees(self) -> bool:
        """Whether both engines agree on every account."""
        return not any(isinstance(found, str) for found in self.reconciled.values())

    def better_than(self, name: str) -> tuple[str, ...]:
        """The baselines whose loss is higher than this model's, by the corrected test."""
        return tuple(rival for rival, test in self.judged.superiority.items() if name in test.better)


def run_comparison(config: ComparisonConfig, progress: Told = lambda *_: None) -> Comparison:
    """Run a comparison and return it; nothing but the work folder is written.

    Models that were finished by an earlier run with the same settings are taken from the work folder. A model that
    fails is noted, and the others go on. Raises `BarwiseError` for settings or bars that cannot be used at all.
    """
    started = time.perf_counter()
    config.check_set()
    names = config.names
    all_names = dict.fromkeys((*names, *FORECAST_BASELINES[:2], config.shuffled))
    models = [make_model(name, config.of(name)) for name in all_names]  # what one refuses is refused at once
    check_trading(config)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", BarwiseWarning)
        repair = tuple(word.strip() for word in config.repair.split(",") if word.strip())
        bars = read_bars(config.file, repair=repair, stamped=config.stamped, symbol=config.symbol)
        bars = between(bars, config.start, config.end)
        label = make_label(bars, config)
        confidence_rule(config.confidence, label.task)  # refuses a name that is none; a model may be unable to use it
        starts = dict(zip(all_names, first_rows(bars, models, config.max_gap), strict=True))
        label = one_start(label, max((row for row in starts.values() if row < len(bars)), default=0))
        protocol = Protocol(config, bars, label, bars_sha256(bars))
        late = _late(starts, bars)
        entrants = _enter_all(protocol, names, progress, late)
        judged = judge(
            {name: one.forecasts for name, one in entrants.items() if one.forecasts is not None},
            protocol.label,
            pd.DatetimeIndex(bars.index),
            baselines=FORECAST_BASELINES,
            resamples=config.resamples,
            seed=config.seed,
            n_jobs=config.n_jobs,
            tell=lambda done, total: progress("judging", done, total),
        )
        results, reconciled = _trade_all(protocol, entrants, progress)
        tried = len([name for name in entrants if name != "shuffled_label"])
        accounts = compare_accounts(
            {name: next(iter(engines.values())) for name, engines in results.items()},
            tried=tried,
            days_per_year=config.days_per_year,
            baselines=(HELD, *FORECAST_BASELINES),
            resamples=config.resamples,
            seed=config.seed,
        )
    said = tuple(dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, BarwiseWarning)))
    return Comparison(
        config, entrants, tried, judged, results, reconciled, accounts, loss_name(protocol.label.task),
        describe(bars), versions(), time.perf_counter() - started, (late, *config.told(), *said), typed_command(),
    )  # fmt: skip


def _late(starts: dict[str, int], bars: pd.DataFrame) -> str:
    """Say which model makes all of them begin where they do."""
    last = max(starts, key=lambda name: starts[name] if starts[name] < len(bars) else -1)
    never = [name for name, row in starts.items() if row >= len(bars)]
    said = f"All models begin at bar {starts[last]:,} of {len(bars):,}, where the past of {last} is whole"
    return said + (f"; that of {', '.join(never)} never is." if never else ".")


def _enter_all(protocol: Protocol, names: tuple[str, ...], progress: Told, late: str) -> dict[str, Entrant]:
    work = work_folder(protocol.config.out)
    protocol.folds()  # a length that is none is refused at once, not model by model
    entrants: dict[str, Entrant] = {}
    for name in dict.fromkeys((*names, *FORECAST_BASELINES[:2])):
        entrants[name] = enter(protocol, name, work, progress)
    if all(one.failure for one in entrants.values()):
        name, first = next(iter(entrants.items()))
        raise BarwiseError(f"No model could be trained. {name}: {first.failure} {late}")
    shuffled = enter(protocol, protocol.config.shuffled, work, progress, shuffle_labels=True)
    return entrants | {"shuffled_label": shuffled}


def _trade_all(
    protocol: Protocol, entrants: dict[str, Entrant], progress: Told
) -> tuple[dict[str, dict[str, BacktestResult]], dict[str, float | str | None]]:
    config = protocol.config
    forecasts = {name: one.forecasts for name, one in entrants.items() if one.forecasts is not None}
    index = functools.reduce(pd.Index.intersection, (frame.index for frame in forecasts.values()))  # one span for all
    forecasts = {name: frame.loc[index] for name, frame in forecasts.items()}
    weights: dict[str, pd.Series] = {HELD: pd.Series(1.0, index=index)}
    for name, frame in forecasts.items():
        weights[name] = target_weights(
            frame,
            protocol.bars,
            policy=make_policy(config),
            sizer=config.sizer,
            sizer_params=config.sizer_params or {},
            days_per_year=config.days_per_year,
        )
    results: dict[str, dict[str, BacktestResult]] = {}
    reconciled: dict[str, float | str | None] = {}
    for done, (name, weight) in enumerate(weights.items()):
        try:
            results[name], agreement = backtest(
                protocol.bars.loc[weight.index],
                weight,
                engine=config.engine,
                costs=Costs(config.commission, config.slippage),
                cash=config.cash,
                days_per_year=config.days_per_year,
                forecasts=forecasts.get(name),
            )
            reconciled[name] = None if agreement is None else float(agreement["max_relative_difference"])
        except ReconcileError as error:  # its account is worth nothing; the others' are
            reconciled[name] = str(error)
        progress("trading", done + 1, len(weights))
    return results, reconciled
