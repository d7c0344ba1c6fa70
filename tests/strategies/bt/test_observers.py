import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from strategies.bt import (
    BarsFeed,
    Confidence,
    EquityCurve,
    Exposure,
    OrderLog,
    QuantileBand,
    RetrainMarks,
    WalkForwardStrategy,
    build_cerebro,
)
from strategies.bt.observers import OfBars
from tests.conftest import random_bars
from tests.strategies.bt.runs import BARS, MODES, cerebro_of, forecasts_of
from tests.strategies.bt.test_retraining import BARS as ALL
from tests.strategies.bt.test_retraining import GIVEN, old


@pytest.mark.parametrize("runonce", [True, False])
def test_exposure_is_what_is_held_over_what_there_is(runonce):
    bars = random_bars(40)
    cerebro = build_cerebro(
        bars, pd.Series(np.r_[[np.nan] * 10, [-0.5] * 20, [np.nan] * 10], bars.index), runonce=runonce
    )
    cerebro.addobserver(Exposure)
    seen = cerebro.run()[0].observers.exposure
    exposure, target = (np.array(line.array)[:40] for line in (seen.lines.exposure, seen.lines.target))
    assert exposure[11] == pytest.approx(-0.5, abs=0.02) and exposure[5] == exposure[35] == 0
    np.testing.assert_array_equal(target, np.r_[[0.0] * 10, [-0.5] * 20, [0.0] * 10])


LINES = {Confidence: ("confidence",), QuantileBand: ("low", "middle", "high"), RetrainMarks: ("calendar", "asked")}


def lines_of(strategy, observer):
    (found,) = [one for one in strategy.observers if isinstance(one, observer)]
    return np.array([np.array(getattr(found.lines, name).array)[: len(BARS)] for name in LINES[observer]])


@pytest.mark.parametrize("options", [mode for mode in MODES if mode["exactbars"] < 1], ids=str)
def test_observers_show_what_was_heard_in_all_modes(options):
    told, band = forecasts_of(), forecasts_of(quantiles=True)
    cerebro = cerebro_of(options=options, forecasts=told)
    for observer in LINES:
        cerebro.addobserver(observer)
    strategy = cerebro.run()[0]
    np.testing.assert_array_equal(lines_of(strategy, Confidence)[0], told["confidence"].reindex(BARS.index))
    marks = lines_of(strategy, RetrainMarks)
    assert np.flatnonzero(np.isfinite(marks[0])).tolist() == [20, 60, 100] and np.isnan(marks[1]).all()
    np.testing.assert_array_equal(marks[0][[20, 60, 100]], BARS["high"].iloc[[20, 60, 100]])
    assert np.isnan(lines_of(strategy, QuantileBand)).all()
    cerebro = cerebro_of(options=options, forecasts=band)
    cerebro.addobserver(QuantileBand)
    found = lines_of(cerebro.run()[0], QuantileBand)
    wanted = BARS["close"].to_numpy()[:, None] * np.exp(band[["q10", "q50", "q90"]].reindex(BARS.index))
    np.testing.assert_allclose(found, wanted.T, rtol=1e-12)


class Kept(bt.Analyzer):
    """Observers' lines bar by bar, as they stood when the bar was dealt with: exactbars=1 forgets them."""

    def create_analysis(self):
        self.rets = []

    def next(self):
        self._keep()  # observers come after analyzers: this is the bar before

    def stop(self):
        self._keep()

    def _keep(self):
        if len(self.strategy.observers[0]):
            self.rets.append([line[0] for one in self.strategy.observers for line in one.lines])


@pytest.mark.parametrize("options", [mode for mode in MODES if not (mode["preload"] and mode["runonce"])], ids=str)
def test_beside_other_feeds_observers_show_what_the_first_feed_s_bar_was_told(options):
    told = forecasts_of().join(forecasts_of(quantiles=True)[["q10", "q50", "q90"]])
    feeds = [BarsFeed(BARS), BarsFeed(BARS.iloc[::3])]
    cerebro = cerebro_of(*feeds, options=options, forecasts=told)
    for observer in (*LINES, Exposure):
        cerebro.addobserver(observer)
    cerebro.resampledata(feeds[0], timeframe=bt.TimeFrame.Minutes, compression=240)
    for analyzer in (Kept, EquityCurve, OrderLog):
        cerebro.addanalyzer(analyzer)
    strategy = cerebro.run()[0]
    found = np.array(strategy.analyzers.kept.get_analysis(), dtype=np.float64)
    rows = np.r_[np.arange(len(BARS)), len(BARS) - 1]  # a last step ends the longest bar
    assert len(found) == len(rows)
    close, high = BARS["close"].to_numpy()[rows], BARS["high"].to_numpy()[rows]
    told = told.reindex(BARS.index).iloc[rows]
    np.testing.assert_array_equal(found[:, 0], told["confidence"])
    np.testing.assert_allclose(found[:, 1:4].T, close * np.exp(told[["q10", "q50", "q90"]]).T, rtol=1e-12)
    marked = np.isin(np.arange(len(rows)), [20, 60, 100])  # the folds' first bars
    np.testing.assert_array_equal(found[:, 4], np.where(marked, high, np.nan))
    assert np.isnan(found[:, 5]).all()
    held = np.zeros(len(rows))
    for _, filled, size, *_ in strategy.analyzers.orderlog.get_analysis():
        held[filled:] += size
    np.testing.assert_allclose(found[:, 6], held * close / strategy.analyzers.equitycurve.get_analysis(), atol=1e-12)
    np.testing.assert_array_equal(found[:, 7], told["signal"].fillna(0.0))


def test_a_strategy_that_hears_nothing_is_shown_as_nothing():
    cerebro = cerebro_of(weights=BARS["close"] * 0)
    for observer in LINES:
        cerebro.addobserver(observer)
    strategy = cerebro.run()[0]
    for observer in LINES:
        assert np.isnan(lines_of(strategy, observer)).all()


def test_a_retrain_that_a_rule_asked_for_is_marked_as_that():
    cerebro = cerebro_of(BarsFeed(ALL.iloc[:230]), strategy=WalkForwardStrategy, **GIVEN, rules=old)
    cerebro.addobserver(RetrainMarks)
    cerebro.addobserver(Confidence)
    strategy = cerebro.run()[0]
    (marks,) = [one for one in strategy.observers if isinstance(one, RetrainMarks)]
    for name, asked in (("calendar", False), ("asked", True)):
        rows = np.flatnonzero(np.isfinite(np.array(getattr(marks.lines, name).array)))
        lives = [event.live for event in strategy.retrains if (event.reason != "calendar") == asked]
        assert lives and rows.tolist() == ALL.index.get_indexer(lives).tolist()


@pytest.mark.parametrize("runonce", [True, False])
def test_an_observer_of_bars_has_one_value_for_each_beside_a_faster_feed(runonce):
    class Closes(OfBars):
        lines = ("price",)

        def next(self):
            self.lines.price[0] = self._owner.data.close[0]

    bars = random_bars(40)
    cerebro = bt.Cerebro(stdstats=False, runonce=runonce)
    for one in (bars, random_bars(150, interval="15min")):
        cerebro.adddata(BarsFeed(one))
    cerebro.addstrategy(bt.Strategy)
    cerebro.addobserver(Closes)
    seen = cerebro.run()[0].observers[0]
    assert len(seen) == 40
    assert list(seen.lines.price.array) == bars["close"].tolist()
