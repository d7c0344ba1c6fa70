"""What do warm starts and updates between refits cost, and what do they gain?

python experiments/warm_start.py --models tcn lstm lightgbm --bars BARS/1h/binance_spot_BTCUSDT_1h.parquet
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from strategies.cli import parse_config, run_cli
from strategies.config import flag

WAYS: dict[str, dict[str, Any]] = {
    "cold": {},
    "warm": {"warm_start": True},
    "updated": {"incremental": "1D"},
    "warm, updated": {"warm_start": True, "incremental": "1D"},
}


@dataclass(frozen=True)
class WarmConfig:
    """Settings of the comparison; the default is a planted market of hourly bars."""

    bars: str = flag("", "file of bars; none: a planted market")
    models: tuple[str, ...] = flag(("tcn", "lstm", "lightgbm"), "names of models")
    last: int = flag(6_000, "bars that are used, the newest ones")
    train: str = flag("90D", "training window")
    test: str = flag("7D", "time between refits")
    seeds: tuple[int, ...] = flag((0, 1), "each way is walked once with each")


def main() -> None:
    config = parse_config(WarmConfig, None, __doc__)
    from mlcore.bars import read_bars
    from mlcore.synthetic import planted_market

    market = planted_market(config.last, edge=0.3, interval="1h", seed=3).bars
    bars = read_bars(config.bars).iloc[-config.last :] if config.bars else market
    shown = Table(title=f"{config.bars or 'planted market'}: {len(bars):,} bars, {config.train} / {config.test}")
    for name in ("model", "way", "seconds a fold", "log loss", "against cold", "t", "rank IC", "validation loss"):
        shown.add_column(name, justify="left" if name in ("model", "way") else "right")
    for model in config.models:
        cold = None
        for way, options in WAYS.items():
            found = [walked(bars, model, config, seed, options) for seed in config.seeds]
            losses = pd.concat([losses for losses, *_ in found], axis=1).mean(axis=1).dropna()
            cold = losses if cold is None else cold
            block = pd.DatetimeIndex(losses.index).floor(config.test)  # one observation
            gain = (losses - cold).groupby(block).mean()
            t = gain.mean() / (gain.std(ddof=1) / np.sqrt(len(gain))) if way != "cold" else np.nan
            seconds, rank, held = (np.mean(values) for values in list(zip(*found, strict=True))[1:])
            row = f"{seconds:.2f}", f"{losses.mean():.5f}", f"{gain.mean():+.5f}", "" if way == "cold" else f"{t:+.1f}"
            shown.add_row(model, way, *row, f"{rank:+.4f}", f"{held:.5f}")
    Console(width=110).print(shown)


def walked(
    bars: pd.DataFrame, name: str, config: WarmConfig, seed: int, options: dict[str, Any]
) -> tuple[pd.Series, float, float, float]:
    """Return each forecast's log loss, seconds a fold, rank IC, and the mean of the folds' best validation losses."""
    from mlcore.features import table_for
    from mlcore.folds import WalkForward
    from mlcore.labels import direction
    from mlcore.metrics import rank_ic
    from mlcore.models import MODELS
    from mlcore.walkforward import walk_forward

    label, model = direction(bars, horizon=5, threshold=0.002), MODELS[name]()
    folds, started = WalkForward(config.train, config.test), time.perf_counter()
    run = walk_forward(bars, model, label=label, features=table_for(model, bars), folds=folds, seed=seed, **options)
    seconds = (time.perf_counter() - started) / len(run.folds)
    rows = bars.index.get_indexer(run.forecasts.index)
    raw, codes = run.forecasts[list(label.task.outputs)].to_numpy(), label.values[rows]
    known = np.isfinite(codes) & np.isfinite(raw).all(axis=1)
    losses = pd.Series(np.nan, index=run.forecasts.index)
    losses[known] = -np.log(np.maximum(raw[known, codes[known].astype(int)], 1e-12))
    rank = rank_ic(run.forecasts["signal"].to_numpy()[known], label.returns[rows][known]) or 0.0
    curves = [[point["validation"] for point in fold["curve"]] for fold in run.folds if fold["curve"]]
    return losses, seconds, rank, float(np.mean([min(curve) for curve in curves]))


if __name__ == "__main__":
    run_cli(main)
