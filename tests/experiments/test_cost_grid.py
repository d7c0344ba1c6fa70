"""The command line of a cost grid: its files, its table, and one line for a mistake."""

from pathlib import Path

import pytest

from experiments.cost_grid import main
from strategies.cli import run_cli
from tests.conftest import random_bars
from tests.strategies.studies import fake_forecasts


def call(words: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.argv", ["cost_grid.py", *words])
    try:
        run_cli(main)
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    bars = random_bars(400)
    bars.to_parquet(tmp_path / "bars.parquet")
    fake_forecasts(bars, 3).iloc[60:].to_parquet(tmp_path / "forecasts.parquet")
    return f"--forecasts {tmp_path}/forecasts.parquet --bars {tmp_path}/bars.parquet --out {tmp_path}/out".split()


def test_it_writes_and_shows_every_cost(given: list[str], tmp_path: Path, monkeypatch, capsys) -> None:
    words = ["--commission", "0", "0.001", "--slippage", "0.0005", "--delay", "0", "3", "--entry", "0.3"]
    assert call([*given, *words], monkeypatch) == 0
    out = capsys.readouterr().out
    assert "Sharpe ratio of one rule at 4 costs" in out and "fee 0.100%" in out and "break-even fee" in out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["costs.html", "costs.json", "costs.parquet"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--delay", "-1"), "`delay`"),
        (("--exit", "0.5"), "`exit` is 0.5"),
        (("--sizer", "fixd"), "Did you mean 'fixed'"),
    ],
)
def test_a_mistake_costs_one_line(words: tuple, said: str, given: list[str], tmp_path: Path, monkeypatch, capsys):
    assert call([*given, *words], monkeypatch) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1 and not (tmp_path / "out").exists()
