"""What it cost: the grid is told cell by cell, with what was charged marked."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from strategies.account_study import study_account
from strategies.costs import Costs
from strategies.portfolio import backtest_portfolio
from strategies.report.costing import _shade, costs_body
from strategies.report.numbers import costs_of
from strategies.report.page import _shade as _style
from strategies.vbt.other_costs import trade_at_costs
from tests.strategies.account.paper import bars_of, quiet
from tests.strategies.report.reading import tables, text
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


def test_slippage_by_bar_is_that_of_the_bars_there_are() -> None:
    bars = {"A": bars_of(quiet(8)), "B": bars_of([*quiet(1), *[None] * 7])}
    weights = pd.DataFrame({"A": 0.1, "B": 0.0}, bars["A"].index)
    slips = pd.DataFrame({"A": 0.004, "B": 0.0}, bars["A"].index)
    study = study_account(*backtest_portfolio(bars, weights, slippage=slips), title="by bar")
    assert "slippage by bar (median 0.400%) of its price" in costs_body(study)


def test_every_amount_stands_in_its_column() -> None:
    metrics = {"commission_paid": 20.0, "slippage_paid": 5.0, "funding_paid": 3.0}
    held = STUDY.results["vectorbt"]
    orders = held.orders.iloc[:2].assign(size=[10.0, -10.0], price=[100.0, 110.0])
    equity = held.equity.iloc[:2].set_axis(held.equity.index[:2]) * 0 + [1000.0, 1072.0]
    result = replace(held, orders=orders, metrics=held.metrics | metrics, equity=equity)
    without = replace(result, metrics={name: v for name, v in result.metrics.items() if name != "funding_paid"})
    charged = STUDY.config | {"commission": 0.002, "slippage": 0.0005}
    study = replace(STUDY, results={"backtrader": result}, baselines={"flat": without}, config=charged)
    body = costs_body(study)
    head, first, second = tables(body)[0]
    assert dict(zip(head[1:], first[1:], strict=True)) == {
        "profit before costs": "+100.00", "commission": "20.00", "slippage": "5.00", "funding": "3.00",
        "net profit": "+72.00", "value traded": "2,100.00", "break-even commission": f"{92 / 2100:.4%}",
    }  # fmt: skip
    assert second[1:5] == ["+97.00", "20.00", "5.00", "0.00"]
    assert "commission 0.200% of each fill's value, slippage 0.050% of its price" in text(body)
    head, first = tables(costs_body(replace(study, results={"backtrader": without}, baselines={})))[0]
    assert "funding" not in head
    assert first[1:] == ["+97.00", "20.00", "5.00", "+72.00", "2,100.00", f"{92 / 2100:.4%}"]


def test_the_grid_has_a_table_a_delay_with_its_costs_beside_and_above() -> None:
    body = costs_body(replace(STUDY, cost_grid=GRID))
    delays = sorted(GRID["delay"].unique())
    assert re.findall("<h4>(.*?)</h4>", body) == ["No delay", *[f"{d} bar{'s' * int(d > 1)} late" for d in delays[1:]]]
    for delay, (head, *rows) in zip(delays, tables(body)[1:], strict=True):
        cells = GRID[GRID["delay"] == delay].set_index(["commission", "slippage"])
        assert head[1:] == [f"{slip:.3%}" for slip in sorted(GRID["slippage"].unique())]
        assert [row[0] for row in rows] == [f"{fee:.3%}" for fee in sorted(GRID["commission"].unique())]
        worst = cells.loc[(GRID["commission"].max(), GRID["slippage"].max())]
        assert rows[-1][-1] == f"{worst['sharpe']:.2f} [{worst['total_return']:+.1%}]"
    shades = [cell[0] for cell in CELL.findall(body)]
    ordered = GRID.sort_values(["delay", "commission", "slippage"])
    assert shades == [_style(_shade(*pair)) for pair in zip(ordered["sharpe"], ordered["total_return"], strict=True)]
