"""What both engines are given: checked inputs, the targets that become orders, and the dust rule.

Nothing here fills anything: sizes, prices, cash and equity are each engine's own arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError
from mlcore.forecasts import check_forecasts
from strategies.costs import Costs

# Dust. An order is given only where the target weight moved by at least MIN_WEIGHT_CHANGE since the last
# order (targets as near as that to -1, 0 or 1 are taken for it), and only for MIN_ORDER_SHARE of the starting
# cash or more; leaving a position is never dust. Below this the rounding of floats, and vectorbt's own
# tolerances (1e-9 of the cash), would decide what is traded. The first is ten times the second, so that a
# ladder of equal steps does not end on the edge of both.
MIN_WEIGHT_CHANGE = 1e-6
MIN_ORDER_SHARE = 1e-7
# An account, or cash, of no more than this share of the starting cash is zero: it is rounding.
MIN_ACCOUNT = 1e-12
# A shortfall smaller than this share is none: vectorbt's own tolerance.
CLIP_TOLERANCE = 1e-9

PARTIAL = "cash did not pay for the whole order: filled as far as it went, the rest dropped"
NO_CASH = "there was no cash to pay for any of it"
BROKE = "the account was at or below zero"


@dataclass(frozen=True)
class Plan:
    """Checked inputs of one run, and the orders both engines are to give.

    targets
        ``(N,)`` float64: the weight to trade to, decided at this bar's close; NaN where no order is given.
    """

    bars: pd.DataFrame
    weights: pd.Series
    targets: np.ndarray
    costs: Costs
    cash: float


def make_plan(bars: pd.DataFrame, weights: pd.Series, costs: Costs | None, cash: float) -> Plan:
    """Check bars, weights and cash; raise `BarwiseError` for what neither engine could trade."""
    cash = checked_cash(cash)
    checked_prices(bars)
    checked_weights(weights, bars)
    targets = order_targets(weights)
    return Plan(bars, weights.astype(np.float64).rename("weight"), targets, costs or Costs(), cash)


def checked_cash(cash: float) -> float:
    """Return `cash` as a float; refuse what is not a positive number."""
    if not (isinstance(cash, (int, float)) and math.isfinite(cash) and cash > 0):
        raise BarwiseError(f"`cash` is {cash!r}: the account must start with a positive, finite amount.")
    return float(cash)


def checked_weights(weights: pd.Series | pd.DataFrame, bars: pd.DataFrame) -> None:
    """Refuse weights that are not one a bar."""
    if not weights.index.equals(bars.index):
        raise BarwiseError(
            f"`weights` has {len(weights)} rows and `bars` {len(bars)}, or other stamps: give one weight a bar, "
            "for instance `weights.reindex(bars.index)`."
        )


def checked_prices(bars: pd.DataFrame) -> None:
    """Refuse bars without rows, or with an open or close that no order could fill at."""
    if not len(bars):
        raise BarwiseError("`bars` are empty: there is nothing to trade on.")
    for column in ("open", "close"):
        if column not in bars:
            raise BarwiseError(f"`bars` have no column {column!r}: orders are decided and filled by open and close.")
        price = bars[column].to_numpy(np.float64)
        wrong = ~(np.isfinite(price) & (price > 0))
        if wrong.any():
            row = int(wrong.argmax())
            raise BarwiseError(
                f"`bars` have {column} {float(price[row])!r} at {bars.index[row]}: a price must be finite and above "
                "0. `check_bars` tells all that is wrong with bars."
            )


def order_targets(weights: pd.Series) -> np.ndarray:
    """Return the targets that become orders, ``(N,)`` float64, NaN where there is no order.

    A target nearer than `MIN_WEIGHT_CHANGE` to -1, 0 or 1 is that; one nearer than that to the last ordered
    target is no order. Known at the bar's close, filled at the next open.

    >>> order_targets(pd.Series([np.nan, 0.5, 0.5 + 1e-9, 0.6, 1e-9, np.nan])).tolist()
    [nan, 0.5, nan, 0.6, 0.0, nan]
    """
    return _walk_targets(checked_targets(weights))


def checked_targets(weights: pd.Series) -> np.ndarray:
    """Return ``(N,)`` target weights, snapped (see `snap`), 0 for flat; refuse what is not in [-1, 1]."""
    try:
        wanted = weights.to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise BarwiseError(
            f"`weights` are of type {weights.dtype}: a target weight is a number in [-1, 1], NaN for flat."
        ) from None
    wrong = ~(np.isnan(wanted) | (np.abs(wanted) <= 1))
    if wrong.any():
        row = int(wrong.argmax())
        raise BarwiseError(
            f"`weights` is {wanted[row]!r} at {weights.index[row]}: a target weight must be in [-1, 1], NaN for flat."
        )
    return snap(np.nan_to_num(wanted))


def snap(weights: Any) -> Any:
    """Return weights nearer than `MIN_WEIGHT_CHANGE` to -1, 0 or 1 as that number; NaN stays.

    >>> snap(np.array([1 - 1e-9, 1e-9, 0.5, np.nan])).tolist()
    [1.0, 0.0, 0.5, nan]
    """
    nearest = np.rint(weights) + 0.0  # no minus zero
    return np.where(np.abs(weights - nearest) < MIN_WEIGHT_CHANGE, nearest, weights)


def is_dust_change(target: float, last: float) -> bool:
    """Tell whether a move from the last ordered target is too small to order; leaving a position never is."""
    return target == last or (target != 0 and abs(target - last) < MIN_WEIGHT_CHANGE)


compiled_is_dust_change = numba.njit(is_dust_change, cache=True)


@numba.njit(cache=True)
def _walk_targets(wanted: np.ndarray) -> np.ndarray:
    targets = np.full(len(wanted), np.nan)
    last = 0.0
    for row in range(len(wanted)):
        if not compiled_is_dust_change(wanted[row], last):
            targets[row] = last = wanted[row]
    return targets


def smallest_units(close: Any, cash: float, target: Any) -> Any:
    """Return the fewest units an order decided at `close` is given for: 0 to leave a position; arrays or numbers."""
    return np.where(target == 0, 0.0, MIN_ORDER_SHARE * cash / close)


def check_forecasts_before(forecasts: pd.DataFrame | None, bars: pd.DataFrame, in_sample: bool = False) -> None:
    """Refuse forecasts that know their own bar (unless `in_sample` is asked for by name), or that are not of `bars`."""
    if forecasts is not None:
        check_forecasts(forecasts, bars, in_sample)


def clip_note(orders: pd.DataFrame) -> str:
    """Return a sentence on the orders that were not filled whole, or an empty string."""
    counts = orders["status"].value_counts()
    partial, rejected = int(counts.get("partial", 0)), int(counts.get("rejected", 0))
    if not partial + rejected:
        return ""
    return f"orders given: {len(orders):,}; filled in part: {partial:,}, rejected: {rejected:,} (see their `reason`)"


def orders_table(engine: str, symbol: str | list[str], index: pd.Index, rows: list[tuple]) -> pd.DataFrame:
    """Build the orders table from tuples ``(decided row, fill row, size, price, commission, status, reason)``.

    `symbol` is that of all orders, or a list of one an order.
    """
    columns = list(zip(*rows, strict=True)) if rows else [()] * 7
    return pd.DataFrame(
        {
            "engine": pd.Series([engine] * len(rows), dtype="str"),
            "symbol": pd.Series([symbol] * len(rows) if isinstance(symbol, str) else symbol, dtype="str"),
            "decided": index[np.asarray(columns[0], np.int64)],
            "timestamp": index[np.asarray(columns[1], np.int64)],
            "size": np.asarray(columns[2], np.float64),
            "price": np.asarray(columns[3], np.float64),
            "commission": np.asarray(columns[4], np.float64),
            "status": pd.Series(columns[5], dtype="str"),
            "reason": pd.Series(columns[6], dtype="str"),
        }
    )
