"""A walk-forward under a clock: the calendar alone is the offline one; what a fit sees ends at the clock."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcore import refit
from mlcore.errors import BarwiseError
from mlcore.features import feature_table
from mlcore.folds import WalkForward
from mlcore.labels import direction, forward_return, triple_barrier
from mlcore.models import make_model
from mlcore.retraining import CALENDAR, Decayed, RetrainedWalk
from mlcore.retraining import walk as module
from mlcore.walkforward import walk_forward
from tests.conftest import random_bars

FEATURES = ["log_return", "rsi", "volatility", "bollinger_width"]
BARS = random_bars(720, seed=5).drop(random_bars(720, seed=5).index[400:409])
TABLE = feature_table(BARS, FEATURES)
MODELS = {
    "linear": make_model("linear", lookback=3),
    "lightgbm": make_model("lightgbm", lookback=2, n_estimators=8),
    "tcn": make_model("tcn", lookback=13, levels=2, width=4, epochs=1),
}


def walk(bars=BARS, table=TABLE, model="linear", folds=None, label=direction, horizon=3, **options):
    folds = folds or WalkForward(train=150, test=90)
    return RetrainedWalk(
        bars, MODELS.get(model, model), label=label(bars, horizon), features=table.loc[bars.index], folds=folds,
        **options,
    )  # fmt: skip


def walked(*args, **options):
    one = walk(*args, **options)
    said = [one.step(row) for row in range(len(one.stacked.clock))]
    return one, said, one.finish()


def offline(model="linear", folds=None, label=direction, horizon=3, **options):
    folds = folds or WalkForward(train=150, test=90)
    model = MODELS.get(model, model)
    return walk_forward(BARS, model, label=label(BARS, horizon), features=TABLE, folds=folds, **options)


def without(folds, *names):
    return [{key: value for key, value in fold.items() if key not in ("seconds", *names)} for fold in folds]


FITTED = refit.fitted


CALENDARS = [
    WalkForward(train=150, test=90),
    WalkForward(train=150, test=41, expanding=True, latency=4),
    WalkForward(train="6D", test="2D", latency=1),
]


@pytest.mark.parametrize("folds", CALENDARS, ids=["rows", "expanding", "days"])
@pytest.mark.parametrize(("model", "label"), [("linear", direction), ("tcn", direction), ("lightgbm", forward_return)])
def test_the_calendar_alone_gives_the_forecasts_of_the_offline_walk_forward_to_the_bit(model, label, folds):
    one, said, run = walked(model=model, label=label, folds=folds, seed=4)
    wanted = offline(model=model, label=label, folds=folds, seed=4)
    pd.testing.assert_frame_equal(run.forecasts, wanted.forecasts, check_exact=True)
    assert repr(without(run.folds)) == repr(without(wanted.folds))  # NaN in a curve is not itself
    assert run.notes == wanted.notes
    spoken = [one for one in said if one is not None]
    found = pd.DataFrame([(one.signal, one.confidence) for one in spoken], columns=["signal", "confidence"])
    np.testing.assert_array_equal(found, wanted.forecasts[["signal", "confidence"]])
    assert {one.reason for one in one.retrains} == {CALENDAR}
    assert [one.live for one in one.retrains] == [fold["test_start"] for fold in wanted.folds]
    assert [one.trained_through for one in one.retrains] == [fold["trained_through"] for fold in wanted.folds]
    assert all(one.trained_through <= one.decided < one.live for one in one.retrains)


def test_options_of_the_walk_forward_hold_here_too():
    options = {"warm_start": True, "shuffle_labels": True, "validation": 0.3, "stride": 2, "confidence": "entropy"}
    run = walked(model="tcn", **options)[2]
    pd.testing.assert_frame_equal(run.forecasts, offline(model="tcn", **options).forecasts, check_exact=True)


def every(n):
    """A rule of the user's own: a new model after `n` bars."""
    return lambda now: f"{n} bars old" if now.bars_live >= n else None


