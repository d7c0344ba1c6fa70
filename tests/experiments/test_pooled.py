"""The span of the pooled comparison is what its flags say."""

import runpy
import sys
from pathlib import Path

import pandas as pd

import mlcore.panel
from tests.conftest import random_bars

SCRIPT = Path(__file__).parents[2] / "experiments" / "pooled.py"


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["pooled.py", *map(str, words)])
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_bars_from_start_on_and_before_end_count(tmp_path, monkeypatch, capsys):
    random_bars(500).to_parquet(tmp_path / "BTCUSDT.parquet")
    seen = []

    def stop(panel, *_, **__):
        seen.append(panel["BTCUSDT"].index)
        raise KeyboardInterrupt

    monkeypatch.setattr(mlcore.panel, "walk_forward_panel", stop)
    words = ["--bars", tmp_path / "BTCUSDT.parquet", "--out", tmp_path / "out"]
    assert run(monkeypatch, *words, "--start", "2024-01-03", "--end", "2024-01-05") == 130
    assert (seen[0][0], seen[0][-1]) == (
        pd.Timestamp("2024-01-03", tz="UTC"),
        pd.Timestamp("2024-01-04 23:00", tz="UTC"),
    )
    assert run(monkeypatch, *words) == 130 and len(seen[1]) == 500
    assert run(monkeypatch, *words, "--end", "soon") == 2
    assert "`end` 'soon' must be stamps" in capsys.readouterr().err
