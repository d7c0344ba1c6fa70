"""Many symbols in one account, in one engine or both; with both, they must agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd

from mlcore.kinds import checked
from strategies.account.plan import plan_account
from strategies.account.rules import RiskRules
from strategies.backtest import checked_engine
from strategies.costs import Costs
from strategies.reconcile import reconcile
from strategies.result import BacktestResult


@checked
def backtest_portfolio(
    bars: Mapping[str, pd.DataFrame],
    weights: pd.DataFrame,
    *,
    rules: RiskRules | None = None,
    engine: Literal["both", "backtrader", "vectorbt"] = "both",
    costs: Costs | None = None,
    cash: float = 10_000.0,
    days_per_year: float = 365.0,
    funding: Mapping[str, pd.Series] | None = None,
    slippage: pd.DataFrame | None = None,
    forecasts: Mapping[str, pd.DataFrame] | None = None,
    in_sample: bool = False,
) -> tuple[dict[str, BacktestResult], dict[str, Any] | None]:
    """Trade target `weights` of many symbols in one account: ``(engine name -> result, reconciliation or None)``.

    backtrader: one Cerebro, one feed a symbol, one broker with one cash. vectorbt: one grouped `Portfolio`, one cash.
    An order is decided and filled as in `backtest`: at a close, where the symbol's target changed, for the next open of
    that symbol. At an open, sales come first, then buys, each in the order of the symbols: so goes the cash where it
    is short. A symbol without a bar decides nothing, its order waits for its next bar, and it is worth its last close.
    The whole order of events of a bar stands in `strategies.account.core`.

    Parameters
    ----------
    bars
        symbol to bars (`mlcore.bars.panel.read_panel`); histories may begin late, end early, and have gaps.
    weights
        one column a symbol, in the same order; one row a stamp at which any symbol has a bar (`account.clock_of`);
        shares of the account in [-1, 1], decided at that stamp's close, NaN for flat.
    rules
        exits by barrier, limits of risk and exposure, a drawdown limit, borrow (`RiskRules`).
    costs
        `Costs`; its `maker` commission is paid at the profit barrier.
    funding
        symbol to rates by stamp, as fractions of the position's value; longs pay a positive rate, shorts receive it.
        Paid on what was held through the open of the first bar stamped at or after a payment, valued at that open. A
        symbol that is not named takes the column `funding_rate` of its bars, if there is one: NaN where nothing is
        settled; one that was filled forward onto every bar is refused.
    slippage
        one column a symbol, by stamp: the share of the price by which a fill in that bar is worse, instead of
        ``costs.slippage``; a bar without one is refused. It must have been known before the bar
        (`strategies.account.slippage`).

    =========================================  ===========================================================
    what an engine cannot hold by itself       what is done, and what is left of it
    =========================================  ===========================================================
    vectorbt: cash that moves without order    fee of an order for a worthless ledger column; 1e-24 of the account
    vectorbt: cash below zero                  funding that cash cannot pay is owed (both engines), paid out of the next
                                               sale; `Portfolio.value()` lacks what is owed, the result counts it
    vectorbt: an order that waits              the order function keeps it until the symbol's next bar; nothing
    backtrader: stop before profit in one bar  the broker fills at the barrier that the path names; nothing
    backtrader: a bracket in its entry's bar   as above; nothing
    both: which came first inside a bar        not in the bars: the stop, by the rule
    both: margin and liquidation               not modelled: a short is rejected only once the account is at zero
    =========================================  ===========================================================

    Raises `ReconcileError` (exit code 3) where the engines differ by more than 1e-9 relative, `LookAheadError` for
    `forecasts` (symbol to frame) that know their own bar, `BarwiseError` for bad input.
    """
    plan = plan_account(
        bars,
        weights,
        rules=rules,
        costs=costs,
        cash=cash,
        funding=funding,
        slippage=slippage,
        forecasts=forecasts,
        in_sample=in_sample,
    )
    results: dict[str, BacktestResult] = {}
    if checked_engine(engine) != "vectorbt":
        from strategies.bt.account import run_account_backtrader  # an engine is imported only to run

        results["backtrader"] = run_account_backtrader(plan, days_per_year=days_per_year, forecasts=forecasts)
    if engine != "backtrader":
        from strategies.vbt.account import run_account_vectorbt

        results["vectorbt"] = run_account_vectorbt(plan, days_per_year=days_per_year, forecasts=forecasts)
    agreement = reconcile(results["backtrader"], results["vectorbt"]) if engine == "both" else None
    return results, agreement