def test_what_a_rule_asks_for_goes_live_after_the_latency_and_the_old_model_serves_until_then():
    folds = WalkForward(train=150, test=10_000, latency=5)
    one, said, run = walked(folds=folds, rules=every(100))
    first = [None if each is None else each.fold for each in said].index(0)
    assert [each.reason for each in one.retrains] == [CALENDAR] + ["100 bars old"] * (len(one.retrains) - 1)
    lives = BARS.index.get_indexer([each.live for each in one.retrains])
    decided = BARS.index.get_indexer([each.decided for each in one.retrains])
    assert len(lives) >= 4 and lives[0] == first
    assert (np.diff(lives) == 100 + 5).all()  # 100 bars served, and 5 more while the next one was trained
    np.testing.assert_array_equal(lives - decided, 6)
    served = np.searchsorted(lives, np.arange(first, len(BARS)), "right") - 1
    assert [each.fold for each in said[first:]] == served.tolist()
    fold = run.forecasts["fold"].to_numpy()
    assert np.flatnonzero(np.diff(fold, prepend=-1)).tolist() == (lives - first).tolist()
    assert [row["n_test"] for row in run.folds] == np.diff([*lives, len(BARS)]).tolist()


def test_a_model_asked_for_by_a_rule_is_the_one_a_calendar_at_that_bar_would_have_fitted():
    one = walked(folds=WalkForward(train=150, test=10_000, latency=5), rules=every(100))[0]
    run = offline(folds=WalkForward(train=150, test=105, latency=5))
    by_rule = one.finish().forecasts
    pd.testing.assert_frame_equal(by_rule, run.forecasts, check_exact=True)


def test_the_calendar_stays_in_place_whatever_a_rule_asked_for():
    one = walked(rules=every(70))[0]
    starts = [each.live for each in one.retrains if CALENDAR in each.reason]
    assert starts == [fold["test_start"] for fold in offline().folds]
    assert [each.fold for each in one.retrains] == list(range(len(one.retrains)))
    assert {each.reason for each in one.retrains} == {CALENDAR, "70 bars old"}


def test_calendar_and_rule_at_one_bar_are_one_retrain():
    one = walked(folds=WalkForward(train=150, test=90), rules=every(90))[0]
    assert {each.reason for each in one.retrains[1:]} == {"calendar; 90 bars old"}
    assert len(one.retrains) == len(offline().folds)


@pytest.mark.parametrize("rules", [(), (every(70), Decayed(newest=10, before=20))], ids=["calendar", "rules"])
@pytest.mark.parametrize("k", [200, 301, 410, 500])
def test_bars_after_the_clock_change_nothing_before_it(k, rules):
    folds = WalkForward(train=150, test=90, latency=2)
    whole, said, _ = walked(folds=folds, rules=rules)
    part, said_early, run = walked(BARS.iloc[:k], folds=folds, rules=rules)
    assert repr(said_early) == repr(said[:k])
    kept = [replace(each, seconds=0.0) for each in whole.retrains if each.live < BARS.index[k]]
    assert [replace(each, seconds=0.0) for each in part.retrains] == kept
    pd.testing.assert_frame_equal(run.forecasts, whole.finish().forecasts.iloc[: len(run.forecasts)], check_exact=True)


def test_what_a_fit_is_handed_ends_at_the_clock(monkeypatch):
    seen = []

    def spy(shared, fold, start=None):
        seen.append((shared, fold))
        return FITTED(shared, fold, start)

    monkeypatch.setattr(module, "fitted", spy)
    one = walked(folds=WalkForward(train=150, test=90, latency=3), rules=every(40))[0]
    label = direction(BARS, 3)
    assert len(seen) > 8
    for (shared, fold), retrain in zip(seen, one.retrains, strict=True):
        live = BARS.index.get_loc(retrain.live)
        assert len(shared.table) == len(shared.values) == live
        told = np.flatnonzero(np.isfinite(shared.values))
        assert (label.ends[told] + 3 < live).all() and label.ends[fold.train].max() == label.ends[told].max()
        assert BARS.index[label.ends[fold.train].max()] == retrain.trained_through <= retrain.decided


def test_forecasts_settle_when_their_label_ends_and_not_before():
    counts = []

    def watch(now):
        counts.append((now.bars_live, len(now.hits)))

    walked(folds=WalkForward(train=150, test=10_000), rules=watch)
    live, settled = np.array(counts).T
    span = direction(BARS, 3).span
    before = BARS.index.get_loc(BARS.index[400]) - (len(BARS) - len(counts))  # bars live before the gap
    upto = live < before
    np.testing.assert_array_equal(settled[upto], np.maximum(0, live[upto] - span))
    assert (settled <= np.maximum(0, live - span)).all() and settled[-1] > 300


