"""A file played as a live feed."""

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarsError
from strategies.bt import BarsFeed, ReplayFeed
from strategies.bt.replay import is_live
from tests.conftest import random_bars

BARS = random_bars(60)


class Listener(bt.Strategy):
    def __init__(self):
        self.mean = bt.ind.SMA(self.data, period=3)
        self.heard, self.seen, self.buffered = [], [], []

    def notify_data(self, data, status, *args, **kwargs):
        self.heard.append((len(data), data._getstatusname(status)))

    def next(self):
        self.seen.append((self.data.close[0], is_live(self.data)))
        self.buffered.append(self.data.buflen() - len(self.data))


def listened(*feeds, **options):
    cerebro = bt.Cerebro(stdstats=False, **options)
    for feed in feeds:
        cerebro.adddata(feed)
    cerebro.addstrategy(Listener)
    return cerebro.run()[0]


@pytest.mark.parametrize("options", [{}, {"preload": True, "runonce": True}, {"exactbars": 1}])
def test_the_past_is_delayed_then_it_is_live_and_nothing_is_preloaded(options):
    strategy = listened(ReplayFeed(BARS, live_from=BARS.index[20]), **options)
    assert strategy.heard == [(1, "DELAYED"), (21, "LIVE")]
    np.testing.assert_array_equal([close for close, _ in strategy.seen], BARS["close"].iloc[2:])
    assert [live for _, live in strategy.seen] == [False] * 18 + [True] * 40
    assert max(strategy.buffered) == 0  # no bar is there before its time


def test_all_is_live_from_the_first_bar_by_default_and_history_always_may_be_traded():
    assert listened(ReplayFeed(BARS)).heard == [(1, "LIVE")]
    strategy = listened(BarsFeed(BARS))
    assert strategy.heard == [] and all(live for _, live in strategy.seen)


def test_a_file_is_read_as_any_bars_are(tmp_path):
    BARS.to_parquet(tmp_path / "bars.parquet")
    strategy = listened(ReplayFeed(tmp_path / "bars.parquet", live_from=str(BARS.index[30].tz_localize(None))))
    assert strategy.heard == [(1, "DELAYED"), (31, "LIVE")]
    with pytest.raises(BarsError, match="does not exist"):
        ReplayFeed(tmp_path / "none.parquet")


def test_it_waits_its_pace_between_live_bars(monkeypatch):
    waited = []
    monkeypatch.setattr("strategies.bt.replay.time.sleep", waited.append)
    listened(ReplayFeed(BARS, live_from=BARS.index[50], pace=0.25))
    assert waited == [0.25] * 10
    with pytest.raises(BarsError, match="`pace` is -1"):
        ReplayFeed(BARS, pace=-1)


def test_two_live_feeds_run_beside_each_other():
    strategy = listened(ReplayFeed(BARS, live_from=BARS.index[20]), ReplayFeed(BARS.iloc[::2]))
    assert sorted(strategy.heard) == [(1, "DELAYED"), (1, "LIVE"), (21, "LIVE")]
    assert pd.Series([close for close, _ in strategy.seen]).nunique() == len(BARS) - 2
