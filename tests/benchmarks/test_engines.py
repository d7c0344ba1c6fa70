"""What an ML strategy costs in backtrader beside stock backtrader, over the same bars."""

from __future__ import annotations

import time

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from strategies.bt import BarsFeed, ForecastStrategy, add_analyzers, set_broker
from strategies.costs import Costs
from strategies.vbt import run_vectorbt
from tests.conftest import random_bars

N = 100_000
TRADING = 0.05  # share of bars that give an order
LIMIT = 0.5
ROUNDS = 3


class SmaCross(bt.Strategy):
    """Stock backtrader as its documentation has it."""

    def __init__(self) -> None:
        self.cross = bt.ind.CrossOver(bt.ind.SMA(period=10), bt.ind.SMA(period=30))

    def next(self) -> None:
        if not self.position:
            if self.cross[0] > 0:
                self.buy()
        elif self.cross[0] < 0:
            self.close()


class Model(ForecastStrategy):
    """Holds the forecast's signal, looked up by the bar's stamp."""

    def target_weight(self) -> float:
        return self.forecast.lines.signal[0]


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    return random_bars(N, interval="1min", volatility=0.0005)


@pytest.fixture(scope="module")
def forecasts(bars: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    decides = rng.random(N) < TRADING
    signal = pd.Series(np.where(decides, rng.uniform(-1, 1, N), np.nan), bars.index).ffill()
    frame = pd.DataFrame({"signal": signal, "confidence": 0.5, "fold": np.arange(N) // 10_000})
    return frame.assign(trained_through=bars.index - pd.Timedelta(minutes=1))


def stock(bars: pd.DataFrame) -> bt.Strategy:
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bt.feeds.PandasData(dataname=bars))
    cerebro.addstrategy(SmaCross)
    cerebro.broker.setcommission(1e-5)
    add_analyzers(cerebro)
    return cerebro.run()[0]


def ours(bars: pd.DataFrame, forecasts: pd.DataFrame) -> bt.Strategy:
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(BarsFeed(bars))
    cerebro.addstrategy(Model, forecasts=forecasts)
    set_broker(cerebro, costs=Costs(1e-5, 0.0))
    add_analyzers(cerebro)
    return cerebro.run()[0]


def seconds(run, *args):
    """Return processor seconds, which a busy neighbour does not stretch, and what ran."""
    started = time.process_time()
    result = run(*args)
    return time.process_time() - started, result


def test_ml_strategy_beside_stock_sma_cross(benchmark, bars, forecasts):
    pairs = []

    def compare() -> None:
        theirs, _ = seconds(stock, bars)
        mine, strategy = seconds(ours, bars, forecasts)
        orders = len(strategy.analyzers.orders.get_analysis())
        assert 0.8 * TRADING * N < orders < 1.2 * TRADING * N
        pairs.append((mine, theirs, orders))

    benchmark.pedantic(compare, rounds=ROUNDS, iterations=1)
    mine, theirs = (float(np.median([pair[side] for pair in pairs])) for side in (0, 1))
    benchmark.extra_info.update(
        compared="BarsFeed and ForecastStrategy / PandasData and a moving-average cross, in backtrader",
        ratio=mine / theirs, limit=LIMIT, ours_seconds=mine, stock_seconds=theirs, orders=pairs[0][2], bars=N,
    )  # fmt: skip
    assert mine / theirs <= LIMIT


def test_vectorbt_beside_backtrader(benchmark, bars, forecasts):
    """No limit is set: the same weights in the other engine, for orientation."""
    weights = forecasts["signal"]
    run_vectorbt(bars.iloc[:100], weights.iloc[:100])
    mine, result = benchmark.pedantic(lambda: seconds(run_vectorbt, bars, weights), rounds=ROUNDS, iterations=1)
    benchmark.extra_info.update(ours_seconds=mine, kernel=result.extras["kernel"], orders=len(result.orders), bars=N)
