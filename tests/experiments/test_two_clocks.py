"""The script of two clocks: a context one bar early is refused, and would have looked like riches."""

from pathlib import Path

import pytest

from experiments.two_clocks import main
from strategies.cli import run_cli
from tests.conftest import random_bars


def test_the_guard_refuses_what_would_have_earned(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    file = tmp_path / "bars.parquet"
    random_bars(3_000, interval="15min", volatility=0.004).to_parquet(file)
    words = ["two_clocks.py", "--bars", str(file), "--model", "linear", "--train", "15D", "--test", "5D"]
    monkeypatch.setattr("sys.argv", words)
    run_cli(main)
    said = capsys.readouterr().out
    assert "refused: `other` is stamped 1 bar(s) too early" in said
    alone, both, early = (float(line.split("│")[2]) for line in said.splitlines() if line.startswith("│"))
    assert early > 0.2 > max(alone, both)
