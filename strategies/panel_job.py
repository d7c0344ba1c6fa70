"""The main job over many symbols: one pooled model, every symbol traded by itself in both engines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mlcore.bars import panel_between
from mlcore.errors import BarwiseError
from mlcore.features import table_for
from mlcore.panel import PanelRun, read_panel, symbols_in, walk_forward_panel
from mlcore.stack import Member, label_for
from mlcore.tasks import Label
from mlcore.walkforward import WalkForwardRun
from strategies.config import StudyConfig
from strategies.folder import result_folder
from strategies.main_job import (
    Progress,
    StudyProtocol,
    check_trading,
    make_label,
    make_model,
    repairs_of,
    study_of,
    with_warnings,
)
from strategies.output import write_study
from strategies.panel_report import SUMMARY, summary_row, write_index
from strategies.study import Study

FEWEST_BARS = 2  # out of sample, to trade at all

ONE_SYMBOL = ("store", "warm_start", "incremental", "batched")  # options that a pool has not


def is_pooled(config: StudyConfig) -> bool:
    """Tell whether the config names more than one symbol: several files, or a file of several and none chosen."""
    files, symbols = _files(config), _symbols(config)
    if len(files) > 1:
        return True
    return len(symbols) > 1 if symbols else len(symbols_in(files[0])) > 1


def run_panel_job(config: StudyConfig, progress: Progress) -> pd.DataFrame:
    """Run the job and write it to ``config.out``: one folder a symbol, ``summary.csv``, ``index.html``.

    Returns the summary, one row a symbol. All of it is written or nothing. Raises `BarwiseError` for bad input,
    `ReconcileError` where the engines differ over any symbol.
    """
    check_trading(config)
    for name in ("warm_start", "incremental", "batched"):
        if getattr(config, name):
            raise BarwiseError(f"`{name}` is {getattr(config, name)}; pooled symbols start anew: leave it out.")
    if config.store:
        raise BarwiseError(f"`store` is {config.store!r}; it keeps the folds of one symbol, and these are pooled.")
    with result_folder(config.out, overwrite=config.overwrite) as folder:
        pool = Pool(config, _read(config), progress)
        rows = []
        for symbol, study in _studies(pool):
            if study is not None:
                write_study(study, folder / symbol)
            rows.append(summary_row(symbol, pool.panel[symbol], study))
        summary = pd.DataFrame(rows, columns=list(SUMMARY))
        summary.to_csv(folder / "summary.csv", index=False)
        write_index(summary, config, pool.main.folds, pool.main.notes, folder / "index.html")
    return summary


@dataclass
class Pool:
    """The pooled walk-forwards of the model and of its rivals, each run once for all symbols."""

    config: StudyConfig
    panel: dict[str, pd.DataFrame]
    progress: Progress
    runs: dict[str, PanelRun] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.model = make_model(self.config.model, self.config)

    @property
    def main(self) -> PanelRun:
        """The run of the config's model."""
        return self.runs[self.config.model]

    def run(self, stage: str, model: Any, options: dict[str, Any]) -> PanelRun:
        """Return the pooled run of a stage; the rivals see the same features as the model."""
        if stage not in self.runs:
            self.runs[stage] = walk_forward_panel(
                self.panel,
                model,
                label=lambda bars: self.label(bars, model),
                features=lambda bars: table_for(self.model, bars),
                **options,
            )
        return self.runs[stage]

    def label(self, bars: pd.DataFrame, model: Any) -> Label:
        """Return the label of one symbol that `model` learns from: of the rows that the config's model can use."""
        label = make_label(bars, self.config)
        if model.lookback >= self.model.lookback:
            return label
        member = Member(bars, table_for(self.model, bars), label)
        return label_for(model, member, self.model.lookback, self.config.max_gap)

    def protocol(self, symbol: str) -> SymbolProtocol:
        """Return the main job's way for one symbol."""
        bars = self.panel[symbol]
        return SymbolProtocol(self.config, bars, None, make_label(bars, self.config), self.tell, 1, self, symbol)

    def tell(self, stage: str, done: int, total: int) -> None:
        """Pass on how far the walks are; the trading is counted by symbols, not by the accounts of each."""
        if stage != "trading":
            self.progress(stage, done, total)


@dataclass(frozen=True)
class SymbolProtocol(StudyProtocol):
    """The main job's protocol for one symbol, whose forecasts are those of the pool."""

    pool: Pool
    symbol: str

    def walk(self, stage: str, model: Any, options: dict[str, Any]) -> WalkForwardRun:
        """Return what the pooled run says of this symbol."""
        return self.pool.run(stage, model, {key: value for key, value in options.items() if key not in ONE_SYMBOL}).of(
            self.symbol
        )


def _studies(pool: Pool) -> Iterator[tuple[str, Study | None]]:
    """Trade symbol after symbol; None for one that has too few bars out of sample."""
    first = pool.protocol(next(iter(pool.panel)))
    pool.run(pool.config.model, pool.model, first.options(pool.config.model, pool.model))
    for number, symbol in enumerate(pool.panel):
        pool.progress("trading", number, len(pool.panel))
        forecasts = pool.main.forecasts.get(symbol)
        yield symbol, None if forecasts is None or len(forecasts) < FEWEST_BARS else _study(pool, symbol)
    pool.progress("trading", len(pool.panel), len(pool.panel))


def _study(pool: Pool, symbol: str) -> Study:
    title = f"{pool.config.model} on {symbol}, trained on {len(pool.panel)} symbols"
    return with_warnings(lambda: study_of(pool.protocol(symbol), pool.model, title, pool.started))


def _read(config: StudyConfig) -> dict[str, pd.DataFrame]:
    symbols = _symbols(config) or None
    panel = read_panel(_files(config), symbols=symbols, repair=repairs_of(config.repair), stamped=config.stamped)
    return panel_between(panel, config.start, config.end)


def _files(config: StudyConfig) -> list[str]:
    if not isinstance(config.bars, str):
        return list(config.bars)
    alone = "," not in config.bars or Path(config.bars).exists()
    return [config.bars] if alone else [name.strip() for name in config.bars.split(",") if name.strip()]


def _symbols(config: StudyConfig) -> list[str]:
    return [name.strip() for name in (config.symbol or "").split(",") if name.strip()]
