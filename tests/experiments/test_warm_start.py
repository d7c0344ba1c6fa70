"""The comparison of warm starts prints one row for each way and model."""

import pytest

from experiments.warm_start import WAYS, main
from strategies.cli import run_cli


def test_every_way_has_a_row_of_numbers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "warm_start.py",
        "--models",
        "lightgbm",
        "--last",
        "1100",
        "--train",
        "20D",
        "--test",
        "5D",
        "--seeds",
        "0",
    ]
    monkeypatch.setattr("sys.argv", words)
    run_cli(main)
    rows = [line for line in capsys.readouterr().out.splitlines() if "lightgbm" in line]
    assert len(rows) == len(WAYS)
    assert "nan" not in "".join(rows[1:])
    cold, *others = (row.split("│")[4] for row in rows)
    assert all(other != cold for other in others)  # each way forecasts something else
