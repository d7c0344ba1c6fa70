"""Stamps in all the ways files carry them."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcore.bars.stamps import find_stamps, open_stamps, read_stamps
from mlcore.errors import BarsError

WANTED = pd.DatetimeIndex(["2024-01-31 09:00", "2024-01-31 10:00", "2024-02-01 05:00"], tz="UTC").as_unit("ns")
EPOCH = WANTED.asi8


@given(
    st.lists(st.integers(315_532_800, 4_102_444_800), min_size=1, max_size=5),
    st.sampled_from([1, 10**3, 10**6, 10**9]),
    st.sampled_from([np.int64, np.float64, str]),
)
def test_epochs_of_any_unit_are_told_by_their_size(seconds, unit, kind):
    raw = pd.Series([kind(s * unit) if kind is not str else str(s * unit) for s in seconds])
    stamps = read_stamps(raw)
    assert str(stamps.dtype) == "datetime64[ns, UTC]"
    np.testing.assert_allclose(stamps.asi8 / 1e9, seconds, atol=1e-6)
    if kind is not np.float64:
        np.testing.assert_array_equal(stamps.asi8, np.array(seconds) * 10**9)


def test_a_dump_that_changes_from_ms_to_us_on_the_way():
    np.testing.assert_array_equal(
        read_stamps(pd.Series([EPOCH[0] // 10**6, EPOCH[1] // 10**3, EPOCH[2] // 10**9])), WANTED
    )


def test_fractions_of_a_second_survive():
    assert read_stamps(pd.Series([1706691600.25]))[0] == pd.Timestamp("2024-01-31 09:00:00.25", tz="UTC")


@pytest.mark.parametrize(
    "raw",
    [
        ["2024-01-31 09:00", "2024-01-31 10:00", "2024-02-01 05:00"],
        ["2024-01-31T09:00:00Z", "2024-01-31T10:00:00Z", "2024-02-01T05:00:00Z"],
        ["2024-01-31 09:00:00+00:00", "2024-01-31 10:00:00+00:00", "2024-02-01 05:00:00+00:00"],
        ["2024-01-31T11:00:00+02:00", "2024-01-31T12:00:00+02:00", "2024-02-01T00:00:00-05:00"],
        ["2024-01-31 09-AM", "2024-01-31 10-AM", "2024-02-01 05-AM"],
        ["01/31/2024 09:00", "01/31/2024 10:00", "02/01/2024 05:00"],
        ["31/01/2024 09:00:00", "31/01/2024 10:00:00", "01/02/2024 05:00:00"],
        ["31.01.2024 09:00", "31.01.2024 10:00", "01.02.2024 05:00"],
        ["2024.01.31 09:00", "2024.01.31 10:00", "2024.02.01 05:00"],
        ["1/31/2024 9:00 AM", "1/31/2024 10:00 AM", "2/1/2024 5:00 AM"],
    ],
)
def test_dates_as_text(raw):
    assert list(read_stamps(pd.Series(raw))) == list(WANTED)


@pytest.mark.parametrize(
    "raw", [["Jan 30, 2024", "Jan 31, 2024"], [20240130, 20240131], ["30-Jan-2024", "31-Jan-2024"]]
)
def test_days_as_text_or_number(raw):
    assert list(read_stamps(pd.Series(raw))) == list(pd.to_datetime(["2024-01-30", "2024-01-31"], utc=True))


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_datetimes_of_any_unit_and_zone(zone, unit):
    raw = WANTED.tz_localize(None) if zone is None else WANTED.tz_convert(zone)
    made = read_stamps(raw.as_unit(unit))
    np.testing.assert_array_equal(made, WANTED)
    assert made.name == "timestamp"
    assert str(made.dtype) == "datetime64[ns, UTC]"


def test_python_dates():
    assert read_stamps(pd.Series([dt.date(2024, 1, 31)], dtype=object))[0] == pd.Timestamp("2024-01-31", tz="UTC")


def test_day_and_month_that_cannot_be_told_apart_are_refused():
    with pytest.raises(BarsError, match="'03/04/2024' can be read as %m/%d/%Y and as %d/%m/%Y"):
        read_stamps(pd.Series(["03/04/2024", "04/05/2024"]))


@pytest.mark.parametrize("wrong", ["yesterday", "", "2024-13-45", None])
def test_a_stamp_that_cannot_be_read_is_left_empty(wrong):
    stamps = read_stamps(pd.Series(["2024-01-31 09:00", wrong, "2024-01-31 10:00"], dtype=object))
    np.testing.assert_array_equal(stamps.isna(), [False, True, False])


@pytest.mark.parametrize("wrong", [[0, 1, 2], [1.0, np.nan, 3.0], [-5, 9 * 10**18, 7], [True, False, True]])
def test_numbers_that_are_no_epochs_are_left_empty(wrong):
    assert read_stamps(pd.Series(wrong)).isna().all()


def test_which_column_holds_them():
    frame = pd.DataFrame({"unix": [1], "date": ["2024-01-01"], "open_time": [2], "close_time": [3]})
    assert find_stamps(frame, "open")[1] == "open_time"
    assert find_stamps(frame, "close")[1] == "close_time"
    assert find_stamps(frame[["date", "unix"]], "open")[1] == "unix"
    assert find_stamps(frame.set_axis(WANTED[:1], axis=0), "open")[1] == "index"
    assert find_stamps(pd.DataFrame({"open": [1]}, index=[1706691600]), "open")[1] == "index"
    assert find_stamps(pd.DataFrame({"unnamed_0": ["2024-01-01"], "open": [1]}), "open")[1] == "first column"
    raw, _ = find_stamps(pd.DataFrame({"date": ["2024.01.31"], "time": ["09:00"]}), "open")
    assert read_stamps(raw)[0] == WANTED[0]


def test_close_times_are_not_taken_for_opens():
    with pytest.raises(BarsError, match="stamped='close'"):
        find_stamps(pd.DataFrame({"open": [1], "close_time": [1706691600]}), "open")
    with pytest.raises(BarsError, match="no column holds the stamps; the columns are open"):
        find_stamps(pd.DataFrame({"open": [1]}), "open")


@pytest.mark.parametrize("first", [0, 1])
def test_numbers_of_the_rows_are_no_stamps_and_no_repair_is_offered_for_them(first):
    counted = pd.DataFrame({"open": [1, 2, 3]}, index=np.arange(first, first + 3))
    for frame in (counted, counted.rename_axis("unnamed_0").reset_index()):
        with pytest.raises(BarsError, match="no column holds the stamps; .* Call it timestamp") as told:
            find_stamps(frame, "open")
        assert "repair" not in str(told.value)


@pytest.mark.parametrize("index", [WANTED, WANTED.asi8 // 10**6, WANTED.astype(str)], ids=["stamps", "epochs", "text"])
@pytest.mark.parametrize("name", ["close_time", "Close time"])
def test_an_index_of_close_times_is_not_taken_for_opens(index, name):
    frame = pd.DataFrame({"open": [1, 2, 3]}, index=pd.Index(index, name=name))
    with pytest.raises(BarsError, match="the only stamps are 'close_time'.*Say stamped='close'"):
        find_stamps(frame, "open")
    assert find_stamps(frame, "close")[1] == "index"
    assert find_stamps(frame.assign(open_time=WANTED), "open")[1] == "open_time"
    assert find_stamps(frame.rename_axis("Open time"), "open")[1] == "index"


@pytest.mark.parametrize("early", ["0s", "1ms", "1s"])
def test_closing_times_are_moved_back_one_interval(early):
    closes = WANTED + pd.Timedelta("1h") - pd.Timedelta(early)
    np.testing.assert_array_equal(open_stamps(closes, pd.Timedelta("1h")), WANTED)
