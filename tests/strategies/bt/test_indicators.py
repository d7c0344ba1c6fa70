import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError, LookAheadError
from strategies.bt import BarsFeed, ForecastIndicator, build_cerebro
from tests.conftest import random_bars

LINES = ("signal", "confidence", "fold", "retrain")


def forecasts_on(index, rows=slice(10, 40), fold_size=12):
    index = index[rows]
    rng = np.random.default_rng(0)
    n = len(index)
    frame = pd.DataFrame({"signal": rng.uniform(-1, 1, n), "confidence": rng.random(n)}, index)
    frame["fold"] = np.arange(n) // fold_size
    frame["trained_through"] = index - pd.Timedelta(hours=1)
    frame.iloc[3, 0] = np.nan
    return frame


class Reader(bt.Strategy):
    params = (("forecasts", None),)

    def __init__(self):
        self.forecast = ForecastIndicator(self.data, forecasts=self.p.forecasts)
        self.seen = []

    def next(self):
        self.seen.append([getattr(self.forecast, name)[0] for name in LINES])


def read(feed, forecasts, **options):
    cerebro = bt.Cerebro(stdstats=False, **options)
    cerebro.adddata(feed)
    cerebro.addstrategy(Reader, forecasts=forecasts)
    strategy = cerebro.run()[0]
    assert strategy.forecast._minperiod == 1
    return np.array(strategy.seen)


@pytest.mark.parametrize("feed", [BarsFeed, lambda bars: bt.feeds.PandasData(dataname=bars)], ids=["ours", "stock"])
@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("runonce", [True, False])
@pytest.mark.parametrize("exactbars", [-2, 0, 1])
def test_all_modes_and_feeds_read_the_forecast_of_the_bars_own_stamp(feed, preload, runonce, exactbars):
    bars = random_bars(60)
    forecasts = forecasts_on(bars.index)
    expected = forecasts.assign(retrain=np.where(forecasts["fold"].diff() != 0, 1.0, np.nan))
    expected = expected.reindex(bars.index)[list(LINES)].to_numpy(float)
    got = read(feed(bars), forecasts, preload=preload, runonce=runonce, exactbars=exactbars)
    np.testing.assert_array_equal(got, expected)
    assert np.nansum(got[:, 3]) == 3


def test_it_is_looked_up_by_stamp_not_by_row():
    bars = random_bars(60)
    forecasts = forecasts_on(bars.index).drop(bars.index[[15, 22]])
    later = bars.iloc[20:50].drop(bars.index[25])
    got = read(BarsFeed(later), forecasts)
    np.testing.assert_array_equal(got[:, 0], forecasts["signal"].reindex(later.index))


def test_a_model_that_knew_the_bar_is_refused():
    bars = random_bars(60)
    forecasts = forecasts_on(bars.index)
    forecasts.iloc[5, forecasts.columns.get_loc("trained_through")] = forecasts.index[5]
    with pytest.raises(LookAheadError, match=str(forecasts.index[5])[:16]):
        read(BarsFeed(bars), forecasts)


def test_frames_that_are_no_forecasts_are_refused():
    bars = random_bars(20)
    with pytest.raises(BarwiseError, match="signal"):
        read(BarsFeed(bars), bars)
    with pytest.raises(BarwiseError, match="the frame that `walk_forward` returns"):
        read(BarsFeed(bars), forecasts_on(bars.index, slice(2, 9))["signal"])
    with pytest.raises(BarwiseError, match="increasing"):
        read(BarsFeed(bars), forecasts_on(bars.index, slice(2, 9)).iloc[::-1])


def test_a_signal_and_what_it_was_trained_through_are_enough_and_none_is_nan():
    bars = random_bars(20)
    told = forecasts_on(bars.index, slice(5))[["signal", "trained_through"]].assign(signal=0.5)
    got = read(BarsFeed(bars), told)
    assert (got[:5, 0] == 0.5).all() and np.isnan(got[5:, 0]).all() and np.isnan(got[:, 1:]).all()


def test_forecasts_that_do_not_say_what_they_were_trained_through_are_refused():
    bars = random_bars(60)
    forecasts = forecasts_on(bars.index)
    unknown = forecasts.assign(trained_through=forecasts["trained_through"].where(np.arange(len(forecasts)) != 4))
    for frame in (forecasts.drop(columns="trained_through"), unknown):
        with pytest.raises(LookAheadError, match="trained.through"):
            read(BarsFeed(bars), frame)
        with pytest.raises(LookAheadError, match="trained.through"):
            build_cerebro(bars, pd.Series(0.5, bars.index), forecasts=frame).run()
    naive = forecasts.assign(trained_through=forecasts["trained_through"].dt.tz_localize(None))
    for frame in (naive, forecasts.tz_localize(None)):
        with pytest.raises(BarwiseError, match="UTC"):
            read(BarsFeed(bars), frame)


@pytest.mark.parametrize("feed", [BarsFeed, lambda bars: bt.feeds.PandasData(dataname=bars)], ids=["ours", "stock"])
@pytest.mark.parametrize("runonce", [True, False])
def test_forecasts_of_no_bar_of_the_feed_are_refused_where_that_can_be_seen(feed, runonce):
    bars = random_bars(60)
    forecasts = forecasts_on(bars.index)
    for frame in (forecasts.shift(freq="7min"), forecasts.iloc[:0]):
        with pytest.raises(BarwiseError, match="no row for any of the feed's 60 bars"):
            read(feed(bars), frame, runonce=runonce)
        assert np.isnan(read(feed(bars), frame, runonce=runonce, preload=False)).all()
    late = read(feed(bars), forecasts.iloc[-1:], runonce=runonce)
    assert np.isfinite(late[:, 0]).sum() == 1


@pytest.mark.parametrize("feed", [BarsFeed, lambda bars: bt.feeds.PandasData(dataname=bars)], ids=["ours", "stock"])
def test_forecasts_of_longer_bars_than_the_feed_s_are_refused(feed):
    quarters = random_bars(240, interval="15min")
    with pytest.raises(LookAheadError, match="apart"):
        read(feed(quarters), forecasts_on(random_bars(60).index))
