"""The report of an account: its rivals, its files, its page; each number against one counted apart."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from strategies.account_study import study_account, study_one_of
from strategies.backtest import backtest
from strategies.output import result_json, write_study
from strategies.portfolio import backtest_portfolio
from strategies.report.doubts import _knowledge
from strategies.report.numbers import first_result
from strategies.report.sections import rules_in_words
from strategies.report.trades import telling, trade_figure, trades_body
from strategies.report.trips import trips_of
from tests.strategies.accounts import COSTS, RULES, account_study, forecasts, panel, rates, sides_on_paper
from tests.strategies.report.test_report import Reader
from tests.strategies.studies import fake_study

STUDY = account_study()
RESULT = first_result(STUDY)
TRIPS = trips_of(RESULT, STUDY.panel)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(STUDY, tmp_path_factory.mktemp("accounts") / "out")


@pytest.fixture(scope="module")
def page(folder: Path) -> Reader:
    reader = Reader()
    reader.feed((folder / "report.html").read_text(encoding="utf-8"))
    assert not reader.open
    return reader


def test_the_folder_is_whole_and_its_page_needs_no_network(folder: Path, page: Reader) -> None:
    names = {entry.name for entry in folder.iterdir()}
    tables = {f"{name}.parquet" for name in ("orders", "trades", "equity", "forecasts", "weights")}
    assert names == tables | {"result.json", "report.html"}
    assert not [tag for tag, attrs in page.tags if tag in ("link", "img", "iframe") or attrs.get("src")]
    assert (folder / "report.html").stat().st_size < 6_000_000


def test_the_parts_stand_in_the_order_a_reader_asks(page: Reader) -> None:
    anchors = [attrs["id"] for tag, attrs in page.tags if tag == "section"]
    assert anchors == ["result", "equity", "months", "symbols", "sides", "costs", "doubts", "trades", "run"]


def test_the_files_hold_what_was_traded(folder: Path) -> None:
    equity, orders = pd.read_parquet(folder / "equity.parquet"), pd.read_parquet(folder / "orders.parquet")
    assert equity.columns.tolist() == list(STUDY.results)
    np.testing.assert_array_equal(equity["backtrader"], RESULT.equity)
    assert len(orders) == sum(len(result.orders) for result in STUDY.results.values())
    trades = pd.read_parquet(folder / "trades.parquet")
    assert trades.groupby("engine").size().to_dict() == {name: len(one.trades) for name, one in STUDY.results.items()}
    weights, made = pd.read_parquet(folder / "weights.parquet"), pd.read_parquet(folder / "forecasts.parquet")
    pd.testing.assert_frame_equal(weights, STUDY.plan.weights, check_freq=False)
    assert made.groupby("symbol").size().to_dict() == {name: len(bars) for name, bars in panel().items()}


def test_the_json_holds_the_books_and_the_intervals(folder: Path) -> None:
    told = json.loads((folder / "result.json").read_text())
    paper = sides_on_paper(STUDY)
    for symbol, row in told["symbols"].items():
        assert row["net"] == pytest.approx(paper.loc[symbol, ["long", "short"]].sum(), rel=1e-9)
    assert told["sides"]["long"]["net"] == pytest.approx(paper["long"].sum(), rel=1e-9)
    assert sum(row["trades"] for row in told["left_by"].values()) == len(TRIPS)
    ratios = told["sharpe_ratios"]
    for name, result in {**STUDY.results, **STUDY.baselines}.items():
        one = ratios["ratios"][name]
        assert one["value"] == pytest.approx(result.metrics["sharpe"], rel=1e-6)
        assert name == "flat" or one["low"] < one["value"] < one["high"]
    assert set(ratios["less"]) == set(ratios["ratios"]) - {"backtrader"}
    days = RESULT.equity.groupby(RESULT.equity.index.floor("D")).last().pct_change()
    days.iloc[0] = RESULT.equity.groupby(RESULT.equity.index.floor("D")).last().iloc[0] / 10_000 - 1
    assert ratios["ratios"]["backtrader"]["value"] == pytest.approx(days.mean() / days.std() * 365**0.5, rel=1e-6)
    assert told["account"]["stop"] == 2.0 and told["account"]["maker"] == COSTS.maker
    assert {one.name for one in fields(RULES)} <= set(told["account"])
    assert told["tried"] == 2 and told["config"] == {"model": "none"}
    assert told["data"]["by_symbol"]["B"]["gaps"] == 1 and told["data"]["rows"] == sum(map(len, panel().values()))


def test_a_single_symbols_json_holds_the_intervals_too() -> None:
    one = result_json(fake_study(800))["sharpe_ratios"]["ratios"]["backtrader"]
    assert one["low"] < one["value"] < one["high"]


def test_buy_and_hold_shares_the_cash_and_pays_what_the_account_pays() -> None:
    """Alike among those that have begun: half each of A and C, then thirds; sold only to make room for B."""
    held = STUDY.baselines["buy_and_hold"]
    begins = panel()["B"].index[0]
    fills = held.orders.set_index("timestamp")
    before = fills[fills.index < begins]
    assert before["symbol"].tolist() == ["A", "C"]
    bought = before["size"].to_numpy() * [panel()[name]["close"].iloc[0] for name in "AC"]
    assert bought[0] == pytest.approx(5_000) and bought[1] == pytest.approx(5_000, rel=0.02)  # C as far as cash goes
    assert (fills[fills["symbol"] == "B"]["size"] > 0).all()
    assert held.metrics["borrow_paid"] == 0 and held.metrics["funding_paid"] != 0
    assert (STUDY.baselines["flat"].equity == 10_000).all()
    assert held.metrics["commission_paid"] == pytest.approx((fills["size"].abs() * fills["price"]).sum() * 0.001)


def test_a_trade_is_drawn_with_its_barriers_and_why_it_was_left() -> None:
    chosen = telling(TRIPS)
    assert set(TRIPS.loc[list(chosen), "why"]) == set(TRIPS["why"])
    trip = TRIPS[TRIPS["why"] == "stop"].iloc[3]
    _, stop, profit, fills = trade_figure(panel()[trip["symbol"]], trip).data
    assert (set(stop.y), set(profit.y)) == ({trip["stop"]}, {trip["profit"]})
    half = pd.Timedelta("30min")
    for level in (stop, profit):
        ends = pd.to_datetime(np.asarray(level.x), unit="ms", utc=True)
        assert ends.tolist() == [trip["entry_time"] - half, trip["exit_time"] + half]
    assert fills.y[1] == trip["exit_price"]
    body = trades_body(STUDY, TRIPS)
    drawn = TRIPS.loc[list(chosen)[0]]
    assert f"Barriers (dashed): stop {drawn['stop']:,.6g}, profit {drawn['profit']:,.6g}" in body
    assert len(re.findall(r'id="trade-figure-\d+"', body)) == len(chosen)
    for head in ("symbol", "stop", "profit barrier", "left by"):
        assert f">{head}</th>" in body
    plain = fake_study(300)
    own = trips_of(first_result(plain), plain.panel)
    assert len(trade_figure(plain.bars, own.iloc[0]).data) == 2
    assert ">stop</th>" not in trades_body(plain, own) and ">symbol</th>" not in trades_body(plain, own)


def test_the_head_and_the_card_tell_the_rules(page: Reader) -> None:
    assert rules_in_words(STUDY).startswith(
        "under the rules stop 2, profit 3, horizon 12, volatility_window 10, reenter"
    )
    assert "One account of 3 symbols" in page.text and "2 configurations were traded" in page.text
    for words in ("max_drawdown", "Shorts pay 30.00% a year to borrow", STUDY.data["weights_sha256"], "0.020% at the"):
        assert words in page.text, words
    for one in STUDY.data["by_symbol"].values():
        assert one["sha256"] in page.text
    net = RESULT.equity.iloc[-1] - RESULT.equity.iloc[0]
    assert page.text.count(f"{net:+,.2f}") >= 4  # by symbol, by side, what it cost


def test_hashes_tell_inputs_apart() -> None:
    other = account_study(engine="backtrader", funding=None)
    assert other.data["sha256"] == STUDY.data["sha256"] and other.data["weights_sha256"] == STUDY.data["weights_sha256"]
    assert other.data["funding_sha256"] != STUDY.data["funding_sha256"]


def test_one_symbol_with_rules_is_an_account_too(tmp_path: Path) -> None:
    bars = panel()["A"]
    weights = pd.Series(np.sin(np.arange(len(bars)) / 30).round(1), bars.index)
    study = study_account(*backtest(bars, weights, rules=RULES, funding=rates()), title="one")
    reader = Reader()
    reader.feed((write_study(study, tmp_path / "one") / "report.html").read_text(encoding="utf-8"))
    anchors = [attrs["id"] for tag, attrs in reader.tags if tag == "section"]
    assert "symbols" not in anchors and "sides" in anchors and "holding the asset made" in reader.text


def test_one_of_several_accounts_has_the_others_for_rivals_and_none_of_itself() -> None:
    bars = {"A": panel()["A"].head(200)}
    accounts = {
        name: backtest_portfolio(bars, pd.DataFrame({"A": size}, bars["A"].index), engine="vectorbt")
        for name, size in (("half", 0.5), ("third", 0.3), ("tenth", 0.1))
    }
    study = study_one_of(accounts, "third", title="one of three", days_per_year=252.0)
    assert list(study.baselines) == ["buy_and_hold", "flat", "half", "tenth"] and study.tried == 3
    assert study.baselines["tenth"] is accounts["tenth"][0]["vectorbt"]
    usual = study_one_of(accounts, "third", title="one of three").baselines["buy_and_hold"].metrics["sharpe"]
    assert study.baselines["buy_and_hold"].metrics["sharpe"] == pytest.approx(usual * (252 / 365) ** 0.5, rel=1e-9)


@pytest.mark.parametrize(("known", "told"), [("0h", True), ("1h", False)])
def test_forecasts_that_know_their_own_bar_make_the_account_in_sample(known: str, told: bool) -> None:
    bars = panel()["A"].head(60)
    made = {"A": forecasts(bars, 0).assign(trained_through=bars.index - pd.Timedelta(known))}
    weights = pd.DataFrame({"A": 0.1}, bars.index)
    traded = backtest_portfolio({"A": bars}, weights, forecasts=made, in_sample=told, engine="backtrader")
    study = study_account(*traded, title="told")
    assert study.in_sample == told
    assert [verdict for verdict, *_ in _knowledge(study)] == ["bad" if told else "good"]


def test_results_without_a_plan_are_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BarwiseError, match="are not an account's"):
        study_account(fake_study(100).results, None, title="no")
    monkeypatch.setattr("strategies.output.write_report", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_study(STUDY, tmp_path / "new" / "out")
    assert list(tmp_path.iterdir()) == []
