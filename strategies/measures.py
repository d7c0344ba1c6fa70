"""The stated convention of the engines' numbers, and what is said where a number is not defined.

Sharpe ratio: equity at the last bar of each UTC day that has a bar; simple returns between those, the
first from the starting cash; mean / sample deviation x sqrt(days per year); no risk-free rate. Bars longer than a day
have one return each, and the root is of the bars per year (52.1 weeks; `strategies.policy.bars_per_year`).
Drawdown: fall of a bar's equity from the highest so far, the starting cash counted, as a positive fraction.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from mlcore.bars import bar_interval
from strategies.orders import CLIP_TOLERANCE, MIN_ACCOUNT, Plan
from strategies.policy import bars_per_year

# Returns that differ by less than this share of their size are equal but for rounding.
NO_DEVIATION = 1e-9
# A daily return below this is the rounding of an account that stood still.
NO_MOVE = 1e-12


def returns_per_year(bars: pd.DataFrame | pd.DatetimeIndex, days_per_year: float) -> float:
    """Return how many of the Sharpe ratio's returns a year has: `days_per_year`, or the bars longer than a day.

    >>> returns_per_year(pd.date_range("2024", periods=9, freq="1h", tz="UTC"), 252.0)
    252.0
    >>> round(returns_per_year(pd.date_range("2024", periods=9, freq="7D", tz="UTC"), 252.0), 2)
    52.14
    """
    longer = len(bars) > 1 and bar_interval(bars) > pd.Timedelta(days=1)
    index = bars.index if isinstance(bars, pd.DataFrame) else bars
    return bars_per_year(pd.DatetimeIndex(index), days_per_year) if longer else days_per_year


def sharpe_or_note(engine_value: float | None, daily: np.ndarray, lowest: float) -> tuple[float | None, str]:
    """Return the engine's own Sharpe ratio where it is defined, else 0.0 or None, and the note that says so.

    `daily` are the engine's daily returns, `lowest` its lowest equity as a share of the starting cash.
    """
    if lowest <= MIN_ACCOUNT:
        return None, "sharpe is not defined: the account fell to zero or below, where returns have no meaning"
    if len(daily) < 2:
        return None, f"sharpe is not defined: {len(daily)} daily return(s), it takes two"
    size = float(np.abs(daily).max())
    if size < NO_MOVE:
        return 0.0, "equity never moves: sharpe and drawdown are 0 by convention"
    if float(np.std(daily, ddof=1)) <= NO_DEVIATION * size:
        return None, "sharpe is not defined: all daily returns are equal"
    if engine_value is None or not math.isfinite(engine_value):
        return None, f"sharpe is not defined: the engine gave {engine_value!r}"
    return float(engine_value), ""


def return_or_note(final: float, equity: pd.Series, cash: float) -> tuple[float | None, str]:
    """Return the total return of an account that ends at `final`, or None and the note that says when it was gone.

    An account that fell to zero or below (`MIN_ACCOUNT` of the starting cash is zero) lost all there was; what it
    shows after that was made on money that nobody had.
    """
    gone = equity.index[equity.to_numpy(np.float64) <= MIN_ACCOUNT * cash]
    if not len(gone):
        return final / cash - 1, ""
    lowest = float(equity.min())
    shown = 0.0 if abs(lowest) <= MIN_ACCOUNT * cash else lowest
    return None, (
        f"total_return is not defined: the account was at zero or below, first at {gone[0]} and last at {gone[-1]}, "
        f"lowest {shown:,.6g}; from the first of them on there was no money to trade with"
    )


def open_note(plan: Plan, orders: pd.DataFrame) -> str:
    """Return a sentence on the exits that left a position behind, or an empty string.

    An exit is an order decided with a target of 0; what cash did not pay of it is dropped, so the account holds on
    against its weights until the next order. `orders` are those of `orders_table`.
    """
    target = pd.Series(plan.targets, plan.bars.index).reindex(orders["decided"]).to_numpy()
    held = orders["size"].cumsum().abs().to_numpy()
    left = held > CLIP_TOLERANCE * held.max(initial=0.0)  # below is the rounding of the sum
    stayed = orders[(target == 0) & (orders["status"] != "filled").to_numpy() & left]
    if not len(stayed):
        return ""
    count = " was" if len(stayed) == 1 else "s were"
    return (
        f"a position stayed open against a target of flat: {len(stayed)} exit{count} not filled whole "
        f"(first at {stayed['timestamp'].iloc[0]})"
    )
