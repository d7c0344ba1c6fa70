"""How soon a model reaches the best validation loss that Darts reaches: same inputs, rows, width, lookback, one thread.

Darts runs in its own virtualenv (`make_darts_env.sh`, found by BARWISE_DARTS_PYTHON), the two one after the other.

What is foretold is a trailing quantity z of the bars, standardised by the training rows: the row at t foretells
``z[t + 6]``, by squared error. Darts is asked in its own words: target z, `output_chunk_shift` 5, the 20 features as
past covariates. It reads the past of z too, which is known (and so no leak, as past labels of overlapping spans would
be): our table has it as column 21. On the planted market z is the log return of five bars from open to open, so
``z[t + 6]`` is the default label. On real bars nobody foretells that return, and 1% above its squared error would be
reached by forecasting nothing: there z is the log of the deviation of the five returns, which can be foretold.
`gain` says how far below a forecast of nothing each side got.

Both sides learn from every training row once an epoch, in an order drawn anew, without dropout, in float32, and are
judged on the same newest, purged rows, four times an epoch, from 60 bars and no more. Nobody's time holds the judging,
the set-up or the imports; time is CPU time of one thread. Darts is tuned: several batches and learning rates (the
first is its default), and the one with the lowest loss is the rival. Ours has its defaults. What is not even:

- Darts' Adam has a constant rate and no clipping, its defaults; ours rises and falls over a set number of epochs.
- Darts' TCN has four levels and sees 61 bars, padded with zeros; ours sees 57. Its loss is over all 60 outputs of a
  window, also of those with little past. Its Transformer has a decoder (one layer is the least; one token) and absolute
  positions; ours sees bars through a band. Darts' windows are cut one by one, which its users pay for too.

Each side is trained from three seeds, and its median counts: one seed's best loss is up to 1% off another's, which is
as much as is allowed. Darts' best loss is the median of its three bests (each the lowest of all checks of a seed, a
lucky dip included), its seconds the median of those three times; our seconds are the median of three times to one loss.

`ratio`: our seconds to at most 1% above Darts' best loss, over Darts' seconds to that best. `even_ratio`: both to the
loss 1% above. `same_loss_ratio`: both to Darts' best itself. `worst_ratio` is that of our slowest seed; a seed that
never gets there counts as infinite. `one_pass`: our seconds for one pass over the rows, over Darts' seconds to its
best: a ratio below that would take learning from less than all rows.
"""

from __future__ import annotations

import json
import os
import subprocess
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mlcore.bars import read_bars
from mlcore.errors import BarwiseWarning
from mlcore.features import feature_table
from mlcore.models.lstm import LSTM
from mlcore.models.tcn import TCN
from mlcore.models.transformer import Transformer
from mlcore.scaling import Scaler
from mlcore.synthetic import planted_market
from mlcore.tasks import Task
from mlcore.windows import Windows
from tests.benchmarks.others import interpreter_of
from tests.benchmarks.test_training import CHECKS, curve, seconds_to

LOOKBACK, HORIZON, N_BARS, N_HELD_OUT = 60, 5, 24_000, 4_000
AHEAD = HORIZON + 1
SEEDS = (0, 1, 2)
LIMITS = {LSTM: 1 / 8, TCN: 1 / 30, Transformer: 1 / 10}
SETTINGS = {  # batch, learning rate, epochs: a little past the epoch in which the loss is lowest
    LSTM: [(32, 1e-3, 3), (256, 4e-3, 5)],
    TCN: [(32, 1e-3, 1), (256, 4e-3, 2)],
    Transformer: [(32, 1e-3, 2), (256, 2e-3, 2)],
}


def trailing(bars, kind):
    """``(N,)`` known at the open of each bar: log return of the five bars before, or log deviation."""
    steps = np.diff(np.log(bars["open"].to_numpy()), prepend=np.nan)
    of_five = np.lib.stride_tricks.sliding_window_view(steps, HORIZON)
    found = of_five.sum(axis=1) if kind == "return" else 0.5 * np.log((of_five**2).mean(axis=1) + 1e-9)
    return np.r_[np.full(HORIZON - 1, np.nan), found]


def split(bars, kind):
    """What Darts is given, as arrays, and the same as our windows and labels (training rows, held-out rows)."""
    table = feature_table(bars)
    table = table[[name for name in table if not name.startswith(("time_of_day", "day_of_week"))]].to_numpy()
    assert table.shape[1] == 20
    z = trailing(bars, kind)
    first = int(np.flatnonzero(~np.isfinite(np.c_[table, z]).all(axis=1)).max()) + LOOKBACK
    rows = np.arange(first, len(bars) - AHEAD)
    held_out, learned = rows[-N_HELD_OUT:], rows[: -N_HELD_OUT - AHEAD]
    centre, scale = z[learned + AHEAD].mean(), z[learned + AHEAD].std()
    z = ((z - centre) / scale).astype(np.float32)
    table = Scaler().fit(table[learned]).transform(table)
    task = {
        "table": table, "target": z, "trained": learned[[0, -1]], "held_out": held_out,
        "lookback": LOOKBACK, "ahead": AHEAD, "checks": CHECKS,
    }  # fmt: skip
    both = np.c_[z, table]
    label = SimpleNamespace(task=Task("regression", ("expected_return",)))
    ours = label, [(Windows(both, some, LOOKBACK), z[some + AHEAD].astype(float)) for some in (learned, held_out)]
    return task, ours


