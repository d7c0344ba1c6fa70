"""Do many coins in one account earn what one by one they do not, and does it matter how the money is shared?

python experiments/portfolio.py --bars BARS/1h/binance_spot_*USDT_1h.parquet --start 2022-09-01 --end 2024-01-01 \
    --out out/portfolio
"""

import time
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from strategies.account_study import study_one_of
from strategies.allocation import WAYS, Way, allocate
from strategies.cli import parse_config, run_cli
from strategies.config import flag
from strategies.costs import Costs
from strategies.folder import check_folder
from strategies.output import write_study
from strategies.portfolio import backtest_portfolio


@dataclass(frozen=True)
class PortfolioConfig:
    """Settings of the comparison: one model for all coins, one account, several ways to share it."""

    bars: list[str] | str = field(metadata={"help": "files of bars, one a coin, or one file of many"})
    model: str = flag("linear", "name of a model, or package.module.Class")
    horizon: int = flag(24, "bars ahead that the label (up or down) looks")
    train: str = flag("120D", "training window")
    test: str = flag("30D", "test window, and so the time between refits")
    start: str | None = flag(None, "first stamp that counts")
    end: str | None = flag(None, "stamp before which all bars lie")
    coins: int = flag(22, "how many coins: those with the most bars in the span", least=1)
    entry: float = flag(0.15, "|signal| at which a position is opened", least=0, most=1)
    min_hold: int = flag(24, "bars that a position is held at least")
    band: float = flag(0.01, "a new weight nearer than this to the last one is not ordered")
    net: float = flag(0.5, "most that longs less shorts may be")
    commission: float = flag(0.001, "fraction of the value of a fill")
    slippage: float = flag(0.0005, "fraction by which a fill is worse than the open")
    out: str | None = flag(None, "folder to make for the report of one account; all of it or nothing is written")
    way: Way = flag("equal", "the way of sharing that the report tells of; the others are its rivals")
    overwrite: bool = flag(False, "replace an earlier result in `out` (a switch)")


def main() -> None:
    config = parse_config(PortfolioConfig, None, __doc__)
    started = time.perf_counter()
    from mlcore import WalkForward, direction, read_panel, walk_forward_panel
    from mlcore.bars import panel_between
    from mlcore.models import make_model
    from strategies.policy import Policy, target_weights

    if config.out:
        check_folder(config.out, overwrite=config.overwrite)
    cut = panel_between(read_panel(config.bars), config.start, config.end)
    longest = sorted(cut, key=lambda symbol: -len(cut[symbol]))[: config.coins]
    panel = {symbol: cut[symbol] for symbol in sorted(longest)}
    run = walk_forward_panel(
        panel,
        make_model(config.model),
        label=partial(direction, horizon=config.horizon, threshold=0.0),
        folds=WalkForward(config.train, config.test),
    )
    policy = Policy(entry=config.entry, min_hold=config.min_hold)
    views = {symbol: target_weights(made, panel[symbol], policy=policy) for symbol, made in run.forecasts.items()}
    bars = {symbol: panel[symbol].loc[view.index[0] : view.index[-1]] for symbol, view in views.items()}
    sharing: dict[str, Any] = {"net": config.net, "band": config.band}
    shared = {way: allocate(views, bars, way=way, forecasts=run.forecasts, **sharing) for way in WAYS}
    held = {symbol: pd.Series(1.0, frame.index) for symbol, frame in bars.items()}
    first, last = min(frame.index[0] for frame in bars.values()), max(frame.index[-1] for frame in bars.values())
    table = Table(title=f"{len(bars)} coins, {first:%Y-%m-%d} to {last:%Y-%m-%d}, one account")
    for name in ("account", "Sharpe", "return", "drawdown", "turnover", "orders", "commission", "engines differ", "s"):
        table.add_column(name, justify="left" if name == "account" else "right")
    accounts = {
        f"shared by {way}": traded(f"model, {way}", table, bars, weights, config, run)
        for way, weights in shared.items()
    }
    traded("buy and hold, equal", table, bars, allocate(held, bars), config)
    Console(width=140).print(table)
    if config.out:
        title = f"{config.model}, {len(bars)} coins in one account shared by {config.way}"
        options: dict[str, Any] = {"title": title, "config": asdict(config), "notes": run.notes}
        options["seconds"] = time.perf_counter() - started
        study = study_one_of(accounts, f"shared by {config.way}", **options)
        write_study(study, config.out, overwrite=config.overwrite)
        Console().print(f"Open {config.out}/report.html", soft_wrap=True)


def traded(
    name: str, table: Table, bars: dict[str, Any], weights: pd.DataFrame, config: PortfolioConfig, run: Any = None
) -> Any:
    """Trade `weights` in both engines, add a row to the table, and return results and reconciliation."""
    started = time.perf_counter()
    results, agreement = backtest_portfolio(
        bars, weights, costs=Costs(config.commission, config.slippage), forecasts=run and run.forecasts
    )
    found: dict[str, Any] = results["backtrader"].metrics
    earned = "gone" if found["total_return"] is None else f"{found['total_return']:+.1%}"
    sharpe = "undefined" if found["sharpe"] is None else f"{found['sharpe']:.2f}"
    numbers = (f"{found['max_drawdown']:.1%}", f"{found['turnover']:.0f}", f"{found['n_orders']:,}")
    differ = f"{(agreement or {})['max_relative_difference']:.0e}"
    seconds = f"{time.perf_counter() - started:.0f}"
    table.add_row(name, sharpe, earned, *numbers, f"{found['commission_paid']:,.0f}", differ, seconds)
    return results, agreement


if __name__ == "__main__":
    run_cli(main)
