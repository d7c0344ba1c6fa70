import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from strategies.bt import (
    BarsFeed,
    DailyReturns,
    DailySharpe,
    DrawDown,
    EquityCurve,
    OrderLog,
    Turnover,
    run_backtrader,
    set_broker,
)
from strategies.costs import Costs
from tests.conftest import random_bars


class Trader(bt.Strategy):
    def next(self):
        if len(self) % 11 == 3:
            self.buy(size=40)
        elif len(self) % 11 == 8:
            self.close()


def analyses(bars, *analyzers, strategy=Trader, **params):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(BarsFeed(bars))
    cerebro.addstrategy(strategy)
    set_broker(cerebro, costs=Costs(0.001, 0.001))
    for number, analyzer in enumerate(analyzers):
        cerebro.addanalyzer(analyzer, _name=f"a{number}", **(params if number == 0 else {}))
    found = cerebro.run()[0].analyzers
    return [getattr(found, f"a{number}").get_analysis() for number in range(len(analyzers))]


@pytest.mark.parametrize("interval", ["1min", "1h", "1D"])
def test_daily_returns_and_drawdown_are_backtraders_own(interval):
    bars = random_bars(3000 if interval == "1min" else 300, interval=interval)
    ours, stock = analyses(bars, DailyReturns), analyses(bars, bt.analyzers.TimeReturn, timeframe=bt.TimeFrame.Days)
    assert dict(ours[0]) == dict(stock[0]) and len(ours[0]) > 1
    ours, stock = analyses(bars, DrawDown), analyses(bars, bt.analyzers.DrawDown)
    for name in ("len", "drawdown", "moneydown"):
        assert ours[0][name] == stock[0][name]
        assert ours[0].max[name] == stock[0].max[name]


@pytest.mark.parametrize("timeframe", [bt.TimeFrame.Months, bt.TimeFrame.Weeks])
def test_other_timeframes_are_left_to_backtrader(timeframe):
    bars = random_bars(200, interval="1D")
    ours = analyses(bars, DailyReturns, timeframe=timeframe)
    assert dict(ours[0]) == dict(analyses(bars, bt.analyzers.TimeReturn, timeframe=timeframe)[0])


def test_sharpe_is_the_stated_convention():
    bars = random_bars(300)
    sharpe, equity = analyses(bars, DailySharpe, EquityCurve, factor=252)
    days = np.array(equity).reshape(-1)[np.r_[23:300:24, 299]]
    returns = np.diff(np.r_[10_000, days]) / np.r_[10_000, days[:-1]]
    assert sharpe["sharperatio"] == pytest.approx(returns.mean() / returns.std(ddof=1) * 252**0.5, rel=1e-12)


def test_an_account_of_exactly_zero_does_not_end_the_run():
    bars = random_bars(6, interval="1D")
    bars[["open", "high", "low", "close"]] = np.tile([[1.0], [1.0], [1.0], [1.5], [1.5], [1.5]], 4)
    # Sold at half the price: 5,000 is left of 10,000, and owed 10,000 units at 1.5 is all of the cash.
    result = run_backtrader(bars, pd.Series(-1.0, bars.index), costs=Costs(0.0, 0.5))
    assert result.equity.tolist() == [10_000.0, 5_000.0, 5_000.0, 0.0, 0.0, 0.0]
    assert result.metrics["sharpe"] is None and result.metrics["max_drawdown"] == 1.0


def test_equity_orders_and_turnover_add_up():
    bars = random_bars(60)
    equity, log, moved = analyses(bars, EquityCurve, OrderLog, Turnover)
    assert len(equity) == 60 and equity[0] == 10_000
    rows, sizes = np.array([row[1] for row in log]), np.array([row[2] for row in log])
    prices, opened = np.array([row[3] for row in log]), bars["open"].to_numpy()[rows]
    np.testing.assert_array_equal(prices, opened * np.where(sizes > 0, 1.001, 0.999))
    assert moved["turnover"] == pytest.approx((abs(sizes) * prices / np.array(equity)[rows - 1]).sum())
    assert moved["slippage_paid"] == pytest.approx((abs(sizes) * abs(prices - opened)).sum())
    assert moved["commission_paid"] == pytest.approx(sum(row[4] for row in log))
    assert all(decided == filled - 1 for decided, filled, *_ in log) and len(log) > 8


def test_nothing_happened_is_an_analysis_too():
    drawdown, log, moved = analyses(random_bars(2), DrawDown, OrderLog, Turnover)
    assert drawdown.max.drawdown == 0.0 and moved["turnover"] == 0.0 and log == []
