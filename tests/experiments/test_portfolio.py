"""The portfolio script trades every way of sharing in both engines."""

import json
from pathlib import Path

import pytest

from experiments.portfolio import main
from strategies.allocation import WAYS
from strategies.cli import run_cli
from tests.conftest import random_bars


def test_every_way_has_a_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    files = []
    for seed, name in enumerate(("AAAUSDT", "BBBUSDT", "CCCUSDT")):
        files.append(str(tmp_path / f"{name}.parquet"))
        random_bars(700, seed=seed).iloc[200 * (seed == 2) :].to_parquet(files[-1])
    words = ["portfolio.py", "--bars", *files, "--train", "12D", "--test", "6D", "--entry", "0.02", "--coins", "2"]
    out = tmp_path / "made" / "portfolio"
    monkeypatch.setattr("sys.argv", [*words, "--out", str(out), "--way", "confidence"])
    run_cli(main)
    said = capsys.readouterr().out
    assert "2 coins" in said and "buy and hold" in said
    rows = [line for line in said.splitlines() if any(f"model, {way}" in line for way in WAYS)]
    told = json.loads((out / "result.json").read_text())
    assert list(told["baselines"]) == ["buy_and_hold", "flat", "shared by equal", "shared by inverse_volatility"]
    assert told["engines"]["vectorbt"]["n_orders"] == int(rows[1].split("│")[6].replace(",", ""))
    assert set(told["symbols"]) == {"AAAUSDT", "BBBUSDT"} and told["config"]["way"] == "confidence"
    assert told["tried"] == 3 and "In-sample guard.</strong> Each of" in (out / "report.html").read_text()
    assert len(rows) == 3 and all(int(row.split("│")[6].replace(",", "")) > 0 for row in rows)


def test_a_folder_that_is_taken_and_a_way_that_is_none_cost_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    (tmp_path / "mine.txt").write_text("mine")
    for words, said in ((["--out", str(tmp_path)], "already holds 'mine.txt'"), (["--way", "equl"], "mean 'equal'")):
        monkeypatch.setattr("sys.argv", ["portfolio.py", "--bars", "nowhere.parquet", *words])
        with pytest.raises(SystemExit) as left:
            run_cli(main)
        assert left.value.code == 2 and said in capsys.readouterr().err
