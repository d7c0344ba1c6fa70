"""The files of one study: Parquet, JSON, picture and report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from strategies.bt.plot import plot_backtrader
from strategies.folder import result_folder
from strategies.report import write_report
from strategies.study import Study


def write_study(
    study: Study,
    out: str | Path,
    *,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Path:
    """Write every file of `study` into the folder `out`, or nothing at all; return the folder.

    `progress` is told of three steps: tables, backtrader's picture, report.
    """
    progress("drawing", 0, 3)
    with result_folder(out, overwrite=overwrite) as folder:
        study.forecasts.to_parquet(folder / "forecasts.parquet")
        if study.raw is not None:
            study.raw.to_parquet(folder / "forecasts_raw.parquet")
        equity_table(study).to_parquet(folder / "equity.parquet")
        order_table(study).to_parquet(folder / "orders.parquet", index=False)
        trade_table(study).to_parquet(folder / "trades.parquet", index=False)
        if study.cost_grid is not None:
            study.cost_grid.to_csv(folder / "cost_grid.csv", index=False)
        (folder / "result.json").write_text(json.dumps(result_json(study), indent=2, allow_nan=False) + "\n")
        progress("drawing", 1, 3)
        if "backtrader" in study.results:
            plot_backtrader(study.bars, study.results["backtrader"], study.forecasts, folder / "backtrader.png")
        progress("drawing", 2, 3)
        write_report(study, folder / "report.html")
    progress("drawing", 3, 3)
    return Path(out)


def equity_table(study: Study) -> pd.DataFrame:
    """One column an engine (account value at each bar's close) and `weight`, the target decided there."""
    results = study.results
    columns = {name: results[name].equity for name in results}
    weight = next(iter(results.values())).weights.fillna(0.0)
    return pd.DataFrame({**columns, "weight": weight})


def order_table(study: Study) -> pd.DataFrame:
    """The orders of all engines, one under the other."""
    return pd.concat([result.orders for result in study.results.values()], ignore_index=True)


def trade_table(study: Study) -> pd.DataFrame:
    """The round trips of all engines, one under the other."""
    return pd.concat([result.trades.assign(engine=name) for name, result in study.results.items()], ignore_index=True)


def result_json(study: Study) -> dict[str, Any]:
    """The study as plain JSON values; a number that is not defined is null, and `notes` says why."""
    engines = {name: dict(result.metrics) for name, result in study.results.items()}
    notes = list(study.notes)
    notes += [f"{name}: {note}" for name, result in study.results.items() for note in result.notes]
    notes += [f"{name}: {note}" for name, result in study.baselines.items() for note in result.notes]
    return plain(
        {
            "engines": engines,
            "reconciliation": study.reconciliation,
            "forecast": study.forecast,
            "in_sample": study.in_sample,
            "causality": study.causality,
            "reliability": study.reliability,
            "baselines": {name: result.metrics for name, result in study.baselines.items()},
            "folds": study.folds,
            "data": study.data,
            "seed": study.seed,
            "versions": study.versions,
            "config": study.config,
            "command": study.command,
            "seconds": study.seconds,
            "notes": notes,
            "explanation": {name: _columns(table) for name, table in study.explanation.items()},
        }
    )


def _columns(table: pd.DataFrame) -> dict[str, list[Any]]:
    """A table as lists: its rows' names under ``row``, then a list a column."""
    return {"row": table.index.tolist()} | {str(name): table[name].tolist() for name in table}


def plain(value: Any) -> Any:
    """Turn numpy and pandas values into JSON's own; NaN and infinity into null."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
