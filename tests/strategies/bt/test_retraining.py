"""Retraining inside Cerebro: forecasts, orders and events are those of the clock, in every mode of the engine."""

import functools
from functools import partial

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from mlcore.features import feature_table
from mlcore.folds import WalkForward
from mlcore.labels import direction
from mlcore.models import make_model
from mlcore.retraining import CALENDAR, Decayed
from mlcore.walkforward import walk_forward
from strategies.bt import BarsFeed, OrderLog, WalkForwardStrategy, run_retraining, set_broker
from strategies.bt.run import run_backtrader
from strategies.costs import Costs
from strategies.policy import Policy, target_weights
from strategies.reconcile import reconcile
from strategies.vbt.run import run_vectorbt
from tests.conftest import random_bars

BARS = random_bars(500, seed=8)
FEATURES = ["log_return", "rsi", "volatility"]
FOLDS = WalkForward(train=120, test=60, latency=2)
LABEL = partial(direction, horizon=4)
MODEL = make_model("linear", lookback=2)
GIVEN = {"model": MODEL, "label": LABEL, "folds": FOLDS, "features": FEATURES}


def old(now):
    return "25 bars old" if now.bars_live >= 25 else None


@functools.cache
def result_in_stock_modes():
    return result_of(BARS.iloc[:250], rules=old, policy=Policy())


def result_of(bars=BARS, **options):
    return run_retraining(bars, **(GIVEN | options))


def offline(bars=BARS):
    return walk_forward(bars, MODEL, label=LABEL(bars), features=feature_table(bars, FEATURES), folds=FOLDS)


def run(feeds, strategy=WalkForwardStrategy, cerebro_options=(), **params):
    cerebro = bt.Cerebro(**{"stdstats": False, **dict(cerebro_options)})
    for feed in feeds:
        cerebro.adddata(feed)
    cerebro.addstrategy(strategy, **(GIVEN | params))
    cerebro.addanalyzer(OrderLog)
    set_broker(cerebro, costs=Costs())
    return cerebro.run()[0]


@pytest.mark.parametrize("sizer", ["fixed", "study_rule"])
def test_the_calendar_alone_trades_the_offline_walk_forward_to_the_bit(sizer):
    policy = Policy(entry=0.1, min_hold=2, band=0.001)
    found, wanted = result_of(policy=policy, sizer=sizer), offline()
    pd.testing.assert_frame_equal(found.forecasts, wanted.forecasts, check_exact=True)
    weights = target_weights(wanted.forecasts, BARS, policy=policy, sizer=sizer).reindex(BARS.index)
    pd.testing.assert_series_equal(found.weights, weights, check_exact=sizer == "fixed", rtol=1e-12)
    if sizer == "fixed":
        pd.testing.assert_frame_equal(found.orders, run_backtrader(BARS, weights).orders, check_exact=True)
    assert len(found.orders) > 20


@pytest.mark.parametrize("days_per_year", [365.0, 252.0])
def test_a_sizer_is_handed_the_volatility_of_its_own_bar_shown_or_not(days_per_year):
    bars, calm = BARS.iloc[:240], {"target": 0.05}
    sized = {"policy": Policy(), "sizer": "volatility_target", "sizer_params": calm, "days_per_year": days_per_year}
    weights = target_weights(
        offline(bars).forecasts, bars, sizer="volatility_target", sizer_params=calm, days_per_year=days_per_year
    ).reindex(bars.index)
    for strict in (False, True):
        found = pd.Series(run([BarsFeed(bars)], strict=strict, **sized).weights)
        np.testing.assert_allclose(found, weights, rtol=1e-9)
    assert weights.nunique() > 80 and weights.abs().max() < 0.5  # never at the cap


def test_every_retrain_is_an_event_in_the_result():
    found = result_of(rules=old)
    events = pd.DataFrame(found.extras["retrains"])
    assert set(events["reason"]) == {CALENDAR, "25 bars old"}
    fold = found.forecasts["fold"]
    assert events["live"].tolist() == fold.index[fold.diff() != 0].tolist()
    asked = int((events["reason"] != CALENDAR).sum())
    assert f"{len(events)} retrains: {len(events) - asked} by the calendar, {asked} because a rule asked" in found.notes
    assert (found.forecasts["trained_through"] < found.forecasts.index).all()


def test_both_engines_agree_on_what_it_earned():
    found = result_of(rules=[old, Decayed(newest=5, before=10)])
    other = run_vectorbt(BARS, found.weights, costs=Costs())
    assert reconcile(found, other)["agrees"]


@pytest.mark.parametrize("preload", [True, False])
@pytest.mark.parametrize("runonce", [True, False])
@pytest.mark.parametrize("exactbars", [-2, 0, 1])
def test_all_modes_of_cerebro_give_the_same(preload, runonce, exactbars):
    options = {"preload": preload, "runonce": runonce, "exactbars": exactbars}
    found = run([BarsFeed(BARS.iloc[:250])], cerebro_options=options, rules=old, policy=Policy())
    wanted = result_in_stock_modes()
    assert [row[2] for row in found.analyzers.orderlog.get_analysis()] == wanted.orders["size"].tolist()
    np.testing.assert_array_equal(list(found.weights.values()), wanted.weights)


