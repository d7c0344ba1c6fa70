"""Which thresholds, sizers and costs would have earned, over forecasts already made?

A run that was interrupted goes on where it was: finished chunks are kept beside `--out` until the whole is written.

python experiments/sweep.py --forecasts DIR/forecasts.parquet --bars FILE --out DIR2 --entry 0 0.1 0.2 --sizer fixed
"""

from dataclasses import asdict, dataclass, field, fields
from typing import Literal

from rich.console import Console

from strategies.cli import parse_config, run_cli
from strategies.config import flag


@dataclass(frozen=True)
class SweepConfig:
    """Settings of a sweep; flags that take several values are the grid, every combination of which is tried."""

    forecasts: str = field(metadata={"help": "forecasts.parquet of a main job"})
    bars: str = field(metadata={"help": "the bars those forecasts were made from"})
    out: str = field(metadata={"help": "folder to make; all of it or nothing is written"})
    entry: tuple[float, ...] = flag((0.0, 0.02, 0.05, 0.1, 0.2, 0.4), "|signal| at which a position is opened")
    exit: tuple[float, ...] = flag((0.0,), "|signal| below which it is closed")
    min_hold: tuple[int, ...] = flag((0,), "bars that a position is held at least")
    band: tuple[float, ...] = flag((0.0,), "a new target weight nearer than this to the last one is not ordered")
    side: tuple[str, ...] = flag(("both",), "both, long, short")
    min_confidence: tuple[float, ...] = flag((0.0,), "confidence below which nothing is opened")
    sizer: tuple[str, ...] = flag(
        ("fixed", "confidence", "volatility_target", "study_rule"), "names, or recipes: study_rule:base=0.1,cap=0.2"
    )
    commission: tuple[float, ...] = flag((0.001, 0.0005, 0.0), "fractions of the value of a fill")
    slippage: tuple[float, ...] = flag((0.0005,), "fractions by which a fill is worse than the open")
    delay: tuple[int, ...] = flag((0,), "bars that an order is given late")
    days_per_year: float = flag(365.0, "trading days a year, for the Sharpe ratio (crypto 365, stocks 252)")
    cash: float = flag(10_000.0, "starting cash")
    volatility_window: int = flag(60, "bars of the volatility that sizers read")
    repair: str = flag("", "repairs `check_bars` may make, comma separated: sort,drop_duplicates,...")
    stamped: Literal["open", "close"] = flag("open", "whether the file stamps a bar at its open or its close")
    symbol: str | None = flag(None, "which symbol of a file that holds several")
    n_jobs: int | None = flag(None, "chunks traded at a time")
    overwrite: bool = flag(False, "replace an earlier result in `out` (a switch)")


def main() -> None:
    config = parse_config(SweepConfig, None, __doc__)
    from mlcore.bars import read_bars
    from strategies.folder import check_folder, result_folder, work_folder
    from strategies.terminal import progress_bars
    from strategies.vbt.sweep import Grid, drop_chunks, read_forecasts, sweep
    from strategies.vbt.sweep_report import print_sweep, write_sweep

    check_folder(config.out, overwrite=config.overwrite)
    forecasts = read_forecasts(config.forecasts)
    repair = tuple(name.strip() for name in config.repair.split(",") if name.strip())
    bars = read_bars(config.bars, repair=repair, stamped=config.stamped, symbol=config.symbol)
    grid = Grid(**{setting.name: tuple(getattr(config, setting.name)) for setting in fields(Grid)})
    console = Console()
    with progress_bars(console) as progress:
        table = sweep(
            forecasts,
            bars,
            grid,
            cash=config.cash,
            days_per_year=config.days_per_year,
            volatility_window=config.volatility_window,
            n_jobs=config.n_jobs,
            work=work_folder(config.out),
            progress=progress,
        )
    with result_folder(config.out, overwrite=config.overwrite) as folder:
        write_sweep(table, asdict(config), folder)
    drop_chunks(work_folder(config.out))
    print_sweep(table, console)
    console.print(f"Open {config.out}/heatmap.html", soft_wrap=True)


if __name__ == "__main__":
    run_cli(main)
