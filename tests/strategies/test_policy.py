"""Policy: a slow reference, the law of time, and each rule on bars one can follow by hand."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcore.errors import BarwiseError
from mlcore.plugins import UnknownPluginError
from strategies.orders import order_targets
from strategies.policy import (
    Policy,
    PolicyWalk,
    annual_volatility,
    apply_band,
    bars_per_year,
    held_sides,
    target_weights,
    weights_of,
)
from tests.conftest import random_bars

NAN = np.nan


def reference(signal: list[float], confidence: list[float], sizes: list[float], policy: Policy) -> list[float]:
    """The rules of `Policy`, one bar at a time, in the words of its docstring."""
    side, entered, wanted, ordered, out = 0, 0, 0.0, 0.0, []
    for t, (s, c, size) in enumerate(zip(signal, confidence, sizes, strict=True)):
        if np.isnan([s, c, size]).any():
            side = 0
        else:
            allowed = {"both": (1, -1), "long": (1,), "short": (-1,)}[policy.side]
            sure = c >= policy.min_confidence and s != 0 and abs(s) >= policy.entry
            entry = int(np.sign(s)) if sure and np.sign(s) in allowed else 0
            if side != 0 and t - entered >= policy.min_hold and (side * s < policy.exit or entry == -side):
                side = 0
            if side == 0 and entry != 0:
                side, entered = entry, t
            if side * s > 0:
                wanted = side * abs(size)
        if side == 0:
            wanted = 0.0
        if wanted == 0 or wanted * ordered < 0:
            ordered = 0.0
        if wanted != 0 and abs(wanted - ordered) >= policy.band:
            ordered = wanted
        out.append(ordered if ordered else NAN)
    return out


def frame(signal: Any, confidence: Any = None) -> pd.DataFrame:
    stamps = pd.date_range("2024", periods=len(signal), freq="1h", tz="UTC", name="timestamp").as_unit("ns")
    sure = np.ones(len(signal)) if confidence is None else confidence
    return pd.DataFrame({"signal": np.asarray(signal, float), "confidence": np.asarray(sure, float)}, index=stamps)


def weights(signal: list[float], confidence: list[float] | None = None, **rules: Any) -> list[float]:
    bars = random_bars(len(signal))
    return target_weights(frame(signal, confidence), bars, policy=Policy(**rules)).tolist()


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    entry = draw(st.sampled_from([0.0, 0.1, 0.3, 1.0]))
    return Policy(
        entry=entry,
        exit=entry * draw(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0])),
        min_hold=draw(st.integers(0, 6)),
        band=draw(st.sampled_from([0.0, 0.1, 0.5])),
        side=draw(st.sampled_from(["both", "long", "short"])),
        min_confidence=draw(st.sampled_from([0.0, 0.5])),
    )


NUMBERS = st.sampled_from([NAN, 0.0, 0.05, -0.1, 0.1, 0.3, -0.3, 0.35, -0.7, 0.8, 1.0, -1.0])
SHARES = st.sampled_from([0.0, 0.2, 0.5, 0.55, 1.0, 1.0, NAN])


@settings(max_examples=400)
@given(policies(), st.lists(st.tuples(NUMBERS, SHARES, SHARES), min_size=1, max_size=40))
def test_weights_equal_the_slow_reference(policy: Policy, rows: list[tuple[float, float, float]]) -> None:
    signal, confidence, sizes = (list(column) for column in zip(*rows, strict=True))
    fast = weights_of(frame(signal, confidence), np.array(sizes), policy)
    np.testing.assert_array_equal(fast, reference(signal, confidence, sizes, policy))


@given(policies(), st.lists(st.tuples(NUMBERS, SHARES, SHARES), min_size=1, max_size=30), st.integers(1, 7))
def test_a_walk_shown_some_bars_at_a_time_and_taken_up_again_gives_the_weights_of_all_at_once(
    policy: Policy, rows: list[tuple[float, float, float]], step: int
) -> None:
    signal, confidence, sizes = (np.array(column) for column in zip(*rows, strict=True))
    parts, state = [], {}
    for first in range(0, len(rows), step):
        walk = PolicyWalk(policy, json.loads(json.dumps(state)))
        parts.append(walk.on(*(column[first : first + step] for column in (signal, confidence, sizes))))
        state = walk.state
    found, wanted = np.concatenate(parts), weights_of(frame(signal, confidence), sizes, policy)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("sizer", ["fixed", "confidence", "volatility_target", "study_rule"])
def test_bars_after_a_cut_change_nothing_before_it_bit_for_bit(sizer: str) -> None:
    bars, rng = random_bars(300, seed=3), np.random.default_rng(3)
    forecasts = frame(rng.uniform(-1, 1, 300), rng.uniform(0, 1, 300)).iloc[20:]
    forecasts.iloc[100:110, 0] = NAN
    policy = Policy(entry=0.3, exit=0.1, min_hold=3, band=0.0005)

    def made(cut: int) -> pd.Series:
        return target_weights(forecasts.iloc[: cut - 20], bars.iloc[:cut], policy=policy, sizer=sizer)

    whole = made(300)
    assert whole.notna().sum() > 50
    for cut in (21, 22, 25, 59, 60, 61, 62, 80, 125, 131, 299):  # volatility speaks first at bar 60
        pd.testing.assert_series_equal(made(cut), whole.iloc[: cut - 20], check_exact=True)
        np.testing.assert_array_equal(order_targets(made(cut)), order_targets(whole)[: cut - 20])


def test_it_enters_at_entry_and_leaves_below_exit() -> None:
    signal = [0.29, 0.30, 0.2, 0.1, 0.09, 0.2, -0.3, -0.1, -0.05]
    assert weights(signal, entry=0.3, exit=0.1) == pytest.approx([NAN, 1, 1, 1, NAN, NAN, -1, -1, NAN], nan_ok=True)


def test_a_zero_signal_enters_nothing_and_keeps_what_is_held() -> None:
    assert weights([0.0, 0.1, 0.0, -0.1, 0.0]) == pytest.approx([NAN, 1, 1, -1, -1], nan_ok=True)


def test_a_missing_forecast_goes_flat_at_once_in_spite_of_the_minimum_hold() -> None:
    assert weights([0.5, NAN, 0.5, -0.5], min_hold=5) == pytest.approx([1, NAN, 1, 1], nan_ok=True)


def test_the_minimum_hold_counts_bars_between_the_two_decisions() -> None:
    assert weights([0.5, -0.5, -0.5, -0.5], min_hold=3) == [1, 1, 1, -1]
    assert weights([0.5, -0.5, -0.5, -0.5], min_hold=1) == weights([0.5, -0.5, -0.5, -0.5]) == [1, -1, -1, -1]


def test_a_position_held_against_its_signal_keeps_its_size() -> None:
    bars, confidence = random_bars(3), [0.5, 0.9, 0.7]
    forecasts = frame([0.5, -0.5, 0.5], confidence)
    made = target_weights(forecasts, bars, policy=Policy(min_hold=9), sizer="confidence")
    assert made.tolist() == [0.5, 0.5, 0.7]


def test_one_side_only() -> None:
    signal = [0.5, -0.5, 0.5]
    assert weights(signal, side="long") == pytest.approx([1, NAN, 1], nan_ok=True)
    assert weights(signal, side="short") == pytest.approx([NAN, -1, NAN], nan_ok=True)


def test_confidence_is_asked_for_on_entry_only() -> None:
    made = weights([0.5, 0.5, 0.5], [0.4, 0.6, 0.1], min_confidence=0.5)
    assert made == pytest.approx([NAN, 1, 1], nan_ok=True)


def test_the_band_measures_from_the_last_ordered_target_and_never_keeps_a_side() -> None:
    wanted = np.array([0.5, 0.55, 0.59, 0.61, 0.0, 0.05, -0.3, 0.05])
    assert apply_band(wanted, 0.1).tolist() == [0.5, 0.5, 0.5, 0.61, 0.0, 0.0, -0.3, 0.0]


def test_orders_are_given_only_where_the_target_changes() -> None:
    targets = pd.Series([NAN, 1.0, 1.0, NAN, NAN, -1.0, 1.0])
    np.testing.assert_array_equal(order_targets(targets), [NAN, 1.0, NAN, 0.0, NAN, -1.0, 1.0])


def test_a_bar_without_a_forecast_is_flat() -> None:
    forecasts = frame([0.5] * 6).drop(frame([0.5] * 6).index[3])
    made = target_weights(forecasts, random_bars(9))
    assert len(made) == 6
    assert made.isna().tolist() == [False, False, False, True, False, False]


def test_volatility_is_annual_and_known_at_the_close() -> None:
    bars = random_bars(200, interval="1h")
    by_hand = np.log(bars["close"]).diff().iloc[91:101].std(ddof=1) * np.sqrt(24 * 365)
    assert annual_volatility(bars, 10, 365.0).iloc[100] == pytest.approx(by_hand, rel=1e-12)
    daily = random_bars(200, interval="1D")
    by_hand = np.log(daily["close"]).diff().iloc[91:101].std(ddof=1) * np.sqrt(252)
    assert annual_volatility(daily, 10, 252.0).iloc[100] == pytest.approx(by_hand, rel=1e-12)
    weekly = random_bars(200, interval="7D")
    by_hand = np.log(weekly["close"]).diff().iloc[91:101].std(ddof=1) * np.sqrt(365 / 7)
    assert annual_volatility(weekly, 10, 252.0).iloc[100] == pytest.approx(by_hand, rel=1e-12)
    assert annual_volatility(bars, 10).isna().sum() == 10


def test_a_sizer_is_handed_the_volatility_that_was_asked_for() -> None:
    bars, asked = random_bars(120), {"volatility_window": 20, "days_per_year": 252.0}
    found = target_weights(frame([0.5] * 120), bars, sizer="volatility_target", sizer_params={"target": 0.1}, **asked)
    np.testing.assert_allclose(found[20:], 0.1 / annual_volatility(bars, 20, 252.0)[20:], rtol=1e-12)
    assert found[:20].isna().all() and found.max() < 1


def test_four_weeks_are_the_longest_bars_that_need_not_be_whole_in_a_year() -> None:
    for days, bars in ((28, 365 / 28), (29, 13.0)):
        assert bars_per_year(pd.date_range("2024", periods=5, freq=f"{days}D"), 252.0) == bars


def test_bars_before_the_forecasts_warm_the_volatility() -> None:
    bars = random_bars(200)
    forecasts = frame([0.5] * 200).iloc[100:]
    assert target_weights(forecasts, bars, sizer="volatility_target").notna().all()
    assert target_weights(forecasts, bars.iloc[100:], sizer="volatility_target").isna().sum() == 60


@pytest.mark.parametrize(
    ("rules", "word"),
    [
        ({"entry": 1.1}, "`entry` is 1.1"),
        ({"entry": NAN}, "`entry`"),
        ({"entry": 0.2, "exit": 0.3}, r"`exit` is 0.3: it must be in \[-entry, entry\]"),
        ({"entry": 0.2, "exit": -0.3}, "`exit`"),
        ({"min_hold": -1}, "`min_hold`"),
        ({"min_hold": 1.5}, "`min_hold`"),
        ({"band": -0.1}, "`band`"),
        ({"side": "up"}, "`side`"),
        ({"min_confidence": 2}, "`min_confidence`"),
    ],
)
def test_bad_policies_are_refused(rules: dict, word: str) -> None:
    with pytest.raises(BarwiseError, match=word):
        Policy(**rules)


def test_bad_inputs_are_refused_in_one_line() -> None:
    bars, forecasts = random_bars(10), frame([0.5] * 10)
    with pytest.raises(BarwiseError, match="no bar of `bars`"):
        target_weights(forecasts, bars.iloc[:5])
    with pytest.raises(BarwiseError, match="empty"):
        target_weights(forecasts.iloc[:0], bars)
    with pytest.raises(BarwiseError, match="increasing"):
        target_weights(forecasts.iloc[::-1], bars)
    with pytest.raises(BarwiseError, match="lack signal"):
        target_weights(forecasts.rename(columns={"signal": "sgnal"}), bars)
    with pytest.raises(BarwiseError, match="Did you mean 'size'"):
        target_weights(forecasts, bars, sizer_params={"sise": 1})
    with pytest.raises(UnknownPluginError, match="Did you mean 'fixed'"):
        target_weights(forecasts, bars, sizer="fixd")
    with pytest.raises(BarwiseError, match="volatility_window"):
        target_weights(forecasts, bars, volatility_window=1)
    with pytest.raises(BarwiseError, match=r"up to 2.0"):
        target_weights(forecasts, bars, sizer=lambda forecasts, volatility: forecasts["signal"] * 4)


def test_sides_walk_half_a_million_bars() -> None:
    rng = np.random.default_rng(0)
    sides = held_sides(rng.normal(0, 0.3, 500_000), np.ones(500_000), Policy(entry=0.3, min_hold=5))
    begins = np.flatnonzero(np.diff(sides, prepend=0) != 0)
    lengths = np.diff(begins)[sides[begins[:-1]] != 0]
    assert len(lengths) > 10_000
    assert lengths.min() == 5
