"""The script of rules and a model has a row for each alone and both."""

from pathlib import Path

from strategies.combine import SIDES
from tests.conftest import random_bars


def test_every_rule_has_two_rows(script, tmp_path: Path) -> None:
    file = tmp_path / "bars.parquet"
    random_bars(700).to_parquet(file)
    words = ["--bars", file, "--model", "linear", "--train", "12D", "--test", "6D", "--entry", "0.05"]
    rows = {name: cells for name, *cells in script("combine_rules", *words).rows}
    assert len(rows) == 2 + 2 * len(SIDES)
    for name in SIDES:
        assert rows[f"{name} alone"] != rows[f"{name} and model"]
