"""The paper account's question is answered with yes on made-up bars."""

import json
from pathlib import Path

from tests.conftest import random_bars


def test_stopped_or_not_the_orders_are_the_same(script, tmp_path: Path) -> None:
    random_bars(800).to_parquet(tmp_path / "bars.parquet")
    words = ["--train", "250", "--test", "60", "--live", "70", "--stops", "2"]
    ran = script("paper_replay", "--bars", tmp_path / "bars.parquet", "--out", tmp_path / "out", *words)
    assert ran.code == 0, ran.err
    told = json.loads((tmp_path / "out" / "result.json").read_text())
    assert told["same_orders_to_the_bit"] and told["orders_undisturbed"] == told["orders_stopped"] > 5
    assert told["flat_alike"] and told["same_retrains_as_the_backtest"]
    assert told["largest_difference_of_weights_from_the_backtest"] < 1e-6


def test_a_file_shorter_than_a_run_needs_costs_one_line(script, tmp_path: Path) -> None:
    random_bars(40).to_parquet(tmp_path / "bars.parquet")
    code, _, err = script("paper_replay", "--bars", tmp_path / "bars.parquet", "--out", tmp_path / "out")
    assert code == 2 and "`bars` holds 40 rows; 2,500 are needed." in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_more_stops_than_live_bars_cost_one_line(script, tmp_path: Path) -> None:
    random_bars(40).to_parquet(tmp_path / "bars.parquet")
    words = ["--bars", tmp_path / "bars.parquet", "--out", tmp_path / "out", "--live", "100", "--stops", "50"]
    ran = script("paper_replay", *words)
    assert (ran.code, ran.err) == (2, "error: `stops` is 50; it must be below half of `live`, 100 bars.\n")
