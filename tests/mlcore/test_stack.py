"""Several symbols on one clock: what may be trained on when, over ragged histories."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcore.bars import name_market
from mlcore.errors import BarwiseError
from mlcore.features import feature_table
from mlcore.folds import WalkForward, newest_split
from mlcore.labels import direction
from mlcore.models.linear import Linear
from mlcore.models.lstm import LSTM
from mlcore.stack import Layout, Member, label_for, stack
from mlcore.tasks import Label, Task
from tests.conftest import random_bars

HOURS = pd.date_range("2024-01-01", periods=160, freq="h", tz="UTC", name="timestamp").as_unit("ns")
TASK = Task("regression", ("expected_return",))


@st.composite
def histories(draw):
    """Two to five symbols: listed later, delisted earlier, with holes, labels of any length, warm-ups."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    members = {}
    for number in range(draw(st.integers(1, 5))):
        first = 0 if number == 0 else draw(st.integers(0, 120))
        last = draw(st.integers(min(first + 12, 160), 160)) if number else 160
        index = HOURS[first:last]
        if draw(st.booleans()):
            kept = rng.random(len(index)) > 0.1
            kept[:12] = True
            index = index[kept]
        n = len(index)
        ends = np.arange(n) + rng.integers(1, draw(st.integers(2, 9)), n)
        values = np.where(ends < n, rng.standard_normal(n), np.nan)
        table = rng.standard_normal((n, 2))
        table[: draw(st.integers(0, 5))] = np.nan
        bars = pd.DataFrame({"close": np.ones(n)}, index)
        features = pd.DataFrame(table, index, columns=["a", "b"])
        features.attrs["memory"] = 1
        members[f"S{number}"] = Member(bars, features, Label(values, values, ends, 9, TASK))
    return members


@st.composite
def schedules(draw):
    train = draw(st.sampled_from([15, 30, "30h", pd.Timedelta("25h")]))
    test = draw(st.sampled_from([5, 13, "9h", pd.DateOffset(hours=6)]))
    return WalkForward(train, test, expanding=draw(st.booleans()), latency=draw(st.integers(0, 4)))


def cut(members, folds, lookback=3):
    made = stack(members, lookback, 3)
    try:
        return made, folds.split(made.clock, made.ends, made.whole & made.known, made.layout.moments)
    except BarwiseError:
        return made, []


@settings(max_examples=150)
@given(histories(), schedules())
def test_no_label_of_any_symbol_crosses_the_cut(members, folds):
    """Told again by stamps, symbol by symbol, without the clock that the folds are cut on."""
    made, plan = cut(members, folds)
    place = {stamp: at for at, stamp in enumerate(made.clock)}
    for fold in plan:
        first_test = made.stamps[fold.test].min()
        through = []
        for number, rows in made.layout.by_symbol(fold.train):
            member = list(members.values())[number]
            own = rows - made.layout.starts[number]
            end_stamps = member.bars.index[member.label.ends[own]]
            assert np.isfinite(member.label.values[own]).all()
            assert np.isfinite(member.features.to_numpy()[own]).all()
            assert all(place[stamp] + folds.latency < place[first_test] for stamp in end_stamps)
            through.append(end_stamps.max())
        assert made.clock[fold.trained_through] == max(through) < first_test


@settings(max_examples=150)
@given(histories(), schedules())
def test_every_row_that_is_legal_is_trained_on_and_the_tests_tile_time(members, folds):
    made, plan = cut(members, folds)
    moments, usable = made.layout.moments, made.whole & made.known
    for fold in plan:
        start = moments[fold.test].min()
        legal = np.flatnonzero(usable & (made.ends + folds.latency < start))
        opened = moments[fold.train].min()
        assert np.array_equal(fold.train, legal[moments[legal] >= opened])
        older = np.unique(moments[legal[moments[legal] < opened]])
        newer = np.unique(moments[fold.train])
        if folds.expanding:
            assert not older.size
        elif isinstance(folds.train, int):
            assert len(newer) == folds.train or not older.size
        elif older.size:
            assert made.clock[older.max()] < fold.opened - folds.train <= made.clock[opened]
    if plan:
        tested = np.sort(np.concatenate([fold.test for fold in plan]))
        first = min(moments[fold.test].min() for fold in plan)
        assert np.array_equal(tested, np.flatnonzero(moments >= first))


