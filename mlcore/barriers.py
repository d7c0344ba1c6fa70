"""The triple barrier: when a position meets its stop, its profit, or its time. One rule, for the label and the engines.

A position is entered at the open of a bar. From that bar on, each bar is looked at in this order:

1. the open: at or beyond the stop it fills there, at or beyond the profit likewise (a gap fills at the open);
2. the stop: if the bar's range reaches it, it fills at the stop, **before** the profit where both lie in the bar;
3. the profit: if the bar's range reaches it, it fills at the profit.

Where none is met, time ends the position: `horizon` bars after the entry, at the open.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numba import njit

from mlcore.errors import BarwiseError

NO_BARRIER, STOP, PROFIT, TIME = 0, 1, 2, 3


@njit(cache=True)
def barrier_met(
    opened: float, high: float, low: float, side: float, stop: float, profit: float
) -> tuple[int, float]:  # pragma: no cover (compiled)
    """Return which barrier one bar meets and the price, before slippage; ``(NO_BARRIER, nan)`` for none.

    `side` is 1 for long, -1 for short; `stop` and `profit` are prices, NaN where there is no such barrier.

    >>> barrier_met(100.0, 103.0, 97.0, 1.0, 98.0, 102.0)
    (1, 98.0)
    >>> barrier_met(96.0, 103.0, 95.0, 1.0, 98.0, 102.0)
    (1, 96.0)
    """
    far, near = (high, low) if side > 0 else (low, high)
    if side * opened <= side * stop:
        return STOP, opened
    if side * opened >= side * profit:
        return PROFIT, opened
    if side * near <= side * stop:
        return STOP, stop
    if side * far >= side * profit:
        return PROFIT, profit
    return NO_BARRIER, np.nan


@njit(cache=True)
def barrier_levels(
    entry: float, side: float, stop: float, profit: float, unit: float
) -> tuple[float, float]:  # pragma: no cover (compiled)
    """Return the prices of stop and profit around an `entry`; widths are fractions of it, times `unit`.

    >>> barrier_levels(100.0, -1.0, 0.02, np.nan, 1.0)
    (102.0, nan)
    """
    return entry * (1 - side * stop * unit), entry * (1 + side * profit * unit)


@njit(cache=True)
def first_barriers(
    opened: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    units: np.ndarray,
    side: float,
    horizon: int,
    stop: float,
    profit: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # pragma: no cover (compiled)
    """Follow a position entered at the open after each row to its end.

    `opened`, `high`, `low` and `units` are ``(N,)``; the widths `stop` and `profit` count in units of the row that
    decided. Returns, each ``(N,)``: the row of the end, the price there, and which barrier it was. Where the
    end is not in the frame, or the row has no unit (NaN), the price is NaN and the end past the frame.
    """
    n = len(opened)
    ends, prices, kinds = np.empty(n, np.int64), np.full(n, np.nan), np.zeros(n, np.int64)
    for row in range(n):
        ends[row] = row + 1 + horizon
        if np.isnan(units[row]):
            ends[row] = max(ends[row], n)
        if row + 1 >= n or np.isnan(units[row]):
            continue
        stop_at, profit_at = barrier_levels(opened[row + 1], side, stop, profit, units[row])
        for at in range(row + 1, min(row + 1 + horizon, n)):
            kind, price = barrier_met(opened[at], high[at], low[at], side, stop_at, profit_at)
            if kind != NO_BARRIER:
                ends[row], prices[row], kinds[row] = at, price, kind
                break
        if kinds[row] == NO_BARRIER and ends[row] < n:
            prices[row], kinds[row] = opened[ends[row]], TIME
    return ends, prices, kinds


def barrier_units(bars: pd.DataFrame, volatility_window: int | None) -> np.ndarray:
    """Return what widths of barriers count in, ``(N,)``, known at each bar's close.

    1.0, so that widths are fractions of the entry price; with a `volatility_window` the deviation of that many
    log returns per bar (the feature `volatility`), NaN in its warm-up and where nothing moved.
    """
    if volatility_window is None:
        return np.ones(len(bars))
    if isinstance(volatility_window, bool) or not isinstance(volatility_window, int) or volatility_window < 2:
        raise BarwiseError(
            f"`volatility_window` is {volatility_window!r}; it is a count of bars, 2 or more, or None for barriers in "
            "fractions of the price."
        )
    from mlcore.features.volatility import volatility  # TA-Lib, which fractions of the price need not

    found = np.asarray(volatility(bars, window=volatility_window), dtype=np.float64)
    return np.where(found > 1e-10, found, np.nan)  # below is rounding, not movement


def check_width(name: str, width: float | None) -> None:
    """Refuse a width of a barrier that is not a positive number; None is no barrier."""
    if width is None:
        return
    if isinstance(width, bool) or not isinstance(width, int | float | np.number) or not 0 < width < np.inf:
        raise BarwiseError(
            f"`{name}` is {width!r}; it is a width above 0: 0.02 is 2% of the entry price, or with `volatility_window` "
            "2.0 twice the volatility. None is no such barrier."
        )
