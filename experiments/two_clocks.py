"""Does 1h context help a model that decides on 15m bars, and what would a context stamped one bar early have shown?

python experiments/two_clocks.py --bars BARS/15m/binance_spot_BTCUSDT_15m_x.parquet
"""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from strategies.cli import parse_config, run_cli
from strategies.config import flag


@dataclass(frozen=True)
class ClocksConfig:
    """Settings of the comparison: the same rows, label, model and folds, with and without the longer bars."""

    bars: str = field(metadata={"help": "a file of 15m bars"})
    context: str = flag("1h", "interval of the context")
    model: str = flag("lightgbm", "name of a model, or package.module.Class")
    horizon: int = flag(8, "bars ahead that the label looks")
    threshold: float = flag(0.003, "log return beyond which a row is up or down")
    train: str = flag("90D", "training window")
    test: str = flag("30D", "test window, and so the time between refits")
    start: str | None = flag(None, "first stamp that counts")
    end: str | None = flag(None, "stamp before which all bars lie")
    entry: float = flag(0.3, "|signal| at which a position is opened")
    min_hold: int = flag(8, "bars that a position is held at least")


def main() -> None:
    config = parse_config(ClocksConfig, None, __doc__)
    from mlcore.bars import bar_interval, between, read_bars, resample
    from mlcore.errors import BarwiseError, LookAheadError

    bars = between(read_bars(config.bars), config.start, config.end)
    if bar_interval(bars.index) >= pd.Timedelta(config.context):
        raise BarwiseError(f"`context` is {config.context!r}; it must be longer than the bars of {config.bars!r}.")
    longer = resample(bars, config.context)
    early = longer.set_axis(pd.DatetimeIndex(longer.index) - pd.Timedelta(config.context), axis=0)
    console, table = Console(width=140), Table(title=f"{len(bars):,} bars, decided every 15m")
    for name in ("features", "rank IC", "log loss", "Sharpe", "return", "orders", "engines differ"):
        table.add_column(name, justify="left" if name == "features" else "right")
    table.add_row("15m alone", *told(config, bars, None))
    table.add_row(f"15m and {config.context}", *told(config, bars, longer))
    try:
        told(config, bars, early)
    except LookAheadError as refused:
        console.print(f"One bar early, refused: {refused}", highlight=False)
        table.add_row("one bar early, the guard switched off", *told(config, bars, early, guarded=False))
    console.print(table)


def features(bars: pd.DataFrame, longer: pd.DataFrame | None, guarded: bool = True) -> pd.DataFrame:
    """Return the features of the bars, and those of the longer bars as they were known at each close."""
    from mlcore.bars import join_known
    from mlcore.features import feature_table

    own = feature_table(bars)
    if longer is None:
        return own
    context = feature_table(longer).assign(close=longer["close"])
    joined = join_known(bars[["close"]], context, prefix="context_", same_market=guarded)
    moved = (bars["close"] / joined["context_close"] - 1).rename("since_context")
    made = pd.concat([own, joined.drop(columns=["close", "context_close"]), moved], axis=1)
    made.attrs["memory"] = own.attrs["memory"] + 4 * context.attrs.get("memory", own.attrs["memory"])
    return made


def told(config: ClocksConfig, bars: pd.DataFrame, longer: pd.DataFrame | None, guarded: bool = True) -> list[str]:
    """Forecast and trade in both engines; the numbers of one row."""
    from mlcore import WalkForward, direction, walk_forward
    from mlcore.metrics import forecast_quality
    from strategies.backtest import backtest
    from strategies.policy import Policy, target_weights

    label = direction(bars, config.horizon, config.threshold)
    table = features(bars, longer, guarded)
    folds = WalkForward(config.train, config.test)
    made = walk_forward(bars, config.model, label=label, features=table, folds=folds).forecasts
    quality = forecast_quality(made, label, pd.DatetimeIndex(bars.index))
    weights = target_weights(made, bars, policy=Policy(entry=config.entry, min_hold=config.min_hold))
    results, agreement = backtest(bars.loc[weights.index], weights, forecasts=made)
    found: dict[str, Any] = results["backtrader"].metrics
    shown = [f"{quality['rank_ic']:.3f}", f"{quality['log_loss']:.4f}"]
    shown.append("undefined" if found["sharpe"] is None else f"{found['sharpe']:.2f}")
    shown.append("gone" if found["total_return"] is None else f"{found['total_return']:+.1%}")
    return [*shown, f"{found['n_orders']:,}", f"{(agreement or {})['max_relative_difference']:.0e}"]


if __name__ == "__main__":
    run_cli(main)
