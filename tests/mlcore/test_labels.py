"""Labels: by hand, against what they may touch, and against their own class edges."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcore.errors import BarwiseError
from mlcore.labels import direction, down_move, five_class, forward_return, up_move
from mlcore.plugins import LABELS
from tests.conftest import random_bars

OPEN = [100.0, 101.0, 104.0, 103.0, 100.0, 98.0, 105.0, 107.0]
CLOSE = [101.0, 103.0, 105.0, 102.0, 99.0, 100.0, 106.0, 108.0]


def hand_bars(opened=OPEN, close=CLOSE) -> pd.DataFrame:
    stamps = pd.date_range("2024-01-01", periods=len(opened), freq="1h", tz="UTC", name="timestamp")
    return pd.DataFrame({"open": opened, "close": close}, index=stamps)


def test_the_default_return_runs_from_the_next_open():
    label = forward_return(hand_bars(), horizon=2)
    np.testing.assert_allclose(label.values[:5], np.log([103 / 101, 100 / 104, 98 / 103, 105 / 100, 107 / 98]))
    assert np.isnan(label.values[5:]).all()
    assert label.span == 3
    np.testing.assert_array_equal(label.ends, np.arange(8) + 3)
    assert label.task.outputs == ("expected_return",)


def test_close_to_close_has_to_be_asked_for():
    label = forward_return(hand_bars(), horizon=2, entry="close")
    np.testing.assert_allclose(label.values[:6], np.log(np.array(CLOSE[2:]) / np.array(CLOSE[:6])))
    assert label.span == 2
    assert np.isnan(label.values[6:]).all()


def test_direction_has_three_classes_and_two_at_threshold_zero():
    three = direction(hand_bars(), horizon=2, threshold=0.03)
    np.testing.assert_array_equal(three.values[:5], [1, 0, 0, 2, 2])
    assert three.task.outputs == ("p_down", "p_flat", "p_up")
    assert three.task.scores == (-1, 0, 1)
    two = direction(hand_bars(), horizon=2, threshold=0)
    np.testing.assert_array_equal(two.values[:5], [1, 0, 0, 1, 1])
    assert two.task.outputs == ("p_down", "p_up")
    assert two.task.scores == (-1, 1)


@given(st.integers(0, 1000), st.sampled_from([0.002, 0.01]))
@settings(max_examples=20)
def test_a_move_is_up_down_or_none_as_direction_says(seed, threshold):
    bars = random_bars(60, seed=seed)
    three, up, down = (label(bars, 3, threshold) for label in (direction, up_move, down_move))
    np.testing.assert_array_equal(up.values, np.where(np.isnan(three.values), np.nan, three.values == 2))
    np.testing.assert_array_equal(down.values, np.where(np.isnan(three.values), np.nan, three.values == 0))
    assert (up.span, down.span) == (three.span, three.span)
    np.testing.assert_array_equal(down.returns, three.returns)


def test_a_move_speaks_for_one_side_only():
    assert up_move(hand_bars(), 2).task.scores == (0.0, 1.0)
    assert down_move(hand_bars(), 2).task.scores == (0.0, -1.0)
    assert down_move(hand_bars(), 2).task.outputs == ("p_not", "p_down")
    assert up_move(hand_bars(), 2, 0.01).recipe == "up_move(horizon=2, edges=(0.01,), entry='next_open')"
    for label in (up_move, down_move):
        with pytest.raises(BarwiseError, match="above 0"):
            label(hand_bars(), 2, 0.0)


def test_five_classes():
    label = five_class(hand_bars(), horizon=2, edges=(0.03, 0.045))
    np.testing.assert_array_equal(label.values[:5], [2, 1, 0, 4, 4])
    assert label.task.scores == (-1, -0.5, 0, 0.5, 1)
    assert len(label.task.outputs) == 5


def test_a_flat_price_is_flat_and_at_threshold_zero_down():
    bars = hand_bars([5.0] * 6, [5.0] * 6)
    np.testing.assert_array_equal(direction(bars, horizon=1).values[:4], 1)
    np.testing.assert_array_equal(direction(bars, horizon=1, threshold=0).values[:4], 0)


def test_a_return_on_the_edge_is_nearer_to_flat():
    bars = hand_bars([1.0, 100.0, 103.0, 100.0, 1.0], [1.0] * 5)
    up, down = forward_return(bars, horizon=1).values[:2]
    assert direction(bars, horizon=1, threshold=up).values[0] == 1
    assert direction(bars, horizon=1, threshold=-down).values[1] == 1
    assert direction(bars, horizon=1, threshold=np.nextafter(up, 0)).values[0] == 2
    assert direction(bars, horizon=1, threshold=np.nextafter(-down, 0)).values[1] == 0


@pytest.mark.parametrize("name", ["return", "direction", "five_class"])
@pytest.mark.parametrize("entry", ["next_open", "close"])
@settings(max_examples=30)
@given(row=st.integers(0, 30), horizon=st.integers(1, 7))
def test_a_label_touches_no_bar_outside_its_span(name, entry, row, horizon):
    """Changing bars up to the row, or past the declared end, leaves the label as it was."""
    rng = np.random.default_rng(row)
    opened, close = np.exp(rng.normal(0, 0.02, (2, 40)))
    label = LABELS[name](hand_bars(opened, close), horizon=horizon, entry=entry)
    end = label.ends[row]
    assert end == row + label.span
    outside = np.ones(40, bool)
    outside[row + (entry == "next_open") : end + 1] = False
    opened[outside] *= 3
    close[outside] *= 3
    changed = LABELS[name](hand_bars(opened, close), horizon=horizon, entry=entry)
    np.testing.assert_array_equal(changed.values[row], label.values[row])
    opened[end if end < 40 else 39] *= 5  # and the last bar does count
    close[end if end < 40 else 39] *= 5
    if end < 40:
        assert LABELS[name](hand_bars(opened, close), horizon=horizon, entry=entry).returns[row] != label.returns[row]


def test_a_frame_shorter_than_the_span_has_no_label():
    label = direction(hand_bars(OPEN[:3], CLOSE[:3]))
    assert np.isnan(label.values).all()
    assert len(label.values) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"horizon": 0}, "`horizon` is 0"),
        ({"horizon": 2.5}, "`horizon` is 2.5"),
        ({"threshold": -0.1}, "`threshold` is -0.1"),
        ({"threshold": float("nan")}, "`threshold` is nan"),
        ({"entry": "nextopen"}, "did you mean 'next_open'"),
    ],
)
def test_nonsense_is_refused(arguments, said):
    with pytest.raises(BarwiseError, match=f"(?i){said}"):
        direction(hand_bars(), **arguments)


@pytest.mark.parametrize("edges", [(0.01,), (0.02, 0.01), (0.0, 0.01), (0.01, 0.02, 0.03)])
def test_edges_ascend(edges):
    with pytest.raises(BarwiseError, match="`edges`"):
        five_class(hand_bars(), edges=edges)


@pytest.mark.parametrize("name", ["return", "direction", "five_class"])
@pytest.mark.parametrize(("entry", "span"), [("next_open", 3), ("close", 2)])
def test_the_fewest_bars_that_hold_a_label_hold_one(name, entry, span):
    for n, known in ((1, 0), (span, 0), (span + 1, 1), (span + 2, 2)):
        label = LABELS[name](hand_bars(OPEN[:n], CLOSE[:n]), horizon=2, entry=entry)
        assert label.span == span
        for values in (label.values, label.returns):
            assert np.isfinite(values).tolist() == [True] * known + [False] * (n - known)
    price = OPEN[1:4:2] if entry == "next_open" else CLOSE[0:3:2]
    only = LABELS[name](hand_bars(OPEN[: span + 1], CLOSE[: span + 1]), horizon=2, entry=entry).returns[0]
    assert only == pytest.approx(np.log(price[1] / price[0]))


HORIZONS = st.lists(st.integers(1, 12), min_size=2, max_size=4, unique=True).map(tuple)


@pytest.mark.parametrize("name", ["return", "direction", "five_class"])
@pytest.mark.parametrize("entry", ["next_open", "close"])
@settings(max_examples=20)
@given(horizons=HORIZONS, seed=st.integers(0, 9))
def test_several_horizons_are_the_single_ones_side_by_side_as_far_as_the_longest_is_known(name, entry, horizons, seed):
    opened, close = np.exp(np.random.default_rng(seed).normal(0, 0.02, (2, 40)))
    bars = hand_bars(opened, close)
    label = LABELS[name](bars, horizon=horizons, entry=entry)
    longest = LABELS[name](bars, horizon=max(horizons), entry=entry)
    assert label.span == longest.span
    np.testing.assert_array_equal(label.ends, longest.ends)
    known = longest.ends < 40
    for column, horizon in enumerate(horizons):
        one = LABELS[name](bars, horizon=horizon, entry=entry)
        np.testing.assert_array_equal(label.values[known, column], one.values[known])
        np.testing.assert_array_equal(label.horizon_returns[known, column], one.returns[known])
    np.testing.assert_array_equal(label.returns, label.horizon_returns[:, 0])
    assert np.isnan(label.values[~known]).all()
    assert label.task.horizons == horizons


@pytest.mark.parametrize("name", ["return", "direction", "five_class"])
def test_a_tuple_of_one_horizon_is_that_horizon(name):
    bars = hand_bars()
    one, other = (LABELS[name](bars, horizon=horizon) for horizon in (2, (2,)))
    assert one.task == other.task
    assert one.recipe == other.recipe
    for part in ("values", "returns", "ends"):
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
    assert other.horizon_returns is None


@pytest.mark.parametrize("horizon", [(), (5, 5), (5, 0), (5, 2.5), "5", True, (True, 2)])
def test_horizons_that_make_no_sense_are_refused(horizon):
    with pytest.raises(BarwiseError, match="`horizon` is"):
        direction(hand_bars(), horizon=horizon)


def test_quantiles_are_asked_of_the_return():
    label = forward_return(hand_bars(), 2, quantiles=(0.025, 0.5, 0.975))
    assert label.task.kind == "quantiles"
    assert label.task.outputs == ("q2.5", "q50", "q97.5")
    assert label.task.quantiles == (0.025, 0.5, 0.975)
    np.testing.assert_array_equal(label.values, forward_return(hand_bars(), 2).values)
    assert "quantiles=(0.025, 0.5, 0.975)" in label.recipe
    assert forward_return(hand_bars(), (2, 3), quantiles=[0.1, 0.9]).task.outputs == ("q10", "q90", "q10_h3", "q90_h3")


@pytest.mark.parametrize("quantiles", [(), (0.5,), (0.9, 0.1), (0.0, 0.5), (0.5, 1.0), (0.6, 0.9), (0.1, 0.1, 0.9)])
def test_quantiles_rise_and_hold_the_median(quantiles):
    with pytest.raises(BarwiseError, match="`quantiles` is"):
        forward_return(hand_bars(), quantiles=quantiles)
