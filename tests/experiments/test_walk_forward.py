"""The main job as a user runs it: the files it writes, and what bad input costs."""

from __future__ import annotations

import html
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from strategies.cli import parse_config
from strategies.config import StudyConfig
from tests.conftest import random_bars

SCRIPT = Path(__file__).parents[2] / "experiments" / "walk_forward.py"
TABLES = {"forecasts.parquet", "equity.parquet", "orders.parquet", "trades.parquet", "cost_grid.csv"}
FILES = TABLES | {"backtrader.png", "report.html", "result.json"}
ENGINES = ("backtrader", "vectorbt")
ENGINE_KEYS = {
    "sharpe",
    "max_drawdown",
    "total_return",
    "final_value",
    "n_orders",
    "n_rejected",
    "commission_paid",
    "slippage_paid",
    "turnover",
}


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Run the script in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, words)])
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def short(out: Path, bars: object, **flags: object) -> list[object]:
    settings = {"bars": bars, "out": out, "model": "linear", "train": 600, "test": 200, "n-jobs": 1, **flags}
    return [word for name, value in settings.items() for word in (f"--{name}", value)]


@pytest.fixture(scope="module")
def bars_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bars") / "bars.parquet"
    random_bars(1500, seed=3).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, bars_file: Path) -> Path:
    folder = tmp_path_factory.mktemp("main_job") / "out"
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert run(monkeypatch, *short(folder, bars_file)) == 0
    return folder


def test_every_file_is_there(out):
    assert {path.name for path in out.iterdir()} == FILES


def test_result_json_holds_what_the_issue_names(out):
    result = json.loads((out / "result.json").read_text())
    assert set(result["engines"]) == set(ENGINES)
    assert all(set(result["engines"][engine]) == ENGINE_KEYS for engine in ENGINES)
    assert result["reconciliation"]["agrees"] is True
    assert result["reconciliation"]["max_relative_difference"] <= 1e-9
    assert {"n", "hit_rate", "rank_ic", "log_loss", "precision_at_k"} <= set(result["forecast"])
    assert set(result["baselines"]) == {"buy_and_hold", "flat", "shuffled_label"}  # the model itself is linear
    fold_keys = {"train_start", "trained_through", "test_start", "test_end", "n_train", "n_test", "seconds"}
    assert result["folds"] and all(fold_keys <= set(fold) for fold in result["folds"])
    assert {"rows", "gaps", "first", "last", "sha256"} <= set(result["data"]) and result["data"]["rows"] == 1500
    assert {"seed", "versions", "config", "seconds"} <= set(result)


def test_the_grid_of_costs_holds_the_account_that_was_traded_and_the_trades_its_profit(out):
    result = json.loads((out / "result.json").read_text())
    settings, grid = result["config"], pd.read_csv(out / "cost_grid.csv")
    charged = (grid["commission"] == settings["commission"]) & (grid["slippage"] == settings["slippage"])
    (own,) = grid[charged & (grid["delay"] == 0)].to_dict("records")
    engine = result["engines"]["vectorbt"]
    assert {key: own[key] for key in ENGINE_KEYS} == pytest.approx({key: engine[key] for key in ENGINE_KEYS}, rel=1e-9)
    assert result["causality"]["differs"] is None and result["causality"]["rows"] > 1000
    trades = pd.read_parquet(out / "trades.parquet")
    assert set(trades["engine"]) == set(ENGINES)
    by_engine = trades.groupby("engine")["pnl"].sum()
    assert by_engine["backtrader"] == pytest.approx(by_engine["vectorbt"], rel=1e-9)


def test_the_settings_in_the_report_are_a_config_file_that_says_the_same(out, tmp_path):
    text = re.search(r'<pre id="config">(.*?)</pre>', (out / "report.html").read_text(), re.DOTALL)
    path = tmp_path / "run.json"
    path.write_text(html.unescape(text.group(1)))
    again = parse_config(StudyConfig, ["--config", str(path)], "")
    assert json.loads(json.dumps(again.as_dict())) == json.loads((out / "result.json").read_text())["config"]


