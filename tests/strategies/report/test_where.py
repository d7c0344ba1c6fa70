"""Where it came from: months and sides add up to the whole, on a real run of vectorbt."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from strategies.costs import Costs
from strategies.report import where
from strategies.report.numbers import month_returns
from strategies.report.page import heat_table
from strategies.report.trips import holding_of, sides_of, trips_of
from strategies.report.where import folds_body, months_body, sides_body
from strategies.vbt.run import run_vectorbt
from tests.conftest import random_bars
from tests.strategies.report.reading import tables, text
from tests.strategies.studies import fake_study

BARS = random_bars(24 * 100, seed=3, volatility=0.01)
HELD = pd.Series(np.sin(np.arange(len(BARS)) / 40).round(1), BARS.index)
PANEL = {"asset": BARS}
RESULT = run_vectorbt(BARS, HELD, costs=Costs(0.001, 0.0005))


def test_months_compound_to_the_whole() -> None:
    months = month_returns(RESULT.equity)
    assert np.prod(1 + months) == pytest.approx(RESULT.equity.iloc[-1] / RESULT.equity.iloc[0], rel=1e-12)
    assert len(months) == BARS.index.tz_localize(None).to_period("M").nunique()
    march = RESULT.equity[RESULT.equity.index.month == months.index[1].month]
    before = RESULT.equity[RESULT.equity.index < march.index[0]].iloc[-1]
    assert months.iloc[1] == pytest.approx(march.iloc[-1] / before - 1)


def test_a_month_that_began_with_nothing_has_no_return() -> None:
    equity = RESULT.equity.where(np.arange(len(BARS)) < 1000, 1e-9)
    assert month_returns(equity).isna().tolist() == [False, False, True, True]


def test_months_are_told_and_a_year_stands_behind_them() -> None:
    study = fake_study(24 * 100)
    result = replace(study.results["backtrader"], equity=RESULT.equity.set_axis(study.bars.index))
    body = months_body(replace(study, results={"backtrader": result}))
    months = month_returns(result.equity)
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", body)
    assert cells[0] == str(study.bars.index[0].year)
    assert [cell for cell in cells[1:13] if cell] == [f"{100 * value:+.1f}" for value in months]
    assert cells[13] == f"{100 * (result.equity.iloc[-1] / result.equity.iloc[0] - 1):+.1f}"
    assert f"{(months > 0).sum()} of {len(months)} months earned" in body


def test_trips_hold_all_of_the_profit_and_long_and_short_are_apart() -> None:
    trips = trips_of(RESULT, PANEL)
    net = RESULT.equity.iloc[-1] - RESULT.equity.iloc[0]
    assert trips["pnl"].sum() == pytest.approx(net, rel=1e-9)
    assert trips["open"].tolist() == [False] * (len(trips) - 1) + [True]
    sides = sides_of(trips, holding_of(RESULT, PANEL), len(BARS))
    assert sides.index.tolist() == [1, -1]
    assert sides["pnl"].sum() == pytest.approx(net, rel=1e-9)
    assert sides["commission"].sum() == pytest.approx(RESULT.metrics["commission_paid"])
    held = np.sign(RESULT.orders.set_index("timestamp")["size"].cumsum().round(9)).reindex(BARS.index).ffill().fillna(0)
    for side in (1, -1):
        share = (held == side).mean()
        assert sides.loc[side, "held"] == pytest.approx(share, abs=2 / len(BARS))
        mine = trips[trips["side"] == side]
        assert sides.loc[side, "won"] == (mine["pnl"] > 0).sum() / len(mine)
        assert sides.loc[side, "trades"] == len(mine)


def test_one_long_trade_on_paper() -> None:
    weights = pd.Series(0.0, BARS.index).where(~np.isin(np.arange(len(BARS)), range(10, 15)), 0.5)
    result = run_vectorbt(BARS, weights, costs=Costs(0.0, 0.0))
    (trip,) = trips_of(result, PANEL).to_dict("records")
    assert (trip["entry_time"], trip["exit_time"], trip["bars"]) == (BARS.index[11], BARS.index[16], 5)
    assert trip["earned"] == pytest.approx(BARS["open"].iloc[16] / BARS["open"].iloc[11] - 1)
    assert not trip["open"] and trip["reason"] == ""


def test_the_reason_is_that_of_the_order_that_left() -> None:
    orders = RESULT.orders.copy()
    first = RESULT.trades["exit_time"].iloc[0]
    orders.loc[orders["timestamp"] == first, "reason"] = "stop: 2% below"
    trips = trips_of(replace(RESULT, orders=orders), PANEL)
    assert trips["reason"].tolist() == ["stop: 2% below"] + [""] * (len(trips) - 1)


def test_the_table_of_sides_closes_with_the_account_and_says_funding() -> None:
    study = fake_study(len(BARS))
    body = sides_body(replace(study, bars=BARS, results={"vectorbt": RESULT}), trips_of(RESULT, PANEL))
    net = RESULT.equity.iloc[-1] - RESULT.equity.iloc[0]
    assert body.count(f"{net:+,.2f}") == 2 and "funding" not in body
    charged = pd.DataFrame({"funding_long": 12.5, "funding_short": -2.0, "borrow": 0.5}, ["asset"])
    paid = replace(
        RESULT, extras=RESULT.extras | {"holding": charged}, equity=RESULT.equity - 11 * (HELD.index > BARS.index[9])
    )
    trips = trips_of(paid, PANEL)
    sides = sides_of(trips, charged, len(BARS))
    assert (sides["pnl"] - sides["net"]).tolist() == pytest.approx([12.5, -1.5])
    body = sides_body(replace(study, bars=BARS, results={"vectorbt": paid}), trips)
    assert body.count(f"{net - 11:+,.2f}") == 2 and "<td>12.50</td>" in body and "<td>11.00</td>" in body
    assert "no side" in sides_body(study, trips_of(RESULT, PANEL).iloc[:0])


def test_folds_are_counted_by_what_they_earned_held_and_ordered(monkeypatch: pytest.MonkeyPatch) -> None:
    at = pd.Timestamp("2024-05-06 07:08", tz="UTC")
    one = {"test_start": at, "test_end": at + pd.Timedelta("1D"), "rank_ic": 0.125, "hit_rate": 0.55, "seconds": 1.25}
    earned, orders = [0.1, 0.0, None, -0.1], [3, 0, 7, 2000]
    rows = [{**one, "fold": k, "net_return": earned[k], "orders": orders[k]} for k in range(4)]
    monkeypatch.setattr(where.numbers, "fold_rows", lambda study: rows)
    body = folds_body(fake_study(200))
    assert "1 of 4 folds earned after costs; in 1 the account was gone before it began; 1 decided no order" in body
    head, *lines = tables(body)[0]
    assert head == ["fold", "tested from", "to", "net return", "orders", "rank IC", "hit rate", "seconds"]
    stamps = ["2024-05-06 07:08", "2024-05-07 07:08"]
    assert lines[0] == ["0", *stamps, "+10.00%", "3", "+0.125", "55.0%", "1.2"]
    assert [line[3:5] for line in lines[1:]] == [
        ["+0.00%", "no trade"],
        ["undefined", "7"],
        ["-10.00%", "2,000"],
    ]


def test_months_on_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = {"2023-11-30": 110.0, "2023-12-31": 99.0, "2024-01-31": 99.0, "2024-02-29": 198.0}
    equity = pd.Series([100.0, *ends.values()], pd.DatetimeIndex(["2023-11-05", *ends], tz="UTC"))
    study, shades = fake_study(200), []
    monkeypatch.setattr(
        where, "heat_table", lambda head, rows, colours: [shades.append(colours), heat_table(head, rows, colours)][1]
    )
    body = months_body(replace(study, results={"one": replace(study.results["vectorbt"], equity=equity)}))
    head, first, second = tables(body)[0]
    assert head == ["year", *where.MONTHS, "year's"]
    assert first == ["2023", *[""] * 10, "+10.0", "-10.0", "-1.0"]
    assert second == ["2024", "+0.0", "+100.0", *[""] * 10, "+100.0"]
    assert "2 of 4 months earned" in body and "first begins on 2023-11-05 and the last ends on 2024-02-29." in body
    wild = np.quantile([0.1, 0.1, 0.0, 1.0], 0.9)  # has its full colour; the others are shades of it
    np.testing.assert_allclose(shades[0][0], [*[np.nan] * 11, 0.1 / wild, -0.1 / wild, np.nan])
    np.testing.assert_allclose(shades[0][1], [np.nan, 0.0, 1.0, *[np.nan] * 11])
    gone = months_body(
        replace(study, results={"one": replace(study.results["vectorbt"], equity=equity * [1, 0, 0, 0, 0])})
    )
    assert "0 of 1 months earned" in gone


def test_sides_on_paper() -> None:
    trips = pd.DataFrame(
        {"side": [1, -1, 1, 1], "pnl": [30.0, -5.0, 10.0, 1.0], "commission": [1.0, 2.0, 3.0, 4.0],
         "earned": [0.03, -0.005, -0.01, 0.004], "bars": [10, 20, 30, 5], "why": ["signal"] * 4}
    )  # fmt: skip
    study = fake_study(200)
    equity = pd.Series([1000.0, 1036.0], study.bars.index[:2])
    result = replace(study.results["vectorbt"], equity=equity)
    body = sides_body(replace(study, results={"vectorbt": result}), trips)
    assert tables(body)[0][1:] == [
        ["long", "3", "100.0%", "+41.00", "8.00", "+0.800%", "10", "22.5%"],
        ["short", "1", "0.0%", "-5.00", "2.00", "-0.500%", "20", "10.0%"],
        ["both", "4", "75.0%", "+36.00", "10.00", "+0.475%", "15", "32.5%"],
    ]
    assert "add up to the account's +36.00." in text(body)
