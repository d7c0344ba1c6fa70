"""Two engines, one truth: they agree on every bar and every order, or the run fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from strategies.result import BacktestResult

# Equity is cash less what is owed, an order what is wanted less what is held. Where such a difference is
# below this share of the numbers it is taken from (or of the starting cash, which all sums began with), it is
# compared at that share: 1e-9 of it is the rounding of those numbers.
SMALLEST_SHARE = 1e-4
_EXACT = ("decided", "timestamp", "status")
_NUMBERS = ("size", "price", "commission")


class ReconcileError(RuntimeError):
    """The two engines differ: names the first bar and the first order that do, with both values."""

    exit_code = 3


def reconcile(a: BacktestResult, b: BacktestResult, rtol: float = 1e-9) -> dict[str, Any]:
    """Compare every bar's equity and every order of two results; raise `ReconcileError` where they differ.

    Returns ``{"agrees": True, "max_relative_difference", "n_orders", "worst_bar", "worst_order"}``, the difference over
    all numbers compared; the last two are stamps (an order's is when it filled), None where nothing differs at all.
    Stamps, status and count of orders must be equal; equity, size, price and commission may differ by `rtol` relative.
    """
    bar, worst_equity, worst_bar = _first_bar(a, b, rtol)
    order, worst_number, worst_order = _first_order(a, b, rtol)
    if bar or order:
        raise ReconcileError(
            f"{a.engine} and {b.engine} differ beyond {rtol:g} relative. "
            f"First bar: {bar or 'none, equity agrees on all'}. First order: {order or 'none, all agree'}."
        )
    found = {"agrees": True, "max_relative_difference": max(worst_equity, worst_number), "n_orders": len(a.orders)}
    return found | {"worst_bar": worst_bar, "worst_order": worst_order}


def _first_bar(a: BacktestResult, b: BacktestResult, rtol: float) -> tuple[str, float, Any]:
    if not a.equity.index.equals(b.equity.index):
        return f"the bars are not the same ({len(a.equity)} and {len(b.equity)})", np.inf, None
    first, second = a.equity.to_numpy(np.float64), b.equity.to_numpy(np.float64)
    difference = _relative(first, second, SMALLEST_SHARE * np.maximum(_gross(a), first[0]))
    row = _first(difference > rtol)
    said = "" if row is None else f"{a.equity.index[row]}, {_both(a, b, first[row], second[row])}"
    return said, *_worst(difference, a.equity.index)


def _first_order(a: BacktestResult, b: BacktestResult, rtol: float) -> tuple[str, float, Any]:
    common = min(len(a.orders), len(b.orders))
    one, two = a.orders.iloc[:common], b.orders.iloc[:common]
    found = [(row, name) for name in _EXACT if (row := _first((one[name] != two[name]).to_numpy())) is not None]
    apart = np.zeros(common)
    share = _weight_of_value(one, float(a.equity.iloc[0]))
    for name in _NUMBERS:
        first, second = one[name].to_numpy(), two[name].to_numpy()
        difference = _relative(first, second) * (1.0 if name == "price" else share)
        apart = np.maximum(apart, difference)
        if (row := _first(difference > rtol)) is not None:
            found.append((row, name))
    worst, where = _worst(apart, pd.Index(one["timestamp"]))
    if found:
        row, name = min(found)
        return (
            f"number {row}, {_told(one, row)}: {name}, {_both(a, b, one[name].iloc[row], two[name].iloc[row])}",
            worst,
            where,
        )
    if len(a.orders) != len(b.orders):
        longer = a if len(a.orders) > len(b.orders) else b
        return f"number {common}, {_told(longer.orders, common)}: only {longer.engine} has it", worst, where
    return "", worst, where


def _worst(difference: np.ndarray, stamps: pd.Index) -> tuple[float, Any]:
    """Return the largest difference and its stamp, None where there is none."""
    most = float(difference.max(initial=0.0))
    return most, stamps[int(difference.argmax())] if most > 0 else None


def _weight_of_value(orders: pd.DataFrame, cash: float) -> np.ndarray:
    """Return ``(N,)`` in (0, 1]: below 1 where an order is small against its position or the starting cash."""
    held = orders.groupby("symbol")["size"].cumsum()
    position = np.maximum(held.abs(), (held - orders["size"]).abs()) * orders["price"]
    value = (orders["size"].abs() * orders["price"]).to_numpy()
    floor = SMALLEST_SHARE * np.maximum(position.to_numpy(), cash)
    return np.divide(value, np.maximum(value, floor), out=np.ones(len(value)), where=value > 0)


def _told(orders: pd.DataFrame, row: int) -> str:
    order = orders.iloc[row]
    return f"decided {order['decided']}, filled {order['timestamp']}, {order['status']} {order['size']!r}"


def _both(a: BacktestResult, b: BacktestResult, first: Any, second: Any) -> str:
    return f"{a.engine} {first!r}, {b.engine} {second!r}"


def _gross(result: BacktestResult) -> np.ndarray:
    """Return cash plus what is held or owed, ``(N,)``, from the orders and the equity of one result."""
    orders, equity = result.orders, result.equity
    flow = -(orders["size"] * orders["price"].fillna(0.0) + orders["commission"])
    spent = flow.groupby(orders["timestamp"]).sum().reindex(equity.index, fill_value=0.0).cumsum().to_numpy()
    if (funding := result.extras.get("holding_paid")) is not None:
        spent = spent - funding.cumsum().to_numpy()
    cash = equity.iloc[0] + spent
    return np.abs(cash) + np.abs(equity.to_numpy() - cash)


def _relative(first: np.ndarray, second: np.ndarray, floor: np.ndarray | float = 0.0) -> np.ndarray:
    scale = np.maximum(np.maximum(np.abs(first), np.abs(second)), floor)
    gap = np.abs(first - second)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = np.where(gap == 0, 0.0, gap / scale)
    both_missing = np.isnan(first) & np.isnan(second)
    return np.where(both_missing, 0.0, np.where(np.isnan(difference), np.inf, difference))


def _first(wrong: np.ndarray) -> int | None:
    return int(wrong.argmax()) if wrong.any() else None
