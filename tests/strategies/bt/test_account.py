"""The account in Cerebro: all its ways of running, and analyzers of one's own."""

from __future__ import annotations

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from strategies.account import RiskRules, clock_of, plan_account
from strategies.bt.account import build_account, run_account_backtrader
from tests.conftest import random_bars

RULES = RiskRules(stop=0.01, profit=0.02, horizon=7, reenter=True, max_gross=0.9, borrow=0.1)


def plan(**settings):
    bars = {name: random_bars(90, seed=seed) for seed, name in enumerate("ABC")}
    bars["B"] = bars["B"].drop(bars["B"].index[30:35]).iloc[10:]
    bars["C"] = bars["C"].iloc[:60]
    weights = np.random.default_rng(0).uniform(-0.8, 0.8, (30, 3)).repeat(3, axis=0)
    return plan_account(bars, pd.DataFrame(weights, clock_of(bars), columns=list(bars)), **{"rules": RULES, **settings})


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("runonce", [True, False])
@pytest.mark.parametrize("exactbars", [0, 1, -1, -2])
def test_all_ways_of_cerebro_trade_the_same(preload, runonce, exactbars):
    usual = build_account(plan()).run()[0]
    other = build_account(plan(), preload=preload, runonce=runonce, exactbars=exactbars).run()[0]
    assert other.analyzers.orders.get_analysis() == usual.analyzers.orders.get_analysis()
    assert other.analyzers.equity.get_analysis() == usual.analyzers.equity.get_analysis()
    assert {"stop barrier", "profit barrier"} <= {row[-1] for row in usual.analyzers.orders.get_analysis()}


def test_orders_told_at_once_were_filled_on_the_same_bars():
    ruin = {"rules": RiskRules(borrow=1e6)}  # the first short takes all, and orders after it are turned away
    for settings in ({}, ruin):
        usual = build_account(plan(**settings)).run()[0]
        at_once = build_account(plan(**settings), quicknotify=True).run()[0]
        assert str(at_once.analyzers.orders.get_analysis()) == str(usual.analyzers.orders.get_analysis())  # NaN too
        assert at_once.analyzers.equity.get_analysis() == usual.analyzers.equity.get_analysis()
    assert "rejected" in {row[-2] for row in usual.analyzers.orders.get_analysis()}


def test_other_analyzers_see_the_account_too():
    cerebro = build_account(plan())
    cerebro.addanalyzer(bt.analyzers.TradeAnalyzer, _name="trades")
    strategy = cerebro.run()[0]
    trades = strategy.analyzers.trades.get_analysis()
    result = run_account_backtrader(plan())
    assert trades.total.closed == len(result.trades)
    left = sum(trade.pnlcomm for trade in _open(strategy))
    funding = result.metrics["funding_paid"] + result.metrics["borrow_paid"]
    assert trades.pnl.net.total + left - funding == pytest.approx(result.metrics["final_value"] - 10_000, rel=1e-9)


def _open(strategy):
    """What is still open, worth what it is at the end."""
    broker = strategy.broker
    for feed in broker.feeds:
        position = broker.getposition(feed)
        if position.size:
            paid = sum(
                trade.commission for trades in strategy._trades[feed].values() for trade in trades if trade.isopen
            )
            made = sum(trade.pnl for trades in strategy._trades[feed].values() for trade in trades if trade.isopen)
            worth = position.size * (feed.close[0] - position.price) + made
            yield type("Open", (), {"pnlcomm": worth - paid})


def test_a_run_can_be_made_twice_from_one_plan():
    some = plan()
    one, other = (run_account_backtrader(some) for _ in range(2))
    pd.testing.assert_frame_equal(one.orders, other.orders)
