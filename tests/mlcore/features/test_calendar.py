"""The clock by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from mlcore.features.calendar import calendar_ahead, day_of_week, time_of_day
from mlcore.features.recipes import column_name, parse_recipe


def at(*stamps: str) -> pd.DataFrame:
    return pd.DataFrame(index=pd.DatetimeIndex(stamps, tz="UTC", name="timestamp").as_unit("ns"))


def test_the_day_is_a_circle():
    made = time_of_day(at("2024-02-29 00:00", "2024-02-29 06:00", "2024-02-29 12:00", "2024-02-29 18:00"))
    np.testing.assert_allclose(made["sine"], [0, 1, 0, -1], atol=1e-12)
    np.testing.assert_allclose(made["cosine"], [1, 0, -1, 0], atol=1e-12)


def test_the_week_starts_on_monday_and_before_1970_too():
    made = day_of_week(at("2024-02-26 23:59", "2024-02-27 00:00", "2024-03-03 12:00", "1969-12-29 01:00"))
    weekday = np.array([0, 1, 6, 0])
    np.testing.assert_allclose(made["sine"], np.sin(2 * np.pi * weekday / 7), atol=1e-12)
    np.testing.assert_allclose(made["cosine"], np.cos(2 * np.pi * weekday / 7), atol=1e-12)


def test_stamps_in_another_unit_read_the_same():
    stamps = at("2024-02-26 23:59", "2024-02-27 00:15")
    coarse = stamps.set_axis(stamps.index.as_unit("ms"))
    np.testing.assert_array_equal(time_of_day(coarse), time_of_day(stamps))


def hourly(n: int, start: str = "2024-03-01 20:00") -> pd.DatetimeIndex:
    return pd.date_range(start, periods=n, freq="h", tz="UTC", name="timestamp").as_unit("ns")


def test_the_clock_ahead_is_the_clock_of_the_bars_that_come():
    bars = pd.DataFrame(index=hourly(80))
    made = calendar_ahead(bars, steps=(1, 3))
    assert made.shape == (80, 12)
    assert made.iloc[:11].isna().all().all()  # 11 steps tell the interval
    assert made.iloc[11:].notna().all().all()
    for name, clock in (("day", time_of_day(bars)), ("week", day_of_week(bars))):
        for part in ("sine", "cosine"):
            for ahead in (0, 1, 3):
                here = made[f"{name}_{part}_{ahead}"].to_numpy()[11 : 80 - ahead]
                np.testing.assert_array_equal(here, clock[part].to_numpy()[11 + ahead :])


def test_the_clock_ahead_counts_intervals_of_the_past_and_knows_no_gap_or_change_early():
    index = hourly(60)
    gap = index[:30].append(index[33:])  # three bars missing after row 29
    slower = index[:30].append(pd.date_range(index[29], periods=31, freq="4h").as_unit("ns")[1:])
    whole = calendar_ahead(pd.DataFrame(index=index), steps=(1, 2))
    for other in (gap, slower):
        made = calendar_ahead(pd.DataFrame(index=other), steps=(1, 2))
        np.testing.assert_array_equal(made[:30], whole[:30])
    after_gap = calendar_ahead(pd.DataFrame(index=gap), steps=(1, 2))
    np.testing.assert_array_equal(after_gap[30:], whole[33:])
    after_change = calendar_ahead(pd.DataFrame(index=slower), steps=(1, 2))
    expected = time_of_day(pd.DataFrame(index=slower + pd.Timedelta("4h")))
    believed = np.flatnonzero(after_change["day_sine_1"].to_numpy() == expected["sine"].to_numpy())
    assert set(range(35, 60)) <= set(believed)  # 6 of the newest 11 steps are the new one in row 35
    assert not {31, 32, 33, 34} & set(believed)


def test_no_bars_ahead_is_the_clock_of_the_bar_and_bars_behind_are_refused():
    assert len(calendar_ahead(pd.DataFrame(index=hourly(5)), steps=()).columns) == 4
    for steps in ((0,), (2, -1), (3, 3)):
        with pytest.raises(BarwiseError, match="`steps` of calendar_ahead are"):
            calendar_ahead(pd.DataFrame(index=hourly(5)), steps=steps)


def test_its_columns_name_a_recipe_like_any_others():
    assert parse_recipe("calendar_ahead_steps(5, 15)") == ("calendar_ahead", {"steps": (5, 15)})
    assert column_name("calendar_ahead", {"steps": (5, 15)}) == "calendar_ahead_steps(5, 15)"
