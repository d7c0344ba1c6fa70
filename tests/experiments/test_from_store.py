"""A stored run says again what it said, says of newer bars what it would, and keeps silent on its own past."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import random_bars

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
BARS = random_bars(1500, seed=3)
CUT = 1300  # the run that is stored ends here


def run(script: str, monkeypatch: pytest.MonkeyPatch, **flags: object) -> int:
    words = [
        word
        for name, value in flags.items()
        for word in ([f"--{name.replace('_', '-')}"] if value is True else [f"--{name.replace('_', '-')}", str(value)])
    ]
    monkeypatch.setattr(sys, "argv", [script, *words])
    try:
        runpy.run_path(str(EXPERIMENTS / script), run_name="__main__")
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with bars, a stored run of the older ones, and its results (calibrated, in vectorbt)."""
    place = tmp_path_factory.mktemp("stored")
    BARS.to_parquet(place / "all.parquet")
    BARS[:CUT].to_parquet(place / "old.parquet")
    with pytest.MonkeyPatch.context() as monkeypatch:
        flags = {"train": 600, "test": 200, "n_jobs": 1, "engine": "vectorbt", "calibration": "platt", "entry": 0.1}
        out = {"bars": place / "old.parquet", "out": place / "first", "store": place / "store"}
        assert run("walk_forward.py", monkeypatch, **out, **flags) == 0
    return place


def again(place: Path, monkeypatch: pytest.MonkeyPatch, out: str, **flags: object) -> int:
    given = {"store": place / "store", "bars": place / "old.parquet", "out": place / out, "engine": "vectorbt", **flags}
    shutil.rmtree(place / out, ignore_errors=True)
    return run("from_store.py", monkeypatch, **given)


def frame(place: Path, out: str, name: str = "forecasts") -> pd.DataFrame:
    return pd.read_parquet(place / out / f"{name}.parquet")


def told(place: Path, out: str) -> dict:
    return json.loads((place / out / "result.json").read_text())


def test_the_bars_of_the_run_give_its_forecasts_and_its_account_bit_for_bit(place, monkeypatch):
    assert again(place, monkeypatch, "same", calibration="platt", entry=0.1) == 0
    for name in ("forecasts", "forecasts_raw", "equity"):
        pd.testing.assert_frame_equal(
            frame(place, "same", name), frame(place, "first", name), check_exact=True, check_freq=False
        )
    first, same = told(place, "first"), told(place, "same")
    for key in ("engines", "forecast", "reliability", "in_sample"):
        assert same[key] == first[key], key
    assert set(same["baselines"]) == {"buy_and_hold", "flat"}
    shared = ("fold", "train_start", "trained_through", "test_start", "test_end", "n_train", "calibrated_through")
    assert [[fold[key] for key in shared] for fold in same["folds"]] == [
        [fold[key] for key in shared] for fold in first["folds"]
    ]


def test_newer_bars_are_forecast_by_the_last_fold(place, monkeypatch):
    assert again(place, monkeypatch, "new", bars=place / "all.parquet", start="2024-02-24T05:00Z") == 0
    made = frame(place, "new")
    assert made.index[0] == pd.Timestamp("2024-02-24 05:00", tz="UTC") == BARS.index[1301]
    assert made.index[-1] == BARS.index[-1]
    assert made["fold"].unique().tolist() == [told(place, "first")["folds"][-1]["fold"]]
    assert (made["trained_through"] < made.index).all() and not told(place, "new")["in_sample"]


def test_a_fold_is_refused_on_its_own_training_bars_unless_they_are_asked_for_by_name(place, monkeypatch, capsys):
    fold = sorted((place / "store").glob("fold-0001-*"))[0]
    assert again(place, monkeypatch, "own", store=fold) == 2
    error = capsys.readouterr().err
    assert "was trained through" in error and len(error.splitlines()) == 1
    assert not (place / "own").exists()
    assert again(place, monkeypatch, "own", store=fold, in_sample=True, engine="both") == 0
    assert told(place, "own")["in_sample"] is True
    assert "IN SAMPLE, after costs" in capsys.readouterr().out
    html = (place / "own" / "report.html").read_text()
    assert "IN-SAMPLE: models forecast bars that they were trained on" in html
    assert (frame(place, "own")["trained_through"] >= frame(place, "own").index).any()


