"""Weights over bars in backtrader."""

from __future__ import annotations

from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from strategies.bt.analyzers import add_analyzers
from strategies.bt.broker import set_broker
from strategies.bt.feed import BarsFeed
from strategies.bt.strategies import ForecastStrategy
from strategies.costs import Costs
from strategies.measures import open_note, return_or_note, returns_per_year, sharpe_or_note
from strategies.orders import Plan, check_forecasts_before, clip_note, make_plan, orders_table
from strategies.result import BacktestResult
from strategies.trades import round_trips

ENGINE = "backtrader"


def run_backtrader(
    bars: pd.DataFrame,
    weights: pd.Series,
    *,
    costs: Costs | None = None,
    cash: float = 10_000.0,
    days_per_year: float = 365.0,
    forecasts: pd.DataFrame | None = None,
    symbol: str = "asset",
    in_sample: bool = False,
) -> BacktestResult:
    """Trade `weights` over `bars` in backtrader's own broker; see `backtest` for the rule of execution.

    `forecasts` are checked (`LookAheadError`; `in_sample` lets those pass that know their own bar, by name) and kept in
    the result; the weights alone decide the orders.
    """
    check_forecasts_before(forecasts, bars, in_sample)
    plan = make_plan(bars, weights, costs, cash)
    cerebro = build_cerebro(plan.bars, plan.weights, costs=plan.costs, cash=plan.cash, days_per_year=days_per_year)
    strategy = cerebro.run()[0]
    return result_of(plan, strategy, forecasts, symbol)


def build_cerebro(
    bars: pd.DataFrame,
    weights: pd.Series,
    *,
    costs: Costs | None = None,
    cash: float = 10_000.0,
    days_per_year: float = 365.0,
    forecasts: pd.DataFrame | None = None,
    **options: Any,
) -> bt.Cerebro:
    """Return a Cerebro ready to run: feed, broker, strategy, analyzers; `options` are Cerebro's own.

    With `forecasts` the strategy carries a `ForecastIndicator` under the price, for plots.
    """
    cerebro = bt.Cerebro(**{"stdstats": False, **options})
    cerebro.adddata(BarsFeed(bars))
    set_broker(cerebro, costs=costs, cash=cash)
    cerebro.addstrategy(ForecastStrategy, weights=weights, forecasts=forecasts)
    add_analyzers(cerebro, returns_per_year(bars, days_per_year))
    return cerebro


def result_of(
    plan: Plan,
    strategy: bt.Strategy,
    forecasts: pd.DataFrame | None,
    symbol: str,
    more_notes: tuple[str, ...] = (),
    extras: dict[str, Any] | None = None,
) -> BacktestResult:
    """Return the result of a strategy that ran with `add_analyzers` over ``plan.bars``."""
    index = plan.bars.index
    found = {name: strategy.analyzers.getbyname(name).get_analysis() for name in ("equity", "orders", "turnover")}
    orders = orders_table(ENGINE, symbol, index, found["orders"])
    equity = pd.Series(found["equity"], index, dtype=np.float64, name=ENGINE)
    metrics, notes = _metrics(plan, strategy, equity, orders)
    return BacktestResult(
        engine=ENGINE,
        equity=equity,
        weights=plan.weights,
        orders=orders,
        trades=round_trips(orders),
        metrics=metrics,
        notes=(*notes, *more_notes),
        forecasts=forecasts,
        extras={"version": bt.__version__, **(extras or {})},
    )


def engine_numbers(strategy: bt.Strategy, equity: pd.Series, cash: float) -> tuple[float | None, str, float]:
    """Return backtrader's own Sharpe ratio, the note where it is not defined, and its own maximal drawdown."""
    sharpe = strategy.analyzers.sharpe
    daily = np.array(list(sharpe.timereturn.get_analysis().values()))
    ratio, note = sharpe_or_note(sharpe.get_analysis()["sharperatio"], daily, float(equity.min()) / cash)
    return ratio, note, strategy.analyzers.drawdown.get_analysis().max.drawdown / 100


def _metrics(plan: Plan, strategy: bt.Strategy, equity: pd.Series, orders: pd.DataFrame) -> tuple[dict, tuple]:
    ratio, note, fall = engine_numbers(strategy, equity, plan.cash)
    final = float(strategy.broker.getvalue())
    earned, ruin = return_or_note(final, equity, plan.cash)
    metrics: dict[str, float | int | None] = {
        "sharpe": ratio,
        "max_drawdown": fall,
        "total_return": earned,
        "final_value": final,
        "n_orders": len(orders),
        "n_rejected": int((orders["status"] == "rejected").sum()),
        **strategy.analyzers.turnover.get_analysis(),
    }
    return metrics, tuple(filter(None, (ruin, note, open_note(plan, orders), clip_note(orders))))