@settings(max_examples=100)
@given(histories(), schedules(), st.sampled_from([0.15, 0.3, 0.5]))
def test_the_inner_split_is_at_one_moment_too(members, folds, share):
    made, plan = cut(members, folds)
    moments = made.layout.moments
    for fold in plan:
        try:
            train, held_out = newest_split(fold.train, made.ends, share, moments)
        except BarwiseError:
            continue
        first = moments[held_out].min()
        assert made.ends[train].max() < first
        assert np.array_equal(held_out, fold.train[moments[fold.train] >= first])
        assert np.array_equal(train, fold.train[made.ends[fold.train] < first])
        assert len(held_out) >= max(1, round(share * len(fold.train)))
        newer = (moments[held_out] > first).sum()
        assert newer < max(1, round(share * len(fold.train)))


@settings(max_examples=100)
@given(histories(), schedules())
def test_one_symbol_alone_is_split_as_if_there_were_no_clock(members, folds):
    member = members["S0"]
    made, plan = cut({"S0": member}, folds)
    try:
        plain = folds.split(made.stamps, member.label.ends, made.whole & made.known)
    except BarwiseError:
        plain = []
    assert len(plan) == len(plain)
    for one, other in zip(plan, plain, strict=True):
        assert np.array_equal(one.train, other.train)
        assert np.array_equal(one.test, other.test)
        assert (one.trained_through, one.opened) == (other.trained_through, other.opened)


@settings(max_examples=100)
@given(histories(), schedules(), st.data())
def test_cutting_one_symbol_changes_no_fold_of_the_others_before(members, folds, data):
    symbol = data.draw(st.sampled_from(sorted(members)))
    member = members[symbol]
    kept = data.draw(st.integers(1, len(member.bars)))
    moment = HOURS[-1] if kept == len(member.bars) else member.bars.index[kept]
    values = np.where(member.label.ends < kept, member.label.values, np.nan)[:kept]
    label = Label(values, values, member.label.ends[:kept], 9, TASK)
    features = member.features.iloc[:kept]
    features.attrs["memory"] = 1
    shorter = members | {symbol: Member(member.bars.iloc[:kept], features, label)}
    whole, plan = cut(members, folds)
    less, again = cut(shorter, folds)
    told, retold = (rows_before(made, some, moment) for made, some in ((whole, plan), (less, again)))
    if told and retold:
        shared = {key: rows for key, rows in told.items() if key in retold or key[1] != symbol}
        assert shared == {key: retold.get(key) for key in shared}


def rows_before(made, plan, moment):
    """(stamp of a test row, its symbol) -> the training rows behind it, for test rows before `moment`."""
    told = {}
    for fold in plan:
        names = np.array(made.symbols)
        behind = frozenset(zip(names[made.layout.symbol_of(fold.train)], made.stamps[fold.train], strict=True))
        for row in fold.test[made.stamps[fold.test] < moment]:
            told[made.stamps[row], names[made.layout.symbol_of(np.array([row]))[0]]] = behind
    return told


def member(bars, features=("close_pct_change",), horizon=2):
    return Member(bars, feature_table(bars, list(features)), direction(bars, horizon, 0.001))


def test_windows_and_labels_never_span_two_symbols():
    one, other = random_bars(50, seed=1), random_bars(40, seed=2)
    made = stack({"A": member(one), "B": member(other)}, lookback=5, max_gap=3)
    assert made.layout.starts.tolist() == [0, 50, 90]
    memory = 1
    assert np.flatnonzero(~made.whole).tolist() == [*range(4 + memory), *range(50, 54 + memory)]
    assert np.flatnonzero(~made.known).tolist() == [47, 48, 49, 87, 88, 89]
    assert (made.ends[~made.known] >= len(made.clock) - 10).all()
    assert made.stamps[50] == made.stamps[0]


