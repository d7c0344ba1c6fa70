"""Walk-forward LightGBM on 130,000 bars, 10 folds, features and trading included: beside PyBroker on the same work.

PyBroker runs in its own virtualenv (`make_pybroker_env.sh`, found by BARWISE_PYBROKER_PYTHON), one after the other, in
CPU time of one process, from loaded bars to a traded account: cold, and warm with each side's caches on disk. What is
made even: the bars, 21 indicators of the same formulas, the return of five bars from the next open, 100 rounds of
boosting of 31 leaves without sampling on as many rows, the best round by the newest 15% of them, one thread, ten test
blocks, a position of either side held by the sign of the forecast. What is not: PyBroker's windows start where its own
rule says, and it flips a position in two bars where ours takes one. Its warm run has models and indicators in its
caches, by names that its user gives, and predicts and trades anew; ours finds forecasts by content, and trades anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from mlcore.cache import Training, cached_walk_forward
from strategies.policy import target_weights
from strategies.vbt import run_vectorbt
from tests.benchmarks.others import interpreter_of
from tests.conftest import random_bars

N, FOLDS, ROUNDS, HORIZON = 130_000, 10, 100, 5
COLD, WARM = 1 / 3, 1 / 30
BLOCK = N // (FOLDS + 1)  # PyBroker's train_size 0.5: as many rows to train on as to test
HELD_OUT = 0.15
FEATURES = (
    *(("momentum", {"window": window}) for window in (1, 3, 5, 10, 15, 30, 60, 120)),
    *(("volatility", {"window": window}) for window in (10, 20, 30, 60, 120)),
    *(("bollinger_position", {"window": window}) for window in (10, 20, 40, 60)),
    *(("volume_ma_ratio", {"window": window}) for window in (10, 20, 60)),
    "high_low_range",
)
PARAMS = {
    "lookback": 1, "lags": (), "rolling": (), "momentum": (), "n_estimators": ROUNDS, "patience": ROUNDS,
    "num_leaves": 31, "learning_rate": 0.05, "min_child_share": 0.0, "bagging_fraction": 1.0, "l2": 0.0,
}  # fmt: skip
THEIRS = {
    "objective": "regression", "num_leaves": 31, "learning_rate": 0.05, "num_threads": 1, "verbosity": -1,
    "deterministic": True, "seed": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def pybroker_python():
    """The interpreter that has PyBroker, or a loud skip."""
    return interpreter_of("PyBroker", "BARWISE_PYBROKER_PYTHON")


def theirs(python, bars, folder):
    """What `pybroker_side.py` says."""
    frame = bars.reset_index().assign(symbol="BTC", date=bars.index.tz_localize(None))
    frame[["symbol", "date", "open", "high", "low", "close", "volume"]].to_parquet(folder / "bars.parquet")
    settings = {"folds": FOLDS, "train_size": 0.5, "rounds": ROUNDS, "held_out": HELD_OUT, "params": THEIRS}
    (folder / "settings.json").write_text(json.dumps(settings))
    script = Path(__file__).with_name("pybroker_side.py")
    command = [python, script, folder / "bars.parquet", folder / "settings.json", folder / "cache"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)  # it has no Barwise, and needs none
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def ours(bars, cache):
    """CPU seconds from bars to an account, and what there is to see of it."""
    started = time.process_time()
    label = {"horizon": HORIZON}
    training = Training("lightgbm", PARAMS, "return", label, FEATURES, BLOCK, BLOCK, seed=1, validation=HELD_OUT)
    trained = cached_walk_forward(bars, training, cache, n_jobs=1)
    weights = target_weights(trained.forecasts, bars, sizer_params={"size": 0.9})
    result = run_vectorbt(bars.loc[weights.index], weights, forecasts=trained.forecasts)
    return time.process_time() - started, trained, result


@pytest.mark.benchmark(group="pybroker")
def test_walk_forward_is_faster_than_pybroker(benchmark, pybroker_python, tmp_path):
    bars = random_bars(N, interval="1min", volatility=5e-4)
    ours(bars.iloc[: 3 * BLOCK], tmp_path / "small")  # imports and numba's cache
    rival = theirs(pybroker_python, bars, tmp_path)
    cold, trained, result = benchmark.pedantic(lambda: ours(bars, tmp_path / "ours"), rounds=1)
    warm, again, _ = ours(bars, tmp_path / "ours")
    assert not trained.hit and again.hit
    assert len(trained.folds) == FOLDS and trained.folds[0]["n_train"] == BLOCK
    assert all(fold["curve"][-1]["epoch"] == ROUNDS for fold in trained.folds)
    benchmark.extra_info.update(
        compared="CPU seconds from bars to a traded account: cold / PyBroker cold",
        ratio=cold / rival["cold"],
        limit=COLD,
        warm_ratio=warm / rival["warm"],
        warm_limit=WARM,
        seconds=cold,
        pybroker_seconds=rival["cold"],
        warm_seconds=warm,
        pybroker_warm_seconds=rival["warm"],
        folds=len(trained.folds),
        orders=len(result.orders),
        pybroker_trades=rival["first"]["trades"],
        versions=", ".join(f"{name} {version}" for name, version in rival["versions"].items()),
    )
    assert cold / rival["cold"] <= COLD
    assert warm / rival["warm"] <= WARM
