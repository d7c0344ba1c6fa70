"""Trades of many symbols: every number against books kept apart, from fills, closes and rates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlcore.barriers import barrier_units
from strategies.report.numbers import costs_of, first_result, month_returns
from strategies.report.trips import WHY, holding_of, reasons_of, sides_of, symbols_of, trips_of
from tests.strategies.accounts import COSTS, account_study, panel, sides_on_paper

STUDY = account_study()
RESULT = first_result(STUDY)
TRIPS = trips_of(RESULT, STUDY.panel)
HOLDING = holding_of(RESULT, STUDY.panel)
SYMBOLS = symbols_of(TRIPS, HOLDING, STUDY.panel)
NET = RESULT.equity.iloc[-1] - RESULT.equity.iloc[0]
N_BARS = sum(len(bars) for bars in panel().values())


def test_every_way_to_leave_is_in_the_case() -> None:
    assert set(TRIPS["why"]) == {"stop", "profit", "time", "drawdown limit", "signal", "still held"}
    assert (HOLDING != 0).all(axis=None) or HOLDING.loc["C", ["funding_long", "funding_short"]].eq(0).all()


def test_symbols_and_sides_earn_what_the_books_say() -> None:
    paper = sides_on_paper(STUDY)
    for name in ("long", "short", "borrow"):
        np.testing.assert_allclose(SYMBOLS[name], paper[name].reindex(SYMBOLS.index), rtol=1e-9, atol=1e-7)
    assert SYMBOLS["net"].sum() == pytest.approx(NET, rel=1e-9)
    assert SYMBOLS["net"].is_monotonic_decreasing
    sides = sides_of(TRIPS, HOLDING, N_BARS)
    assert sides["net"].to_dict() == pytest.approx({1: paper["long"].sum(), -1: paper["short"].sum()}, rel=1e-9)
    assert sides["commission"].sum() == pytest.approx(RESULT.orders["commission"].sum())


def test_trades_are_counted_and_held_as_the_fills_say() -> None:
    held_bars = 0
    for symbol, bars in panel().items():
        fills = RESULT.orders[(RESULT.orders["symbol"] == symbol) & (RESULT.orders["size"] != 0)]
        after = np.sign(fills["size"].cumsum().round(9)).to_numpy()
        begun = (after != 0) & (after != np.r_[0.0, after[:-1]])
        assert SYMBOLS.loc[symbol, "trades"] == begun.sum()
        inside = pd.Series(after, fills["timestamp"]).groupby(level=0).last().reindex(bars.index).ffill().fillna(0) != 0
        assert SYMBOLS.loc[symbol, "held"] == pytest.approx(inside.iloc[:-1].sum() / len(bars), abs=1e-12)
        held_bars += inside.iloc[:-1].sum()
        moved = bars["close"].to_numpy()[-1] / bars["open"].to_numpy()[0] - 1
        assert SYMBOLS.loc[symbol, "moved"] == pytest.approx(moved)
    assert sides_of(TRIPS, HOLDING, N_BARS)["held"].sum() == pytest.approx(held_bars / N_BARS)


def test_why_trades_were_left_is_what_the_orders_say() -> None:
    told = RESULT.orders["reason"].str.partition("; ")[0].map(WHY)
    table = reasons_of(TRIPS)
    for why in ("stop", "profit", "time", "drawdown limit"):
        assert table.loc[why, "trades"] == (told == why).sum() > 0
    units = RESULT.orders.groupby("symbol")["size"].sum().abs()
    assert table.loc["still held", "trades"] == (units > 1e-9).sum() == TRIPS["open"].sum()
    assert table["trades"].sum() == len(TRIPS)
    assert table["pnl"].sum() - HOLDING.sum().sum() == pytest.approx(NET, rel=1e-9)
    assert (table.loc["profit", "won"], table.loc["stop", "won"]) == (1.0, 0.0)
    for why, trips in TRIPS.groupby("why"):
        mine = [(row["pnl"] / (row["size"] * row["entry_price"]), row["bars"]) for row in trips.to_dict("records")]
        earned, bars = zip(*mine, strict=True)
        assert table.loc[why, "earned"] == pytest.approx(sum(earned) / len(earned), rel=1e-12)
        assert table.loc[why, "bars"] == np.median(bars)


def test_barriers_stand_where_the_opening_fill_put_them() -> None:
    width = {name: pd.Series(barrier_units(bars, 10), bars.index) for name, bars in panel().items()}
    for trip in TRIPS.to_dict("records"):
        opening = RESULT.orders[
            (RESULT.orders["symbol"] == trip["symbol"])
            & (RESULT.orders["timestamp"] == trip["entry_time"])
            & (np.sign(RESULT.orders["size"]) == trip["side"])
        ].iloc[0]
        unit = width[trip["symbol"]][opening["decided"]]
        assert trip["stop"] == pytest.approx(opening["price"] * (1 - trip["side"] * 2.0 * unit), rel=1e-12)
        assert trip["profit"] == pytest.approx(opening["price"] * (1 + trip["side"] * 3.0 * unit), rel=1e-12)
        if (
            trip["why"] == "profit"
            and panel()[trip["symbol"]].loc[trip["exit_time"], "open"] * trip["side"] < trip["profit"] * trip["side"]
        ):
            assert trip["exit_price"] == pytest.approx(trip["profit"], rel=1e-12)


def test_barriers_are_told_once_of_each_position() -> None:
    opened = RESULT.extras["barriers"].sort_values(["symbol", "timestamp"])
    trips = TRIPS.sort_values(["symbol", "entry_time"])
    assert opened["symbol"].tolist() == trips["symbol"].tolist()
    assert opened["timestamp"].tolist() == trips["entry_time"].tolist()


def test_both_engines_have_the_same_barriers_cuts_and_holding() -> None:
    one, other = STUDY.results.values()
    pd.testing.assert_frame_equal(one.extras["barriers"], other.extras["barriers"], rtol=1e-9)
    pd.testing.assert_frame_equal(one.extras["holding"], other.extras["holding"], rtol=1e-9)
    assert one.extras["cuts"] == other.extras["cuts"] and one.extras["waiting"] == other.extras["waiting"]


def test_costs_are_those_of_the_fills_and_break_even_ends_at_nothing() -> None:
    orders, cost = RESULT.orders, costs_of(RESULT)
    traded = float((orders["size"].abs() * orders["price"]).sum())
    opened = pd.concat(panel()).loc[pd.MultiIndex.from_frame(orders[["symbol", "timestamp"]]), "open"].to_numpy()
    at_open = ~orders["reason"].str.startswith(("stop barrier", "profit barrier")).to_numpy()
    slip = np.where(at_open, np.abs(orders["price"] - opened), 0.0)
    stopped = orders["reason"].str.startswith("stop barrier").to_numpy()
    quoted = orders["price"] / (1 + np.sign(orders["size"]) * COSTS.slippage)
    slip = np.where(stopped, np.abs(orders["price"] - quoted), slip)
    resting = orders["reason"].str.startswith("profit barrier")
    fees = orders["size"].abs() * orders["price"] * np.where(resting, 0.0002, 0.001)
    assert cost["traded"] == pytest.approx(traded)
    assert cost["slippage"] == pytest.approx(float((orders["size"].abs() * slip).sum()), rel=1e-9)
    assert cost["commission"] == pytest.approx(float(fees.sum()), rel=1e-9)
    assert cost["borrow"] == pytest.approx(sides_on_paper(STUDY)["borrow"].sum(), rel=1e-9)
    assert cost["funding"] + cost["borrow"] == pytest.approx(RESULT.extras["holding_paid"].sum(), rel=1e-9)
    free = NET + cost["commission"] + cost["slippage"] + cost["funding"] + cost["borrow"]
    assert cost["before_costs"] == pytest.approx(free)
    assert NET + fees.sum() - cost["break_even"] * traded == pytest.approx(0.0, abs=1e-6)


def test_months_compound_to_the_account() -> None:
    months = month_returns(RESULT.equity)
    assert np.prod(1 + months) == pytest.approx(RESULT.equity.iloc[-1] / 10_000, rel=1e-12)


def test_a_symbol_that_was_never_held_stands_there_with_nothing() -> None:
    only = trips_of(RESULT, STUDY.panel)
    table = symbols_of(only[only["symbol"] != "C"], HOLDING * 0, STUDY.panel)
    assert table.loc["C", ["trades", "pnl", "net", "held"]].tolist() == [0, 0, 0, 0] and np.isnan(table.loc["C", "won"])


def test_a_reversal_that_is_stopped_in_its_first_bar_leaves_each_trade_its_own_reason() -> None:
    """Left by the weights at an open, turned, and stopped in the same bar: two trades, two reasons."""
    twice = TRIPS[TRIPS.duplicated(["symbol", "exit_time"], keep=False)].sort_values(["symbol", "exit_time"])
    pairs = [pair for _, pair in twice.groupby(["symbol", "exit_time"])]
    assert pairs and all(pair["why"].tolist()[0] == "signal" != pair["why"].tolist()[1] for pair in pairs)
    assert all(pair["entry_time"].iloc[1] == pair["exit_time"].iloc[0] for pair in pairs)
