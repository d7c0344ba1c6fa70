"""A 22-symbol, one-year hourly portfolio in backtrader: ours beside stock feeds and a stock strategy, same orders."""

from __future__ import annotations

import time

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from strategies.account import clock_of, plan_account
from strategies.bt.account import build_account
from strategies.bt.analyzers import EquityCurve
from strategies.bt.commission import FractionalCommission
from strategies.costs import Costs
from strategies.vbt.account import run_account_vectorbt
from tests.conftest import random_bars

SYMBOLS, N = 22, 8_760
TRADING = 0.01  # share of bars on which a symbol's weight changes
LIMIT = 1 / 3
ROUNDS = 3
COSTS = Costs(0.001, 0.0005)


@pytest.fixture(scope="module")
def bars() -> dict[str, pd.DataFrame]:
    return {f"COIN{number:02}": random_bars(N, seed=number, volatility=0.005) for number in range(SYMBOLS)}


@pytest.fixture(scope="module")
def weights(bars: dict[str, pd.DataFrame]) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    asked = np.where(rng.random((N, SYMBOLS)) < TRADING, rng.uniform(0, 0.9 / SYMBOLS, (N, SYMBOLS)), np.nan)
    return pd.DataFrame(asked, clock_of(bars), columns=list(bars)).ffill()


class OrderTargetPercent(bt.Strategy):
    """Stock backtrader as its documentation has it: one `order_target_percent` a symbol whose weight changed."""

    params = (("weights", None),)

    def __init__(self) -> None:
        self.last = [0.0] * len(self.datas)

    def next(self) -> None:
        row = self.p.weights[len(self) - 1]
        for number, data in enumerate(self.datas):
            weight = row[number]
            if weight == weight and weight != self.last[number]:
                self.last[number] = weight
                self.order_target_percent(data, target=weight)


def stock(bars: dict[str, pd.DataFrame], weights: pd.DataFrame) -> bt.Strategy:
    cerebro = bt.Cerebro(stdstats=False)
    for name, frame in bars.items():
        cerebro.adddata(bt.feeds.PandasData(dataname=frame), name=name)
    cerebro.addstrategy(OrderTargetPercent, weights=weights.to_numpy().tolist())
    cerebro.broker.set_cash(10_000.0)
    cerebro.broker.set_slippage_perc(COSTS.slippage, slip_open=True, slip_match=True, slip_out=True)
    cerebro.broker.addcommissioninfo(FractionalCommission(commission=COSTS.commission))
    cerebro.addanalyzer(EquityCurve, _name="equity")
    return cerebro.run()[0]


def ours(bars: dict[str, pd.DataFrame], weights: pd.DataFrame) -> bt.Strategy:
    return build_account(plan_account(bars, weights, costs=COSTS)).run()[0]


def seconds(run, *args):
    """Return processor seconds, which a busy neighbour does not stretch, and what ran."""
    started = time.process_time()
    result = run(*args)
    return time.process_time() - started, result


def test_portfolio_beside_stock_feeds_and_order_target_percent(benchmark, bars, weights):
    few = {name: frame.iloc[:50] for name, frame in bars.items()}
    ours(few, weights.iloc[:50])  # the core is compiled once a machine
    pairs = []

    def compare() -> None:
        theirs, stocked = seconds(stock, bars, weights)
        mine, strategy = seconds(ours, bars, weights)
        ends = [run.analyzers.equity.get_analysis() for run in (stocked, strategy)]
        np.testing.assert_allclose(*ends, rtol=1e-9)  # the same orders: the same account on every bar
        pairs.append((mine, theirs, len(strategy.analyzers.orders.get_analysis())))

    benchmark.pedantic(compare, rounds=ROUNDS, iterations=1)
    mine, theirs = (float(np.median([pair[side] for pair in pairs])) for side in (0, 1))
    benchmark.extra_info.update(
        ratio=mine / theirs, limit=LIMIT, ours_seconds=mine, stock_seconds=theirs, orders=pairs[0][2], symbols=SYMBOLS
    )
    assert mine / theirs <= LIMIT


def test_portfolio_in_vectorbt(benchmark, bars, weights):
    """No limit is set: the same account in the other engine, for orientation."""
    plan = plan_account(bars, weights, costs=COSTS)
    mine, result = benchmark.pedantic(lambda: seconds(run_account_vectorbt, plan), rounds=1, iterations=1)
    benchmark.extra_info.update(ours_seconds=mine, orders=len(result.orders), symbols=SYMBOLS)
