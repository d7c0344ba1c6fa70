"""Single trades: the right ones are drawn, at their own prices, and all are in the table."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from strategies.report import trades
from strategies.report.trades import around, telling, trade_figure, trades_body
from strategies.report.trips import trips_of
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
