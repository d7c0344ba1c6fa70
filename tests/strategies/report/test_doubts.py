"""What could be wrong: a check that finds something says so, and one that cannot be made does not say fine."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from strategies.costs import Costs
from strategies.report.doubts import doubts_body, guard_refuses, knowledge, own_cell
from strategies.study import Study
from strategies.vbt.other_costs import trade_at_costs
from strategies.vbt.run import run_vectorbt
from tests.strategies.report.reading import tables
from tests.strategies.studies import fake_study

SOUND = {"cuts": [1, 2], "rows": 70, "columns": 24, "differs": None}
STUDY = replace(fake_study(400, seed=2), causality=SOUND)
ORDERS = STUDY.results["backtrader"].orders


def state(study: Study, name: str) -> str:
    """The state of the check called `name`."""
    before, _, _ = doubts_body(study).partition(f"<strong>{name}</strong>")
    return before.rpartition('<li class="')[2].partition('"')[0]


def told_through(bars_before: int) -> Study:
    stamps = STUDY.forecasts.index - pd.Timedelta(hours=bars_before)
    return replace(STUDY, forecasts=STUDY.forecasts.assign(trained_through=stamps))


@pytest.mark.parametrize("bars", [0, 1, 5])
def test_what_a_model_knew_is_counted_in_bars(bars: int) -> None:
    """Silent rows do not count, nor does the start, before which there are no bars to count."""
    study = told_through(bars)
    assert knowledge(study)[0] == STUDY.forecasts["signal"].notna().sum()
    late = replace(study, forecasts=study.forecasts.iloc[20:])
    assert knowledge(late)[1] == min(bars, 1)
    assert state(study, "In-sample guard.") == ("bad" if bars == 0 else "good")


def without(*rows: int) -> Study:
    kept = STUDY.bars.index.delete(list(rows))
    return replace(STUDY, bars=STUDY.bars.loc[kept], forecasts=STUDY.forecasts.loc[kept])


def test_one_row_that_knows_its_bar_is_enough() -> None:
    through = STUDY.forecasts["trained_through"].copy()
    through.iloc[300] = STUDY.forecasts.index[300]
    study = replace(STUDY, forecasts=STUDY.forecasts.assign(trained_through=through))
    assert knowledge(study)[1] == 0 and state(study, "In-sample guard.") == "bad"


def test_the_guard_is_tried_and_a_guard_that_sleeps_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert guard_refuses(STUDY)
    monkeypatch.setattr("strategies.report.doubts.check_forecasts", lambda *_: None)
    assert state(STUDY, "In-sample guard.") == "bad" and "NOT refused" in doubts_body(STUDY)


@pytest.mark.parametrize(
    ("change", "name", "wanted"),
    [
        ({}, "Causality.", "good"),
        ({"causality": None}, "Causality.", "look"),
        ({"causality": SOUND | {"differs": "row 3"}}, "Causality.", "bad"),
        ({}, "Two engines.", "good"),
        ({"reconciliation": None}, "Two engines.", "look"),
        ({"reconciliation": {"agrees": False, "max_relative_difference": 0.1}}, "Two engines.", "bad"),
        ({}, "Orders.", "look"),
        ({"in_sample": True}, "In-sample guard.", "bad"),
        ({}, "Gaps.", "good"),
        ({}, "Fills.", "good"),
        ({"bars": STUDY.bars.assign(volume=0.0)}, "Fills.", "look"),
    ],
)
def test_every_check_speaks_for_itself(change: dict[str, Any], name: str, wanted: str) -> None:
    assert state(replace(STUDY, **change), name) == wanted


def test_gaps_and_fills_are_counted() -> None:
    assert state(without(50, 51, 52), "Gaps.") == "look"
    at = f"{STUDY.bars.index[53]:%Y-%m-%d %H:%M}"
    told = f"2 gaps among the bars that were traded, 4 bars missing; the longest of 3 at {at}"
    assert told in doubts_body(without(50, 51, 52, 90))
    orders = STUDY.results["backtrader"].orders
    dry = STUDY.bars["volume"].where(STUDY.bars.index != orders["timestamp"].iloc[0], 0.0)
    assert "1 order of " in doubts_body(replace(STUDY, bars=STUDY.bars.assign(volume=dry)))


def test_the_worst_bar_and_order_are_named() -> None:
    worst = {"worst_bar": STUDY.bars.index[7], "worst_order": STUDY.bars.index[9]}
    study = replace(STUDY, reconciliation=(STUDY.reconciliation or {}) | worst)
    for at in worst.values():
        assert f"{at:%Y-%m-%d %H:%M}" in doubts_body(study)


def test_the_grids_own_cell_is_the_account_that_was_traded() -> None:
    weights, costs = STUDY.results["vectorbt"].weights, Costs(0.001, 0.0005)
    result = run_vectorbt(STUDY.bars, weights, costs=costs)
    study = replace(STUDY, results={"vectorbt": result}, cost_grid=trade_at_costs(STUDY.bars, weights, costs))
    assert own_cell(study) == pytest.approx(0.0, abs=1e-9)
    assert state(study, "Grid of costs.") == "good"
    other = replace(study, cost_grid=trade_at_costs(STUDY.bars, weights.shift(1), costs))
    assert state(other, "Grid of costs.") == "bad"
    assert own_cell(replace(study, config=study.config | {"commission": 0.7})) is None
    assert "Grid of costs." not in doubts_body(replace(study, cost_grid=None))
    assert np.isfinite(own_cell(other) or 0.0)


def test_the_grid_s_own_cell_is_that_of_the_costs_charged() -> None:
    costs = Costs(0.002, 0.0005)
    result = run_vectorbt(STUDY.bars, STUDY.results["vectorbt"].weights, costs=costs)
    cells = [(0, 0.002, 0.0005, 1.0), (0, 0.0005, 0.002, 2.0), (1, 0.002, 0.0005, 3.0)]
    grid = pd.DataFrame(cells, columns=["delay", "commission", "slippage", "final_value"])
    final = result.metrics["final_value"] or 0.0
    config = STUDY.config | {"commission": 0.002, "slippage": 0.0005}
    study = replace(STUDY, results={"vectorbt": result}, config=config, cost_grid=grid)
    assert own_cell(study) == pytest.approx(1 - 1.0 / final)


def test_orders_are_counted_and_told_as_they_ended() -> None:
    status = ["filled", "rejected", "partial", "partial", *["filled"] * (len(ORDERS) - 4)]
    orders = ORDERS.assign(status=status, reason=["", "no cash", "some", "some", *[""] * (len(ORDERS) - 4)])
    result = replace(STUDY.results["backtrader"], orders=orders)
    body = doubts_body(replace(STUDY, results={"backtrader": result}))
    assert f"{len(orders)} orders: 2 filled in part, 1 rejected (below)." in body
    counts, clipped = tables(body)
    assert counts[1] == ["backtrader", str(len(orders) - 3), "2", "1"]
    first = orders.iloc[1]
    assert clipped[0] == ["engine", "status", "decided", "fill bar", "size", "price", "commission", "reason"]
    assert clipped[1] == [
        "backtrader", "rejected", f"{first['decided']:%Y-%m-%d %H:%M}", f"{first['timestamp']:%Y-%m-%d %H:%M}",
        f"{first['size']:,.4g}", f"{first['price']:,.6g}", f"{first['commission']:,.2f}", "no cash",
    ]  # fmt: skip
    assert [row[1] for row in clipped[1:]] == ["rejected", "partial", "partial"]
    whole = replace(result, orders=orders.assign(status="filled"))
    assert "Every order was filled whole." in doubts_body(replace(STUDY, results={"backtrader": whole}))
