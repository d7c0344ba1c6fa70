"""The quiet strategy calls exactly what backtrader's own would."""

import backtrader as bt
import pytest

from mlcore.errors import BarwiseError
from strategies.bt import BarsFeed, add_analyzers
from strategies.bt.quiet import QuietStrategy
from tests.conftest import random_bars


class Chatty(bt.Analyzer):
    """Writes down every call it gets, and has children that do."""

    params = (("depth", 0),)

    def __init__(self):
        self.child = Chatty(depth=self.p.depth - 1) if self.p.depth else None

    def create_analysis(self):
        self.rets = []

    def notify_cashvalue(self, cash, value):
        self.rets.append(("cash", len(self), cash, value))

    def notify_fund(self, cash, value, fundvalue, shares):
        self.rets.append(("fund", len(self), cash, value, fundvalue, shares))

    def notify_order(self, order):
        self.rets.append(("order", len(self), order.status))

    def notify_trade(self, trade):
        self.rets.append(("trade", len(self), trade.status))

    def prenext(self):
        self.rets.append(("prenext", len(self)))

    def next(self):
        self.rets.append(("next", len(self)))

    def stop(self):
        if self.child is not None:
            self.rets.append(self.child.rets)


def calls(base, **options):
    class Trader(base):
        def __init__(self):
            self.mean = bt.ind.SMA(self.data, period=7)
            self.heard = []

        def notify_fund(self, cash, value, fundvalue, shares):
            self.heard.append((len(self), value, shares))

        def next(self):
            if len(self) % 9 == 0:
                self.buy(size=3)
            elif len(self) % 9 == 4:
                self.close()

    cerebro = bt.Cerebro(**options)
    cerebro.adddata(BarsFeed(random_bars(80)))
    cerebro.addstrategy(Trader)
    cerebro.addanalyzer(Chatty, depth=2)
    for analyzer in (bt.analyzers.TimeReturn, bt.analyzers.DrawDown, bt.analyzers.SQN, bt.analyzers.PositionsValue):
        cerebro.addanalyzer(analyzer)
    add_analyzers(cerebro)
    strategy = cerebro.run()[0]
    found = [analyzer.get_analysis() for analyzer in strategy.analyzers]
    return strategy.heard, [str(dict(one)) if isinstance(one, dict) else one for one in found]


def test_every_hook_hears_the_same_in_the_same_order():
    for options in ({}, {"runonce": False}, {"quicknotify": True}, {"exactbars": 1, "stdstats": False}):
        quiet, stock = calls(QuietStrategy, **options), calls(bt.Strategy, **options)
        assert quiet == stock
    assert {entry[0] for entry in quiet[1][0][:-1]} == {"cash", "fund", "order", "trade", "prenext", "next"}


def test_a_bar_that_backtrader_would_lose_is_refused():
    class Counting(QuietStrategy):
        def stop(self):
            self.counts = [len(data) for data in self.datas]

    bars = random_bars(48)
    short = bars.iloc[::5]
    cerebro = bt.Cerebro(stdstats=False)
    for one in (bars, short):
        cerebro.adddata(bt.feeds.PandasData(dataname=one, timeframe=bt.TimeFrame.Minutes, compression=60), name="mine")
    cerebro.addstrategy(Counting)
    assert cerebro.run()[0].counts == [48, 10]
    with pytest.raises(BarwiseError, match="`exactbars` is 1 and the feed 'mine' has to wait"):
        cerebro.run(exactbars=1)
    cerebro = bt.Cerebro(stdstats=False, exactbars=1)
    for _ in range(2):
        cerebro.adddata(bt.feeds.PandasData(dataname=bars))
    cerebro.addstrategy(Counting)
    assert cerebro.run()[0].counts == [48, 48]  # none waits