def test_ends_are_told_by_the_clock_where_a_symbol_has_a_hole():
    bars = random_bars(60, seed=1)
    holed = bars.drop(bars.index[[20, 21]])
    made = stack({"A": member(bars), "B": member(holed)}, lookback=1, max_gap=3)
    row = made.layout.starts[1] + 18  # its label ends three of its own bars on, five moments on
    assert made.layout.moments[row] == 18
    assert made.ends[row] == 23
    tight = stack({"A": member(bars), "B": member(holed)}, lookback=1, max_gap=1)
    assert made.known[row]
    assert not tight.known[row]


def test_what_does_not_belong_together_is_refused():
    bars, fast = random_bars(50), random_bars(50, interval="15min")
    with pytest.raises(BarwiseError, match="`panel`: the bars of B are 0 days 01:00:00 apart"):
        stack({"A": member(fast), "B": member(bars)}, 1, 3)
    with pytest.raises(BarwiseError, match="of B and A differ in their columns"):
        stack({"A": member(bars), "B": member(bars, ["rsi"])}, 1, 3)
    two = Member(bars, feature_table(bars, ["close_pct_change"]), direction(bars, 2, 0.0))
    with pytest.raises(BarwiseError, match="of B and A differ in their task"):
        stack({"A": member(bars), "B": two}, 1, 3)
    with pytest.raises(BarwiseError, match="`features` of B are not on the index"):
        stack({"A": member(bars), "B": Member(bars.iloc[1:], two.features, two.label)}, 1, 3)
    with pytest.raises(BarwiseError, match="is empty"):
        stack({}, 1, 3)


def test_a_layout_tells_whose_rows_they_are():
    layout = Layout(np.array([0, 3, 3, 7]), np.arange(7))
    assert [(n, rows.tolist()) for n, rows in layout.by_symbol(np.array([1, 2, 5]))] == [(0, [1, 2]), (2, [5])]
    assert layout.symbol_of(np.array([0, 2, 3, 6])).tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize("schedule", [WalkForward("12D", "5D"), WalkForward(300, 100)])
def test_a_rival_of_a_shorter_lookback_has_the_folds_of_the_model(schedule):
    bars = random_bars(900).drop(random_bars(900).index[500:520])  # a gap, after which a long window is whole later
    member = Member(bars, feature_table(bars, ["rsi", "log_return"]), direction(bars))
    _, ours = cut({"": member}, schedule, lookback=60)
    label = label_for(Linear(), member, 60, 3)
    _, theirs = cut({"": replace(member, label=label)}, schedule, lookback=1)
    _, alone = cut({"": member}, schedule, lookback=1)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.train, other.train)
        np.testing.assert_array_equal(one.test, other.test)
    assert [fold.test[0] for fold in alone] != [fold.test[0] for fold in ours]
    assert label_for(LSTM(lookback=60), member, 60, 3) is member.label


@pytest.mark.parametrize("what", ["features", "label"])
def test_tables_of_another_market_are_refused(what):
    bitcoin, ether = (
        name_market(random_bars(120, seed=seed), name) for seed, name in enumerate(("BTCUSDT", "ETHUSDT"))
    )
    made = {name: (feature_table(bars, ["rsi"]), direction(bars)) for name, bars in (("b", bitcoin), ("e", ether))}
    stack({"": Member(bitcoin, *made["b"])}, 1, 3)
    features, label = made["e"][0] if what == "features" else made["b"][0], made["e" if what == "label" else "b"][1]
    with pytest.raises(BarwiseError, match=f"`{what}` are of ETHUSDT and `bars` of BTCUSDT"):
        stack({"": Member(bitcoin, features, label)}, 1, 3)