def test_both_engines_say_the_same_numbers(out):
    engines = json.loads((out / "result.json").read_text())["engines"]
    for key in ENGINE_KEYS:
        assert engines["backtrader"][key] == pytest.approx(engines["vectorbt"][key], rel=1e-9, abs=1e-9), key


def test_the_tables_fit_together(out):
    forecasts = pd.read_parquet(out / "forecasts.parquet")
    equity = pd.read_parquet(out / "equity.parquet")
    orders = pd.read_parquet(out / "orders.parquet")
    assert forecasts.index.name == equity.index.name == "timestamp"
    assert equity.index.equals(forecasts.index)
    assert list(equity.columns) == ["backtrader", "vectorbt", "weight"]
    assert (equity.iloc[0][list(ENGINES)] == 10_000).all()
    assert list(orders.columns) == [
        "engine", "symbol", "decided", "timestamp", "size", "price", "commission", "status", "reason",
    ]  # fmt: skip
    assert (orders["timestamp"] > orders["decided"]).all()
    assert (forecasts["trained_through"] < forecasts.index).all()


def test_orders_follow_the_weights_one_bar_later(out):
    equity = pd.read_parquet(out / "equity.parquet")
    orders = pd.read_parquet(out / "orders.parquet").query("engine == 'backtrader'")
    changed = equity.index[equity["weight"].diff().fillna(equity["weight"]) != 0]
    assert set(orders["decided"]) == set(changed[changed < equity.index[-1]])
    after = equity.index.get_indexer(orders["decided"]) + 1
    assert (equity.index[after] == orders["timestamp"]).all()


def test_the_numbers_follow_from_the_equity(out):
    result = json.loads((out / "result.json").read_text())
    equity = pd.read_parquet(out / "equity.parquet")["vectorbt"]
    daily = equity.groupby(equity.index.floor("D")).last()
    returns = np.diff(np.r_[10_000, daily]) / np.r_[10_000, daily[:-1]]
    sharpe = returns.mean() / returns.std(ddof=1) * np.sqrt(365)
    curve = np.r_[10_000, equity]
    drawdown = (1 - curve / np.maximum.accumulate(curve)).max()
    found = result["engines"]["vectorbt"]
    assert found["sharpe"] == pytest.approx(sharpe, rel=1e-9)
    assert found["max_drawdown"] == pytest.approx(drawdown, rel=1e-9)
    assert found["total_return"] == pytest.approx(equity.iloc[-1] / 10_000 - 1, rel=1e-9)


