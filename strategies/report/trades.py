"""The report on single trades: all of them in a table, the most telling ones with the price around each."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from strategies.report.figures import BLUE, GREEN, GREY, RED, milliseconds, styled
from strategies.report.page import figure, said, table
from strategies.report.thin import drawn_rows
from strategies.report.trips import HELD, SIGNAL
from strategies.report.words import many, shown, stamp
from strategies.study import Traded

EACH = 2  # of the best, the worst, the longest and the last
MOST_ROWS = 1000
MOST_CANDLES = 160  # bars in one picture; more are drawn as a line of closes
AROUND = 12  # bars before and after a trade, at least
NAMES = {1: "long", -1: "short"}
LEVELS = {"stop": RED, "profit": GREEN}
SHORT_STAMPS = [  # the default's year beside each day does not fit a phone
    {"dtickrange": [None, 86_400_000], "value": "%H:%M\n%b %-d"},
    {"dtickrange": [86_400_000, None], "value": "%b %-d\n%Y"},
]
Cell = Callable[[int, dict[Any, Any]], str]


def trades_body(study: Traded, trips: pd.DataFrame, each: int = EACH) -> str:
    """Return the most telling trades, drawn, and the table of all."""
    if trips.empty:
        return said("No trade was made.")
    chosen = telling(trips, each)
    parts = []
    for number, (row, why) in enumerate(chosen.items()):
        trip = trips.loc[row]
        drawn = trade_figure(study.panel[trip["symbol"]], trip)
        parts.append(
            f"<div><h3>{_title(why, trip if len(study.panel) > 1 else None)}</h3>"
            f"{figure(drawn, f'trade-figure-{number}', _caption(int(str(row)), trip))}</div>"
        )
    return said(_lead(trips)) + f'<div class="pair">{"".join(parts)}</div>' + _table(trips, len(study.panel) > 1)


def telling(trips: pd.DataFrame, each: int = EACH) -> dict[Any, list[str]]:
    """Return the rows of the `each` best, worst, longest and last trades, in that order, with why each was chosen.

    Best and worst are by profit, and a trade that lost is none of the best. Of each way to be left that none of them
    shows, the last follows.

    >>> trips = pd.DataFrame({"pnl": [5.0, -2.0, 1.0], "bars": [3, 9, 1]})
    >>> telling(trips, 1)
    {0: ['best'], 1: ['worst', 'longest'], 2: ['last']}
    """
    ranked = {
        "best": trips["pnl"][trips["pnl"] > 0].sort_values(ascending=False, kind="stable"),
        "worst": trips["pnl"][trips["pnl"] <= 0].sort_values(kind="stable"),
        "longest": trips["bars"].sort_values(ascending=False, kind="stable"),
        "last": trips["bars"].iloc[::-1],
    }
    chosen: dict[Any, list[str]] = {}
    for why, ordered in ranked.items():
        for place, row in enumerate(ordered.index[:each]):
            chosen.setdefault(row, []).append(why if place == 0 else f"{why} but {place}")
    if "why" in trips:
        last = trips[~trips["why"].isin(trips.loc[list(chosen), "why"])].groupby("why").tail(1)
        chosen |= {row: [f"last left by {why}"] for row, why in last["why"].items()}
    return chosen


def _title(why: list[str], trip: Any | None) -> str:
    words = ", ".join(why)
    named = "" if trip is None else f": {escape(trip['symbol'])}"
    return words[0].upper() + words[1:] + named


def _lead(trips: pd.DataFrame) -> str:
    """Say how much of the result hangs on a few trades."""
    pnl, few = trips["pnl"].sort_values(ascending=False), min(5, len(trips))
    words = f"{many(len(trips), 'trade')}, of which {int((pnl > 0).sum()):,} earned."
    if len(trips) > 2 * few:
        words += f" The {few} best made {pnl.iloc[:few].sum():+,.2f}, all others {pnl.iloc[few:].sum():+,.2f}."
    n_open = int(trips["open"].sum())
    words += f" {n_open:,} still open, counted at the last close." if n_open else ""
    return words + " Prices are means where a position was built up or cut down in steps."


def _caption(number: int, trip: Any) -> str:
    left = "still held at" if trip["open"] else "to"
    why = f"; {trip['reason']}" if trip["reason"] else ""
    levels = ", ".join(f"{name} {trip[name]:,.6g}" for name in LEVELS if np.isfinite(trip[name]))
    why += f". Barriers (dashed): {levels}" if levels else ""
    return (
        f"Trade {number + 1}, {NAMES[int(trip['side'])]} {trip['size']:,.6g}: {stamp(trip['entry_time'])} at "
        f"{trip['entry_price']:,.6g} {left} {stamp(trip['exit_time'])} at {trip['exit_price']:,.6g}, "
        f"{many(int(trip['bars']), 'bar')}, {trip['earned']:+.2%}, profit {trip['pnl']:+,.2f}{why}."
    )


def around(bars: pd.DataFrame, trip: Any) -> pd.DataFrame:
    """Return the bars of a trade with half its length, and at least 12 bars, before and after it."""
    first, last = bars.index.get_indexer(pd.DatetimeIndex([trip["entry_time"], trip["exit_time"]])).tolist()
    margin = max(AROUND, (last - first) // 2)
    return bars.iloc[max(first - margin, 0) : last + margin + 1]


def trade_figure(bars: pd.DataFrame, trip: Any) -> go.Figure:
    """The price around one trade: candles for few bars, a line of closes for many; entry, exit, and its barriers."""
    near = around(bars, trip)
    drawn = go.Figure(_candles(near) if len(near) <= MOST_CANDLES else _closes(near))
    ends = milliseconds(pd.DatetimeIndex([trip["entry_time"], trip["exit_time"]]))
    prices = [float(trip["entry_price"]), float(trip["exit_price"])]
    half = float(np.median(np.diff(milliseconds(pd.DatetimeIndex(near.index))))) / 2 if len(near) > 1 else 0.0
    for name, color in LEVELS.items():
        if np.isfinite(trip[name]):
            drawn.add_trace(_level(name, float(trip[name]), ends + [-half, half], color))
    drawn.add_scatter(
        x=ends,
        y=prices,
        mode="lines+markers",
        line={"color": BLUE, "width": 1.6, "dash": "3px,3px"},
        marker={
            "size": 12,
            "symbol": ["triangle-up" if trip["side"] > 0 else "triangle-down", "circle-open" if trip["open"] else "x"],
            "color": [BLUE, GREEN if trip["pnl"] > 0 else RED],
            "line": {"width": 1.5, "color": "white" if not trip["open"] else BLUE},
        },
        text=["in", "held" if trip["open"] else "out"],
        hovertemplate="%{text} at %{y:,.6g}<br>%{x|%Y-%m-%d %H:%M}<extra></extra>",
    )
    drawn.update_xaxes(type="date", rangeslider_visible=False, hoverformat="%Y-%m-%d %H:%M", nticks=5, tickangle=0)
    drawn.update_xaxes(tickformatstops=SHORT_STAMPS)
    drawn.update_yaxes(tickformat="~g" if min(prices) < 1 else ",.6~g")
    return styled(drawn, 300).update_layout(showlegend=False)


def _level(name: str, price: float, ends: np.ndarray, color: str) -> go.Scatter:
    """A barrier, over the candles from the fill that set it to the one that left: at least over one."""
    return go.Scatter(
        x=ends,
        y=[price, price],
        mode="lines+text",
        line={"color": color, "width": 1.6, "dash": "4px,2px"},
        text=[name, ""],
        textposition="top right",
        textfont={"color": color, "size": 11},
        hovertemplate=f"{name} %{{y:,.6g}}<extra></extra>",
    )


def _candles(near: pd.DataFrame) -> go.Candlestick:
    side = {"line": {"width": 1}}
    return go.Candlestick(
        x=milliseconds(pd.DatetimeIndex(near.index)),
        **{name: near[name].to_numpy(np.float64) for name in ("open", "high", "low", "close")},
        increasing={**side, "line_color": "#8fb8a8", "fillcolor": "#cfe5dc"},
        decreasing={**side, "line_color": "#c9a48f", "fillcolor": "#eddccf"},
        name="",
    )


def _closes(near: pd.DataFrame) -> go.Scatter:
    rows = drawn_rows(near[["close"]].to_numpy(np.float64), most=600)
    return go.Scatter(
        x=milliseconds(pd.DatetimeIndex(near.index[rows])),
        y=near["close"].to_numpy(np.float64)[rows],
        mode="lines",
        line={"color": GREY, "width": 1.2},
        hovertemplate="%{y:,.6g}<extra></extra>",
    )


def _table(trips: pd.DataFrame, many_symbols: bool) -> str:
    cut = trips.tail(MOST_ROWS)
    columns = {name: column for name, column in COLUMNS.items() if name in _told(trips, many_symbols)}
    rows = [
        [cell(int(row), trip) for cell in columns.values()]
        for row, trip in zip(cut.index, cut.to_dict("records"), strict=True)
    ]
    more = f"The last {MOST_ROWS:,} of {len(trips):,}; trades.parquet holds all those that were closed."
    return (
        "<h3>All trades</h3>"
        + table(list(columns), rows, words=2 + many_symbols, tall=len(rows) > 10)
        + (said(more, "small") if len(cut) < len(trips) else "")
    )


def _told(trips: pd.DataFrame, many_symbols: bool) -> set[str]:
    """Return the columns that say something of these trades."""
    silent = {"symbol"} if not many_symbols else set()
    silent |= {head for head, name in (("stop", "stop"), ("profit barrier", "profit")) if trips[name].isna().all()}
    if trips["why"].isin([SIGNAL, HELD]).all() and not trips["reason"].any():
        silent.add("left by")
    return set(COLUMNS) - silent


def _left_by(row: int, trip: dict[Any, Any]) -> str:
    """Return why in a word, and what else the order's reason says."""
    more = trip["reason"].partition("; ")[2] if trip["why"] not in (SIGNAL, HELD) else trip["reason"]
    return f"{trip['why']}; {more}" if more else str(trip["why"])


def _price(name: str) -> Cell:
    return lambda row, trip: "" if np.isnan(trip[name]) else f"{trip[name]:,.6g}"


def _stamp(name: str) -> Cell:
    return lambda row, trip: ("held " if name == "exit_time" and trip["open"] else "") + stamp(trip[name])


COLUMNS: dict[str, Cell] = {
    "trade": lambda row, trip: f"{row + 1:,}",
    "symbol": lambda row, trip: str(trip["symbol"]),
    "side": lambda row, trip: NAMES[int(trip["side"])],
    "entered": _stamp("entry_time"),
    "left": _stamp("exit_time"),
    "bars": lambda row, trip: f"{int(trip['bars']):,}",
    "size": _price("size"),
    "at": _price("entry_price"),
    "out at": _price("exit_price"),
    "stop": _price("stop"),
    "profit barrier": _price("profit"),
    "return": lambda row, trip: shown(trip["earned"], "{:+.2%}"),
    "profit": lambda row, trip: shown(trip["pnl"], "{:+,.2f}"),
    "commission": lambda row, trip: shown(trip["commission"], "{:,.2f}"),
    "left by": _left_by,
}
