import backtrader as bt
import pytest

from strategies.bt import BarsFeed, OrderLog, WeightSizer, set_broker
from strategies.costs import Costs
from tests.conftest import random_bars

BARS = random_bars(30)


def sizes(script, **params):
    class Plain(bt.Strategy):
        def next(self):
            if len(self) in script:
                getattr(self, script[len(self)])()

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(BarsFeed(BARS))
    cerebro.addstrategy(Plain)
    cerebro.addsizer(WeightSizer, **params)
    cerebro.addanalyzer(OrderLog)
    set_broker(cerebro, costs=Costs(0.0, 0.0))
    return [row[2] for row in cerebro.run()[0].analyzers.orderlog.get_analysis()]


def test_a_plain_buy_holds_the_weight_at_the_close_that_decided():
    bought = sizes({5: "buy"}, weight=0.5)
    assert bought == [pytest.approx(5_000 / BARS["close"].iloc[4])]


def test_buying_again_tops_up_or_does_nothing():
    # Half the account is under its weight after the price fell, over it after it rose.
    fell, rose = int(BARS["close"].iloc[6:].argmin()) + 6, int(BARS["close"].iloc[6:].argmax()) + 6
    first, more = sizes({5: "buy", fell + 1: "buy"}, weight=0.5)
    value = 10_000 + first * (BARS["close"].iloc[fell] - BARS["open"].iloc[5])
    assert first + more == pytest.approx(0.5 * value / BARS["close"].iloc[fell])
    assert len(sizes({5: "buy", rose + 1: "buy"}, weight=0.5)) == 1


def test_the_other_side_closes_and_with_reverse_goes_through():
    bought, sold = sizes({5: "buy", 9: "sell"}, weight=0.5)
    assert sold == -bought
    bought, sold = sizes({5: "buy", 9: "sell"}, weight=0.5, reverse=True)
    assert sold < -1.9 * bought
    assert sizes({5: "sell", 9: "close"}, weight=1.0)[0] < 0


def test_a_full_account_is_bought_whole():
    assert len(sizes({5: "buy", 9: "close"}, weight=1.0)) == 2
