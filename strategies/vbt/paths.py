"""Accounts from their fills: equity on every bar, and what is kept of it, without holding a column of it."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from vectorbt.returns.nb import get_return_nb


class Paths(NamedTuple):
    """What is kept of the equity of C accounts; amounts as those that went in.

    daily ``(C, days)`` equity at the last bar of each day; final, lowest ``(C,)`` equity; fall ``(C,)`` the deepest
    drawdown, 0 or below, the starting cash counted; mean, deviation ``(C,)`` of the bars' returns, the first one
    from the starting cash, the deviation a sample's.
    """

    daily: np.ndarray
    final: np.ndarray
    lowest: np.ndarray
    fall: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray


def account_paths(
    close: np.ndarray,
    starts: np.ndarray,
    rows: np.ndarray,
    cash: np.ndarray,
    units: np.ndarray,
    start_cash: float,
    last_of_day: np.ndarray,
) -> Paths:
    """Walk C accounts over N bars; an account is its cash and units after each fill.

    The fills of account c are ``rows[starts[c]:starts[c + 1]]``, in order, with what the account held from that row on;
    `close` is ``(N,)``, `last_of_day` the days' last rows. Returns are vectorbt's own, so an account at or below zero
    has those that vectorbt gives it.
    """
    return Paths(*_walk(close, starts, rows, cash, units, start_cash, last_of_day))


@numba.njit(cache=True)
def _walk(
    close: np.ndarray,
    starts: np.ndarray,
    rows: np.ndarray,
    cash: np.ndarray,
    units: np.ndarray,
    start_cash: float,
    last_of_day: np.ndarray,
) -> tuple[np.ndarray, ...]:
    n, columns = len(close), len(starts) - 1
    daily = np.empty((columns, len(last_of_day)))
    final, lowest, fall = np.empty(columns), np.empty(columns), np.empty(columns)
    mean, deviation = np.empty(columns), np.full(columns, np.nan)
    equity, returns = np.empty(n), np.empty(n)
    for column in range(columns):
        _hold(close, rows, cash, units, starts[column], starts[column + 1], start_cash, equity)
        low, peak, worst, total, before = np.inf, start_cash, 1.0, 0.0, start_cash
        for row in range(n):
            value = equity[row]
            low = min(low, value)
            peak = max(peak, value)
            worst = min(worst, value / peak)
            returns[row] = get_return_nb(before, value)
            total += returns[row]
            before = value
        daily[column] = equity[last_of_day]
        final[column], lowest[column], fall[column], mean[column] = value, low, worst - 1, total / n
        if n > 1:
            deviation[column] = np.sqrt(np.square(returns - mean[column]).sum() / (n - 1))
    return daily, final, lowest, fall, mean, deviation


@numba.njit(cache=True)
def _hold(
    close: np.ndarray,
    rows: np.ndarray,
    cash: np.ndarray,
    units: np.ndarray,
    first: int,
    end: int,
    start_cash: float,
    equity: np.ndarray,
) -> None:
    """Write the equity of one account: constant cash and units from each fill to the next."""
    begin, money, held = 0, start_cash, 0.0
    for fill in range(first, end + 1):
        until = rows[fill] if fill < end else len(close)
        for row in range(begin, until):
            equity[row] = money + held * close[row]
        if fill < end:
            begin, money, held = until, cash[fill], units[fill]
