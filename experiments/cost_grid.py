"""What do commission, slippage and delay leave of one trading rule, over forecasts already made?

python experiments/cost_grid.py --forecasts DIR/forecasts.parquet --bars FILE --out DIR2 --entry 0.2
"""

from dataclasses import asdict, dataclass, field, fields
from typing import Literal

from rich.console import Console
from rich.table import Table

from strategies.cli import parse_config, run_cli
from strategies.config import flag


@dataclass(frozen=True)
class CostConfig:
    """Settings: one rule, and the costs to trade it at."""

    forecasts: str = field(metadata={"help": "forecasts.parquet of a main job"})
    bars: str = field(metadata={"help": "the bars those forecasts were made from"})
    out: str = field(metadata={"help": "folder to make; all of it or nothing is written"})
    commission: tuple[float, ...] = flag((0.0, 0.0002, 0.0005, 0.001, 0.002), "fractions of the value of a fill")
    slippage: tuple[float, ...] = flag((0.0, 0.0005, 0.001), "fractions by which a fill is worse than the open")
    delay: tuple[int, ...] = flag((0, 1, 2), "bars that an order is given late")
    entry: float = flag(0.0, "|signal| at which a position is opened")
    exit: float = flag(0.0, "|signal| below which it is closed")
    min_hold: int = flag(0, "bars that a position is held at least")
    band: float = flag(0.0, "a new target weight nearer than this to the last one is not ordered")
    side: Literal["both", "long", "short"] = flag("both", "the sides that may be taken")
    min_confidence: float = flag(0.0, "confidence below which nothing is opened")
    sizer: str = flag("fixed", "a name, or a recipe: study_rule:base=0.1,cap=0.2")
    days_per_year: float = flag(365.0, "trading days a year, for the Sharpe ratio (crypto 365, stocks 252)")
    cash: float = flag(10_000.0, "starting cash")
    repair: str = flag("", "repairs `check_bars` may make, comma separated: sort,drop_duplicates,...")
    stamped: Literal["open", "close"] = flag("open", "whether the file stamps a bar at its open or its close")
    symbol: str | None = flag(None, "which symbol of a file that holds several")
    overwrite: bool = flag(False, "replace an earlier result in `out` (a switch)")


def main() -> None:
    config = parse_config(CostConfig, None, __doc__)
    from mlcore.bars import read_bars
    from strategies.folder import check_folder, result_folder
    from strategies.policy import Policy
    from strategies.vbt.cost_grid import cost_grid
    from strategies.vbt.cost_report import break_evens, told, write_cost_grid
    from strategies.vbt.sweep import read_forecasts

    check_folder(config.out, overwrite=config.overwrite)
    forecasts = read_forecasts(config.forecasts)
    repair = tuple(name.strip() for name in config.repair.split(",") if name.strip())
    bars = read_bars(config.bars, repair=repair, stamped=config.stamped, symbol=config.symbol)
    table = cost_grid(
        forecasts,
        bars,
        policy=Policy(**{rule.name: getattr(config, rule.name) for rule in fields(Policy)}),
        sizer=config.sizer,
        commission=config.commission,
        slippage=config.slippage,
        delay=config.delay,
        cash=config.cash,
        days_per_year=config.days_per_year,
    )
    with result_folder(config.out, overwrite=config.overwrite) as folder:
        write_cost_grid(table, asdict(config), folder)
    console = Console()
    shown = Table(title=f"Sharpe ratio of one rule at {len(table)} costs; {table['n_orders'].max():,} orders at most")
    for name in ("slippage", "bars late", *(f"fee {fee:.3%}" for fee in config.commission), "break-even fee"):
        shown.add_column(name, justify="right")
    grid = table.pivot(index=["slippage", "delay"], columns="commission", values="sharpe")
    for one in break_evens(table):
        ratios = grid.loc[(one["slippage"], one["delay"])]
        cells = ["gone" if value != value else f"{value:.2f}" for value in (ratios[fee] for fee in config.commission)]
        shown.add_row(f"{one['slippage']:.3%}", str(one["delay"]), *cells, told(one["break_even"]))
    console.print(shown)
    console.print(f"Open {config.out}/costs.html", soft_wrap=True)


if __name__ == "__main__":
    run_cli(main)
