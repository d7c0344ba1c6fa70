"""The whole script, in small."""

import importlib.util
import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from mlcore.synthetic import planted_market

SCRIPT = Path(__file__).parents[2] / "experiments" / "dual_stream_study.py"


def run(monkeypatch, *words: object) -> int:
    spec = importlib.util.spec_from_file_location("dual_stream_study", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", ["dual_stream_study.py", *map(str, words)])
    try:
        module.run_cli(module.main)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bars")
    paths = []
    for seed, name in enumerate(("AAAUSDT", "BBBUSDT")):
        paths.append(folder / f"binance_spot_{name}_15m.parquet")
        planted_market(96 * 30, edge=0.5, interval="15min", seed=seed).bars.to_parquet(paths[-1])
    return paths


SHORT = ["--train", "10D", "--test", "6D", "--n-jobs", 1, "--resamples", 200]


@pytest.mark.parametrize("each", [[], ["--each"]])
def test_what_it_writes_and_says(each, files, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    words = ["--model", "lstm", "--set", "width=4", "epochs=1", "--lookback", 8, *each]
    assert run(monkeypatch, "--bars", *files, "--out", out, *words, *SHORT) == 0
    assert "lstm calls 56% of directions right" in capsys.readouterr().out
    told = json.loads((out / "verdicts.json").read_text())
    assert len(told["verdicts"]) == 8
    table = pd.read_csv(out / "coins.csv")
    assert set(table["coin"]) == {"all coins", "AAAUSDT", "BBBUSDT"}
    assert set(table["model"]) == {"lstm", "naive", "linear"}
    assert (out / "report.html").exists()


def test_a_model_that_is_not_there_costs_one_line(files, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--bars", *files, "--out", tmp_path / "out", "--model", "duel_stream", *SHORT) == 2
    assert "'duel_stream'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_files_the_folder_of_bars_is_asked_for(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("BARWISE_DATA", raising=False)
    assert run(monkeypatch, "--out", tmp_path / "out", "--model", "lstm") == 2
    assert "BARWISE_DATA" in capsys.readouterr().err
