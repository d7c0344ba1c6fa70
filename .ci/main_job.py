"""Run the main job on slices of real bars and check what it wrote. Usage: main_job.py FOLDER_OF_BARS"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

SLICES = (
    # file, rows from the end, flags
    ("1m/binance_spot_BTCUSDT_1m_2025.parquet", 12_000, "--model tcn --train 5D --test 1D"),
    ("1h/binance_spot_BTCUSDT_1h.parquet", 4_000, "--model lightgbm --train 60D --test 14D --label five_class"),
    ("1h/binance_spot_ETHUSDT_1h.parquet", 3_000, "--model lstm --train 1500 --test 500 --label return"),
)
TABLES = {"forecasts.parquet", "equity.parquet", "orders.parquet", "trades.parquet", "cost_grid.csv"}
FILES = TABLES | {"backtrader.png", "report.html", "result.json"}


def run(bars: Path, out: Path, flags: str) -> None:
    """Run the script as a user would and check the folder it made."""
    script = [sys.executable, "experiments/walk_forward.py", "--bars", str(bars), "--out", str(out)]
    subprocess.run([*script, *flags.split()], check=True)
    missing = FILES - {path.name for path in out.iterdir()}
    result = json.loads((out / "result.json").read_text())
    reconciliation = result["reconciliation"]
    if missing or not reconciliation["agrees"] or reconciliation["max_relative_difference"] > 1e-9:
        sys.exit(f"{bars.name}: missing {sorted(missing)}, {reconciliation}")


def main() -> None:
    """Run every slice."""
    source = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, rows, flags) in enumerate(SLICES):
            bars = Path(folder) / Path(name).name
            pd.read_parquet(source / name).tail(rows).to_parquet(bars)
            run(bars, Path(folder) / f"out{number}", flags)


if __name__ == "__main__":
    main()
