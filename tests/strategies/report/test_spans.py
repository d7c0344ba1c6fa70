"""Spans and gaps of symbols, and what an account's report says could be wrong: against counts from bars and orders."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from strategies.account import RiskRules
from strategies.account_study import study_account
from strategies.costs import Costs
from strategies.portfolio import backtest_portfolio
from strategies.report.doubts import doubts_body, guard_refuses, knowledge, waited_orders
from strategies.report.numbers import first_result
from strategies.report.spans import named, spans, spans_table
from tests.strategies.account.paper import bars_of, quiet
from tests.strategies.accounts import account_study, panel
from tests.strategies.report.test_doubts import state
from tests.strategies.studies import fake_study

STUDY = account_study()
BODY = doubts_body(STUDY)


def test_spans_and_gaps_are_those_of_the_bars() -> None:
    found = spans(STUDY)
    for symbol, bars in panel().items():
        whole = pd.date_range(bars.index[0], bars.index[-1], freq="1h")
        assert found.loc[symbol, ["first", "last", "bars"]].tolist() == [bars.index[0], bars.index[-1], len(bars)]
        assert found.loc[symbol, "missing"] == len(whole) - len(bars)
    assert found["gaps"].to_dict() == {"A": 0, "B": 1, "C": 0}
    after = panel()["A"].index[504]
    assert found.loc["B", ["longest", "longest_at"]].tolist() == [7, after]
    assert (
        f"1 gap among the bars that were traded, 7 bars missing; the longest of 7 at {after:%Y-%m-%d %H:%M} of B"
        in BODY
    )
    assert "1 symbol (B) begin late; 1 symbol (C) end early" in BODY and state(STUDY, "Spans.") == "look"
    rows = spans_table(STUDY)
    assert rows.index('<td class="w">B') < rows.index('<td class="w">A') and rows.count("<tr>") == 4
    assert spans_table(fake_study(100)) == "" and "Spans." not in doubts_body(fake_study(100))


def test_all_that_begin_late_or_end_early_are_named() -> None:
    price = (100.0, 100.0, 100.0, 100.0)
    bars = {
        name: bars_of([*[None] * late, *[price] * (9 - late - early), *[None] * early])
        for name, late, early in (("A", 0, 0), ("B", 1, 3), ("C", 2, 1), ("D", 0, 2))
    }
    weights = pd.DataFrame(0.0, bars["A"].index, list(bars))
    body = doubts_body(study_account(*backtest_portfolio(bars, weights), title="ends"))
    assert "2 symbols (B, C) begin late; 3 symbols (B, C, D) end early" in body


def test_orders_that_waited_are_those_that_missed_the_next_stamp() -> None:
    orders = first_result(STUDY).orders
    orders = orders[~orders["reason"].str.contains("stop barrier|profit barrier")]
    late = orders[orders["timestamp"] - orders["decided"] > pd.Timedelta("1h")]
    assert waited_orders(first_result(STUDY)) == len(late) == 1
    assert late["symbol"].tolist() == ["B"] and late["timestamp"].iloc[0] == panel()["A"].index[504]
    assert f"1 order of {len(first_result(STUDY).orders):,} waited" in BODY and state(STUDY, "Waiting.") == "look"


def test_limits_and_statuses_are_counted() -> None:
    cuts = first_result(STUDY).extras["cuts"]
    status = first_result(STUDY).orders["status"].value_counts()
    assert f"max_position cut {cuts['max_position']} orders; risk_per_trade cut {cuts['risk_per_trade']} orders" in BODY
    assert f"The drawdown limit was met {cuts['halts']} times" in BODY and cuts["halts"] > 1
    assert f"{status['partial']:,} filled in part, {status.get('rejected', 0):,} rejected" in BODY
    assert '<th class="w">symbol</th>' in BODY.partition("Orders not filled whole")[2]


def paper(weights: dict[str, list[float]], **rules: float) -> object:
    bars = {"A": bars_of(quiet(6)), "B": bars_of([*quiet(4), None, None])}
    frame = pd.DataFrame(weights, bars["A"].index)
    return study_account(*backtest_portfolio(bars, frame, rules=RiskRules(**rules)), title="paper")


def test_cuts_and_orders_that_never_met_a_bar_on_paper() -> None:
    """Two entries of 0.5 under a limit of 0.2; what B decided at its last bar, its end, has nothing to fill on."""
    study = paper({"A": [0.5] * 3 + [0.0] * 3, "B": [-0.5] * 3 + [0.0] * 3}, max_position=0.2)
    extras = first_result(study).extras
    assert extras["cuts"]["max_position"] == extras["cuts"]["entries"] == 2
    assert extras["waiting"] == ("B",)
    body = doubts_body(study)
    assert (
        "what 1 symbol (B) decided last never met a bar" in body
        and "max_position cut 2 orders; 2 orders opened" in body
    )
    assert "No limit of risk or exposure cut an order" in doubts_body(paper({"A": [0.1] * 6, "B": [0.0] * 6}))
    assert state(study, "In-sample guard.") == "look" and "No forecasts were given" in body


def test_the_guard_is_tried_on_every_symbol() -> None:
    assert knowledge(STUDY) == (sum(len(bars) for bars in panel().values()), 1)
    assert guard_refuses(STUDY) and state(STUDY, "In-sample guard.") == "good"
    own = {name: frame.copy() for name, frame in STUDY.forecasts.items()}
    own["C"].loc[own["C"].index[40], "trained_through"] = own["C"].index[40]
    assert knowledge(replace(STUDY, forecasts=own))[1] == 0
    assert state(replace(STUDY, forecasts=own), "In-sample guard.") == "bad"


@pytest.mark.parametrize(("count", "words"), [(1, "1 symbol (A)"), (7, "7 symbols")])
def test_few_are_named_and_many_counted(count: int, words: str) -> None:
    assert named(["A"] * count) == words


def test_what_is_held_of_a_symbol_that_has_ended_is_told_as_a_share_of_the_account() -> None:
    price = (100.0, 100.0, 100.0, 100.0)
    bars = {"A": bars_of([price] * 9), "B": bars_of([*[price] * 5, *[None] * 4])}
    weights = pd.DataFrame({"A": 0.0, "B": 0.25}, bars["A"].index)
    body = doubts_body(study_account(*backtest_portfolio(bars, weights, costs=Costs(0.0, 0.0)), title="ended"))
    assert "for there is no bar to sell it in: B +25.0% of the last equity" in body
    weights.iloc[2:] = 0.0
    body = doubts_body(study_account(*backtest_portfolio(bars, weights, costs=Costs(0.0, 0.0)), title="ended"))
    assert "end early" in body and "no bar to sell it in" not in body
