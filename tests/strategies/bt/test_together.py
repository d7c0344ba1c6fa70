"""Everything at once, in every way that Cerebro runs: equal to the plain run, bit for bit."""

import functools
import itertools

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from mlcore.labels import direction
from strategies.bt import (
    BarsFeed,
    Confidence,
    ConfidenceBuckets,
    CostBreakdown,
    EquityCurve,
    Exposure,
    ExposureStats,
    FeatureIndicator,
    ForecastQuality,
    ForecastStrategy,
    OrderLog,
    ParquetWriter,
    QuantileBand,
    RegimeIndicator,
    RetrainMarks,
    Turnover,
    WalkForwardStrategy,
    add_analyzers,
)
from strategies.policy import Policy
from tests.conftest import random_bars
from tests.strategies.bt.runs import BARS, cerebro_of, forecasts_of
from tests.strategies.bt.test_retraining import BARS as ALL
from tests.strategies.bt.test_retraining import GIVEN, old

MODES = [
    {"preload": preload, "runonce": runonce, "exactbars": exactbars}
    for preload, runonce, exactbars in itertools.product([True, False], [True, False], [0, 1, -1, -2])
]
FEEDS = ["one", "two", "with gaps", "slower", "between", "resampled", "resampled apart", "three"]
LABEL = functools.partial(direction, horizon=4)
TOLD = forecasts_of().join(forecasts_of(quantiles=True)[["q10", "q50", "q90"]])
HALF = {"timeframe": bt.TimeFrame.Minutes, "compression": 240, "name": "long"}


class Everything(ForecastStrategy):
    """All indicators, on all feeds."""

    params = (("share", 1.0),)

    def __init__(self):
        super().__init__()
        self.of_feeds = [FeatureIndicator(data, feature="close_pct_change") for data in self.datas]
        self.rsi = FeatureIndicator(self.data, feature="rsi_window7")
        self.regime = RegimeIndicator(self.data, window=12)

    def target_weight(self):
        return self.p.share * self.forecast.signal[0]


def fill(cerebro, feeds):
    """Add the feeds of a case."""
    first = BarsFeed(BARS)
    cerebro.adddata(first, name="first")
    other = random_bars(120, seed=5)
    more = {
        "two": [other],
        "with gaps": [other.drop(other.index[[3, 4, 30, 31, 77]])],
        "between": [other.iloc[::7].set_axis(other.index[::7] + pd.Timedelta("30min"))],
        "slower": [random_bars(60, seed=9, interval="2h")],
        "three": [other.drop(other.index[[3, 4, 30, 31, 77]])],
    }
    for bars in more.get(feeds, []):
        cerebro.adddata(BarsFeed(bars), name="other")
    if feeds in ("resampled", "three"):
        cerebro.resampledata(first, **HALF)
    if feeds == "resampled apart":
        cerebro.resampledata(BarsFeed(other), **HALF)


def cerebro_for(feeds, path, options=(), share=1.0):
    """Everything attached; a list of shares is optimised over."""
    cerebro = cerebro_of(BarsFeed(BARS), options=options, strategy=Everything)
    cerebro.datas.clear()
    cerebro.strats.clear()
    fill(cerebro, feeds)
    if isinstance(share, list):
        cerebro.optstrategy(Everything, forecasts=[TOLD], share=share)
    else:
        cerebro.addstrategy(Everything, forecasts=TOLD, share=share)
    watched(cerebro, path, label=LABEL)
    return cerebro


def watched(cerebro, path, **judged):
    for observer in (Confidence, QuantileBand, Exposure, RetrainMarks):
        cerebro.addobserver(observer)
    add_analyzers(cerebro)
    for analyzer in (CostBreakdown, ExposureStats, EquityCurve, OrderLog, Turnover):
        cerebro.addanalyzer(analyzer)
    for analyzer in (ForecastQuality, ConfidenceBuckets):
        cerebro.addanalyzer(analyzer, **judged)
    cerebro.addwriter(ParquetWriter, path=path)


def said(strategy):
    """Every analysis, each float to its last digit."""
    return {name: repr(one.get_analysis()) for name, one in strategy.analyzers.getitems()}


@functools.cache
def plain(folder, feeds, share=1.0):
    strategy = cerebro_for(feeds, folder / "plain.parquet", share=share).run()[0]
    return said(strategy), pd.read_parquet(folder / "plain.parquet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("plain")


@pytest.mark.parametrize("feeds", FEEDS)
@pytest.mark.parametrize("options", MODES, ids=str)
def test_every_way_of_running_says_the_same(options, feeds, tmp_path, folder):
    strategy = cerebro_for(feeds, tmp_path / "run.parquet", options).run()[0]
    wanted, table = plain(folder, feeds)
    assert said(strategy) == wanted
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "run.parquet"), table, check_exact=True)


