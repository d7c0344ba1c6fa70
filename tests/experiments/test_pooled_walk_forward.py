"""The main job over many symbols, as a user runs it."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from mlcore.features import feature_table
from mlcore.folds import WalkForward
from mlcore.labels import direction
from mlcore.models.linear import Linear
from mlcore.panel import walk_forward_panel
from tests.conftest import random_bars
from tests.experiments.test_walk_forward import FILES, run

PANEL = {
    "AUSDT": random_bars(900, seed=1),
    "BUSDT": random_bars(900, seed=2).iloc[300:],
    "CUSDT": random_bars(900, seed=3).iloc[:800],
    "DUSDT": random_bars(900, seed=4).iloc[:200],
}
SETTINGS = ["--model", "linear", "--train", 400, "--test", 200, "--n-jobs", 1, "--horizon", 2]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bars")
    for symbol, bars in PANEL.items():
        bars.to_parquet(folder / f"spot_{symbol}_1h.parquet")
    whole = pd.concat([bars.assign(symbol=symbol) for symbol, bars in PANEL.items()])
    whole.to_parquet(folder / "panel.parquet")
    return [folder / f"spot_{symbol}_1h.parquet" for symbol in PANEL] + [folder / "panel.parquet"]


@pytest.fixture(scope="module")
def out(tmp_path_factory, files) -> Path:
    folder = tmp_path_factory.mktemp("pooled") / "out"
    words = [word for path in files[:4] for word in ("--bars", path)]
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert run(monkeypatch, *words, "--out", folder, *SETTINGS) == 0
    return folder


def test_every_symbol_has_its_folder_and_the_summary_leads_to_it(out):
    assert {path.name for path in out.iterdir()} == {"AUSDT", "BUSDT", "CUSDT", "summary.csv", "index.html"}
    for symbol in ("AUSDT", "BUSDT", "CUSDT"):
        assert {path.name for path in (out / symbol).iterdir()} == FILES
    page = (out / "index.html").read_text()
    assert page.count("/report.html") == 3
    assert 'href="BUSDT/report.html"' in page
    assert "DUSDT has no bar out of sample" in page
    assert page.index("<th>buy and hold</th>") < page.index("rank IC</th>") and "buy and hold's Sharpe" in unescape(
        page
    )
    assert "the model earned more on" in page
    command = re.search('<pre class="command">(.*?)</pre>', page)
    assert (
        command
        and re.sub("<.*?>", "", command[1]) == json.loads((out / "AUSDT" / "result.json").read_text())["command"]
    )


def test_the_summary_holds_what_the_folders_hold(out):
    summary = pd.read_csv(out / "summary.csv").set_index("symbol")
    assert list(summary.index) == list(PANEL)
    for symbol in ("AUSDT", "BUSDT", "CUSDT"):
        result, row = json.loads((out / symbol / "result.json").read_text()), summary.loc[symbol]
        engine = result["engines"]["backtrader"]
        assert row["orders"] == engine["n_orders"] > 0
        held = result["baselines"]["buy_and_hold"]
        for name in ("total_return", "sharpe", "max_drawdown"):
            assert row[name] == pytest.approx(engine[name])
        assert (row["buy_and_hold"], row["buy_and_hold_sharpe"]) == pytest.approx(
            (held["total_return"], held["sharpe"])
        )
        assert row["rank_ic"] == pytest.approx(result["forecast"]["rank_ic"])
        assert row["agrees"] in (True, "True")
        assert result["reconciliation"]["agrees"] is True
        assert row["max_relative_difference"] <= 1e-9
        assert set(result["baselines"]) == {"buy_and_hold", "flat", "shuffled_label"}  # linear is the model itself
        assert row["bars"] == len(PANEL[symbol]) == result["data"]["rows"]
        assert not any("DUSDT" in note for note in result["notes"])
    assert summary.loc["DUSDT", "forecasts"] == 0
    assert pd.isna(summary.loc["DUSDT", "orders"])


def test_the_forecasts_are_those_of_the_pool(out):
    pooled = walk_forward_panel(
        PANEL,
        Linear(),
        label=lambda bars: direction(bars, 2),
        features=feature_table,
        folds=WalkForward(400, 200),
    )
    for symbol, forecasts in pooled.forecasts.items():
        stored = pd.read_parquet(out / symbol / "forecasts.parquet")
        pd.testing.assert_frame_equal(stored, forecasts, check_exact=True, check_freq=False)
        assert (stored["trained_through"] < stored.index).all()


def test_a_panel_file_and_a_list_by_commas_say_the_same(monkeypatch, out, files, tmp_path):
    *single, panel = files
    for name, words in {"panel": [panel], "commas": [",".join(map(str, single))], "words": single}.items():
        assert run(monkeypatch, "--bars", *words, "--out", tmp_path / name, *SETTINGS, "--engine", "vectorbt") == 0
        for symbol in ("AUSDT", "CUSDT"):
            one, other = (folder / symbol / "forecasts.parquet" for folder in (out, tmp_path / name))
            assert one.read_bytes() == other.read_bytes()
    again = ["--bars", panel, "--symbol", "CUSDT,AUSDT", "--out", tmp_path / "panel", *SETTINGS, "--engine", "vectorbt"]
    assert run(monkeypatch, *again) == 2  # it is there
    assert run(monkeypatch, *again, "--overwrite") == 0
    assert pd.read_csv(tmp_path / "panel" / "summary.csv")["symbol"].tolist() == ["CUSDT", "AUSDT"]
    assert pd.read_csv(tmp_path / "panel" / "summary.csv")["agrees"].isna().all()  # one engine agrees with none


def test_one_symbol_of_a_panel_file_is_a_job_of_its_own(monkeypatch, files, tmp_path):
    assert run(monkeypatch, "--bars", files[-1], "--symbol", "AUSDT", "--out", tmp_path / "one", *SETTINGS) == 0
    assert {path.name for path in (tmp_path / "one").iterdir()} == FILES


def test_a_mistake_leaves_nothing(monkeypatch, files, tmp_path, capsys):
    words = ["--bars", files[0], "--bars", files[1], "--out", tmp_path / "o", *SETTINGS]
    assert run(monkeypatch, *words, "--symbol", "AUSDC") == 2
    assert "Did you mean 'AUSDT'" in capsys.readouterr().err
    assert run(monkeypatch, *words, "--bars", tmp_path / "none.parquet") == 2
    assert list(tmp_path.iterdir()) == []


def test_a_span_in_which_no_file_has_a_bar_costs_one_line(files, tmp_path, monkeypatch, capsys):
    words = ["--bars", files[0], "--bars", files[1], "--out", tmp_path / "out", *SETTINGS]
    assert run(monkeypatch, *words, "--start", "2030-01-01") == 2
    assert capsys.readouterr().err.startswith("error: AUSDT: no bar lies between `start` '2030-01-01'")
    assert not list(tmp_path.iterdir())
