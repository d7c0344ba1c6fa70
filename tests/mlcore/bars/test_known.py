"""Other clocks: nothing is joined before it was known."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcore.bars import join_known, known_at, resample
from mlcore.checks import BrokenLawError, sample_bars
from mlcore.checks.features import feature_is_blind_to_later_bars
from mlcore.errors import BarsError, BarwiseError, LookAheadError
from tests.conftest import random_bars


def quarter_hours(n: int = 96, start: str = "2024-01-01 00:00") -> pd.DataFrame:
    made = random_bars(n, interval="15min")
    return made.set_axis(pd.date_range(start, periods=n, freq="15min", tz="UTC", name="timestamp"), axis=0)


def test_a_long_bar_is_its_parts():
    bars = quarter_hours()
    hours = resample(bars, "1h")
    assert len(hours) == 24
    part = bars.iloc[4:8]
    wanted = [part["open"].iloc[0], part["high"].max(), part["low"].min(), part["close"].iloc[-1], part["volume"].sum()]
    np.testing.assert_allclose(hours.iloc[1], wanted)
    assert hours.index[1] == part.index[0]
    assert hours.index.name == "timestamp"


def test_unfinished_bars_at_the_ends_are_dropped_or_flagged():
    bars = quarter_hours().iloc[1:-1]
    assert len(resample(bars, "1h")) == 22
    flagged = resample(bars, "1h", incomplete="flag")
    np.testing.assert_array_equal(np.flatnonzero(~flagged["complete"]), [0, 23])
    assert len(resample(bars.iloc[:2], "1h")) == 0


@settings(max_examples=30)
@given(st.integers(1, 95))
def test_later_bars_do_not_change_a_finished_long_bar(cut):
    bars = quarter_hours()
    if cut < 2:
        return
    made = resample(bars.iloc[:cut], "1h")
    pd.testing.assert_frame_equal(made, resample(bars, "1h").iloc[: len(made)], check_freq=False)


def test_holes_stay_holes_and_weeks_start_on_monday():
    assert len(resample(quarter_hours().drop(quarter_hours().index[8:16]), "1h")) == 22
    days = random_bars(30, interval="1D")
    assert (resample(days, "7D").index.day_of_week == 0).all()


def test_extras_are_summed_or_last():
    bars = quarter_hours(4).assign(trades=[1, 2, 3, 4], funding_rate=[0.1, 0.2, 0.3, 0.4])
    hour = resample(bars, "1h").iloc[0]
    assert hour["trades"] == 10
    assert hour["funding_rate"] == 0.4


@pytest.mark.parametrize("wrong", ["5min", "20min"])
def test_an_interval_that_does_not_fit_is_refused(wrong):
    with pytest.raises(BarwiseError, match="multiple of the bars' own 0 days 00:15:00"):
        resample(quarter_hours(), wrong)


def on_clock(n: int, first: str, step: str) -> pd.DataFrame:
    index = pd.date_range(first, periods=n, freq=step, tz="UTC", name="timestamp")
    return random_bars(n, interval="1h").set_axis(index, axis=0)


@pytest.mark.parametrize(
    ("first", "step", "longer", "told"),
    [
        (
            "2024-01-01 00:30",
            "1h",
            "2h",
            "stamped 2024-01-01 01:30.* closes at 2024-01-01 02:30.*ends .2024-01-01 02:00",
        ),
        (
            "2024-01-01 00:30",
            "1h",
            "1h",
            "stamped 2024-01-01 00:30.* closes at 2024-01-01 01:30.*ends .2024-01-01 01:00",
        ),
        (
            "2024-01-01 05:00",
            "1D",
            "7D",
            "stamped 2024-01-07 05:00.* closes at 2024-01-08 05:00.*ends .2024-01-08 00:00",
        ),
    ],
)
def test_bars_that_end_after_their_long_bar_are_refused(first, step, longer, told):
    """The hour stamped 09:30 closes at 10:30: two hours from 08:00, known at 10:00, must not hold its close."""
    with pytest.raises(BarwiseError, match=told + ".*start from shorter bars"):
        resample(on_clock(30, first, step), longer)


def test_one_stray_bar_is_refused_and_halves_on_the_grid_are_not():
    halves = on_clock(30, "2024-01-01 00:30", "30min")
    assert resample(halves, "1h").index[0] == pd.Timestamp("2024-01-01 01:00", tz="UTC")
    stray = halves.set_axis(halves.index.where(np.arange(30) != 20, halves.index + pd.Timedelta("10min")), axis=0)
    with pytest.raises(BarwiseError, match="stamped 2024-01-01 10:40.* closes at 2024-01-01 11:10.*1 bars do so"):
        resample(stray, "1h")


@settings(max_examples=60)
@given(st.integers(8, 120), st.integers(0, 3), st.sampled_from(["30min", "1h", "2h", "4h"]))
def test_on_any_clock_later_bars_change_nothing_joined_or_the_clock_is_refused(row, quarters, longer):
    """Half hours from any quarter on, made longer, beside the quarters they are made of."""
    bars = quarter_hours(128)
    changed = bars.copy()
    changed.iloc[row + 1 :] *= 3
    halves = [b.iloc[quarters:].resample("30min", origin="start").last().iloc[:-1] for b in (bars, changed)]
    try:
        long = [resample(half, longer) for half in halves]
    except BarwiseError:
        assert quarters % 2
        return
    made, again = (
        join_known(b, other, prefix="long_").iloc[: row + 1] for b, other in zip((bars, changed), long, strict=True)
    )
    pd.testing.assert_frame_equal(made, again)


def test_an_hour_stamped_ten_is_known_at_eleven():
    bars = quarter_hours()
    hours = resample(bars, "1h")
    assert known_at(hours)[10] == pd.Timestamp("2024-01-01 11:00", tz="UTC")
    joined = join_known(bars, hours, prefix="hour_")
    close = joined["hour_close"]
    # The bar stamped 10:45 closes at 11:00, when the hour stamped 10:00 is done; the one before it is not so late.
    assert close.loc["2024-01-01 10:45"].item() == hours["close"].loc["2024-01-01 10:00"]
    assert close.loc["2024-01-01 10:30"].item() == hours["close"].loc["2024-01-01 09:00"]
    assert close.iloc[:3].isna().all()


@settings(max_examples=30)
@given(st.integers(4, 95))
def test_nothing_is_joined_before_it_was_known(row):
    """Changing every bar after `row`, the long bars made from them included, changes nothing joined up to `row`.

    A join by stamp, or of a frame shifted by one bar, fails here.
    """
    bars = quarter_hours()
    changed = bars.copy()
    changed.iloc[row + 1 :] *= 3
    made = join_known(bars, resample(bars, "1h"), prefix="hour_").iloc[: row + 1]
    again = join_known(changed, resample(changed, "1h"), prefix="hour_").iloc[: row + 1]
    pd.testing.assert_frame_equal(made, again)
    by_stamp = [f.join(resample(f, "1h"), suffixes=("", "_hour")).ffill().iloc[: row + 1] for f in (bars, changed)]
    if row % 4 != 3:  # negative control: joining by stamp sees the hour before it is over
        assert not by_stamp[0].equals(by_stamp[1])


def test_a_shifted_frame_is_told_from_the_right_one():
    bars = quarter_hours()
    hours = resample(bars, "1h")
    right = join_known(bars, hours, prefix="hour_")["hour_close"]
    early = join_known(bars, hours.shift(-1, freq="1h"), prefix="hour_")["hour_close"]
    own_close = bars["close"].iloc[3::4]
    np.testing.assert_array_equal(right.iloc[3::4], own_close)  # on the hour the long bar closes with the short one
    assert not np.array_equal(early.iloc[3:-4:4], own_close.iloc[:-1])


def test_values_of_a_day_come_when_they_are_out():
    days = pd.DataFrame({"fear": [10.0, 20.0]}, index=pd.date_range("2024-01-01", periods=2, freq="1D", tz="UTC"))
    bars = quarter_hours(96 * 3)
    assert join_known(bars, days)["fear"].first_valid_index() == pd.Timestamp("2024-01-01 23:45", tz="UTC")
    late = join_known(bars, days, interval="30h")["fear"]
    assert late.first_valid_index() == pd.Timestamp("2024-01-02 05:45", tz="UTC")
    assert late.iloc[-1] == 20
    aged = join_known(bars, days, max_age="2h")["fear"]
    assert aged.notna().sum() == 18
    with pytest.raises(BarwiseError, match="nothing is known before its stamp"):
        join_known(bars, days, interval="-1h")


def test_a_clash_of_names_and_a_disordered_frame_are_refused():
    bars = quarter_hours()
    with pytest.raises(BarwiseError, match="both have the column 'open'; give a `prefix`"):
        join_known(bars, resample(bars, "1h"))
    with pytest.raises(BarsError, match="`other` must have increasing"):
        join_known(bars, bars.iloc[::-1], prefix="x_")


def rows_at(*steps: str) -> pd.DataFrame:
    stamps = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(pd.Series(["0h", *steps])).cumsum()
    return pd.DataFrame({"level": np.arange(len(stamps), dtype=float)}, index=pd.DatetimeIndex(stamps))


def test_a_bar_shorter_than_usual_sees_nothing_after_its_close():
    """Hours, then half hours: the bar stamped 20:00 closes at 20:30, when the quarter stamped 20:15 is the newest."""
    bars = rows_at(*["1h"] * 20, *["30min"] * 6).rename(columns={"level": "own"})
    quarters = rows_at(*["15min"] * 120)
    joined = join_known(bars, quarters)["level"]
    closes = [*bars.index[1:], bars.index[-1] + pd.Timedelta("1h")]
    wanted = [quarters.index.get_loc(close) - 1 for close in closes]
    np.testing.assert_array_equal(joined, wanted)
    gap = join_known(bars.drop(bars.index[5:8]), quarters)["level"]  # before a gap a bar closes as always
    assert gap.iloc[4] == joined.iloc[4]


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (["1h"] * 30 + ["4h"] * 6, "0 days 04:00:00 after 2024-01-02 06:00:00.*longest step .0 days 04:00:00"),
        (["24h"] * 9 + ["25h"] + ["24h"] * 9, "1 days 01:00:00 after 2024-01-10 00:00:00"),
        ([f"{n}D" for n in (30, 30, 31)], "31 days 00:00:00 after 2024-03-01"),
    ],
    ids=["hours_then_four", "summer_time", "months"],
)
def test_longer_rows_of_the_other_clock_want_an_interval(steps, told):
    other, bars = rows_at(*steps), rows_at(*["1h"] * 24 * 130).add_prefix("own_")
    with pytest.raises(BarwiseError, match="`other` mixes steps.*" + told):
        join_known(bars, other)
    longest = max(pd.to_timedelta(steps))
    known = join_known(bars, other, interval=longest)["level"]
    ends = other.index[1:].append(other.index[-1:] + longest)
    newest = known.dropna()
    assert newest.iloc[-1] == len(other) - 1
    assert (ends[newest.astype(int)] <= newest.index + pd.Timedelta("1h")).all()


def test_gaps_of_the_other_clock_are_no_mixed_steps():
    weekdays = pd.bdate_range("2024-01-01", periods=30, tz="UTC")
    daily = join_known(quarter_hours(), pd.DataFrame({"level": 1.0}, index=weekdays))
    hourly = join_known(quarter_hours(), rows_at(*["1h"] * 20, *["2h"] * 4, *["1h"] * 3, "7h"))
    assert len(daily) == len(hourly) == len(quarter_hours())  # neither is refused


def test_longer_bars_of_the_same_market_that_run_ahead_are_refused():
    bars = random_bars(400, interval="15min")
    hours = resample(bars, "1h")
    joined = join_known(bars, hours, prefix="h1_", same_market=True)
    pd.testing.assert_frame_equal(joined, join_known(bars, hours, prefix="h1_"))
    for rows in (1, 2):
        early = hours.set_axis(hours.index - rows * pd.Timedelta("1h"), axis=0)
        with pytest.raises(LookAheadError, match=f"stamped {rows} bar.s. too early"):
            join_known(bars, early, prefix="h1_", same_market=True)
    late = hours.set_axis(hours.index + pd.Timedelta("1h"), axis=0)
    with pytest.raises(BarsError, match="too late"):
        join_known(bars, late, prefix="h1_", same_market=True)
    with pytest.raises(BarsError, match="not of one market"):
        join_known(bars, resample(random_bars(400, seed=5, interval="15min"), "1h"), prefix="h1_", same_market=True)


def test_a_context_shifted_by_one_bar_breaks_the_law_of_features():
    def context(bars, ahead=0):
        if len(bars) < 4:  # no hour is over
            return bars["close"] * np.nan
        hours = resample(bars, "1h")
        move = hours[["close"]].set_axis(hours.index - ahead * pd.Timedelta("1h"), axis=0)
        return join_known(bars, move, interval="1h", prefix="h1_")["h1_close"] / bars["close"]

    bars = sample_bars(interval="15min")
    feature_is_blind_to_later_bars(context, bars)
    with pytest.raises(BrokenLawError, match="cut to"):
        feature_is_blind_to_later_bars(functools.partial(context, ahead=1), bars)


def test_an_interval_that_is_no_duration_is_refused_in_words():
    with pytest.raises(BarwiseError, match="'1q'; it must be a duration"):
        resample(random_bars(30), "1q")
