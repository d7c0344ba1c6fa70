"""Round trips of an account, and what they add up to: by symbol, by side, by why they were left."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mlcore.barriers import PROFIT, STOP, TIME
from strategies.account.core import BY_DRAWDOWN
from strategies.account.plan import REASONS
from strategies.result import BacktestResult
from strategies.trades import round_trips

SIGNAL, HELD = "signal", "still held"
WHY = {REASONS[STOP]: "stop", REASONS[PROFIT]: "profit", REASONS[TIME]: "time", REASONS[BY_DRAWDOWN]: "drawdown limit"}


def trips_of(result: BacktestResult, panel: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return every round trip, and what is still held at the end as if it were sold at its last close for nothing.

    The columns of `strategies.trades.round_trips`, and

    open, why
        not closed by the engine; why it was left: `WHY`, "signal" where the weights said so, "still held".
    bars
        held, from the fill that entered to the one that left.
    earned
        pnl over the value entered.
    stop, profit
        prices of the barriers that it had, NaN where it had none.

    Their pnl is the account's profit, but for what holding cost.
    """
    trips = round_trips(pd.concat([result.orders, _last_sales(result.orders, panel)], ignore_index=True))
    is_open = trips["reason"] == HELD
    earned = trips["pnl"] / (trips["size"] * trips["entry_price"])
    trips = trips.assign(open=is_open, why=[why_of(reason) for reason in trips["reason"]], earned=earned)
    trips["reason"] = trips["reason"].mask(is_open, "")
    return _with_levels(trips.assign(bars=_bars_held(trips, panel)), result)


def why_of(reason: str) -> str:
    """Return in a word why a trade was left, from the reason of the order that left it.

    >>> why_of("stop barrier"), why_of("time barrier; clipped to cash"), why_of("clipped to cash")
    ('stop', 'time', 'signal')
    """
    return HELD if reason == HELD else WHY.get(reason.partition("; ")[0], SIGNAL)


def _last_sales(orders: pd.DataFrame, panel: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return an order for each symbol that is held at the end, which sells it at its last close and costs nothing."""
    held = orders.groupby("symbol")["size"].sum()
    held = held[held != 0]
    bars = [panel[str(symbol)] for symbol in held.index]
    sold = {
        "engine": orders["engine"].iloc[0] if len(orders) else "",
        "symbol": held.index,
        "timestamp": [frame.index[-1] for frame in bars],
        "size": -held.to_numpy(np.float64),
        "price": [float(frame["close"].iloc[-1]) for frame in bars],
        "commission": 0.0,
        "status": "filled",
        "reason": HELD,
    }
    made = pd.DataFrame(sold).assign(decided=sold["timestamp"])[list(orders.columns)]
    return made.astype(orders.dtypes.to_dict())


def _bars_held(trips: pd.DataFrame, panel: Mapping[str, pd.DataFrame]) -> np.ndarray:
    held = np.zeros(len(trips), np.int64)
    for symbol, rows in trips.groupby("symbol").indices.items():
        index, mine = pd.DatetimeIndex(panel[str(symbol)].index), trips.iloc[rows]
        first, last = (index.get_indexer(pd.DatetimeIndex(mine[name])) for name in ("entry_time", "exit_time"))
        held[rows] = last - first
    return held


def _with_levels(trips: pd.DataFrame, result: BacktestResult) -> pd.DataFrame:
    levels = result.extras.get("barriers")
    if levels is None or not len(levels):
        return trips.assign(stop=np.nan, profit=np.nan)
    known = levels.rename(columns={"timestamp": "entry_time"})
    return trips.merge(known, on=["symbol", "entry_time"], how="left", validate="many_to_one")


def holding_of(result: BacktestResult, panel: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return what holding cost by symbol: ``funding_long funding_short borrow``; zeros where nothing was charged."""
    none = pd.DataFrame(0.0, list(panel), ["funding_long", "funding_short", "borrow"])
    return result.extras.get("holding", none)


def sides_of(trips: pd.DataFrame, holding: pd.DataFrame, n_bars: int) -> pd.DataFrame:
    """Return long (1) and short (-1) apart, a row each that was traded.

    ``trades won pnl commission earned bars held holding net``: count, share with a profit before what holding cost,
    sums in the account's currency, mean return of a trade, median bars held, share of all `n_bars` bars of symbols
    held, funding and borrow, pnl less those.
    """
    table = _sums(trips.groupby("side"))
    groups = trips.groupby("side")
    table = table.assign(earned=groups["earned"].mean(), bars=groups["bars"].median(), held=groups["bars"].sum())
    cost = holding.sum()
    paid = pd.Series({1: cost["funding_long"], -1: cost["funding_short"] + cost["borrow"]})
    table = table.assign(held=table["held"] / n_bars, holding=paid.reindex(table.index))
    return table.assign(net=table["pnl"] - table["holding"]).sort_index(ascending=False)


def symbols_of(trips: pd.DataFrame, holding: pd.DataFrame, panel: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return what each symbol earned, a row for each of `panel`, best first.

    ``trades won pnl commission``, and ``funding borrow net`` (pnl less both), ``long short`` (net of the sides),
    ``held`` (share of its bars) and ``moved`` (its own price, first open to last close).
    """
    table = _sums(trips.groupby("symbol")).reindex(list(panel))
    sides = {
        name: trips.loc[trips["side"] == side].groupby("symbol")["pnl"].sum().reindex(table.index, fill_value=0.0)
        for name, side in (("long", 1), ("short", -1))
    }
    counted = table[["trades", "pnl", "commission"]].fillna(0.0)
    bars = trips.groupby("symbol")["bars"].sum().reindex(table.index, fill_value=0)
    cost = holding.reindex(table.index)
    table = table.assign(
        trades=counted["trades"],
        pnl=counted["pnl"],
        commission=counted["commission"],
        funding=cost["funding_long"] + cost["funding_short"],
        borrow=cost["borrow"],
        long=sides["long"] - cost["funding_long"],
        short=sides["short"] - cost["funding_short"] - cost["borrow"],
        held=bars / [len(frame) for frame in panel.values()],
        moved=[float(frame["close"].iloc[-1] / frame["open"].iloc[0] - 1) for frame in panel.values()],
    )
    table["net"] = table["long"] + table["short"]
    return table.sort_values("net", ascending=False, kind="stable")


def reasons_of(trips: pd.DataFrame) -> pd.DataFrame:
    """Return the trades by why they were left, most first: ``trades won pnl commission earned bars``."""
    groups = trips.groupby("why")
    table = _sums(groups).assign(earned=groups["earned"].mean(), bars=groups["bars"].median())
    return table.sort_values("trades", ascending=False, kind="stable")


def _sums(groups: pd.api.typing.DataFrameGroupBy) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trades": groups.size(),
            "won": groups["pnl"].agg(lambda pnl: (pnl > 0).mean()),
            "pnl": groups["pnl"].sum(),
            "commission": groups["commission"].sum(),
        }
    )
