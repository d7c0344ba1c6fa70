"""What a grid of costs found: a heatmap a delay, and the commission a rule stops earning at."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from strategies.report.page import Section, figure, page, said
from strategies.report.page import table as html_table
from strategies.vbt.sweep_report import html_heatmap


def break_evens(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return slippage, delay and break-even commission of a `cost_grid`, one a pair; None where there is none."""
    rows: list[Any] = table[["slippage", "delay", "break_even"]].drop_duplicates().to_dict("records")
    return [{**row, "break_even": None if math.isnan(row["break_even"]) else row["break_even"]} for row in rows]


def told(break_even: float | None) -> str:
    """Return a break-even commission in words."""
    if break_even is None:
        return "none"
    return "above 5%" if math.isinf(break_even) else f"{break_even:.4%}"


def write_cost_grid(table: pd.DataFrame, config: dict[str, Any], folder: Path) -> None:
    """Write ``costs.parquet``, ``costs.json`` and ``costs.html`` into `folder`."""
    table.to_parquet(folder / "costs.parquet", index=False)
    found = [{**row, "break_even": told(row["break_even"])} for row in break_evens(table)]
    (folder / "costs.json").write_text(json.dumps({"break_even": found, "config": config}, indent=2) + "\n")
    (folder / "costs.html").write_text(_html(table), encoding="utf-8")


def _html(table: pd.DataFrame) -> str:
    lead = f"One rule over {table['days'].iloc[0]:,} days out of sample, traded at {len(table)} costs, in vectorbt."
    cells = [(f"{one['slippage']:.3%}", f"{one['delay']}", told(one["break_even"])) for one in break_evens(table)]
    words = said("The commission a fill at which the account ends with what it began with; none: it loses free of any.")
    even = words + html_table(("slippage", "bars late", "break-even"), cells)
    return page(
        "What costs leave of one trading rule",
        [
            Section("top", "", said(lead)),
            Section("even", "Break-even commission", even),
            Section("map", "Sharpe ratio at every cost", _heatmaps(table)),
        ],
    )


def _heatmaps(table: pd.DataFrame) -> str:
    reach = float(np.nanmax(table["sharpe"].abs().to_numpy(), initial=0.1))
    drawn = ""
    for delay in table["delay"].unique():
        rows = table[table["delay"] == delay]
        grid = rows.pivot_table(index="slippage", columns="commission", values="sharpe", dropna=False)
        grid = grid.rename(index="{:.3%}".format, columns="{:.3%}".format)
        late = f"{delay} bar{'' if delay == 1 else 's'} later than that" if delay else "at the next open"
        drawn += f"<h3>Filled {late}</h3>{figure(html_heatmap(grid, reach), f'costs-{delay}')}"
    return drawn + said("Grey: undefined, the account was gone.", "small")
