"""Single trades: the right ones are drawn, at their own prices, and all are in the table."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from strategies.report import trades
from strategies.report.figures import BLUE, GREEN, RED
from strategies.report.trades import around, telling, trade_figure, trades_body
from strategies.report.trips import trips_of
from tests.strategies.report.reading import tables, text
from tests.strategies.studies import fake_study

STUDY = fake_study(2000)
TRIPS = trips_of(STUDY.results["backtrader"], STUDY.panel)


def test_the_most_telling_are_the_best_the_worst_the_longest_and_the_last() -> None:
    chosen = telling(TRIPS, 2)
    why = {word: row for row, words in chosen.items() for word in words}
    by_profit = TRIPS["pnl"].sort_values()
    assert (why["best"], why["best but 1"]) == (by_profit.index[-1], by_profit.index[-2])
    assert (why["worst"], why["worst but 1"]) == (by_profit.index[0], by_profit.index[1])
    assert (why["last"], why["last but 1"]) == (TRIPS.index[-1], TRIPS.index[-2])
    assert TRIPS.loc[why["longest"], "bars"] == TRIPS["bars"].max()
    assert len(why) == 8


def test_a_loss_is_none_of_the_best_and_few_trades_are_chosen_once() -> None:
    lost = TRIPS.iloc[:1].assign(pnl=-1.0)
    assert telling(lost, 2) == {lost.index[0]: ["worst", "longest", "last"]}


@pytest.mark.parametrize("each", [1, 3])
def test_as_many_are_drawn_as_asked_for_and_all_are_in_the_table(each: int) -> None:
    body = trades_body(STUDY, TRIPS, each)
    assert len(re.findall(r'id="trade-figure-\d+"', body)) == len(telling(TRIPS, each))
    assert body.count("<tr>") == len(TRIPS) + 1


def test_a_figure_holds_the_bars_around_and_the_fills() -> None:
    trip = TRIPS.loc[TRIPS["bars"].between(3, 20).idxmax()]
    near = around(STUDY.bars, trip)
    first, last = (STUDY.bars.index.get_loc(trip[name]) for name in ("entry_time", "exit_time"))
    assert near.equals(STUDY.bars.iloc[max(first - 12, 0) : last + 13])
    candles, fills = trade_figure(STUDY.bars, trip).data
    np.testing.assert_array_equal(candles.close, near["close"])
    assert list(fills.y) == [trip["entry_price"], trip["exit_price"]]
    assert pd.to_datetime(list(fills.x), unit="ms", utc=True).tolist() == [trip["entry_time"], trip["exit_time"]]
    assert fills.marker.symbol[0] == ("triangle-up" if trip["side"] > 0 else "triangle-down")


def test_a_long_trade_is_a_line_of_true_closes() -> None:
    trip = TRIPS.iloc[0].copy()
    trip["entry_time"], trip["exit_time"] = STUDY.bars.index[[10, 1900]]
    closes, _ = trade_figure(STUDY.bars, trip).data
    stamps = pd.to_datetime(np.asarray(closes.x), unit="ms", utc=True)
    assert len(stamps) < 700
    np.testing.assert_array_equal(closes.y, STUDY.bars["close"].reindex(stamps))


def test_how_much_hangs_on_a_few_is_told() -> None:
    best = TRIPS["pnl"].nlargest(5).sum()
    body = trades_body(STUDY, TRIPS)
    assert f"The 5 best made {best:+,.2f}, all others {TRIPS['pnl'].sum() - best:+,.2f}." in body
    assert f"{len(TRIPS):,} trades, of which {(TRIPS['pnl'] > 0).sum()} earned." in body


def test_an_open_trade_and_a_reason_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told = TRIPS.assign(open=[*[False] * (len(TRIPS) - 1), True], reason="stop: hit")
    body = trades_body(STUDY, told)
    assert "still held at" in body and "stop: hit" in body and "still open" in body
    monkeypatch.setattr(trades, "MOST_ROWS", 4)
    cut = trades_body(STUDY, TRIPS)
    assert f"The last 4 of {len(TRIPS):,}" in cut and cut.count("<tr>") == 5
    assert "No trade was made." in trades_body(replace(STUDY), TRIPS.iloc[:0])


def test_a_trade_on_paper() -> None:
    index = STUDY.bars.index
    rows = {
        "side": [1, -1], "entry_time": index[[20, 30]], "exit_time": index[[24, 130]], "size": [2.5, 40.0],
        "entry_price": [100.0, 120.0], "exit_price": [110.0, 125.0], "pnl": [24.0, -203.0], "commission": [1.0, 3.0],
        "open": [False, True], "bars": [4, 100], "earned": [0.096, -0.0423], "reason": ["stop barrier; half", ""],
        "why": ["stop", "still held"], "stop": [95.0, np.nan], "profit": [np.nan, np.nan], "symbol": ["asset", "asset"],
    }  # fmt: skip
    trips = pd.DataFrame(rows)
    body = text(trades_body(STUDY, trips))
    at = [f"{index[row]:%Y-%m-%d %H:%M}" for row in (20, 24, 30, 130)]
    told = f"Trade 1, long 2.5: {at[0]} at 100 to {at[1]} at 110, 4 bars, +9.60%, profit +24.00"
    told += "; stop barrier; half. Barriers (dashed): stop 95."
    assert told in body
    told = f"Trade 2, short 40: {at[2]} at 120 still held at {at[3]} at 125, 100 bars, -4.23%, profit -203.00."
    assert told in body
    (table,) = tables(trades_body(STUDY, trips))
    assert table == [
        [
            "trade",
            "side",
            "entered",
            "left",
            "bars",
            "size",
            "at",
            "out at",
            "stop",
            "return",
            "profit",
            "commission",
            "left by",
        ],
        ["1", "long", at[0], at[1], "4", "2.5", "100", "110", "95", "+9.60%", "+24.00", "1.00", "stop; half"],
        [
            "2",
            "short",
            at[2],
            f"held {at[3]}",
            "100",
            "40",
            "120",
            "125",
            "",
            "-4.23%",
            "-203.00",
            "3.00",
            "still held",
        ],
    ]
    near = around(STUDY.bars, trips.iloc[1])  # half of its length on either side, as far as there are bars
    assert near.equals(STUDY.bars.iloc[0:181])
    for row, won in ((0, True), (1, False)):
        fills = trade_figure(STUDY.bars, trips.iloc[row]).data[-1]
        assert list(fills.marker.color) == [BLUE, GREEN if won else RED]


def test_a_trade_that_made_nothing_is_none_of_the_best() -> None:
    assert "best" not in telling(TRIPS.iloc[:1].assign(pnl=0.0), 1)[TRIPS.index[0]]


def test_the_last_rows_are_kept_and_a_few_are_told_apart_from_more_than_as_many(monkeypatch) -> None:
    monkeypatch.setattr(trades, "MOST_ROWS", 4)
    (table,) = tables(trades_body(STUDY, TRIPS))
    assert [row[0] for row in table[1:]] == [f"{row + 1:,}" for row in TRIPS.index[-4:]]
    for n, told in ((10, False), (11, True)):
        assert ("The 5 best made" in trades_body(STUDY, TRIPS.iloc[:n])) == told