@pytest.mark.parametrize("k", [150, 222, 347])
def test_a_feed_cut_short_gives_the_same_up_to_the_cut(k):
    whole, part = result_of(rules=old), result_of(BARS.iloc[:k], rules=old)
    pd.testing.assert_frame_equal(part.forecasts, whole.forecasts.loc[: BARS.index[k - 1]], check_exact=True)
    pd.testing.assert_series_equal(part.weights, whole.weights.iloc[:k], check_exact=True)
    pd.testing.assert_frame_equal(
        part.orders, whole.orders[whole.orders["timestamp"] < BARS.index[k]], check_exact=True
    )


def test_bars_changed_after_the_clock_change_nothing_before_it():
    other = BARS.copy()
    other.iloc[300:] *= 3.0
    whole, changed = result_of(rules=old), result_of(other, rules=old)
    pd.testing.assert_frame_equal(changed.forecasts.iloc[:100], whole.forecasts.iloc[:100], check_exact=True)
    first = whole.forecasts.index[0]
    assert BARS.index.get_loc(first) < 150
    upto = whole.forecasts.loc[: BARS.index[299]].index
    pd.testing.assert_frame_equal(changed.forecasts.loc[upto], whole.forecasts.loc[upto], check_exact=True)
    assert not changed.forecasts.equals(whole.forecasts)


class Mine(WalkForwardStrategy):
    """A strategy of the user's own: hooks, an indicator with a warm-up, a weight from what was said."""

    def __init__(self):
        super().__init__()
        self.mean = bt.ind.SMA(self.data, period=200)
        self.heard = []

    def on_retrain(self, retrain):
        self.heard.append((len(self), retrain.fold))

    def target_weight(self):
        assert np.isfinite(self.mean[0])
        return 0.5 if self.said is not None and self.said.signal > 0 else float("nan")


def test_a_strategy_of_one_s_own_is_told_of_retrains_and_models_speak_through_its_warm_up():
    found = run([BarsFeed(BARS)], Mine)
    lives = BARS.index.get_indexer([retrain.live for retrain in found.retrains]) + 1
    assert found.heard == list(zip(lives.tolist(), range(len(lives)), strict=True))
    assert lives[0] < 200 <= min(found.weights) + 1
    wanted = offline().forecasts["signal"].reindex(BARS.index).iloc[199:].to_numpy() > 0
    assert [weight == 0.5 for weight in found.weights.values()] == wanted.tolist()


def test_other_feeds_and_longer_clocks_beside_it_change_nothing():
    wanted = run([BarsFeed(BARS)]).weights
    beside = BARS.iloc[::7].set_axis(BARS.index[::7] + pd.Timedelta(minutes=30))
    found = run([BarsFeed(BARS), BarsFeed(beside)])
    late = {row: weight for row, weight in wanted.items() if row in found.weights}
    assert repr(found.weights) == repr(late) and len(late) > 490  # next begins where all feeds have a bar
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(BarsFeed(BARS))
    cerebro.resampledata(BarsFeed(BARS), timeframe=bt.TimeFrame.Minutes, compression=240)
    cerebro.addstrategy(WalkForwardStrategy, **GIVEN)
    set_broker(cerebro)
    found = cerebro.run()[0]
    late = {row: weight for row, weight in wanted.items() if row in found.weights}
    assert repr(found.weights) == repr(late) and len(late) > 490


def test_bars_may_begin_before_the_feed():
    found = run([BarsFeed(BARS.iloc[200:])], bars=BARS)
    wanted = offline().forecasts["signal"].reindex(BARS.index[200:])
    np.testing.assert_array_equal(list(found.weights.values()), wanted)
    assert found.retrains[0].live < BARS.index[200]


class Seen(bt.Analyzer):
    def stop(self):
        self.rets = [weight for weight in self.strategy.weights.values() if weight == weight]

    def get_analysis(self):
        return self.rets


def test_it_can_be_optimised_over():
    cerebro = bt.Cerebro(stdstats=False, maxcpus=1)
    cerebro.adddata(BarsFeed(BARS.iloc[:260]))
    given = {name: [value] if name == "features" else value for name, value in GIVEN.items()}
    cerebro.optstrategy(WalkForwardStrategy, **given, policy=[Policy(), Policy(entry=0.2)], rules=[(old,)])
    cerebro.addanalyzer(Seen, _name="seen")
    runs = [strategy.analyzers.seen.get_analysis() for (strategy,) in cerebro.run()]
    assert len(runs) == 2 and len(runs[0]) > len(runs[1]) > 5


def test_what_cannot_be_run_is_refused():
    for missing in ("model", "label", "folds"):
        with pytest.raises(BarwiseError, match=f"`{missing}` is not given"):
            run([BarsFeed(BARS)], **{missing: None})
    with pytest.raises(BarwiseError, match="`label` is Label"):
        run([BarsFeed(BARS)], label=LABEL(BARS))
    with pytest.raises(BarwiseError, match="have no bar stamped 2024-01-05"):
        run([BarsFeed(BARS)], bars=BARS.drop(BARS.index[100]))
    with pytest.raises(BarwiseError, match="`bars` are not given"):
        run([bt.feeds.PandasData(dataname=BARS, name="x"), BarsFeed(BARS)][1:], bars=7)
    with pytest.raises(BarwiseError, match="Bring more bars"):
        result_of(BARS.iloc[:100])
