"""Two engines, one truth: they agree on every bar and every order, or the run fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from strategies.result import BacktestResult

# An account that lost all but this share of its peak is compared at that share: nearer to zero, equity is
# the difference of two large numbers (what is held and what is owed) and its own digits are rounding.
SMALLEST_SHARE = 1e-6
_EXACT = ("decided", "timestamp", "status")
_NUMBERS = ("size", "price", "commission")


class ReconcileError(RuntimeError):
    """The two engines differ: names the first bar and the first order that do, with both values."""

    exit_code = 3


def reconcile(a: BacktestResult, b: BacktestResult, rtol: float = 1e-9) -> dict[str, Any]:
    """Compare every bar's equity and every order of two results; raise `ReconcileError` where they differ.

    Returns ``{"agrees": True, "max_relative_difference", "n_orders"}``, the difference over all numbers
    compared. Stamps, status and count of orders must be equal; equity, size, price and commission may
    differ by `rtol` relative.
    """
    bar, worst_equity = _first_bar(a, b, rtol)
    order, worst_order = _first_order(a, b, rtol)
    if bar or order:
        raise ReconcileError(
            f"{a.engine} and {b.engine} differ beyond {rtol:g} relative. "
            f"First bar: {bar or 'none, equity agrees on all'}. First order: {order or 'none, all agree'}."
        )
    worst = max(worst_equity, worst_order)
    return {"agrees": True, "max_relative_difference": worst, "n_orders": len(a.orders)}


def _first_bar(a: BacktestResult, b: BacktestResult, rtol: float) -> tuple[str, float]:
    if not a.equity.index.equals(b.equity.index):
        return f"the bars are not the same ({len(a.equity)} and {len(b.equity)})", np.inf
    first, second = a.equity.to_numpy(np.float64), b.equity.to_numpy(np.float64)
    floor = SMALLEST_SHARE * np.maximum.accumulate(np.abs(first))
    difference = _relative(first, second, floor)
    row = _first(difference > rtol)
    said = "" if row is None else f"{a.equity.index[row]}, {_both(a, b, first[row], second[row])}"
    return said, float(difference.max(initial=0.0))


def _first_order(a: BacktestResult, b: BacktestResult, rtol: float) -> tuple[str, float]:
    common = min(len(a.orders), len(b.orders))
    one, two = a.orders.iloc[:common], b.orders.iloc[:common]
    found = [(row, name) for name in _EXACT if (row := _first((one[name] != two[name]).to_numpy())) is not None]
    worst = 0.0
    for name in _NUMBERS:
        difference = _relative(one[name].to_numpy(), two[name].to_numpy(), 0.0)
        worst = max(worst, float(difference.max(initial=0.0)))
        if (row := _first(difference > rtol)) is not None:
            found.append((row, name))
    if found:
        row, name = min(found)
        return f"number {row}, {_told(one, row)}: {name}, {_both(a, b, one[name].iloc[row], two[name].iloc[row])}", worst
    if len(a.orders) != len(b.orders):
        longer = a if len(a.orders) > len(b.orders) else b
        return f"number {common}, {_told(longer.orders, common)}: only {longer.engine} has it", worst
    return "", worst


def _told(orders: pd.DataFrame, row: int) -> str:
    order = orders.iloc[row]
    return f"decided {order['decided']}, filled {order['timestamp']}, {order['status']} {order['size']!r}"


def _both(a: BacktestResult, b: BacktestResult, first: Any, second: Any) -> str:
    return f"{a.engine} {first!r}, {b.engine} {second!r}"


def _relative(first: np.ndarray, second: np.ndarray, floor: np.ndarray | float) -> np.ndarray:
    scale = np.maximum(np.maximum(np.abs(first), np.abs(second)), floor)
    gap = np.abs(first - second)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = np.where(gap == 0, 0.0, gap / scale)
    both_missing = np.isnan(first) & np.isnan(second)
    return np.where(both_missing, 0.0, np.where(np.isnan(difference), np.inf, difference))


def _first(wrong: np.ndarray) -> int | None:
    return int(wrong.argmax()) if wrong.any() else None
