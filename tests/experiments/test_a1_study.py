"""The whole script, in small."""

import importlib.util
import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from mlcore.synthetic import planted_market
from strategies.claims.a1 import FEATURES, A1Config

SCRIPT = Path(__file__).parents[2] / "experiments" / "a1_study.py"


def run(monkeypatch, *words: object) -> int:
    spec = importlib.util.spec_from_file_location("a1_study", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", ["a1_study.py", *map(str, words)])
    try:
        module.run_cli(module.main)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture(scope="module")
def bars_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bars") / "planted.parquet"
    planted_market(96 * 32, edge=0.5, interval="15min", volatility=0.002, seed=1).bars.to_parquet(path)
    return path


SHORT = ["--train", "8D", "--refit", "4D", "--validation", "8D", "--test", "8D", "--n-jobs", 1, "--resamples", 200]


def test_the_plan_has_twenty_features():
    assert len(FEATURES) == 20


def test_what_it_writes_and_says(bars_file, tmp_path, monkeypatch, capsys):
    words = ["--models", "tcn", "bilstm", "nonesuch", "--set", "width=4", "epochs=1", "--lookbacks", 8, 12]
    out = tmp_path / "out"
    assert run(monkeypatch, "--bars", bars_file, "--out", out, *words, *SHORT, "--evidence", 4, 20) == 0
    said = capsys.readouterr().out
    assert "skipped: nonesuch" in said and "NOT TESTED: the Transformer" in said
    assert "bilstm at stride 20" in said and "tcn at stride" not in said
    told = json.loads((out / "verdicts.json").read_text())
    claims = [verdict["claim"] for verdict in told["verdicts"]]
    assert sum("decides in under" in claim for claim in claims) == 4
    assert sum("drops from validation" in claim for claim in claims) == 2
    assert any("no-go" in claim for claim in claims)
    table = pd.read_csv(out / "tracks.csv")
    assert set(table["model"]) == {"tcn", "bilstm", "naive", "linear"}
    assert set(table.query("model == 'tcn'")["lookback"]) == {8, 12}
    assert set(table["series"]) == {"planted up", "planted down", "pooled"}
    spans = table.query("series == 'planted up' and model == 'tcn' and lookback == 8").set_index("span")
    assert set(spans.index) == {"validation", "test"} and spans["n"].max() == 96 * 8
    assert table["failure"].isna().all()
    assert (out / "report.html").stat().st_size > 1_000_000
    assert not list(tmp_path.glob(".out.work"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--models", "nonesuch"], "none of nonesuch"),
        (["--models", "tcn", "--sides", "upp"], "Did you mean 'up'"),
        (["--models", "tcn", "--set", "epocs=1"], "'epochs'"),
        (["--models", "tcn", "--refit", "7 bananas"], "7 bananas"),
    ],
)
def test_a_mistake_costs_one_line(words, said, bars_file, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--bars", bars_file, "--out", tmp_path / "out", *SHORT, *words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_files_the_folder_of_bars_is_asked_for(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("BARWISE_DATA", raising=False)
    assert run(monkeypatch, "--out", tmp_path / "out", "--models", "tcn") == 2
    assert "BARWISE_DATA" in capsys.readouterr().err


def test_the_default_is_the_plan():
    plan = A1Config(out="x")
    assert (plan.train, plan.refit, plan.validation, plan.test) == ("60D", "7D", "15D", "15D")
    assert (plan.horizon, plan.threshold, set(plan.sides)) == (5, 0.002, {"up", "down"})
