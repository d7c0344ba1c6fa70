"""The files of a cost grid: every cost in a cell, every break-even in words."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from strategies.vbt.cost_report import break_evens, told, write_cost_grid


def table() -> pd.DataFrame:
    costs = pd.MultiIndex.from_product([(0.0, 0.001), (0.0, 0.0005), (0, 2)], names=["commission", "slippage", "delay"])
    made = costs.to_frame(index=False)
    made["sharpe"] = [1.5, 1.0, 0.5, 0.2, 0.1, -0.5, np.nan, -2.0]
    made["break_even"] = [0.0012345, 0.001, np.inf, np.nan] * 2
    return made.assign(days=1234)


def test_break_evens_are_one_a_pair_and_told_in_words() -> None:
    assert [told(one["break_even"]) for one in break_evens(table())] == [
        "0.1234%",
        "0.1000%",
        "above 5%",
        "none",
    ]


def test_the_files_are_whole(tmp_path: Path) -> None:
    write_cost_grid(table(), {"entry": 0.1}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["costs.html", "costs.json", "costs.parquet"]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "costs.parquet"), table())
    assert json.loads((tmp_path / "costs.json").read_text())["break_even"][0]["break_even"] == "0.1234%"
    html = (tmp_path / "costs.html").read_text()
    for words in (
        "1,234 days",
        "traded at 8 costs",
        "Filled at the next open",
        "2 bars later",
        "0.1234%",
        'id="costs-2"',
    ):
        assert words in html
