"""Features and regime as indicators: the table's values in every mode of the engine."""

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from mlcore.combiners import efficiency_ratio
from mlcore.errors import BarwiseError
from mlcore.features import feature, feature_table
from mlcore.plugins import FEATURES as FEATURES_BY_NAME
from mlcore.plugins import UnknownPluginError
from strategies.bt import BarsFeed, FeatureIndicator, RegimeIndicator
from tests.conftest import random_bars
from tests.strategies.bt.runs import BARS, MODES, cerebro_of

FEATURES = ["rsi_window7", "momentum_window10", "close_pct_change", ("ema_distance", {"window": 10}), "time_of_day"]


class Reader(bt.Strategy):
    params = (("make", None), ("feed", 0))

    def __init__(self):
        self.one = self.p.make(self.datas[self.p.feed])
        self.seen = {}

    def next(self):
        data = self.datas[self.p.feed]
        self.seen[len(data) - 1] = [line[0] for line in self.one.lines]


def read(make, *feeds, options=(), **params):
    strategy = cerebro_of(*feeds, strategy=Reader, options=options, make=make, **params).run()[0]
    return np.array([strategy.seen[row] for row in sorted(strategy.seen)]), sorted(strategy.seen), strategy


@pytest.mark.parametrize("options", MODES, ids=str)
def test_all_modes_say_what_the_table_says(options):
    for name in FEATURES[:3]:
        wanted = feature_table(BARS, [name]).to_numpy()
        found, rows, strategy = read(lambda data, name=name: FeatureIndicator(data, feature=name), options=options)
        assert rows == list(range(int(np.isfinite(wanted[:, 0]).argmax()), len(BARS)))  # the warm-up is waited for
        np.testing.assert_allclose(found, wanted[rows], rtol=1e-9, atol=1e-12)
        if options["preload"] and options["runonce"] and options["exactbars"] < 1:
            np.testing.assert_array_equal(found, wanted[rows])
        assert strategy.one._minperiod == rows[0] + 1


@pytest.mark.parametrize("feature", FEATURES[3:])
def test_recursive_ones_and_those_of_the_calendar_too(feature):
    wanted = feature_table(BARS, [feature]).to_numpy()
    for options in (MODES[0], MODES[-1]):
        found, rows, _ = read(lambda data: FeatureIndicator(data, feature=feature), options=options)
        np.testing.assert_allclose(found[:, 0], wanted[rows, 0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("options", [MODES[0], MODES[-1]], ids=str)
def test_a_column_of_several(options):
    table = feature_table(BARS, ["time_of_day"])
    assert table.shape[1] > 1
    name = table.columns[1]
    found, rows, _ = read(lambda data: FeatureIndicator(data, feature="time_of_day", column=name), options=options)
    np.testing.assert_allclose(found[:, 0], table[name].to_numpy()[rows])


@pytest.mark.parametrize("options", [MODES[0], MODES[2], MODES[3], MODES[6]], ids=str)
def test_another_feed_and_a_longer_clock_have_their_own(options):
    other = random_bars(60, seed=9, interval="2h")
    wanted = feature_table(other, ["rsi_window7"]).to_numpy()
    make = lambda data: FeatureIndicator(data, feature="rsi_window7")  # noqa: E731
    found, rows, _ = read(make, BarsFeed(BARS), BarsFeed(other), options=options, feed=1)
    np.testing.assert_allclose(found, wanted[rows], rtol=1e-9)

    def resampled(options):
        cerebro = cerebro_of(BarsFeed(BARS), strategy=Reader, options=options, make=make, feed=1)
        cerebro.resampledata(cerebro.datas[0], timeframe=bt.TimeFrame.Minutes, compression=240, rightedge=False)
        return cerebro.run()[0]

    strategy = resampled(options)
    long = {name: np.array(getattr(resampled({}).datas[1], name).array) for name in BARS.columns}
    wanted = feature_table(pd.DataFrame(long, index=BARS.index[: len(long["close"])]), ["rsi_window7"]).to_numpy()
    assert list(strategy.seen) == list(range(7, 31))
    np.testing.assert_allclose(list(strategy.seen.values()), wanted[7:31], rtol=1e-9)


class Moody(BarsFeed):
    lines = ("mood",)


@pytest.mark.parametrize("options", [MODES[0], MODES[2], MODES[6]], ids=str)
def test_further_lines_of_the_feed_are_read(options):
    def mood(bars, window=5):
        return pd.Series(np.asarray(bars["mood"]), bars.index).rolling(window).max()

    FEATURES_BY_NAME.register("mood", feature(mood))
    try:
        bars = BARS.assign(mood=np.random.default_rng(2).normal(size=len(BARS)))
        found, rows, _ = read(lambda data: FeatureIndicator(data, feature="mood"), Moody(bars), options=options)
        np.testing.assert_array_equal(found[:, 0], bars["mood"].rolling(5).max().iloc[rows])
        assert rows[0] == 4
        with pytest.raises(BarwiseError, match="needs the column 'mood'"):
            read(lambda data: FeatureIndicator(data, feature="mood"), options=options)
    finally:
        FEATURES_BY_NAME._entries.pop("mood")


def test_bars_that_come_later_change_nothing():
    found = read(lambda data: FeatureIndicator(data, feature="rsi_window7"), BarsFeed(BARS.iloc[:70]))[0]
    whole = read(lambda data: FeatureIndicator(data, feature="rsi_window7"))[0]
    np.testing.assert_array_equal(found, whole[: len(found)])


def test_what_is_no_feature_is_refused():
    for given, said in [({}, "`feature` is not given"), ({"feature": "rsi", "column": "x"}, "`column` is 'x'")]:
        with pytest.raises(BarwiseError, match=said):
            read(lambda data, given=given: FeatureIndicator(data, **given))
    with pytest.raises(UnknownPluginError, match="rsi"):
        read(lambda data: FeatureIndicator(data, feature="rsy"))


@pytest.mark.parametrize("options", MODES, ids=str)
def test_the_regime_is_that_of_the_regime_stack(options):
    closes = BARS["close"].to_numpy()
    moves = closes[1:] / closes[:-1] - 1
    wanted = np.array([efficiency_ratio(moves[row - 12 : row][None])[0] for row in range(12, len(BARS))])
    found, rows, _ = read(lambda data: RegimeIndicator(data, window=12, trend=0.3), options=options)
    assert rows == list(range(12, len(BARS)))
    np.testing.assert_allclose(found[:, 0], wanted, atol=1e-12)
    np.testing.assert_array_equal(found[:, 1], np.where(np.abs(found[:, 0]) >= 0.3, np.sign(found[:, 0]), 0))
    assert set(found[:, 1]) == {-1, 0, 1}


def test_a_regime_of_no_window_is_refused():
    for given in ({"window": 1}, {"window": 2.5}, {"trend": 0.0}, {"trend": 1.5}):
        with pytest.raises(BarwiseError, match=f"`{next(iter(given))}` is"):
            read(lambda data, given=given: RegimeIndicator(data, **given))
