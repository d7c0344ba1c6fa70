"""The clock of bars: the usual step, and what is missing between two rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlcore.errors import BarsError

_DAY = pd.Timedelta(days=1)


def bar_interval(bars: pd.DataFrame | pd.Index) -> pd.Timedelta:
    """Return the most frequent step between stamps (the shortest of several).

    >>> bar_interval(pd.to_datetime(["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 04:00", "2024-01-01 05:00"]))
    Timedelta('0 days 01:00:00')
    """
    steps = np.diff(_nanoseconds(bars.index if isinstance(bars, pd.DataFrame) else bars))
    if not len(steps):
        raise BarsError("`bars` has fewer than 2 rows: the interval between bars cannot be told.")
    sizes, counts = np.unique(steps, return_counts=True)
    return pd.Timedelta(int(sizes[counts.argmax()]), unit="ns")


def missing_bars(index: pd.DatetimeIndex, interval: pd.Timedelta | None = None) -> np.ndarray:
    """Return ``(N,)`` int64: bars missing between row ``i-1`` and row `i`; 0 in row 0.

    Daily bars without any Saturday or Sunday are those of an exchange that rests on weekends: there only
    weekdays are missed. Known at row `i`, save for that one choice.

    >>> missing_bars(pd.to_datetime(["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 04:00", "2024-01-01 05:00"]))
    array([0, 0, 2, 0])
    """
    missing = np.zeros(len(index), dtype=np.int64)
    if len(index) < 2:
        return missing
    interval = bar_interval(index) if interval is None else interval
    if interval == _DAY and not (index.day_of_week >= 5).any():
        days = (index.as_unit("s").asi8 // 86_400).astype("datetime64[D]")
        missing[1:] = np.busday_count(days[:-1], days[1:]) - 1
    else:
        missing[1:] = np.rint(np.diff(_nanoseconds(index)) / interval.value) - 1
    return np.maximum(missing, 0)


def _nanoseconds(index: pd.Index) -> np.ndarray:
    return pd.DatetimeIndex(index).as_unit("ns").asi8
