"""Intervals and missing bars by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlcore.bars import bar_interval, missing_bars
from mlcore.errors import BarsError


def index(*stamps: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(stamps, tz="UTC", name="timestamp").as_unit("ns")


def test_the_interval_is_the_usual_step_and_gaps_do_not_move_it():
    hours = pd.date_range("2024", periods=50, freq="1h", tz="UTC").delete([3, 4, 5, 20])
    assert bar_interval(hours) == pd.Timedelta("1h")
    assert missing_bars(hours).sum() == 4
    assert missing_bars(hours)[3] == 3
    assert missing_bars(hours, pd.Timedelta("30min"))[1] == 1


def test_one_row_has_no_interval():
    with pytest.raises(BarsError, match="fewer than 2 rows"):
        bar_interval(index("2024-01-01"))
    np.testing.assert_array_equal(missing_bars(index("2024-01-01")), [0])
    assert len(missing_bars(index())) == 0


def test_an_exchange_that_rests_on_weekends_misses_only_weekdays():
    thursday_friday_monday_wednesday = index("2024-01-04", "2024-01-05", "2024-01-08", "2024-01-10", "2024-01-11")
    np.testing.assert_array_equal(missing_bars(thursday_friday_monday_wednesday), [0, 0, 0, 1, 0])


def test_a_market_that_trades_on_weekends_misses_them():
    np.testing.assert_array_equal(
        missing_bars(index("2024-01-04", "2024-01-05", "2024-01-08", "2024-01-12", "2024-01-13")), [0, 0, 2, 3, 0]
    )


def test_a_late_stamp_is_no_missing_bar():
    late = index("2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 02:00:07", "2024-01-01 03:00")
    assert missing_bars(late, pd.Timedelta("1h")).sum() == 0
