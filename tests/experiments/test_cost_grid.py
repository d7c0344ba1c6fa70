"""The command line of a cost grid: its files, its table, and one line for a mistake."""

from pathlib import Path

import pytest

from tests.conftest import random_bars
from tests.strategies.studies import fake_forecasts


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    bars = random_bars(400)
    bars.to_parquet(tmp_path / "bars.parquet")
    fake_forecasts(bars, 3).iloc[60:].to_parquet(tmp_path / "forecasts.parquet")
    return f"--forecasts {tmp_path}/forecasts.parquet --bars {tmp_path}/bars.parquet --out {tmp_path}/out".split()


def test_it_writes_and_shows_every_cost(given: list[str], tmp_path: Path, script) -> None:
    words = ["--commission", "0", "0.001", "--slippage", "0.0005", "--delay", "0", "3", "--entry", "0.3"]
    code, out, err = script("cost_grid", *given, *words)
    assert code == 0, err
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
def test_a_mistake_costs_one_line(words: tuple, said: str, given: list[str], tmp_path: Path, script):
    code, _, err = script("cost_grid", *given, *words)
    assert code == 2
    assert said in err and err.count("\n") == 1 and not (tmp_path / "out").exists()
