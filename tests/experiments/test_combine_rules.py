"""The script of rules and a model has a row for each alone and both."""

from pathlib import Path

import pytest

from experiments.combine_rules import main
from strategies.cli import run_cli
from strategies.combine import SIDES
from tests.conftest import random_bars


def test_every_rule_has_two_rows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    file = tmp_path / "bars.parquet"
    random_bars(700).to_parquet(file)
    words = ["combine_rules.py", "--bars", str(file), "--model", "linear", "--train", "12D", "--test", "6D"]
    monkeypatch.setattr("sys.argv", [*words, "--entry", "0.05"])
    run_cli(main)
    rows = {line.split("│")[1].strip(): line for line in capsys.readouterr().out.splitlines() if line.startswith("│")}
    assert len(rows) == 2 + 2 * len(SIDES)
    for name in SIDES:
        alone, both = rows[f"{name} alone"], rows[f"{name} and model"]
        assert alone.split("│")[2:] != both.split("│")[2:]