@pytest.mark.parametrize("feeds", FEEDS)
def test_what_is_compared_is_there(feeds, folder):
    found, table = plain(folder, feeds)
    assert table["timestamp"].is_monotonic_increasing and len(table) >= len(BARS)
    named = [
        *("forecast.signal", "RegimeIndicator.efficiency", "rsi_window7.value", "confidence.confidence"),
        *("quantiles.low", "exposure.exposure", "retrained.calendar"),
    ]
    assert all(table[name].notna().sum() >= 2 for name in named)
    assert (table.filter(like="close").count() > 20).all()
    assert found["orderlog"].count("filled") > 50 and "'accuracy': 0." in found["forecastquality"]


@pytest.mark.parametrize("options", [{}, {"preload": False}, {"runonce": False}, {"exactbars": 1}], ids=str)
@pytest.mark.parametrize(("maxcpus", "optreturn"), [*itertools.product([1, 2], [True, False])])
def test_an_optimisation_gives_the_runs_one_by_one(options, maxcpus, optreturn, tmp_path, folder):
    options = {"maxcpus": maxcpus, "optreturn": optreturn, **options}
    runs = cerebro_for("three", tmp_path / "run-{share}.parquet", options, share=[1.0, 0.5]).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run-0.5.parquet", "run-1.0.parquet"]
    for (run,), share in zip(runs, (1.0, 0.5), strict=True):
        wanted, table = plain(folder, "three", share)
        assert run.params.share == share and said(run) == wanted
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / f"run-{share}.parquet"), table, check_exact=True)


def retraining(path, options=(), strict=False, **opt):
    cerebro = cerebro_of(BarsFeed(ALL.iloc[:200]), options=options, strategy=WalkForwardStrategy, **GIVEN)
    cerebro.strats.clear()
    cerebro.resampledata(cerebro.datas[0], **HALF)
    given = GIVEN | {"rules": (old,), "strict": strict}
    if opt:
        cerebro.optstrategy(WalkForwardStrategy, **{name: [value] for name, value in given.items()}, **opt)
    else:
        cerebro.addstrategy(WalkForwardStrategy, **given, policy=Policy())
    watched(cerebro, path)
    return cerebro


def test_so_it_is_with_models_that_are_retrained_in_the_run(tmp_path):
    strategy = retraining(tmp_path / "plain.parquet").run()[0]
    wanted, table = said(strategy), pd.read_parquet(tmp_path / "plain.parquet")
    assert table["retrained.asked"].notna().any() and table["retrained.calendar"].notna().any()
    for options in ({"preload": False}, {"runonce": False}, {"exactbars": 1}, {"exactbars": -2}):
        assert said(retraining(tmp_path / "run.parquet", options).run()[0]) == wanted
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "run.parquet"), table, check_exact=True)
    for cpus in (1, 2):
        path = tmp_path / f"{cpus}-{{policy.entry}}.parquet"
        runs = retraining(path, {"maxcpus": cpus}, policy=[Policy(), Policy(entry=0.3)]).run()
        assert said(runs[0][0]) == wanted != said(runs[1][0])
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / f"{cpus}-0.0.parquet"), table, check_exact=True)
        assert not pd.read_parquet(tmp_path / f"{cpus}-0.3.parquet").equals(table)


def test_so_it_is_in_strict_mode(tmp_path):
    plain, strict = retraining(tmp_path / "plain.parquet").run()[0], {"path": tmp_path / "run.parquet", "strict": True}
    found = [
        (said(retraining(**strict, options=options).run()[0]), pd.read_parquet(tmp_path / "run.parquet"))
        for options in ({}, {"preload": False}, {"exactbars": 1})
    ]
    for analyses, table in found:
        assert analyses == found[0][0]
        pd.testing.assert_frame_equal(table, found[0][1], check_exact=True)
    pd.testing.assert_frame_equal(found[0][1], pd.read_parquet(tmp_path / "plain.parquet"), rtol=1e-7)
    assert len(plain.retrains) == found[0][1][["retrained.calendar", "retrained.asked"]].count().sum() > 2


def test_what_an_optimisation_sends_home_is_the_analysis_and_not_the_run():
    import pickle

    cerebro = cerebro_of(options={"maxcpus": 1})
    cerebro.strats.clear()
    cerebro.optstrategy(ForecastStrategy, weights=[pd.Series(0.5, BARS.index)])
    add_analyzers(cerebro)
    cerebro.addanalyzer(EquityCurve)
    ((run,),) = cerebro.run()
    for name, analyzer in run.analyzers.getitems():
        assert len(pickle.dumps(analyzer)) < 5000 + len(pickle.dumps(analyzer.get_analysis())), name
    assert np.isfinite(run.analyzers.equitycurve.get_analysis()).all()
