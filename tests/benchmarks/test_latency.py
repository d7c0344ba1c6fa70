"""From a closed bar to its forecast, features included, on one thread: how long, and how much of it is the model's.

Nothing is decided by the clock alone: `ratio` is the time of a step over that of making the whole feature table of the
bars a step keeps and one window's forecast, which is what a loop without `mlcore.live` would do.
"""

import time

import numpy as np
import pytest
import torch

from mlcore.features import feature_table
from mlcore.features.newest import KEEP
from mlcore.folds import WalkForward
from mlcore.labels import direction
from mlcore.live import LiveForecaster
from mlcore.models import make_model
from mlcore.store import load_fold
from mlcore.synthetic import planted_market
from mlcore.walkforward import walk_forward
from mlcore.windows import Windows

N_BARS, WENT_LIVE, N_STEPS = 6_400, 5_200, 1_100
LIMIT = 1 / 4


def milliseconds(call, steps):
    """Median and 99th percentile of the calls after the first hundred, in milliseconds."""
    taken = []
    for step in steps:
        started = time.perf_counter()
        call(*step)
        taken.append(time.perf_counter() - started)
    return 1e3 * np.median(taken[100:]), 1e3 * np.quantile(taken[100:], 0.99)


@pytest.fixture(scope="module")
def bars():
    return planted_market(N_BARS, edge=0.3, seed=1).bars


@pytest.mark.benchmark(group="latency")
@pytest.mark.parametrize("name", ["tcn", "lstm", "transformer", "lightgbm"])
def test_a_forecast_is_made_soon_after_the_close(benchmark, tmp_path, bars, name):
    torch.set_num_threads(1)
    past, preset = bars.iloc[:WENT_LIVE], None if name == "lightgbm" else "default"
    model = make_model(name, preset, **({} if name == "lightgbm" else {"epochs": 1}))
    walk_forward(
        past, model, label=direction(past, 5, 0.004), features=feature_table(past),
        folds=WalkForward(train=4_000, test=2_000), store=tmp_path / "store",
    )  # fmt: skip
    (path,) = (tmp_path / "store").glob("fold-*")
    fold = load_fold(path)
    live = LiveForecaster(fold, past)
    later = [(stamp, bar) for stamp, bar in zip(bars.index, bars.to_dict("records"), strict=True)][WENT_LIVE:]

    def anew(row):
        table = fold.scaler.transform(feature_table(bars.iloc[row - KEEP : row]).to_numpy()[-model.lookback :])
        fold.model.predict(Windows(table, np.array([model.lookback - 1]), model.lookback))

    median, slowest = benchmark.pedantic(milliseconds, args=(live.step, later[:N_STEPS]), rounds=1)
    plain, _ = milliseconds(anew, [(row,) for row in range(WENT_LIVE, WENT_LIVE + 130)])
    benchmark.extra_info.update(
        compared=f"{name}{' default' * bool(preset)}: a step / table and window made anew",
        ratio=median / plain,
        limit=LIMIT,
        median_ms=median,
        p99_ms=slowest,
        anew_ms=plain,
    )
    assert median / plain <= LIMIT
