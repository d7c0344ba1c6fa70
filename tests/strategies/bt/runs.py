"""Runs that the tests of indicators, observers, analyzers and writer share: every mode of the engine, several feeds."""

import itertools

import backtrader as bt
import numpy as np
import pandas as pd

from strategies.bt import BarsFeed, ForecastStrategy, set_broker
from strategies.costs import Costs
from tests.conftest import random_bars

BARS = random_bars(120, seed=4)
MODES = [
    {"preload": preload, "runonce": runonce, "exactbars": exactbars}
    for preload, runonce, exactbars in itertools.product([True, False], [True, False], [-2, 0, 1])
]


def forecasts_of(bars=BARS, quantiles=False, first=20):
    """Forecasts of a made-up model: classes, or quantiles of a return; two folds."""
    index, rng = bars.index[first:], np.random.default_rng(1)
    n = len(index)
    frame = pd.DataFrame({"signal": rng.uniform(-1, 1, n), "confidence": rng.random(n)}, index)
    names = ["q10", "q50", "q90"] if quantiles else ["p_down", "p_flat", "p_up"]
    raw = rng.random((n, 3))
    raw = np.sort(raw - 0.5, axis=1) / 20 if quantiles else raw / raw.sum(axis=1, keepdims=True)
    frame[names] = raw
    frame["disagreement"] = np.nan
    frame["fold"] = np.arange(n) // 40
    frame["trained_through"] = index - pd.Timedelta(hours=1)
    frame.iloc[7, :5] = np.nan
    return frame


def cerebro_of(*feeds, strategy=ForecastStrategy, options=(), **params):
    cerebro = bt.Cerebro(**{"stdstats": False, **dict(options)})
    for feed in feeds or (BarsFeed(BARS),):
        cerebro.adddata(feed)
    cerebro.addstrategy(strategy, **params)
    set_broker(cerebro, costs=Costs())
    return cerebro
