"""What a run shows in the terminal: progress with time left, and one table at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
from rich.box import HORIZONTALS
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from strategies.main_job import Progress
from strategies.panel_report import head_of, shown
from strategies.result import BacktestResult
from strategies.study import Study

COLUMNS = (
    ("Sharpe", "sharpe", "{:.2f}"),
    ("drawdown", "max_drawdown", "{:.1%}"),
    ("return", "total_return", "{:+.1%}"),
    ("orders", "n_orders", "{:,}"),
    ("rejected", "n_rejected", "{:,}"),
    ("costs", "costs", "{:,.0f}"),
    ("turnover", "turnover", "{:,.0f}"),
)


SHOWN = ("symbol", "forecasts", "orders", "total_return", "buy_and_hold", "sharpe", "max_drawdown", "rank_ic", "agrees")


@contextmanager
def progress_bars(console: Console) -> Iterator[Progress]:
    """Show one bar a stage, with folds done and time left."""
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with RichProgress(*columns, TextColumn("left"), TimeRemainingColumn(), console=console) as bars:
        tasks: dict[str, int] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)  # type: ignore[assignment]
            bars.update(tasks[stage], completed=done, total=total)  # type: ignore[arg-type]

        yield show


def print_study(study: Study, console: Console) -> None:
    """Print engines beside baselines, the reconciliation, forecast quality and every note."""
    sample = "IN SAMPLE" if study.in_sample else "out of sample"
    title = f"{study.title}: {len(study.folds)} fold{'s' * (len(study.folds) != 1)}, {sample}, after costs"
    table = Table(title=title, box=HORIZONTALS, padding=0)
    table.add_column("", no_wrap=True)
    for words, _, _ in COLUMNS:
        table.add_column(words, justify="right")
    for name, result in (study.results | study.baselines).items():
        metrics = result.metrics | {"costs": _costs(result)}
        cells = [(metrics[key], form) for _, key, form in COLUMNS]
        shown = ["undefined" if cell is None else form.format(cell) for cell, form in cells]
        table.add_row(name.replace("_", " "), *shown, end_section=name == list(study.results)[-1])
    console.print(table)
    first, last = study.bars.index[0], study.bars.index[-1]
    console.print("Costs are commission and slippage, in cash; turnover is in multiples of equity.")
    console.print(f"{len(study.bars):,} bars {sample}, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC.")
    if study.reconciliation:
        gap = study.reconciliation["max_relative_difference"]
        console.print(f"The engines agree on every bar and {study.reconciliation['n_orders']} orders to {gap:.1e}.")
    console.print(f"Forecasts: {_quality(study)}. One configuration was tried.", markup=False)
    if study.reliability:
        console.print(_trust(study.reliability), markup=False)
    for note in study.notes:
        console.print(f"note: {note}", markup=False)


def print_summary(summary: pd.DataFrame, console: Console) -> None:
    """Print one row a symbol of a pooled job."""
    table = Table(title=f"{len(summary)} symbols, one model, out of sample, after costs", box=HORIZONTALS, padding=0)
    for column in SHOWN:
        table.add_column(head_of(column), justify="left" if column == "symbol" else "right")
    for row in summary.to_dict("records"):
        table.add_row(*(shown(column, row[column]) for column in SHOWN))
    console.print(table)


def _costs(result: BacktestResult) -> float:
    return (result.metrics["commission_paid"] or 0.0) + (result.metrics["slippage_paid"] or 0.0)


def _quality(study: Study) -> str:
    shown = {key: value for key, value in study.forecast.items() if isinstance(value, (int, float))}
    words = {key: f"{value:,}" if isinstance(value, int) else f"{value:.4g}" for key, value in shown.items()}
    return ", ".join(f"{key.replace('_', ' ')} {word}" for key, word in words.items())


def _trust(found: dict[str, Any]) -> str:
    """Say what probabilities or intervals were worth, before and after a calibration."""
    tracks = [found[key] for key in ("before", "after") if found[key] is not None]
    classes = tracks[0]["kind"] == "classes"
    values = [track["brier_score" if classes else "coverage"] for track in tracks]
    words = ["undefined" if value is None else f"{value:.4f}" if classes else f"{value:.1%}" for value in values]
    told = "Brier score" if classes else f"Share of labels in the {tracks[0]['promised']:.0%} interval"
    if len(words) == 1:
        return f"{told}: {words[0]}, as forecast."
    return f"{told}: {words[0]} as forecast, {words[1]} calibrated ({found['method']})."
