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
