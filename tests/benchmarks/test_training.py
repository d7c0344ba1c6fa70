"""How soon dense training reaches the loss of windowed training: same rows, same optimiser, same seed, one thread.

Both sides are judged by the same `predict_raw` on the same newest, purged validation rows, several times an epoch;
the judging is in nobody's time. Time is CPU time of one thread, training steps only, so that a busy machine does not
decide. Windowed training is tuned: several learning rates, each with its own cycle, and the best of them is the rival.

`ratio`: dense seconds to a loss at most 1% above windowed training's best, over windowed seconds to that best.
`even_ratio`: both sides to the loss 1% above. `same_loss_ratio`: both sides to windowed training's best itself.
A loss near that of the class shares says little by 1%: `gain` is how far below it each side got, in nats.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
import torch

from mlcore.bars import read_bars
from mlcore.errors import BarwiseWarning
from mlcore.features import feature_table
from mlcore.heads import make_head
from mlcore.labels import direction
from mlcore.models.lstm import LSTM
from mlcore.models.tcn import TCN
from mlcore.models.torch import predict_raw
from mlcore.scaling import Scaler
from mlcore.synthetic import planted_market
from mlcore.training import Forecaster, seeded, threads, train
from mlcore.windows import Windows

LOOKBACK, N_BARS, N_HELD_OUT = 60, 48_000, 8_000
CHECKS = 4  # an epoch, on both sides
WINDOWED = {"batch": 256, "epochs": 2, "dense": False}
WINDOWED_RATES = (2e-3, 8e-3)  # 1e-3 and batches of 64, 128, 512 were no quicker
LIMITS = {LSTM: 1 / 4, TCN: 1 / 6}


def split(bars, threshold):
    """Windows and labels to train on, and to judge by: 20 features, scaled on the training rows."""
    table = feature_table(bars)
    table = table[[name for name in table if not name.startswith(("time_of_day", "day_of_week"))]].to_numpy()
    assert table.shape[1] == 20
    label = direction(bars, horizon=5, threshold=threshold)
    first = int(np.flatnonzero(~np.isfinite(table).all(axis=1)).max()) + LOOKBACK
    rows = np.flatnonzero(np.isfinite(label.values))
    rows = rows[rows >= first]
    held_out = rows[-N_HELD_OUT:]
    learned = rows[label.ends[rows] < held_out[0]]
    table = Scaler().fit(table[learned]).transform(table)
    return label, [(Windows(table, some, LOOKBACK), label.values[some]) for some in (learned, held_out)]


@pytest.fixture(scope="module")
def planted():
    return split(planted_market(N_BARS, edge=0.3, kind="nonlinear", seed=1).bars, 0.004)


@pytest.fixture(scope="module")
def real(bars_folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BarwiseWarning)
        return split(read_bars(bars_folder / "1m/binance_spot_BTCUSDT_1m_2025.parquet").iloc[:N_BARS], 0.0005)


def curve(model, market):
    """``(checks, 2)``: seconds of training so far, and the loss by `predict_raw`; and rows learned from per second."""
    label, ((windows, y), held_out) = market
    head = make_head(label.task, y)
    target, points = head.target(held_out[1]), []

    def judge(entry, network):
        loss = head.loss(predict_raw(network, held_out[0]), target).mean()
        points.append((entry["learning"], float(loss)))

    plan = model.plan(checks=CHECKS)
    with threads(1), seeded(model.seed):
        network = Forecaster(model.build(windows.shape[2]), head)
        last = train(
            network, head, windows, y, validation=held_out, plan=plan, on_check=judge, clock=time.process_time
        )[-1]
    return np.array(points), len(y) * last["epoch"] / last["learning"]


def seconds_to(points, loss):
    """Seconds until the loss is reached; infinite where it never is."""
    reached = points[points[:, 1] <= loss, 0]
    return float(reached[0]) if len(reached) else float("inf")


@pytest.mark.benchmark(group="training")
@pytest.mark.parametrize("market", ["planted", "real"])
@pytest.mark.parametrize("kind", [LSTM, TCN])
def test_dense_training_is_sooner_at_the_windowed_loss(benchmark, request, kind, market):
    scene = request.getfixturevalue(market)
    torch.set_num_threads(1)
    dense = [curve(kind(seed=seed), scene) for seed in (1, 2)]  # these warm up what torch sets up once, too
    dense.insert(0, benchmark.pedantic(curve, args=(kind(), scene), rounds=1))
    windowed = [curve(kind(learning_rate=rate, **WINDOWED), scene) for rate in WINDOWED_RATES]
    rival, rival_speed = min(windowed, key=lambda run: run[0][:, 1].min())
    best = rival[:, 1].min()
    near = 1.01 * best
    label, ((_, y), (_, y_held_out)) = scene
    shares = np.bincount(y.astype(int)) / len(y)
    prior = -np.log(shares)[y_held_out.astype(int)].mean()
    ratios = [seconds_to(points, near) / seconds_to(rival, best) for points, _ in dense]
    points, speed = dense[0]
    benchmark.extra_info.update(
        compared=f"{kind.__name__} dense / windowed, seconds to the loss, {market}",
        ratio=ratios[0],
        limit=LIMITS[kind],
        worst_ratio_of_3_seeds=max(ratios),
        even_ratio=seconds_to(points, near) / min(seconds_to(run, near) for run, _ in windowed),
        same_loss_ratio=seconds_to(points, best) / seconds_to(rival, best),
        dense_loss=points[:, 1].min(),
        windowed_loss=best,
        dense_gain=prior - points[:, 1].min(),
        windowed_gain=prior - best,
        dense_seconds=seconds_to(points, near),
        windowed_seconds=seconds_to(rival, best),
        dense_bars_per_second=speed,
        windowed_bars_per_second=rival_speed,
    )
    assert ratios[0] <= LIMITS[kind]
