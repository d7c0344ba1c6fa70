"""What it cost: the grid is told cell by cell, with what was charged marked."""

import re
from dataclasses import replace

import pytest

from strategies.costs import Costs
from strategies.report.costing import _shade, costs_body
from strategies.report.numbers import costs_of
from strategies.vbt.other_costs import trade_at_costs
from tests.strategies.studies import fake_study

STUDY = fake_study(600)
GRID = trade_at_costs(STUDY.bars, STUDY.results["vectorbt"].weights, Costs(0.001, 0.0005))
CELL = re.compile(r'<td( style="background:rgb\([^)]*\)")?( class=own)?>([^<]+)<span class="interval"> \[([^\]]+)\]')


def test_every_cell_of_the_grid_is_told_in_its_place() -> None:
    found = CELL.findall(costs_body(replace(STUDY, cost_grid=GRID)))
    ordered = GRID.sort_values(["delay", "commission", "slippage"])
    assert [cell[2:] for cell in found] == [
        (f"{row['sharpe']:.2f}", f"{row['total_return']:+.1%}") for row in ordered.to_dict("records")
    ]
    own = (ordered["commission"] == 0.001) & (ordered["slippage"] == 0.0005)
    assert [bool(cell[1]) for cell in found] == own.tolist() and own.sum() == GRID["delay"].nunique()


def test_a_study_without_a_grid_says_why() -> None:
    assert "which did not run" in costs_body(STUDY)


@pytest.mark.parametrize(
    ("sharpe", "earned", "shade"),
    [(1.0, 0.1, 0.5), (-9.0, -0.5, -1.0), (float("nan"), float("nan"), -1.0), (float("nan"), 0.2, 0.5)],
)
def test_colours_follow_the_ratio(sharpe: float, earned: float, shade: float) -> None:
    assert _shade(sharpe, earned) == shade


def test_funding_is_told_where_it_was_paid_and_breaks_even_after_it() -> None:
    assert "funding" not in costs_body(STUDY)
    result = STUDY.results["vectorbt"]
    paid = replace(result, metrics=result.metrics | {"funding_paid": 7.25})
    assert costs_of(paid)["before_costs"] == pytest.approx(costs_of(result)["before_costs"] + 7.25)
    assert costs_of(paid)["break_even"] == costs_of(result)["break_even"]
    body = costs_body(replace(STUDY, results={"vectorbt": paid}))
    assert "<th>funding</th>" in body and "<td>7.25</td>" in body
