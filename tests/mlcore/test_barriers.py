"""The triple barrier: by hand, and against a slow reading of the rule."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcore.barriers import NO_BARRIER, PROFIT, STOP, barrier_levels, barrier_met, barrier_units
from mlcore.errors import BarwiseError
from mlcore.labels import triple_barrier
from tests.conftest import random_bars


@pytest.mark.parametrize(
    ("bar", "side", "expected"),
    [
        ((100, 101, 99), 1, NO_BARRIER),
        ((100, 103, 97), 1, (STOP, 98.0)),
        ((100, 103, 97), -1, (STOP, 102.0)),
        ((100, 102, 99), 1, (PROFIT, 102.0)),
        ((97, 103, 96), 1, (STOP, 97.0)),
        ((103, 104, 97), 1, (PROFIT, 103.0)),
        ((97, 103, 96), -1, (PROFIT, 97.0)),
    ],
)
def test_one_bar_by_hand(bar, side, expected):
    stop, profit = (98.0, 102.0) if side > 0 else (102.0, 98.0)
    kind, price = barrier_met(*map(float, bar), float(side), stop, profit)
    assert (kind, price) == expected if expected else kind == NO_BARRIER and np.isnan(price)


def test_a_barrier_that_is_not_there_is_never_met():
    assert barrier_met(100.0, 1e9, 1e-9, 1.0, np.nan, np.nan)[0] == NO_BARRIER
    assert barrier_levels(100.0, 1.0, 0.02, 0.03, 2.0) == (96.0, 106.0)
    assert barrier_levels(100.0, -1.0, 0.02, 0.03, 1.0) == (102.0, 97.0)


def slowly(bars, row, side, horizon, profit, stop):
    """The rule as its text has it, for one row: end and price, or None."""
    if row + 1 >= len(bars):
        return None
    entry = bars["open"].iloc[row + 1]
    for at in range(row + 1, row + 1 + horizon):
        if at >= len(bars):
            return None
        opened, high, low = bars[["open", "high", "low"]].iloc[at]
        worst, best = (low, high) if side > 0 else (high, low)
        stop_at, profit_at = entry - side * entry * stop, entry + side * entry * profit
        if (opened - stop_at) * side <= 0 or (opened - profit_at) * side >= 0:
            return at, opened
        if (worst - stop_at) * side <= 0:
            return at, stop_at
        if (best - profit_at) * side >= 0:
            return at, profit_at
    return (row + 1 + horizon, bars["open"].iloc[row + 1 + horizon]) if row + 1 + horizon < len(bars) else None


@settings(max_examples=30)
@given(st.integers(0, 999), st.sampled_from([1, -1]), st.integers(1, 8), st.sampled_from([(0.01, 0.02), (0.03, 0.005)]))
def test_the_label_is_the_rule_read_slowly(seed, side, horizon, widths):
    bars = random_bars(40, seed=seed)
    label = triple_barrier(bars, horizon, *widths, side=side)
    for row in range(40):
        found = slowly(bars, row, side, horizon, *widths)
        if found is None:
            assert np.isnan(label.values[row]) and np.isnan(label.returns[row]) and label.ends[row] == row + 1 + horizon
            continue
        end, price = found
        assert label.ends[row] == end
        assert label.returns[row] == pytest.approx(np.log(price / bars["open"].iloc[row + 1]), abs=1e-12)


def test_classes_are_the_way_the_price_went_and_returns_may_be_asked_for():
    bars = random_bars(300)
    label = triple_barrier(bars, 6, 0.02, 0.01)
    known = ~np.isnan(label.values)
    assert set(label.values[known]) == {0.0, 1.0, 2.0} and label.task.scores == (-1.0, 0.0, 1.0)
    timely = label.ends - np.arange(300) == 7
    assert (label.returns[label.values == 2] >= np.log(1.02) - 1e-12).all()
    assert (label.returns[label.values == 0] <= np.log(0.99) + 1e-12).all()
    assert timely[label.values == 1].all()
    short = triple_barrier(bars, 6, 0.02, 0.01, side=-1)
    assert (short.returns[short.values == 0] <= np.log(0.98) + 1e-12).all()
    numbers = triple_barrier(bars, 6, 0.02, 0.01, values="return")
    np.testing.assert_array_equal(numbers.values, label.returns)
    assert numbers.task.kind == "regression" and numbers.task.outputs == ("expected_return",)
    assert label.recipe == (
        "triple_barrier(horizon=6, profit=0.02, stop=0.01, side=1, volatility_window=None, values='classes')"
    )


def test_widths_in_volatilities_are_those_known_at_the_close_of_the_row():
    bars = random_bars(200)
    units = barrier_units(bars, 10)
    assert np.isnan(units[:10]).all() and np.isfinite(units[10:]).all()
    label = triple_barrier(bars, 5, 2.0, 1.0, volatility_window=10)
    assert np.isnan(label.values[:10]).all() and (label.ends[:10] >= 200).all()
    for row in (10, 57, 120):
        one = triple_barrier(bars, 5, 2.0 * units[row], 1.0 * units[row])
        assert (label.values[row], label.ends[row], label.returns[row]) == pytest.approx(
            (one.values[row], one.ends[row], one.returns[row])
        )
    later = bars.copy()
    later.iloc[60:] *= 3.0
    np.testing.assert_array_equal(barrier_units(later, 10)[:60], units[:60])
    assert np.isnan(barrier_units(bars.assign(close=5.0), 10)).all()
    stuck = bars.assign(close=bars["close"].where(np.arange(200) < 100, bars["close"].iloc[99]))
    assert np.isfinite(barrier_units(stuck, 10)[10:109]).all() and np.isnan(barrier_units(stuck, 10)[109:]).all()
    assert label.span == 6 == (label.ends - np.arange(200))[10:].max()
    assert (barrier_units(bars, None) == 1.0).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"horizon": (5, 10)}, r"`horizon` is \(5, 10\); it must be a whole number"),
        ({"profit": 0.0}, "`profit` is 0.0"),
        ({"stop": float("nan")}, "`stop` is nan"),
        ({"profit": None, "stop": None}, "both None"),
        ({"side": 2}, "`side` is 2"),
        ({"values": "returns"}, "Did you mean 'return'"),
        ({"volatility_window": 1.5}, "`volatility_window` is 1.5"),
    ],
)
def test_nonsense_is_refused(wrong, said):
    with pytest.raises(BarwiseError, match=said):
        triple_barrier(random_bars(30), **wrong)


def test_rows_without_a_unit_are_trained_on_by_nobody():
    from mlcore.folds import WalkForward

    bars = random_bars(200)
    label = triple_barrier(bars, 5, 2.0, 1.0, volatility_window=10)
    for fold in WalkForward(train=100, test=50).split(pd.DatetimeIndex(bars.index), label.ends):
        assert np.isfinite(label.values[fold.train]).all()
