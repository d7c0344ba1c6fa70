"""The report on costs: what trading cost, and what would be left at other costs and with later fills."""

from __future__ import annotations

import numpy as np
import pandas as pd

from strategies.report import figures, numbers
from strategies.report.page import heat_table, said, table
from strategies.report.words import many, shown
from strategies.study import AccountStudy, Study, Traded

BEST = 2.0  # the Sharpe ratio at which a cell has its full colour


COLUMNS = {
    "before_costs": ("profit before costs", "{:+,.2f}"),
    "commission": ("commission", "{:,.2f}"),
    "slippage": ("slippage", "{:,.2f}"),
    "funding": ("funding", "{:,.2f}"),
    "borrow": ("borrow", "{:,.2f}"),
    "net": ("net profit", "{:+,.2f}"),
    "traded": ("value traded", "{:,.2f}"),
    "break_even": ("break-even commission", "{:.4%}"),
}


def costs_body(study: Traded) -> str:
    """Return the costs of all accounts, and the grid of other costs and delays where there is one."""
    accounts = {**study.results, **study.baselines}
    costs = {name: numbers.costs_of(result) for name, result in accounts.items()}
    unpaid = {name for name in ("funding", "borrow") if not any(cost[name] for cost in costs.values())}
    columns = {key: column for key, column in COLUMNS.items() if key not in unpaid}
    head = ["", *[words for words, _ in columns.values()]]
    rows = [
        [figures.words_of(name), *[shown(cost[key], form) for key, (_, form) in columns.items()]]
        for name, cost in costs.items()
    ]
    words = (
        "Amounts are in the account's currency. Profit before costs is that of the same fills made free. Break-even "
        "commission is what the same fills could pay, after their slippage, and end at nothing; below 0, they lose "
        "even if commission were free."
    )
    words += " Negative funding was received." if "funding" in columns else ""
    grid = _grid_body(study) if isinstance(study, Study) else ""
    return said(_charged(study)) + table(head, rows) + said(words, "small") + grid


def _charged(study: Traded) -> str:
    """Say what each fill was charged, and holding where it was."""
    commission, slippage, maker, borrow = study.config.get("commission"), study.config.get("slippage"), None, 0.0
    by_bar = ""
    if isinstance(study, AccountStudy):
        costs, slips = study.plan.costs, study.plan.market.slippage[study.plan.market.here]
        commission, slippage, maker, borrow = costs.commission, costs.slippage, costs.maker, study.plan.rules.borrow
        by_bar = f"slippage by bar (median {np.median(slips):.3%})" if (slips != slippage).any() else ""
    resting = "" if maker is None else f" ({maker:.3%} at the profit barrier)"
    slip = by_bar or f"slippage {shown(slippage, '{:.3%}')}"
    lent = f" Shorts pay {borrow:.2%} a year to borrow." if borrow else ""
    return (
        f"Charged: commission {shown(commission, '{:.3%}')}{resting} of each fill's value, {slip} of its price.{lent}"
    )


def _grid_body(study: Study) -> str:
    grid = study.cost_grid
    if grid is None:
        return said("A grid of other costs and delays is made by vectorbt, which did not run.", "small")
    own = (study.config.get("commission"), study.config.get("slippage"))
    words = (
        "The same decisions, traded again at other costs and later: Sharpe ratio a year, and total return in brackets. "
        f"Green earns, red loses (full colour at a Sharpe ratio of {BEST:g}); a frame marks the costs charged here. "
        "One bar late fills one bar after the next open."
    )
    parts = []
    for delay in sorted(grid["delay"].unique().tolist()):
        late = f"{many(delay, 'bar')} late" if delay else "No delay"
        parts.append(f"<div><h4>{late}</h4>{_delay_table(grid[grid['delay'] == delay], own)}</div>")
    return (
        "<h3>At other costs, and later</h3>" + said(words, "small") + f'<div class="grid wide">{"".join(parts)}</div>'
    )


def _delay_table(grid: pd.DataFrame, own: tuple[float | None, float | None]) -> str:
    """Commission down, slippage across."""
    cells = {(row["commission"], row["slippage"]): row for row in grid.to_dict("records")}
    slips = sorted({slip for _, slip in cells})
    rows, shades, frames = [], [], []
    for fee in sorted({fee for fee, _ in cells}):
        found = [cells[fee, slip] for slip in slips]
        told = [f"{shown(row['sharpe'], '{:.2f}')} [{shown(row['total_return'], '{:+.1%}')}]" for row in found]
        rows.append([f"{fee:.3%}", *told])
        shades.append([np.nan, *[_shade(row["sharpe"], row["total_return"]) for row in found]])
        frames.append([False, *[(fee, slip) == own for slip in slips]])
    head = ["commission \u2193 slippage \u2192", *[f"{slip:.3%}" for slip in slips]]
    return heat_table(head, rows, shades, frames)


def _shade(sharpe: float, earned: float) -> float:
    """Return the colour of a cell in [-1, 1]; one whose account was gone is as red as can be."""
    if np.isnan(sharpe):
        return -1.0 if np.isnan(earned) else float(np.sign(earned)) / 2
    return float(np.clip(sharpe / BEST, -1, 1))
