import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarsError
from strategies.bt import BarsFeed
from strategies.bt.feed import stamps_to_numbers
from tests.conftest import random_bars

LINES = ("open", "high", "low", "close", "volume", "openinterest", "datetime")


class Recorder(bt.Strategy):
    def __init__(self):
        self.seen = []

    def next(self):
        now = tuple(getattr(self.data, name)[0] for name in LINES)
        self.seen.append((*now, len(self.data), self.data.close[-1] if len(self.data) > 1 else 0.0))


def seen(feed, **options):
    cerebro = bt.Cerebro(stdstats=False, **options)
    cerebro.adddata(feed)
    cerebro.addstrategy(Recorder)
    return cerebro.run()[0].seen


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("runonce", [True, False])
@pytest.mark.parametrize("exactbars", [-2, -1, 0, 1])
def test_all_modes_show_what_pandas_data_shows(preload, runonce, exactbars):
    bars = random_bars(60, interval="7min")
    options = {"preload": preload, "runonce": runonce, "exactbars": exactbars}
    ours = seen(BarsFeed(bars), **options)
    # With exactbars=1 the stock feed shows this bar's close as that of the bar before, which it has dropped.
    stock = seen(bt.feeds.PandasData(dataname=bars), **options | ({"exactbars": 0} if exactbars == 1 else {}))
    np.testing.assert_array_equal(ours, stock)
    assert len(ours) == 60


@pytest.mark.parametrize(
    ("interval", "timeframe", "compression"),
    [
        ("1D", bt.TimeFrame.Days, 1),
        ("1h", bt.TimeFrame.Minutes, 60),
        ("5min", bt.TimeFrame.Minutes, 5),
        ("30s", bt.TimeFrame.Seconds, 30),
    ],
)
def test_timeframe_and_compression_come_from_the_modal_step(interval, timeframe, compression):
    bars = random_bars(30, interval=interval).drop(random_bars(30, interval=interval).index[7:9])
    feed = BarsFeed(bars)
    cerebro = bt.Cerebro()
    cerebro.adddata(feed)
    assert (feed._timeframe, feed._compression) == (timeframe, compression)


def test_stamps_are_backtraders_own_numbers():
    index = pd.DatetimeIndex(["1999-12-31 23:59:59", "2024-02-29", "2024-06-01 12:34:56.789"], tz="UTC")
    expected = [bt.date2num(stamp.to_pydatetime()) for stamp in index]
    np.testing.assert_allclose(stamps_to_numbers(index), expected, rtol=1e-15)
    assert stamps_to_numbers(index.as_unit("ms"))[1] == expected[1]


def test_dates_filters_resampling_and_replay_go_the_slow_way():
    bars = random_bars(48)
    day = bars.index[24].to_pydatetime().replace(tzinfo=None)
    cut = seen(BarsFeed(bars, fromdate=day))
    assert len(cut) == 24 and cut[0][3] == bars["close"].iloc[24]
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.resampledata(BarsFeed(bars), timeframe=bt.TimeFrame.Days, compression=1)
    cerebro.addstrategy(Recorder)
    resampled = cerebro.run()[0].seen
    assert [row[3] for row in resampled] == [bars["close"].iloc[23], bars["close"].iloc[47]]
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.replaydata(BarsFeed(bars), timeframe=bt.TimeFrame.Days, compression=1)
    cerebro.addstrategy(Recorder)
    assert [row[3] for row in cerebro.run()[0].seen] == bars["close"].tolist()


def test_two_feeds_of_different_length_run_side_by_side():
    bars = random_bars(48)

    def closes(make):
        class Both(bt.Strategy):
            def __init__(self):
                self.seen = []

            def next(self):
                self.seen.append((self.datas[0].close[0], self.datas[1].close[0], len(self.datas[1])))

        cerebro = bt.Cerebro(stdstats=False)
        cerebro.adddata(make(bars))
        cerebro.adddata(make(bars.iloc[10:30:2]))
        cerebro.addstrategy(Both)
        return cerebro.run()[0].seen

    assert closes(BarsFeed) == closes(lambda bars: bt.feeds.PandasData(dataname=bars, timeframe=bt.TimeFrame.Minutes))


@pytest.mark.parametrize("others", [slice(10, 30, 2), slice(None, None, 7), slice(30, 48)], ids=str)
def test_a_bar_that_waits_is_kept_where_backtrader_keeps_no_bars(others):
    bars = random_bars(48)

    class All(bt.Strategy):
        def __init__(self):
            self.seen = []
            self.mean = bt.ind.SMA(self.datas[1], period=3)  # older bars are still there

        def prenext(self):
            self.next()

        def next(self):
            means = self.mean[0] if len(self.datas[1]) >= 3 else None
            self.seen.append(
                [means, *(value for data in self.datas for value in (len(data), *map(float, newest(data))))]
            )

    def newest(data):
        return [line[0] for line in data.lines] if len(data) else [-1.0]

    def run(*exactbars):
        cerebro = bt.Cerebro(stdstats=False)
        feed = BarsFeed(bars)
        for each in (feed, BarsFeed(bars.iloc[others])):
            cerebro.adddata(each)
        cerebro.resampledata(BarsFeed(bars.iloc[5:]), timeframe=bt.TimeFrame.Minutes, compression=180)
        cerebro.resampledata(feed, timeframe=bt.TimeFrame.Minutes, compression=300)
        cerebro.addstrategy(All)
        return [repr(cerebro.run(exactbars=each)[0].seen) for each in exactbars]

    (wanted,) = run(0)
    assert run(1) == [wanted]
    assert run(1, 1, 0, 1) == [wanted] * 4  # the same feeds again


def test_a_feed_can_run_twice_and_one_bar_is_a_feed():
    bars = random_bars(20)
    feed = BarsFeed(bars)
    np.testing.assert_array_equal(seen(feed), seen(feed))
    assert len(seen(BarsFeed(bars.iloc[:1]))) == 1


def test_bars_without_prices_are_refused():
    with pytest.raises(BarsError, match="close"):
        BarsFeed(random_bars(5).drop(columns="close"))
    with pytest.raises(BarsError, match="open"):
        BarsFeed([1, 2, 3])
