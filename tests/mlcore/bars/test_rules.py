"""Every rule finds its row and says so; every repair mends what it says, and is never silent."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlcore.bars import check_bars
from mlcore.errors import BarsError, BarwiseError, BarwiseWarning


def put(column: str, value: object, row: int = 7):
    def change(bars: pd.DataFrame) -> pd.DataFrame:
        if isinstance(value, str):
            bars[column] = bars[column].astype(object)
        bars.iloc[row, bars.columns.get_loc(column)] = value
        return bars

    return change


def newest_first(bars):
    return bars.iloc[::-1]


def stamped_twice(bars):
    return bars.iloc[[0, 1, 2, 2, 3, 4]]


def unreadable(bars):
    made = bars.reset_index().astype({"timestamp": object})
    made.loc[7, "timestamp"] = "soon"
    return made


def swapped(bars):
    high, low = bars["high"].iloc[7], bars["low"].iloc[7]
    return put("low", high)(put("high", low)(bars))


BREAKS = {
    "NaN": (put("close", np.nan), "row 7 .*`close` is empty; every price and volume must be a finite", "drop_bad_rows"),
    "inf": (put("volume", np.inf), "row 7 .*`volume` is inf; every price and volume must be a", "drop_bad_rows"),
    "text": (put("high", "n/a?"), "row 7 .*`high` is the text 'n/a\\?'; every price", "drop_bad_rows"),
    "comma": (put("high", "1,234.5"), "row 7 .*`high` is the text '1,234.5'", "drop_bad_rows"),
    "zero": (put("low", 0.0), "row 7 .*`low` is 0.0; prices must be above 0", "drop_bad_rows"),
    "negative": (put("open", -3.0), "row 7 .*`open` is -3.0; prices must be above 0", "drop_bad_rows"),
    "swapped": (swapped, r"row 7 .*`high` \d.* is below `low` \d", "drop_bad_rows"),
    "outside": (put("open", 1e6), "row 7 .*open 1000000, .*must lie between low and high", "widen_range"),
    "above": (put("close", 1e6), "row 7 .*close 1000000;.*must lie between", "widen_range"),
    "under": (put("open", 1e-6), "row 7 .*open 1e-06, .*must lie between", "widen_range"),
    "below": (put("close", 1e-6), "row 7 .*close 1e-06;.*must lie between", "widen_range"),
    "volume": (put("volume", -1.0), "row 7 .*`volume` is -1.0; volume must not be negative", "drop_bad_rows"),
    "unsorted": (newest_first, r"row 1 \(2024-.*stamp is before that of the row above.*stamps must increase", "sort"),
    "twice": (stamped_twice, r"row 3 \(2024-01-01 02:00:00.*stamps must be unique", "drop_duplicates"),
    "stamp": (unreadable, "row 7 .*the stamp is the text 'soon'; every stamp must be readable", "drop_bad_rows"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_rule_is_told_with_row_value_rule_and_repair(bars, name):
    breaking, said, repair = BREAKS[name]
    with pytest.raises(BarsError, match=said) as error:
        check_bars(breaking(bars))
    assert f"`--repair {repair}`" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", BREAKS)
def test_the_repair_offered_mends_it_and_says_so(bars, name):
    breaking, _, repair = BREAKS[name]
    broken = breaking(bars)
    before = broken.copy()
    with pytest.warns(BarwiseWarning) as told:
        mended = check_bars(broken, repair=[repair])
    (message,) = [str(warning.message) for warning in told if f"`repair` {repair}" in str(warning.message)]
    assert "the first is row" in message
    assert mended.index.is_monotonic_increasing
    assert mended.index.is_unique
    assert len(mended) == len(broken) - (repair in ("drop_bad_rows", "drop_duplicates"))
    pd.testing.assert_frame_equal(broken, before)  # the input is left alone


def test_no_other_repair_is_made(bars):
    with pytest.raises(BarsError, match="must increase"):
        check_bars(newest_first(bars), repair=["drop_duplicates", "drop_bad_rows", "widen_range"])


def test_widening_reaches_just_to_open_and_close(bars):
    opened = float(bars["high"].iloc[7] * 1.5)
    with pytest.warns(BarwiseWarning):
        mended = check_bars(put("open", opened)(bars.copy()), repair="widen_range")
    assert mended["high"].iloc[7] == opened
    changed = (mended != bars).to_numpy()
    assert changed.sum() == 2  # the open that was put, the high that was widened


def test_of_duplicates_the_last_stays(bars):
    twice = bars.iloc[[0, 1, 1, 2]].copy()
    twice.iloc[2, 4] = 77.0
    with pytest.warns(BarwiseWarning, match="drop_duplicates dropped 1 rows"):
        assert check_bars(twice, repair="drop_duplicates")["volume"].iloc[1] == 77


def test_several_repairs_as_one_text(bars):
    messy = put("close", np.nan, row=3)(stamped_twice(bars).iloc[::-1].copy())
    with pytest.warns(BarwiseWarning):
        mended = check_bars(messy, repair="sort, drop_duplicates,drop_bad_rows")
    assert len(mended) == 5


def test_several_broken_rules_are_told_at_once(bars):
    with pytest.raises(BarsError, match="`close` is empty.*Also broken: 599 rows: stamps must increase"):
        check_bars(newest_first(put("close", np.nan)(bars)))


def test_one_nan_in_a_million_rows():
    values = np.full(1_000_000, 100.0)
    stamps = pd.date_range("2020", periods=len(values), freq="1min", tz="UTC", name="timestamp")
    bars = pd.DataFrame(dict.fromkeys(["open", "high", "low", "close", "volume"], values), index=stamps)
    bars.iloc[765_432, 2] = np.nan
    with pytest.raises(BarsError, match=r"row 765432 \(2021-06-15 13:12:00.*`low` is empty.*1 of 1,000,000 rows"):
        check_bars(bars)


def test_an_unknown_repair_is_named(bars):
    with pytest.raises(BarwiseError, match="'srot', which is not known. Did you mean 'sort'"):
        check_bars(bars, repair="srot")


def test_a_repair_that_would_leave_nothing_is_not_offered(bars):
    with pytest.raises(
        BarsError, match="600 of 600 rows break this.. Dropping them would leave none: look at the"
    ) as told:
        check_bars(bars.assign(close="x"))
    assert "--repair" not in str(told.value)
