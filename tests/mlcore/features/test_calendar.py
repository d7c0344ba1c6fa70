"""The clock by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlcore.features.calendar import day_of_week, time_of_day


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
