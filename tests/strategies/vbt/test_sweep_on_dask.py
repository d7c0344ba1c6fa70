"""The same sweep on a Dask cluster of two processes, by `joblib.parallel_config`; a worker killed loses nothing."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from strategies.vbt.sweep import sweep
from tests.strategies.vbt.test_sweep import market, small_grid

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None,
    reason="distributed is not installed (pip install barwise[dask]): the tests on Dask did NOT run",
)

# In a process of its own: a cluster leaves threads and warnings behind. A worker is killed when a chunk is back.
CHILD = """
import os, signal, sys
from distributed import Client, LocalCluster
from joblib import parallel_config
from strategies.vbt.sweep import sweep
from tests.strategies.vbt.test_sweep import market, small_grid

def main():
    bars, forecasts = market(300)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        pids = client.run(os.getpid)
        waiting = list(pids.values())[:1]

        def progress(stage, done, total):
            if 0 < done < total and waiting:
                os.kill(waiting.pop(), signal.SIGKILL)

        with parallel_config(backend="dask"):
            table = sweep(forecasts, bars, small_grid(), cells_at_a_time=1, progress=progress)
        assert len(pids) == 2 and not waiting
    table.to_parquet(sys.argv[1])

if __name__ == "__main__":
    main()
"""


def test_a_cluster_gives_the_same_table_even_where_a_worker_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, str(script), str(tmp_path / "table.parquet")]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert not done.returncode, done.stderr[-3000:]
    bars, forecasts = market(300)
    sweep(forecasts, bars, small_grid(), cells_at_a_time=1).to_parquet(tmp_path / "alone.parquet")
    assert (tmp_path / "table.parquet").read_bytes() == (tmp_path / "alone.parquet").read_bytes()
