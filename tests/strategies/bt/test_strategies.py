import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from strategies.bt import BarsFeed, EquityCurve, ForecastStrategy, OrderLog, set_broker
from strategies.bt.run import run_backtrader
from strategies.costs import Costs
from tests.conftest import random_bars


def run(bars, strategy=ForecastStrategy, feed=BarsFeed, options=(), **params):
    cerebro = bt.Cerebro(**dict(options))
    cerebro.adddata(feed(bars))
    cerebro.addstrategy(strategy, **params)
    cerebro.addanalyzer(EquityCurve)
    cerebro.addanalyzer(OrderLog)
    set_broker(cerebro, costs=Costs())
    found = cerebro.run()[0].analyzers
    return found.equitycurve.get_analysis(), found.orderlog.get_analysis()


def some_weights(bars):
    rng = np.random.default_rng(3)
    blocks = np.repeat(rng.choice([-1, -0.4, np.nan, 0.3, 0.300000001, 1], len(bars) // 4 + 1), 4)[: len(bars)]
    return pd.Series(blocks, bars.index)


class Told(ForecastStrategy):
    """The same weights, said bar by bar from the hook."""

    params = (("told", None),)

    def target_weight(self):
        return self.p.told.iloc[len(self.data) - 1]


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("runonce", [True, False])
@pytest.mark.parametrize("exactbars", [-2, 0, 1])
@pytest.mark.parametrize("stdstats", [True, False])
def test_all_modes_trade_like_the_run(preload, runonce, exactbars, stdstats):
    bars = random_bars(80)
    weights = some_weights(bars)
    expected = run_backtrader(bars, weights)
    options = {"preload": preload, "runonce": runonce, "exactbars": exactbars, "stdstats": stdstats}
    for params in ({"weights": weights}, {"strategy": Told, "told": weights}):
        equity, orders = run(bars, options=options, **params)
        assert equity == expected.equity.tolist()
        assert [row[2] for row in orders] == expected.orders["size"].tolist()
    assert len(orders) > 10


def test_a_stock_feed_gives_the_same(monkeypatch):
    bars = random_bars(80)
    weights = some_weights(bars)
    assert run(bars, weights=weights) == run(
        bars, feed=lambda bars: bt.feeds.PandasData(dataname=bars), weights=weights
    )


def test_weights_are_looked_up_by_stamp_and_missing_ones_are_flat():
    bars = random_bars(40)
    weights = pd.Series(0.5, bars.index[10:20])
    orders = run(bars, weights=weights)[1]
    assert [(row[0], row[1]) for row in orders] == [(10, 11), (20, 21)]
    assert orders[0][2] == -orders[1][2]


def test_forecasts_alone_are_held_at_their_signal():
    bars = random_bars(40)
    signal = pd.Series(np.where(np.arange(40) < 20, 0.4, np.nan), bars.index)
    through = bars.index - pd.Timedelta(hours=1)
    forecasts = pd.DataFrame({"signal": signal, "confidence": 0.5, "fold": 0, "trained_through": through})
    assert run(bars, forecasts=forecasts) == run(bars, weights=signal)


def test_a_strategy_with_a_warm_up_and_hooks_of_its_own_still_runs():
    class Mine(ForecastStrategy):
        def __init__(self):
            super().__init__()
            self.mean = bt.ind.SMA(self.data, period=10)
            self.values = []

        def notify_cashvalue(self, cash, value):
            self.values.append(value)

        def target_weight(self):
            return 0.9 if self.data.close[0] > self.mean[0] else float("nan")

        def stop(self):
            assert len(self.values) == len(self.data)

    bars = random_bars(200)
    equity, orders = run(bars, Mine)
    assert len(equity) == 200 and equity[9] == 10_000.0
    assert orders[0][0] >= 9 and len(orders) > 5


def test_what_cannot_be_held_is_refused():
    bars = random_bars(10)
    with pytest.raises(BarwiseError, match="target_weight"):
        run(bars)
    with pytest.raises(BarwiseError, match=r"`target_weight` is 1\.5"):
        run(bars, weights=pd.Series(1.5, bars.index))
