"""The whole script, in small: what it writes, what it says, and what it does when a model fails."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from mlcore.plugins import MODELS
from mlcore.synthetic import planted_market

SCRIPT = Path(__file__).parents[2] / "experiments" / "compare_models.py"


class Broken(BaseEstimator):
    def __init__(self, lookback: int = 1, seed: int = 0) -> None:
        self.lookback, self.seed = lookback, seed

    def fit(self, windows, y, *, task, validation=None):
        raise ZeroDivisionError("it was bound to happen")


def run(monkeypatch, *words: object) -> int:
    spec = importlib.util.spec_from_file_location("compare_models", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", ["compare_models.py", *map(str, words)])
    try:
        module.run_cli(module.main)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture(scope="module")
def bars_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bars") / "planted.parquet"
    planted_market(2600, edge=0.5, interval="1h", seed=1).bars.to_parquet(path)
    return path


def short(out: Path, bars: Path, **more: object) -> list[object]:
    settings = {"bars": bars, "out": out, "models": "lightgbm,broken", "train": 1200, "test": 500, "n-jobs": 1}
    settings |= {"resamples": 200, "threshold": 0, "entry": 0.05}
    return [word for flag, value in (settings | more).items() for word in (f"--{flag}", value)]


@pytest.fixture(scope="module")
def out(bars_file, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("comparison") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS._entries, "broken", Broken)
        assert run(patch, *short(folder, bars_file)) == 0
    return folder


def test_the_files_are_there_and_the_work_folder_is_not(out):
    names = {path.name for path in out.iterdir()}
    assert {"comparison.csv", "differences.csv", "comparison.json", "report.html"} <= names
    assert {f"forecasts_{name}.parquet" for name in ("lightgbm", "naive", "linear", "shuffled_label")} <= names
    assert not list(out.parent.glob(".out.work"))


def test_one_row_a_model_with_intervals_in_both_engines(out):
    table = pd.read_csv(out / "comparison.csv", index_col="model")
    assert set(table.index) == {"lightgbm", "broken", "naive", "linear", "shuffled_label", "buy_and_hold"}
    row = table.loc["lightgbm"]
    for metric in ("log_loss", "auc", "rank_ic", "precision_at_10_day", "f1", "brier"):
        assert row[f"{metric}_low"] < row[metric] < row[f"{metric}_high"], metric
    assert row["backtrader_sharpe"] == pytest.approx(row["vectorbt_sharpe"], rel=1e-9)
    assert row["backtrader_max_drawdown"] == pytest.approx(row["vectorbt_max_drawdown"], rel=1e-9)
    assert row["train_seconds"] > 0 and row["latency_ms"] > 0 and row["bytes"] > 0
    assert (table["tried"] == 4).all()
    assert bool(table.loc["linear", "better_than_naive"]) and bool(row["engines_agree"])
    assert table["log_loss"].dropna().is_monotonic_increasing


def test_the_model_that_failed_is_told_and_counts_as_tried(out):
    table = pd.read_csv(out / "comparison.csv", index_col="model")
    assert "bound to happen" in table.loc["broken", "failure"]
    told = json.loads((out / "comparison.json").read_text())
    assert told["tried"] == 4 and "1 failed (broken)" in told["verdicts"][0]
    assert "bound to happen" in (out / "report.html").read_text()


def test_the_word_better_is_said_only_where_the_corrected_test_says_it(out):
    told = json.loads((out / "comparison.json").read_text())
    for rival, test in told["superiority"].items():
        sentence = next(s for s in told["verdicts"] if f"etter than {rival.replace('_', ' ')} at 5%" in s)
        said = re.findall(r"[\w ]+", sentence.split(": ")[-1]) if sentence.startswith("Better") else []
        assert [name.strip().replace(" ", "_") for name in said] == test["better"]
    assert "linear" in told["superiority"]["naive"]["better"]


def test_differences_are_those_of_the_table(out):
    table = pd.read_csv(out / "comparison.csv", index_col="model")
    less = pd.read_csv(out / "differences.csv").set_index(["model", "baseline", "metric"])
    for metric in ("log_loss", "auc"):
        found = less.loc[("lightgbm", "linear", metric)]
        assert found["difference"] == pytest.approx(table.loc["lightgbm", metric] - table.loc["linear", metric])
        assert found["low"] < found["difference"] < found["high"]
    sharpe = less.loc[("lightgbm", "buy_and_hold", "sharpe")]
    assert sharpe["low"] < sharpe["difference"] < sharpe["high"]


def test_the_report_opens_offline(out):
    text = (out / "report.html").read_text()
    assert text.count("<h2>") == 6 and "loss-figure" in text and "sharpe-figure" in text
    assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=", text)


def test_the_page_says_how_it_was_made_what_colours_mean_and_what_one_threshold_does(out):
    text = (out / "report.html").read_text()
    told = json.loads((out / "comparison.json").read_text())
    assert told["command"].startswith("python compare_models.py --bars ") and told["command"].endswith("--entry 0.05")
    assert told["command"] in " ".join(
        re.sub("<.*?>", "", text.split('<pre class="command">')[1].split("</pre>")[0]).split()
    )
    assert "Green: the whole interval is lower" in text and "blue: buy and hold" in text
    assert "both engines: drawdown" in text and "vectorbt: drawdown" not in text
    assert any("`entry` 0.05" in note for note in told["notes"])
    assert "<dt>warm_start</dt>" not in text  # a flag of the main job


def test_a_mistake_costs_one_line_before_any_training(bars_file, tmp_path, monkeypatch, capsys):
    mistakes = [
        ({"train": "7 bananas"}, "7 bananas"),
        ({"train": 90_000}, "the past of lstm is whole"),
        ({"models": "lsmt"}, "'lstm'"),
        ({"entry": 2}, "`entry`"),
        ({"set": "epocs=1"}, "'epochs'"),
        ({"start": "2030-01-01"}, "no bar lies between `start` '2030-01-01'"),
    ]
    for more, said in mistakes:
        assert run(monkeypatch, *short(tmp_path / "new", bars_file, **({"models": "linear,lstm"} | more))) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_an_interrupted_run_goes_on_where_it_was(bars_file, tmp_path, monkeypatch):
    from strategies.comparison import entrants
    from strategies.comparison import run as comparing

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    trained, whole = [], entrants._train
    monkeypatch.setattr(entrants, "_train", lambda *a: trained.append(a[1]) or whole(*a))
    with monkeypatch.context() as patch:
        patch.setattr(comparing, "judge", interrupted)
        assert run(patch, *short(tmp_path / "out", bars_file, models="linear")) == 130
    assert trained == ["linear", "naive", "shuffled_label"] and not (tmp_path / "out").exists()
    assert run(monkeypatch, *short(tmp_path / "out", bars_file, models="linear")) == 0
    assert len(trained) == 3 and (tmp_path / "out" / "comparison.csv").exists()


def test_models_of_any_lookback_have_the_same_folds_and_trade_the_same_bars(bars_file, tmp_path, monkeypatch):
    settings = {"models": "lstm,linear", "resamples": 100, "end": "2020-04-15", "set": "width=4"}
    words = [*short(tmp_path / "out", bars_file, **settings), "epochs=1"]
    assert run(monkeypatch, *words) == 0
    folds = [pd.read_parquet(tmp_path / "out" / f"forecasts_{name}.parquet")["fold"] for name in ("lstm", "naive")]
    pd.testing.assert_series_equal(*folds)
    assert folds[0].index[-1] == pd.Timestamp("2020-04-14 23:00Z")
    table = pd.read_csv(tmp_path / "out" / "comparison.csv", index_col="model")
    defined = table["vectorbt_sharpe"].notna()
    assert (table["psr"].notna() == defined).all() and defined["lstm"]