@pytest.fixture(scope="module")
def planted():
    return split(planted_market(N_BARS, edge=0.5, kind="nonlinear", seed=1).bars, "return")


@pytest.fixture(scope="module")
def real(bars_folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BarwiseWarning)
        bars = read_bars(bars_folder / "1m/binance_spot_BTCUSDT_1m_2025.parquet").iloc[:N_BARS]
    return split(bars, "deviation")


@pytest.fixture(scope="module")
def darts_python():
    """The interpreter that has Darts, or a loud skip."""
    return interpreter_of("Darts", "BARWISE_DARTS_PYTHON")


def darts_curves(python, task, kind, folder):
    """Versions; and by setting one ``(checks, 2)`` of seconds and loss a seed, and the facts of its last line."""
    np.savez(folder / "task.npz", **task)
    script = Path(__file__).with_name("darts_side.py")
    command = [python, script, folder / "task.npz", kind.__name__, json.dumps(SETTINGS[kind]), json.dumps(SEEDS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)  # it has no Barwise, and needs none
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr[-3000:]
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    runs = []
    for batch, rate, _ in SETTINGS[kind]:
        told = [[one for one in said[1:] if (one["batch"], one["learning_rate"], one["seed"]) == (batch, rate, seed)]
                for seed in SEEDS]  # fmt: skip
        for lines in told:
            assert lines[-1]["steps"] == lines[-1]["expected_steps"], "Darts did not learn from the rows it was to"
        points = [np.array([(line["seconds"], line["validation"]) for line in lines[:-1]]) for lines in told]
        runs.append((points, told[0][-1] | told[0][-2]))
    return said[0]["versions"], runs


def median_best(points):
    """The median over seeds of the lowest loss, and of the seconds until each seed's own lowest."""
    lowest = [one[one[:, 1].argmin()] for one in points]
    return np.median([loss for _, loss in lowest]), np.median([seconds for seconds, _ in lowest])


def median_seconds(points, loss):
    """The median over seeds of the seconds until `loss` is reached; infinite where most seeds never get there."""
    return float(np.median([seconds_to(one, loss) for one in points]))


@pytest.mark.benchmark(group="darts")
@pytest.mark.parametrize("market", ["planted", "real"])
@pytest.mark.parametrize("kind", [LSTM, TCN, Transformer])
def test_training_is_sooner_than_darts_at_its_loss(benchmark, request, tmp_path, darts_python, kind, market):
    task, ours = request.getfixturevalue(market)
    torch.set_num_threads(1)
    versions, runs = darts_curves(darts_python, task, kind, tmp_path)
    rival, facts = min(runs, key=lambda run: median_best(run[0])[0])
    best, seconds = median_best(rival)
    near = 1.01 * best
    curves = [curve(kind(seed=seed), ours) for seed in SEEDS[1:]]  # these warm up what torch sets up once, too
    curves.insert(0, benchmark.pedantic(curve, args=(kind(seed=SEEDS[0]), ours), rounds=1))
    points, speed = [one for one, _ in curves], curves[0][1]
    ratio, nothing = median_seconds(points, near) / seconds, float(np.square(ours[1][1][1]).mean())
    own, rows, loss = kind().build(21), len(ours[1][0][1]), median_best(points)[0]
    benchmark.extra_info.update(
        compared=f"{kind.__name__} / Darts, seconds to its best loss, {market}",
        ratio=ratio,
        limit=LIMITS[kind],
        worst_ratio=max(seconds_to(one, near) for one in points) / seconds,
        even_ratio=median_seconds(points, near) / min(median_seconds(run, near) for run, _ in runs),
        same_loss_ratio=median_seconds(points, best) / seconds,
        one_pass=rows / speed / seconds,
        loss=loss,
        darts_loss=best,
        gain=nothing - loss,
        darts_gain=nothing - best,
        seconds=median_seconds(points, near),
        darts_seconds=seconds,
        bars_per_second=speed,
        darts_bars_per_second=facts["rows_per_second"],
        rows=rows,
        parameters=sum(p.numel() for p in own.parameters()) + own.width + 1,
        darts_parameters=facts["parameters"],
        darts_setting=f"batch {facts['batch']}, rate {facts['learning_rate']}",
        versions=", ".join(f"{name} {version}" for name, version in versions.items()),
        readme=["loss", "darts_loss", "seconds", "darts_seconds", "bars_per_second", "darts_bars_per_second"],
    )
    assert ratio <= LIMITS[kind]
