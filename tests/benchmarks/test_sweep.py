"""A sweep of 10,000 rules over 129,600 bars: beside a plain loop of vectorbt, on two cores beside one, and its memory.

The loop is what vectorbt's users write: chunks of 50 columns through `Portfolio.from_orders`, then `sharpe_ratio` and
`max_drawdown`, on its Rust kernels, given ready-made target weights: making them is in our time, not in its. One core
each, in CPU time, and the numbers must be the same to 1e-9. `bandwidth_share` says how near a sweep comes to what one
core's memory allows: the bytes of closes and equity that must be read and written once for each cell, per second,
over those of a plain copy of a large array.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import vectorbt as vbt

from strategies.policy import Policy, target_weights
from strategies.vbt.sweep import Grid, parse_sizer, sweep
from tests.benchmarks.test_memory import peak_gb
from tests.conftest import random_bars

N, CHUNK = 129_600, 50
LIMIT_GB = 2.0
ENTRIES, EXITS = np.linspace(0.1, 0.5, 20), (-0.1, -0.05, 0.0, 0.05, 0.1)
HOLDS = (0, 5, 15, 30, 60, 120, 240, 480, 960, 1440)
SIZES = tuple(f"fixed:size={share:.1f}" for share in np.linspace(0.1, 1.0, 10))
COSTS = {"commission": (0.0005,), "slippage": (0.0002,)}
ALL = Grid(entry=tuple(ENTRIES), exit=EXITS, min_hold=HOLDS, sizer=SIZES, **COSTS)
SOME = Grid(entry=tuple(ENTRIES), exit=(0.0,), min_hold=HOLDS, sizer=SIZES[4:6], **COSTS)


def market() -> tuple[pd.DataFrame, pd.DataFrame]:
    """90 days of 1m bars and smooth forecasts over them."""
    bars = random_bars(N, interval="1min", volatility=5e-4)
    signal = pd.Series(np.random.default_rng(1).normal(0, 1.2, N), bars.index).ewm(span=30).mean().clip(-1, 1)
    through = bars.index[0] - pd.Timedelta("1D")
    return bars, pd.DataFrame({"signal": signal, "confidence": signal.abs(), "fold": 0, "trained_through": through})


def weights_of(table: pd.DataFrame, forecasts: pd.DataFrame, bars: pd.DataFrame) -> np.ndarray:
    """``(N, rows)`` target weights of a table's rows."""
    found = []
    for row in table.to_dict("records"):
        name, params = parse_sizer(row["sizer"])
        policy = Policy(entry=row["entry"], exit=row["exit"], min_hold=row["min_hold"])
        found.append(target_weights(forecasts, bars, policy=policy, sizer=name, sizer_params=params).to_numpy())
    return np.column_stack(found)


def plain_loop(bars: pd.DataFrame, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sharpe ratio and drawdown of each column, as vectorbt's users write it."""
    targets = pd.DataFrame(weights).fillna(0.0)
    orders = targets.where(targets != targets.shift(fill_value=0.0)).shift(1)
    ratios, falls = [], []
    for begin in range(0, weights.shape[1], CHUNK):
        portfolio = vbt.Portfolio.from_orders(
            bars["close"].reset_index(drop=True), orders.iloc[:, begin : begin + CHUNK], size_type="targetpercent",
            price=bars["open"].to_numpy()[:, None], val_price=-np.inf, fees=0.0005, slippage=0.0002,
            init_cash=10_000.0, freq="1min",
        )  # fmt: skip
        ratios.append(portfolio.sharpe_ratio(year_freq="365 days").to_numpy())
        falls.append(-portfolio.max_drawdown().to_numpy())
    return np.concatenate(ratios), np.concatenate(falls)


def cpu(call, *args, **options) -> tuple[float, object]:
    """CPU seconds of this process, and the result."""
    started = time.process_time()
    made = call(*args, **options)
    return time.process_time() - started, made


@pytest.mark.benchmark(group="sweep")
def test_sweep_is_faster_than_a_plain_loop(benchmark):
    bars, forecasts = market()
    sweep(forecasts, bars, Grid(), n_jobs=1)  # numba's cache
    mine, table = benchmark.pedantic(lambda: cpu(sweep, forecasts, bars, SOME, n_jobs=1), rounds=1)
    picked = table.iloc[:: len(table) // CHUNK][:CHUNK]
    weights = weights_of(picked, forecasts, bars)
    plain_loop(bars, weights[:, :2])
    theirs, (ratios, falls) = cpu(plain_loop, bars, weights)
    np.testing.assert_allclose(picked["sharpe_of_bars"], ratios, rtol=1e-9)
    np.testing.assert_allclose(picked["max_drawdown"], falls, rtol=1e-9)
    large, other = np.ones(30_000_000), np.zeros(30_000_000)
    copied, _ = cpu(np.copyto, other, large)
    ours, loop = mine / (N * len(table)), theirs / (N * CHUNK)
    benchmark.extra_info.update(
        compared="CPU seconds a cell: sweep, weights included / plain loop of vectorbt, weights ready",
        ratio=ours / loop,
        limit=1 / 3,
        nanoseconds_a_cell=ours * 1e9,
        loop_nanoseconds_a_cell=loop * 1e9,
        mean_orders=float(table["n_orders"].mean()),
        bandwidth_share=(16 / ours) / (16 * len(large) / copied),
        rules=len(table),
        bars=N,
    )
    assert ours / loop < 1 / 3


@pytest.mark.benchmark(group="sweep")
def test_sweep_on_two_cores(benchmark):
    """Wall time, so it says something on an idle machine with two cores only; workers are started before the clock."""
    bars, forecasts = market()

    def wall(jobs: int) -> float:
        sweep(forecasts, bars, Grid(entry=tuple(ENTRIES[:2])), n_jobs=jobs, cells_at_a_time=N)
        started = time.perf_counter()
        sweep(forecasts, bars, ALL, n_jobs=jobs)
        return time.perf_counter() - started

    alone = wall(1)
    both = benchmark.pedantic(lambda: wall(2), rounds=1)
    told = {"compared": "wall seconds, 2 jobs / 1 job", "seconds": both, "alone_seconds": alone, "rules": 10_000}
    benchmark.extra_info.update(ratio=both / alone, limit=1 / 1.8, **told)
    assert both / alone < 1 / 1.8


CHILD = """
from tests.benchmarks.test_sweep import ALL, market, sweep
bars, forecasts = market()
table = sweep(forecasts, bars, ALL, n_jobs=2)
assert len(table) == 10_000
"""


@pytest.mark.benchmark(group="sweep")
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux: memory is read from /proc")
def test_memory_of_a_sweep(benchmark):
    started = time.perf_counter()
    peak = benchmark.pedantic(peak_gb, args=([sys.executable, "-c", CHILD],), rounds=1)
    told = {"compared": "peak memory of 10,000 rules, 2 workers included / 2 GB", "peak_gb": peak}
    seconds = time.perf_counter() - started
    benchmark.extra_info.update(ratio=peak / LIMIT_GB, limit=1.0, seconds=seconds, rules=10_000, bars=N, **told)
    assert peak < LIMIT_GB