def test_hits_are_the_forecasts_that_came_true():
    hits = []
    one = walk(rules=lambda now: hits.append(now.hits.copy()), folds=WalkForward(train=150, test=10_000))
    for row in range(390):  # up to the gap
        one.step(row)
    forecasts = one.finish().forecasts
    came = direction(BARS, 3).values[BARS.index.get_indexer(forecasts.index)]
    right = forecasts[["p_down", "p_flat", "p_up"]].to_numpy().argmax(axis=1) == came
    np.testing.assert_array_equal(hits[-1], right[: len(hits[-1])])
    assert len(hits[-1]) == len(forecasts) - direction(BARS, 3).span


def test_what_has_settled_keeps_its_place_where_labels_end_early_and_late():
    hits = []
    label = triple_barrier(BARS, 12, 0.015, 0.015)
    folds = WalkForward(train=150, test=10_000)
    one = RetrainedWalk(
        BARS, MODELS["linear"], label=label, features=TABLE, folds=folds, rules=lambda now: hits.append(now.hits.copy())
    )
    one.step(390)  # up to the gap
    for before, now in zip(hits, hits[1:], strict=False):
        np.testing.assert_array_equal(now[: len(before)], before)
    forecasts = one.finish().forecasts
    rows = BARS.index.get_indexer(forecasts.index)
    rows = rows[label.ends[rows] <= 390]
    right = forecasts[["p_down", "p_flat", "p_up"]].to_numpy()[: len(rows)].argmax(axis=1)
    order = sorted(range(len(rows)), key=lambda i: (label.ends[rows[i]], i))
    wanted = [right[i] == label.values[rows[i]] for i in order]
    assert hits[-1].tolist() == wanted and len(wanted) > 200 and order != sorted(order)


def test_a_retrain_that_a_rule_asked_for_and_that_fails_leaves_the_old_model_live(monkeypatch):
    def failing(shared, fold, start=None):
        if fold.number == 1:
            raise BarwiseError("too little came")
        return FITTED(shared, fold, start)

    monkeypatch.setattr(module, "fitted", failing)
    one, said, run = walked(folds=WalkForward(train=150, test=10_000), rules=every(100))
    assert one.retrains[1].note == "too little came"
    assert {each.fold for each in said if each} == {0, *range(2, len(one.retrains))}
    assert set(run.forecasts["fold"]) == {0, *range(2, len(one.retrains))}
    assert np.isfinite(run.forecasts["signal"].iloc[:150]).all()


def test_a_calendar_fold_that_fails_forecasts_nothing_as_offline(monkeypatch):
    def failing(shared, fold, start=None):
        if fold.number == 1:
            raise BarwiseError("too little came")
        return FITTED(shared, fold, start)

    monkeypatch.setattr(module, "fitted", failing)
    monkeypatch.setattr("mlcore.refit.fitted", failing)
    run, wanted = walked(rules=())[2], offline()
    pd.testing.assert_frame_equal(run.forecasts, wanted.forecasts, check_exact=True)
    assert run.notes == wanted.notes and "too little came" in run.notes[0]


@given(
    train=st.integers(60, 200), test=st.integers(60, 200), latency=st.integers(0, 6), expanding=st.booleans(),
    days=st.booleans(), horizon=st.integers(1, 8),
)  # fmt: skip
@settings(max_examples=12)
def test_any_calendar_gives_the_offline_forecasts(train, test, latency, expanding, days, horizon):
    lengths = (f"{train}h", f"{test}h") if days else (train, test)
    folds = WalkForward(*lengths, expanding=expanding, latency=latency)
    model = make_model("naive", rule="reversal", column="log_return")
    run = walked(model=model, folds=folds, horizon=horizon)[2]
    pd.testing.assert_frame_equal(run.forecasts, offline(model, folds, horizon=horizon).forecasts, check_exact=True)


def test_what_cannot_be_is_refused():
    one = walk()
    one.step(5)
    with pytest.raises(BarwiseError, match="time does not run back"):
        one.step(5)
    with pytest.raises(BarwiseError, match="3 bars|bring more bars|Bring more bars"):
        one.finish()
    with pytest.raises(BarwiseError, match="`rules` hold 7"):
        walk(rules=[7])
    with pytest.raises(BarwiseError, match="`folds`"):
        walk(folds="7D")


def test_rows_left_out_are_stepped_through():
    one = walk()
    said = one.step(600)
    assert said.fold == 4 and len(one.retrains) == 5


def test_a_run_asks_copies_of_its_rules():
    class Counting:
        asked = 0

        def __call__(self, now):
            self.asked += 1

    rule = Counting()
    one = walked(rules=rule)[0]
    assert rule.asked == 0 and one.rules[0].asked == len(one.finish().forecasts)
