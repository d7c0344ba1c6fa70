"""Is a rule strategy better with a model beside it, or a model with a rule?

python experiments/combine_rules.py --bars BARS/1h/binance_spot_BTCUSDT_1h_x.parquet
"""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from strategies.cli import parse_config, run_cli
from strategies.config import flag


@dataclass(frozen=True)
class CombineConfig:
    """Settings of the comparison: four rules, one model, and each rule with the model."""

    bars: str = field(metadata={"help": "a file of bars"})
    model: str = flag("lightgbm", "name of a model, or package.module.Class")
    horizon: int = flag(12, "bars ahead that the label looks")
    threshold: float = flag(0.005, "log return beyond which a row is up or down")
    train: str = flag("180D", "training window")
    test: str = flag("60D", "test window, and so the time between refits")
    start: str | None = flag(None, "first stamp that counts")
    end: str | None = flag(None, "stamp before which all bars lie")
    size: float = flag(0.5, "weight of one of the two alone", least=0.01, most=1)
    entry: float = flag(0.2, "|signal| below which the model says nothing", least=0, most=1)
    override: float = flag(0.8, "confidence above which the model decides alone", least=0, most=1)
    commission: float = flag(0.001, "fraction of the value of a fill")
    slippage: float = flag(0.0005, "fraction by which a fill is worse than the open")


def main() -> None:
    config = parse_config(CombineConfig, None, __doc__)
    from mlcore import WalkForward, direction, feature_table, read_bars, walk_forward
    from mlcore.bars import between
    from strategies.combine import SIDES, combine

    bars = between(read_bars(config.bars), config.start, config.end)
    label = direction(bars, config.horizon, config.threshold)
    folds = WalkForward(config.train, config.test)
    forecasts = walk_forward(bars, config.model, label=label, features=feature_table(bars), folds=folds).forecasts
    span = bars.loc[forecasts.index[0] : forecasts.index[-1]]
    silent = forecasts.assign(signal=0.0, confidence=0.0)
    nothing = pd.Series(0.0, bars.index)
    settings = {"size": config.size, "entry": config.entry, "override": config.override}
    table = Table(title=f"{len(span):,} bars out of sample, {span.index[0]:%Y-%m-%d} to {span.index[-1]:%Y-%m-%d}")
    for name in ("strategy", "Sharpe", "return", "drawdown", "turnover", "orders", "engines differ"):
        table.add_column(name, justify="left" if name == "strategy" else "right")
    table.add_row("model alone", *told(config, span, combine(nothing, forecasts, **settings)))
    for name, rule in SIDES.items():
        side = rule(bars)
        table.add_row(f"{name} alone", *told(config, span, combine(side, silent, **settings)))
        table.add_row(f"{name} and model", *told(config, span, combine(side, forecasts, **settings)))
    table.add_row("buy and hold, same size", *told(config, span, pd.Series(config.size, span.index)))
    console = Console(width=120)
    console.print(table)
    sure = (forecasts["confidence"] > config.override).mean()
    console.print(f"The model is above {config.override:.0%} confidence on {sure:.2%} of the bars.", highlight=False)


def told(config: CombineConfig, bars: pd.DataFrame, weights: pd.Series) -> list[str]:
    """Trade `weights` in both engines; the numbers of one row."""
    from strategies.backtest import backtest
    from strategies.costs import Costs

    results, agreement = backtest(bars, weights, costs=Costs(config.commission, config.slippage))
    found: dict[str, Any] = results["backtrader"].metrics
    return [
        "undefined" if found["sharpe"] is None else f"{found['sharpe']:.2f}",
        "gone" if found["total_return"] is None else f"{found['total_return']:+.1%}",
        f"{found['max_drawdown']:.1%}",
        f"{found['turnover']:.0f}",
        f"{found['n_orders']:,}",
        f"{(agreement or {})['max_relative_difference']:.0e}",
    ]


if __name__ == "__main__":
    run_cli(main)
