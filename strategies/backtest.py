"""Weights over bars in one engine or both; with both, they must agree."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd

from mlcore.errors import BarwiseError, did_you_mean
from mlcore.kinds import checked
from strategies.account.rules import RiskRules
from strategies.costs import Costs
from strategies.orders import checked_weights
from strategies.reconcile import reconcile
from strategies.result import BacktestResult

ENGINES = ("both", "backtrader", "vectorbt")


@checked
def backtest(
    bars: pd.DataFrame,
    weights: pd.Series,
    *,
    engine: Literal["both", "backtrader", "vectorbt"] = "both",
    costs: Costs | None = None,
    cash: float = 10_000.0,
    days_per_year: float = 365.0,
    forecasts: pd.DataFrame | None = None,
    symbol: str = "asset",
    in_sample: bool = False,
    rules: RiskRules | None = None,
    funding: pd.Series | None = None,
) -> tuple[dict[str, BacktestResult], dict[str, Any] | None]:
    """Trade target `weights` over `bars` and return ``(engine name -> result, reconciliation or None)``.

    The rule, in both engines. Decided at the close of bar t: target value = weight x equity at that close,
    units wanted = target value / close - units held; an order goes out only where the target changed
    (`order_targets`), what drifts in between is left. Filled at the open of t+1 x (1 +- slippage), not
    capped by the bar's range; commission is a fraction of the fill's value. A buy that cash cannot pay is
    filled as far as cash goes (``partial``), or ``rejected`` with nothing payable, and the rest is dropped; an
    account at or below zero rejects all. Dust is no order (`strategies.orders` states the sizes).
    What the last bar decides never fills.

    With `rules` (exits by barrier, risk limits, a drawdown limit) or `funding` (rates by stamp), which depend on the
    path of the account, it is the account of one symbol: see `strategies.portfolio.backtest_portfolio`.

    Raises `ReconcileError` (exit code 3) where the engines differ by more than 1e-9 relative,
    `LookAheadError` for `forecasts` that know their own bar (unless `in_sample` is asked for by name), `BarwiseError`
    for bad input.
    """
    checked_engine(engine)
    if rules is not None or funding is not None:
        from strategies.portfolio import backtest_portfolio

        checked_weights(weights, bars)
        return backtest_portfolio(
            {symbol: bars},
            weights.to_frame(symbol),
            rules=rules,
            engine=engine,
            costs=costs,
            cash=cash,
            days_per_year=days_per_year,
            funding=None if funding is None else {symbol: funding},
            forecasts=None if forecasts is None else {symbol: forecasts},
            in_sample=in_sample,
        )
    settings: dict[str, Any] = {"costs": costs, "cash": cash, "days_per_year": days_per_year, "symbol": symbol}
    settings["in_sample"] = in_sample
    results: dict[str, BacktestResult] = {}
    if engine != "vectorbt":
        from strategies.bt.run import run_backtrader  # an engine is imported only to run

        results["backtrader"] = run_backtrader(bars, weights, forecasts=forecasts, **settings)
    if engine != "backtrader":
        from strategies.vbt.run import run_vectorbt

        results["vectorbt"] = run_vectorbt(bars, weights, forecasts=forecasts, **settings)
    agreement = reconcile(results["backtrader"], results["vectorbt"]) if engine == "both" else None
    return results, agreement


def checked_engine(engine: str) -> str:
    """Return `engine`; refuse what is none."""
    if engine not in ENGINES:
        raise BarwiseError(
            f"`engine` is {engine!r}: it must be one of {', '.join(ENGINES)}.{did_you_mean(engine, ENGINES)}"
        )
    return engine
