"""Everything that one run found and traded; what the report draws and `result.json` holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from strategies.account.plan import AccountPlan
from strategies.result import BacktestResult


@dataclass(frozen=True, kw_only=True)
class Traded:
    """What any traded run has, whatever decided its weights; its parts by symbol are `panel` and `views`.

    results
        Engine name -> `BacktestResult` of what is told of.
    baselines
        Name -> `BacktestResult` of a rival over the same bars.
    reconciliation
        ``{"agrees", "max_relative_difference", "n_orders"}``, or None where one engine ran.
    data
        ``{"rows", "gaps", "first", "last", "sha256"}``.
    notes
        Sentences the reader must see (undefined numbers, warnings about the bars, what was skipped).
    tried
        How many configurations were traded before this one was told of, itself among them.
    in_sample
        Models forecast bars that they were trained on, because it was asked for by name.
    command
        The command line that was typed, None where there was none.
    """

    title: str
    results: dict[str, BacktestResult]
    baselines: dict[str, BacktestResult]
    reconciliation: dict[str, Any] | None
    data: dict[str, Any]
    config: dict[str, Any]
    versions: dict[str, str]
    seed: int
    seconds: float
    notes: tuple[str, ...] = field(default=())
    tried: int = 1
    in_sample: bool = False
    command: str | None = None

    @property
    def panel(self) -> Mapping[str, pd.DataFrame]:
        """Symbol -> the bars that were traded, by the names that orders carry."""
        raise NotImplementedError

    @property
    def views(self) -> Mapping[str, pd.DataFrame]:
        """Symbol -> the out-of-sample forecasts that were traded; empty where the weights came from elsewhere."""
        raise NotImplementedError

    @property
    def days_per_year(self) -> float:
        """Trading days a year, for Sharpe ratios."""
        return float(self.config.get("days_per_year", 365.0))


@dataclass(frozen=True, kw_only=True)
class Study(Traded):
    """One walk-forward run, traded: one symbol by itself.

    bars
        The bars of the out-of-sample span (both engines and all baselines trade just these).
    forecasts
        The out-of-sample forecasts of DESIGN: ``signal confidence <raw outputs> disagreement fold trained_through``.
    baselines
        ``buy_and_hold``, ``flat``, ``shuffled_label``, ``linear``; no ``linear`` where that is the model.
    forecast
        Forecast quality: ``{"n", "hit_rate", "rank_ic", "log_loss" or "rmse", "precision_at_k": {...}}``.
    folds
        One dict a fold: ``train_start trained_through test_start test_end n_train n_test seconds``.
    raw
        The forecasts as the model made them, where those above were calibrated; else None.
    reliability
        ``{"method", "before", "after"}`` (`strategies.calibrated`): what probabilities or intervals were worth.
    cost_grid
        The same weights at other costs, and carried out later (`strategies.vbt.other_costs`); None where vectorbt did
        not run.
    causality
        What came of making the features again without later bars (`strategies.causality`); None where it was not done.
    explanation
        What the last fold's model says of itself (`mlcore.explain`): name -> table; empty where it says nothing.
    """

    bars: pd.DataFrame
    forecasts: pd.DataFrame
    forecast: dict[str, Any]
    folds: list[dict[str, Any]]
    explanation: dict[str, pd.DataFrame] = field(default_factory=dict)
    raw: pd.DataFrame | None = None
    reliability: dict[str, Any] | None = None
    cost_grid: pd.DataFrame | None = None
    causality: dict[str, Any] | None = None

    @property
    def symbol(self) -> str:
        """The name that its orders carry."""
        named = [result.orders["symbol"] for result in self.results.values() if len(result.orders)]
        return str(named[0].iloc[0]) if named else "asset"

    @property
    def panel(self) -> Mapping[str, pd.DataFrame]:
        """The one symbol's bars."""
        return {self.symbol: self.bars}

    @property
    def views(self) -> Mapping[str, pd.DataFrame]:
        """The one symbol's forecasts."""
        return {self.symbol: self.forecasts}


@dataclass(frozen=True, kw_only=True)
class AccountStudy(Traded):
    """One account of one or many symbols, traded under its rules (`strategies.portfolio`).

    plan
        What was traded: bars by symbol, weights, rules, costs, cash, funding and slippage on the account's clock.
    forecasts
        Symbol -> the out-of-sample forecasts that the weights came from; empty where they came from elsewhere.
    baselines
        ``buy_and_hold`` (the cash shared alike among the symbols there are), ``flat``, and any other account that was
        given: the same bars, costs and funding, none of the rules but for `borrow`.
    """

    plan: AccountPlan
    forecasts: dict[str, pd.DataFrame] = field(default_factory=dict)
    days_per_year: float = 365.0

    @property
    def panel(self) -> Mapping[str, pd.DataFrame]:
        """The bars of all symbols."""
        return self.plan.bars

    @property
    def views(self) -> Mapping[str, pd.DataFrame]:
        """The forecasts of all symbols."""
        return self.forecasts
