"""A run over 500,000 1m bars with lookback 60 stays under 3 GB, both engines, the report and the workers included."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import random_bars

ROWS, LIMIT_GB = 500_000, 3.0
SCRIPT = Path(__file__).parents[2] / "experiments" / "walk_forward.py"


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in children for one in family(int(child)))]


def held_gb(pid: int) -> float:
    """Memory of a process and its descendants; pages they share are counted once (proportional set size)."""
    total = 0
    for one in family(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:  # it ended meanwhile
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1e6


def peak_gb(words: list[str]) -> float:
    """Run a command and return the most memory it and its workers held at once."""
    peak, done = 0.0, threading.Event()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, held_gb(process.pid))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    assert code == 0
    return peak


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux: memory is read from /proc")
def test_memory_of_a_long_run(benchmark, tmp_path):
    bars = tmp_path / "bars.parquet"
    random_bars(ROWS, interval="1min", volatility=5e-4).to_parquet(bars)
    words = f"--bars {bars} --out {tmp_path / 'out'} --model tcn --lookback 60 --train 250000 --test 60000 --n-jobs 2"
    peak = benchmark.pedantic(peak_gb, args=([sys.executable, str(SCRIPT), *words.split()],), rounds=1)
    told = {"compared": f"peak memory of the main job on {ROWS:,} bars / 3 GB", "peak_gb": peak, "rows": ROWS}
    benchmark.extra_info.update(ratio=peak / LIMIT_GB, limit=1.0, **told)
    assert peak < LIMIT_GB
