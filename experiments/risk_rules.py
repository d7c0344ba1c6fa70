"""Do stops, risk limits and a drawdown limit help a model on perpetuals, and what does funding cost?

python experiments/risk_rules.py --bars BARS/derivs/binance_perp_{BTC,ETH,XRP,LTC,ADA}USDT_1h.parquet \
    --funding BARS/derivs/binance_perp_funding.parquet --start 2022-01-01
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from strategies.account.rules import RiskRules
from strategies.cli import parse_config, run_cli
from strategies.config import flag


@dataclass(frozen=True)
class RiskConfig:
    """Settings of the comparison: one model trained on the triple barrier, one account, one rule more at a time."""

    bars: list[str] | str = field(metadata={"help": "files of bars, one a perpetual"})
    funding: str = field(metadata={"help": "a file of funding rates by stamp, with a column symbol"})
    model: str = flag("lightgbm", "name of a model, or package.module.Class")
    horizon: int = flag(24, "bars that a position is held at most")
    width: float = flag(3.0, "distance of stop and profit, in volatilities per bar")
    window: int = flag(48, "bars of that volatility")
    train: str = flag("180D", "training window")
    test: str = flag("60D", "test window, and so the time between refits")
    start: str | None = flag(None, "first stamp that counts")
    end: str | None = flag(None, "stamp before which all bars lie")
    entry: float = flag(0.15, "|signal| at which a position is opened")
    weight: float = flag(0.2, "weight of one position, in [-1, 1]")


def main() -> None:
    config = parse_config(RiskConfig, None, __doc__)
    from mlcore import WalkForward, read_panel, triple_barrier, walk_forward_panel
    from mlcore.bars import panel_between
    from strategies.account import clock_of
    from strategies.funding import read_funding
    from strategies.policy import Policy, target_weights

    panel = panel_between(read_panel(config.bars), config.start, config.end)
    rates = read_funding(config.funding, list(panel))
    barriers: dict[str, Any] = {"horizon": config.horizon, "stop": config.width, "profit": config.width}
    label = partial(triple_barrier, **barriers, volatility_window=config.window)
    run = walk_forward_panel(panel, config.model, label=label, folds=WalkForward(config.train, config.test))
    policy = Policy(entry=config.entry)
    made = {s: target_weights(f, panel[s], policy=policy) * config.weight for s, f in run.forecasts.items()}
    bars = {symbol: panel[symbol].loc[weights.index[0] : weights.index[-1]] for symbol, weights in made.items()}
    weights = pd.DataFrame(made, index=clock_of(bars))
    funding = {symbol: rates[symbol] for symbol in bars}
    barred = RiskRules(**barriers, volatility_window=config.window, reenter=True)
    table = Table(title=f"{len(bars)} perpetuals, {weights.index[0]:%Y-%m-%d} to {weights.index[-1]:%Y-%m-%d}")
    for name in ("rules", "Sharpe", "return", "drawdown", "orders", "commission", "funding", "engines differ"):
        table.add_column(name, justify="left" if name == "rules" else "right")
    table.add_row("weights alone, no funding", *told(bars, weights, RiskRules(), {}))
    for name, rules in {
        "weights alone": RiskRules(),
        "+ triple barrier": barred,
        "+ 2% risk a trade, 6% heat": replace(barred, risk_per_trade=0.02, max_heat=0.06),
        "+ 5% positions": replace(barred, risk_per_trade=0.02, max_heat=0.06, max_position=0.05),
        "+ flat at 15% drawdown for 30 days": replace(barred, max_drawdown=0.15, pause=720),
        "a view is traded once": replace(barred, reenter=False),
    }.items():
        table.add_row(name, *told(bars, weights, rules, funding))
    Console(width=140).print(table)


def told(bars: dict[str, pd.DataFrame], weights: pd.DataFrame, rules: RiskRules, funding: Any) -> list[str]:
    """Trade `weights` under `rules` in both engines; the numbers of one row."""
    from strategies.costs import Costs
    from strategies.portfolio import backtest_portfolio

    costs = Costs(commission=0.0005, slippage=0.0002, maker=0.0002)  # of perpetuals
    results, agreement = backtest_portfolio(bars, weights, rules=rules, costs=costs, funding=funding)
    found: dict[str, Any] = results["backtrader"].metrics
    return [
        "undefined" if found["sharpe"] is None else f"{found['sharpe']:.2f}",
        "gone" if found["total_return"] is None else f"{found['total_return']:+.1%}",
        f"{found['max_drawdown']:.1%}",
        f"{found['n_orders']:,}",
        f"{found['commission_paid']:,.0f}",
        f"{found['funding_paid']:,.0f}",
        f"{(agreement or {})['max_relative_difference']:.0e}",
    ]


if __name__ == "__main__":
    run_cli(main)
