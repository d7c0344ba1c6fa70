"""Forecasts are judged when their label has ended, and not before."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from mlcore.labels import direction, forward_return
from mlcore.metrics import forecast_quality
from strategies.bt import BarsFeed, ConfidenceBuckets, ForecastQuality, WalkForwardStrategy
from tests.strategies.bt.runs import BARS, MODES, cerebro_of, forecasts_of
from tests.strategies.bt.test_retraining import BARS as ALL
from tests.strategies.bt.test_retraining import GIVEN, LABEL, result_of

DIRECTION = partial(direction, horizon=4)


class Asked(ForecastQuality):
    """Asks itself at every bar, as one would beside a live market."""

    def next(self):
        super().next()
        self.history = [*getattr(self, "history", []), self.get_analysis()["settled"]]


def analysed(analyzer, *feeds, options=(), strategy=None, bars=BARS, **params):
    given = {"label": DIRECTION} | params
    if strategy is None:
        cerebro = cerebro_of(*feeds, options=options, forecasts=forecasts_of(bars))
    else:
        cerebro = cerebro_of(*feeds, options=options, strategy=strategy, **GIVEN)
        given.pop("label")
    cerebro.addanalyzer(analyzer, _name="found", **given)
    return cerebro.run()[0].analyzers.found


@pytest.mark.parametrize("options", MODES, ids=str)
def test_quality_is_that_of_the_offline_forecasts_in_all_modes(options):
    found = analysed(ForecastQuality, options=options).get_analysis()
    told, label = forecasts_of(), DIRECTION(BARS)
    for name, value in forecast_quality(told, label, BARS.index).items():
        assert found[name] == value
    rows = np.array([row for _, row, _ in found["settled"]])
    hits = told[["p_down", "p_flat", "p_up"]].reindex(BARS.index).to_numpy()[rows].argmax(1) == label.values[rows]
    assert [hit for *_, hit in found["settled"]] == hits.tolist()
    assert found["accuracy"] == hits.mean() and found["n_heard"] == 99 and found["n_waiting"] == label.span
    assert sum(fold["n"] for fold in found["by_fold"].values()) == len(rows) == 99 - label.span


def test_a_forecast_settles_at_the_close_of_the_bar_its_label_ends_on():
    found = analysed(Asked)
    span = DIRECTION(BARS).span
    assert len(found.history) == len(BARS)
    for now, settled in enumerate(found.history):
        assert [row for _, row, _ in settled] == [row for row in range(20, now - span + 1) if row != 27]
        assert all(end <= now for end, *_ in settled)
        assert settled == found.history[-1][: len(settled)]  # what is settled stays


def test_the_strategy_s_own_label_is_taken_and_other_feeds_are_not_counted():
    feeds = [BarsFeed(ALL.iloc[:230]), BarsFeed(ALL.iloc[:230:3])]
    found = analysed(ForecastQuality, *feeds, strategy=WalkForwardStrategy).get_analysis()
    bars = ALL.iloc[:230]
    wanted = forecast_quality(result_of(bars).forecasts, LABEL(bars), bars.index)
    assert {name: found[name] for name in wanted} == wanted


def test_buckets_hold_what_each_confidence_was_worth():
    label = forward_return(BARS, 4)
    found = analysed(ConfidenceBuckets, label=partial(forward_return, horizon=4)).get_analysis()
    told = forecasts_of()
    came = pd.Series(label.returns, BARS.index).reindex(told.index) * np.sign(told["signal"])
    there = came.notna() & told["confidence"].notna()
    for bucket in found:
        inside = there & (told["confidence"] >= bucket["low"]) & (told["confidence"] < bucket["high"])
        assert bucket["n"] == inside.sum() > 5
        assert bucket["mean_return"] == pytest.approx(came[inside].mean())
        assert bucket["hit_rate"] == pytest.approx((came[inside] > 0).mean())
        assert bucket["low"] <= bucket["confidence"] < bucket["high"]
    assert sum(bucket["n"] for bucket in found) == there.sum()
    (wide,) = analysed(ConfidenceBuckets, edges=(0.0, 1.0)).get_analysis()
    assert wide["n"] == 99 - DIRECTION(BARS).span


def test_without_a_forecast_there_is_nothing_and_that_is_said():
    cerebro = cerebro_of(weights=BARS["close"] * 0)
    cerebro.addanalyzer(ForecastQuality, _name="quality", label=DIRECTION)
    cerebro.addanalyzer(ConfidenceBuckets, _name="buckets", label=DIRECTION)
    found = cerebro.run()[0].analyzers
    assert found.quality.get_analysis()["accuracy"] is None and found.quality.get_analysis()["n"] == 0
    assert {(bucket["n"], bucket["hit_rate"]) for bucket in found.buckets.get_analysis()} == {(0, None)}


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(BarwiseError, match="`label` of ForecastQuality is not given"):
        analysed(ForecastQuality, label=None)
    for edges in ((0.0,), (0.5, 0.2), (0.0, 2.0)):
        with pytest.raises(BarwiseError, match="`edges` are"):
            analysed(ConfidenceBuckets, edges=edges)


def test_they_come_back_from_an_optimisation():
    cerebro = cerebro_of(forecasts=forecasts_of())
    cerebro.strats.clear()
    from strategies.bt import ForecastStrategy

    cerebro.optstrategy(ForecastStrategy, forecasts=[forecasts_of(), forecasts_of()])
    cerebro.addanalyzer(ForecastQuality, _name="quality", label=DIRECTION)
    cerebro.addanalyzer(ConfidenceBuckets, _name="buckets", label=DIRECTION)
    runs = cerebro.run(maxcpus=1)
    assert len(runs) == 2
    for (run,) in runs:
        assert run.analyzers.quality.get_analysis()["n"] == 99 - DIRECTION(BARS).span
        assert len(run.analyzers.buckets.get_analysis()) == 5