def test_one_fold_alone_after_its_training_is_out_of_sample(place, monkeypatch):
    fold = sorted((place / "store").glob("fold-0001-*"))[0]
    start = told(place, "first")["folds"][1]["test_start"]
    assert again(place, monkeypatch, "one", store=fold, start=start) == 0
    expected = frame(place, "first", "forecasts_raw").loc[start:]
    mine = expected[expected["fold"] == 1]
    pd.testing.assert_frame_equal(frame(place, "one").loc[mine.index], mine, check_exact=True, check_freq=False)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"store": "nowhere"}, "nowhere"),
        ({"start": "2024-01-01T00:00Z"}, "this run forecasts from"),
        ({"start": "2030-01-01T00:00Z"}, "`bars` end at"),
        ({"start": "yesterday"}, "`start` is 'yesterday'"),
        ({"interval": 0.8}, "--calibration temperature"),
        ({"calibration": "platt", "in_sample": True}, "cannot be calibrated"),
        ({"commission": 2}, "`commission` is 2"),
        ({"latency": 3}, "it says when a correction goes live, and none is asked for"),
        ({"symbol": "BTCUSDT"}, "`symbol` is 'BTCUSDT', and no column tells symbols apart"),
    ],
)
def test_bad_settings_cost_one_line_and_exit_code_2(place, monkeypatch, capsys, flags, said):
    assert again(place, monkeypatch, "bad", **flags) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and said in errors[0], errors
    assert not (place / "bad").exists()


def test_bars_of_another_interval_are_refused_and_those_of_another_symbol_are_told(place, monkeypatch, capsys):
    random_bars(1500, seed=3, interval="4h").to_parquet(place / "slow.parquet")
    assert again(place, monkeypatch, "bad", bars=place / "slow.parquet") == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and "`bars` are 0 days 04:00:00 apart" in errors[0], errors
    for name in ("BTCUSDT_1h", "ETHUSDT_1h"):
        BARS[:CUT].to_parquet(place / f"{name}.parquet")
    flags = {"train": 600, "test": 400, "n_jobs": 1, "engine": "vectorbt", "store": place / "bitcoin"}
    assert run("walk_forward.py", monkeypatch, bars=place / "BTCUSDT_1h.parquet", out=place / "of_btc", **flags) == 0
    said = {}
    for name in ("BTCUSDT_1h", "ETHUSDT_1h", "old"):
        capsys.readouterr()
        found = again(place, monkeypatch, name, store=place / "bitcoin", bars=place / f"{name}.parquet")
        assert found == 0
        said[name] = "The models were fitted on BTCUSDT and forecast ETHUSDT" in " ".join(
            capsys.readouterr().out.split()
        )
        assert said[name] == any("forecast ETHUSDT" in note for note in told(place, name)["notes"])
    assert said == {"BTCUSDT_1h": False, "ETHUSDT_1h": True, "old": False}


def test_a_tampered_model_is_refused(place, monkeypatch, capsys, tmp_path):
    shutil.copytree(place / "store", tmp_path / "store")
    held = next((tmp_path / "store").glob("fold-0002-*")) / "model.safetensors"
    held.write_bytes(held.read_bytes()[:-1] + b"\x07")
    assert again(place, monkeypatch, "bad", store=tmp_path / "store") == 2
    assert "was changed since it was written" in capsys.readouterr().err


def test_a_store_is_never_written_over(place, monkeypatch, capsys):
    out = {"bars": place / "old.parquet", "out": place / "second", "store": place / "store"}
    assert run("walk_forward.py", monkeypatch, **out, train=600, test=200) == 2
    assert "holds a run already" in capsys.readouterr().err
