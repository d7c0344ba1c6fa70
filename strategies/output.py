"""The files of one study: Parquet, JSON, picture and report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from strategies.bt.plot import plot_backtrader
from strategies.folder import result_folder
from strategies.report import write_report
from strategies.report.doubts import waited_orders
from strategies.report.numbers import costs_of, first_result, month_returns, ratios_of
from strategies.report.trips import holding_of, reasons_of, sides_of, symbols_of, trips_of
from strategies.study import Study, Traded


def write_study(
    study: Traded,
    out: str | Path,
    *,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Path:
    """Write every file of `study` into the folder `out`, or nothing at all; return the folder.

    `progress` is told of three steps: tables, backtrader's picture (of one symbol), report.
    """
    progress("drawing", 0, 3)
    with result_folder(out, overwrite=overwrite) as folder:
        for name, table in tables(study).items():
            table.to_parquet(folder / f"{name}.parquet", index=isinstance(table.index, pd.DatetimeIndex))
        if isinstance(study, Study) and study.cost_grid is not None:
            study.cost_grid.to_csv(folder / "cost_grid.csv", index=False)
        (folder / "result.json").write_text(json.dumps(result_json(study), indent=2, allow_nan=False) + "\n")
        progress("drawing", 1, 3)
        if isinstance(study, Study) and "backtrader" in study.results:
            plot_backtrader(study.bars, study.results["backtrader"], study.forecasts, folder / "backtrader.png")
        progress("drawing", 2, 3)
        write_report(study, folder / "report.html")
    progress("drawing", 3, 3)
    return Path(out)


def tables(study: Traded) -> dict[str, Any]:
    """Return the tables of a study by the names of their files; stamps, where a table is by stamp, are its index."""
    found = {"orders": order_table(study), "trades": trade_table(study), "equity": equity_table(study)}
    if isinstance(study, Study):
        found["forecasts"] = study.forecasts
        if study.raw is not None:
            found["forecasts_raw"] = study.raw
        return found
    if study.views:
        found["forecasts"] = pd.concat([made.assign(symbol=symbol) for symbol, made in study.views.items()])
    return found | {"weights": first_result(study).weights}


def equity_table(study: Traded) -> pd.DataFrame:
    """One column an engine (account value at each bar's close); of one symbol also `weight`, the target of there."""
    table = pd.DataFrame({name: result.equity for name, result in study.results.items()})
    weights = first_result(study).weights
    return table.assign(weight=weights.fillna(0.0)) if isinstance(weights, pd.Series) else table


def order_table(study: Traded) -> pd.DataFrame:
    """The orders of all engines, one under the other."""
    return pd.concat([result.orders for result in study.results.values()], ignore_index=True)


def trade_table(study: Traded) -> pd.DataFrame:
    """The round trips of all engines, one under the other."""
    return pd.concat([result.trades.assign(engine=name) for name, result in study.results.items()], ignore_index=True)


def result_json(study: Traded) -> dict[str, Any]:
    """The study as plain JSON values; a number that is not defined is null, and `notes` says why."""
    engines = {name: dict(result.metrics) for name, result in study.results.items()}
    notes = list(study.notes)
    notes += [f"{name}: {note}" for name, result in study.results.items() for note in result.notes]
    notes += [f"{name}: {note}" for name, result in study.baselines.items() for note in result.notes]
    return plain(
        {
            "engines": engines,
            "reconciliation": study.reconciliation,
            "sharpe_ratios": asdict(ratios_of(study)),
            **(_of_model(study) if isinstance(study, Study) else _of_account(study)),
            "in_sample": study.in_sample,
            "tried": study.tried,
            "baselines": {name: result.metrics for name, result in study.baselines.items()},
            "data": study.data,
            "seed": study.seed,
            "versions": study.versions,
            "config": study.config,
            "command": study.command,
            "seconds": study.seconds,
            "notes": notes,
        }
    )


def _of_model(study: Study) -> dict[str, Any]:
    """What only a model's study has."""
    return {
        "forecast": study.forecast,
        "causality": study.causality,
        "reliability": study.reliability,
        "folds": study.folds,
        "explanation": {name: _columns(table) for name, table in study.explanation.items()},
    }


def _of_account(study: Traded) -> dict[str, Any]:
    """What only an account has: its numbers by symbol, side and reason, and the rules that made them."""
    result = first_result(study)
    held, holding = trips_of(result, study.panel), holding_of(result, study.panel)
    sides = sides_of(held, holding, sum(len(bars) for bars in study.panel.values()))
    return {
        "account": result.extras["plan"].settings(),
        "costs": {name: costs_of(one) for name, one in {**study.results, **study.baselines}.items()},
        "symbols": symbols_of(held, holding, study.panel).to_dict("index"),
        "sides": sides.rename(index={1: "long", -1: "short"}).to_dict("index"),
        "left_by": reasons_of(held).to_dict("index"),
        "months": {str(month): value for month, value in month_returns(result.equity).items()},
        "waited": waited_orders(result),
        "waiting": list(result.extras["waiting"]),
        "cuts": result.extras["cuts"],
    }


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