def test_two_jobs_give_the_bytes_of_one(out, bars_file, tmp_path, monkeypatch):
    assert run(monkeypatch, *short(tmp_path / "again", bars_file, **{"n-jobs": 2})) == 0
    for name in ("forecasts.parquet", "equity.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()


def test_a_span_of_the_file_is_as_a_file_of_that_span(bars_file, tmp_path, monkeypatch):
    span = {"start": "2024-01-05 12:00", "end": "2024-02-20"}
    bars = pd.read_parquet(bars_file)
    bars[(bars.index >= "2024-01-05 12:00Z") & (bars.index < "2024-02-20")].to_parquet(tmp_path / "cut.parquet")
    assert run(monkeypatch, *short(tmp_path / "a", bars_file, engine="vectorbt", **span)) == 0
    assert run(monkeypatch, *short(tmp_path / "b", tmp_path / "cut.parquet", engine="vectorbt")) == 0
    made = [pd.read_parquet(tmp_path / name / "forecasts.parquet") for name in "ab"]
    pd.testing.assert_frame_equal(*made)
    assert made[0].index[-1] == pd.Timestamp("2024-02-19 23:00Z")


def test_an_existing_folder_is_left_alone(out, bars_file, monkeypatch, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert run(monkeypatch, *short(out, bars_file)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


@pytest.mark.parametrize("engine", ENGINES)
def test_one_engine_alone(engine, bars_file, tmp_path, monkeypatch):
    assert run(monkeypatch, *short(tmp_path / "out", bars_file, engine=engine)) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert set(result["engines"]) == {engine} and result["reconciliation"] is None


def write_truncated(path: Path) -> Path:
    random_bars(300).to_parquet(path.with_suffix(".parquet"))
    whole = path.with_suffix(".parquet").read_bytes()
    path.with_suffix(".parquet").write_bytes(whole[: len(whole) // 2])
    return path.with_suffix(".parquet")


def write_empty(path: Path) -> Path:
    path.with_suffix(".csv").write_bytes(b"")
    return path.with_suffix(".csv")


def write_text_in_a_price(path: Path) -> Path:
    bars = random_bars(300).reset_index().astype({"close": object})
    bars.loc[17, "close"] = "n/a?"
    bars.to_csv(path.with_suffix(".csv"), index=False)
    return path.with_suffix(".csv")


def write_two_closes(path: Path) -> Path:
    bars = random_bars(300).reset_index()
    bars.insert(1, "Close", bars["close"])
    bars.to_csv(path.with_suffix(".csv"), index=False)
    return path.with_suffix(".csv")


def write_one_nan(path: Path) -> Path:
    bars = random_bars(1_000_000, interval="1min", volatility=1e-4)
    bars.iloc[777_777, 3] = np.nan
    bars.to_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def write_too_few(path: Path) -> Path:
    random_bars(300).to_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (write_truncated, ""),
        (write_empty, "empty"),
        (write_text_in_a_price, "n/a?"),
        (write_two_closes, "close"),
        (write_one_nan, "777777|777,777"),
        (write_too_few, "600"),
        (lambda path: path / "nowhere.parquet", "nowhere.parquet"),
    ],
)
def test_bad_bars_cost_one_line_and_exit_code_2(write, said, tmp_path, monkeypatch, capsys):
    path, out = write(tmp_path / "bad"), tmp_path / "out"
    assert run(monkeypatch, *short(out, path)) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning:")]
    assert len(errors) == 1 and errors[0].startswith("error: "), errors
    assert any(word in errors[0] for word in said.split("|")), errors
    assert not out.exists() and not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"model": "lsmt"}, "Did you mean 'lstm'?"),
        ({"sizer": "confidance"}, "Did you mean 'confidence'?"),
        ({"train": "60 bananas"}, "60 bananas"),
        ({"horizon": 0}, "`horizon` is 0"),
        ({"entry": 1.5}, "`entry` is 1.5"),
        ({"label": "directoin"}, "directoin"),
        ({"repair": "sorted"}, "Did you mean 'sort'?"),
        ({"start": "2030-01-01"}, "no bar lies between `start` '2030-01-01' and `end` None"),
        ({"start": "soon"}, "`start` 'soon'"),
    ],
)
def test_bad_settings_cost_one_line_and_exit_code_2(flags, said, bars_file, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, *short(tmp_path / "out", bars_file, **flags)) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and said in errors[0], errors
    assert not (tmp_path / "out").exists()


def test_from_a_shell_a_mistake_is_one_line_without_traceback(tmp_path):
    words = [sys.executable, str(SCRIPT), "--bars", str(write_empty(tmp_path / "bad")), "--out", str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr


@pytest.mark.parametrize("flags", [{"entry": 2}, {"min-hold": -1}, {"sizer": "nope"}, {"sizer-params": '{"sise": 1}'}])
def test_what_trading_would_refuse_is_refused_before_the_training(flags, bars_file, tmp_path, monkeypatch):
    import strategies.main_job

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("the model was trained")

    monkeypatch.setattr(strategies.main_job, "walk_forward", forbidden)
    assert run(monkeypatch, *short(tmp_path / "out", bars_file, **flags)) == 2


def test_the_main_job_runs_as_a_library_call_in_a_fresh_process(bars_file):
    code = (
        "from strategies.config import StudyConfig; from strategies.main_job import run_study;"
        f"s = run_study(StudyConfig(bars={str(bars_file)!r}, out='x', train='600', test='400', n_jobs=1));"
        "assert s.reconciliation['agrees']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
