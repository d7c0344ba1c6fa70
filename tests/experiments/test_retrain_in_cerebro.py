"""Four runs, one row each; the calendar that fits as often as the busiest rule does so."""

import json
from pathlib import Path

from experiments.retrain_in_cerebro import MEASURES
from tests.conftest import random_bars


def test_every_way_has_a_row_and_its_retrains(script, tmp_path: Path) -> None:
    random_bars(900).to_parquet(tmp_path / "bars.parquet")
    words = ["--model", "linear", "--train", "12D", "--test", "8D", "--newest", "10", "--before", "30"]
    ran = script("retrain_in_cerebro", "--bars", tmp_path / "bars.parquet", "--out", tmp_path / "out", *words)
    assert ran.code == 0, ran.err
    told = json.loads((tmp_path / "out" / "result.json").read_text())
    assert {"calendar", "calendar, decayed", "calendar, as often"} <= set(told["runs"])
    for name, row in told["runs"].items():
        assert set(row) == set(MEASURES) and row["retrains"] == len(told["retrains"][name]) > 1
        assert (tmp_path / "out" / f"{name.replace(', ', '_')}.png").stat().st_size > 10_000
    most = max(row["retrains"] for row in told["runs"].values())
    assert abs(told["runs"]["calendar, as often"]["retrains"] - most) <= 1


def test_a_share_of_drift_out_of_range_is_refused_and_a_missing_library_is_told(script, tmp_path, monkeypatch) -> None:
    random_bars(900).to_parquet(tmp_path / "bars.parquet")
    words = ["--bars", tmp_path / "bars.parquet", "--out", tmp_path / "out", "--model", "linear", "--train", "12D"]
    ran = script("retrain_in_cerebro", *words, "--drift", "3")
    assert (ran.code, ran.err) == (2, "error: `drift` is 3.0; it must be at most 0.99.\n")
    monkeypatch.setattr("experiments.retrain_in_cerebro.find_spec", lambda name: None)
    ran = script("retrain_in_cerebro", *words, "--test", "8D", "--newest", "10", "--before", "30")
    assert "No run with drifted inputs: `pip install barwise[drift]`." in ran.out and len(ran.rows) == 3
