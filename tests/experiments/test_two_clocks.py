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
