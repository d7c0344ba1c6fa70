"""The script of two clocks: a context one bar early is refused, and would have looked like riches."""

from pathlib import Path

from tests.conftest import random_bars


def test_the_guard_refuses_what_would_have_earned(script, tmp_path: Path) -> None:
    file = tmp_path / "bars.parquet"
    random_bars(3_000, interval="15min", volatility=0.004).to_parquet(file)
    ran = script("two_clocks", "--bars", file, "--model", "linear", "--train", "15D", "--test", "5D")
    assert "refused: `other` is stamped 1 bar(s) too early" in ran.out, ran.err
    alone, both, early = (float(row[1]) for row in ran.rows)
    assert early > 0.2 > max(alone, both)


def test_a_context_no_longer_than_the_bars_costs_one_line(script, tmp_path: Path) -> None:
    random_bars(60).to_parquet(tmp_path / "bars.parquet")
    ran = script("two_clocks", "--bars", tmp_path / "bars.parquet")
    assert ran.code == 2 and "`context` is '1h'; it must be longer than the bars" in ran.err
