"""Round trips, read from an engine's own fills."""

from __future__ import annotations

from collections import defaultdict

import pandas as pd

TRADE_COLUMNS = [
    *("symbol", "entry_time", "exit_time", "side", "size", "entry_price", "exit_price", "pnl", "commission", "reason")
]
# A position smaller than this share of the largest it was is closed: the rest is the rounding of sums.
CLOSED = 1e-12


def round_trips(orders: pd.DataFrame) -> pd.DataFrame:
    """Return one row per position opened from flat and closed to flat (a reversal closes one and opens one).

    In the order they closed, each symbol's by itself. `size` is the sum of units entered, `entry_price` and
    `exit_price` are means weighted by units, `pnl` is after the commissions of `commission`, `reason` is that
    of the order that closed it. A position still open at the end has no row.
    """
    fills = orders.loc[orders["size"] != 0, ["symbol", "timestamp", "size", "price", "commission", "reason"]]
    rows: list[tuple] = []
    trips: dict[str, _Trip] = defaultdict(_Trip)
    for symbol, stamp, size, price, commission, reason in fills.itertuples(index=False, name=None):
        trip = trips[symbol]
        closing = trip.units_closed_by(size)
        if closing:
            share = closing / size
            trip.leave(closing, price, commission * share)
            if trip.is_closed():
                rows.append((symbol, *trip.row(stamp), reason))
                trips[symbol] = trip = _Trip()
            size, commission = size - closing, commission * (1 - share)
        if abs(size) > CLOSED * abs(closing):
            trip.enter(stamp, size, price, commission)
    return _table(rows, orders)


def _table(rows: list[tuple], orders: pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=TRADE_COLUMNS)
    stamps, floats = (
        dict.fromkeys(TRADE_COLUMNS[1:3], orders["timestamp"].dtype),
        dict.fromkeys(TRADE_COLUMNS[4:-1], float),
    )
    return table.astype({"symbol": "str", "reason": "str", **stamps, "side": "int64", **floats})


class _Trip:
    """One position from flat to flat, in sums."""

    def __init__(self) -> None:
        self.start: pd.Timestamp | None = None
        self.held = self.entered = self.left = self.paid = self.got = self.commission = 0.0

    def units_closed_by(self, size: float) -> float:
        if self.held * size >= 0:
            return 0.0
        return size if abs(size) <= abs(self.held) * (1 + CLOSED) else -self.held

    def enter(self, stamp: pd.Timestamp, size: float, price: float, commission: float) -> None:
        self.start = self.start or stamp
        self.held += size
        self.entered += size
        self.paid += size * price
        self.commission += commission

    def leave(self, size: float, price: float, commission: float) -> None:
        self.held += size
        self.left -= size
        self.got -= size * price
        self.commission += commission

    def is_closed(self) -> bool:
        return abs(self.held) <= CLOSED * abs(self.entered)

    def row(self, stamp: pd.Timestamp) -> tuple:
        pnl = self.got - self.paid - self.commission
        side, size = (1 if self.entered > 0 else -1), abs(self.entered)
        return self.start, stamp, side, size, self.paid / self.entered, self.got / self.left, pnl, self.commission
