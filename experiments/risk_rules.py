"""Do stops, risk limits and a drawdown limit help a model on perpetuals, and what does funding cost?

python experiments/risk_rules.py --bars BARS/derivs/binance_perp_{BTC,ETH,XRP,LTC,ADA}USDT_1h.parquet \
    --funding BARS/derivs/binance_perp_funding.parquet --start 2022-01-01 --out out/risk
"""

import time
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Literal

import pandas as pd
from rich.console import Console
from rich.table import Table

from strategies.account import RiskRules, clock_of
from strategies.account_study import study_one_of
from strategies.cli import parse_config, run_cli
from strategies.config import flag
from strategies.costs import Costs
from strategies.folder import check_folder
from strategies.output import write_study
from strategies.portfolio import backtest_portfolio


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
    entry: float = flag(0.15, "|signal| at which a position is opened", least=0, most=1)
    weight: float = flag(0.2, "weight of one position", least=0.01, most=1)
    out: str | None = flag(None, "folder to make for the report of one account; all of it or nothing is written")
    rules: Literal["weights", "barriers", "risk", "small", "drawdown", "once"] = flag(
        "risk", "the rules that the report tells of; the others are its rivals"
    )
    overwrite: bool = flag(False, "replace an earlier result in `out` (a switch)")


def main() -> None:
    config = parse_config(RiskConfig, None, __doc__)
    started = time.perf_counter()
    from mlcore import WalkForward, read_panel, triple_barrier, walk_forward_panel
    from mlcore.bars import panel_between
    from strategies.funding import read_funding
    from strategies.policy import Policy, target_weights

    if config.out:
        check_folder(config.out, overwrite=config.overwrite)
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
    limited = replace(barred, risk_per_trade=0.02, max_heat=0.06)
    table = Table(title=f"{len(bars)} perpetuals, {weights.index[0]:%Y-%m-%d} to {weights.index[-1]:%Y-%m-%d}")
    for name in ("rules", "Sharpe", "return", "drawdown", "orders", "commission", "funding", "engines differ"):
        table.add_column(name, justify="left" if name == "rules" else "right")
    traded("weights alone, no funding", table, bars, weights, RiskRules(), {}, run)
    kept = {
        "weights": ("weights alone", RiskRules()),
        "barriers": ("+ triple barrier", barred),
        "risk": ("+ 2% risk a trade, 6% heat", limited),
        "small": ("+ 5% positions", replace(limited, max_position=0.05)),
        "drawdown": ("+ flat at 15% drawdown for 30 days", replace(barred, max_drawdown=0.15, pause=720)),
        "once": ("a view is traded once", replace(barred, reenter=False)),
    }
    accounts = {name: traded(name, table, bars, weights, rules, funding, run) for name, rules in kept.values()}
    Console(width=140).print(table)
    if config.out:
        options: dict[str, Any] = {"config": asdict(config), "notes": run.notes}
        options["title"] = f"{config.model}, {len(bars)} perpetuals: {kept[config.rules][0]}"
        options["seconds"] = time.perf_counter() - started
        study = study_one_of(accounts, kept[config.rules][0], **options)
        write_study(study, config.out, overwrite=config.overwrite)
        Console().print(f"Open {config.out}/report.html", soft_wrap=True)


def traded(name: str, table: Table, bars: Any, weights: pd.DataFrame, rules: RiskRules, funding: Any, run: Any) -> Any:
    """Trade `weights` under `rules` in both engines, add a row to the table, and return results and reconciliation."""
    costs = Costs(commission=0.0005, slippage=0.0002, maker=0.0002)  # of perpetuals
    options: dict[str, Any] = {"rules": rules, "costs": costs, "funding": funding, "forecasts": run.forecasts}
    results, agreement = backtest_portfolio(bars, weights, **options)
    found: dict[str, Any] = results["backtrader"].metrics
    table.add_row(
        name,
        "undefined" if found["sharpe"] is None else f"{found['sharpe']:.2f}",
        "gone" if found["total_return"] is None else f"{found['total_return']:+.1%}",
        f"{found['max_drawdown']:.1%}",
        f"{found['n_orders']:,}",
        f"{found['commission_paid']:,.0f}",
        f"{found['funding_paid']:,.0f}",
        f"{(agreement or {})['max_relative_difference']:.0e}",
    )
    return results, agreement


if __name__ == "__main__":
    run_cli(main)
