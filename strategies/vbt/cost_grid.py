"""What costs leave of one trading rule: commission x slippage x delay, and the commission it stops earning at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from mlcore.kinds import checked
from strategies.costs import Costs
from strategies.orders import check_forecasts_before, checked_cash, order_targets
from strategies.policy import Policy, target_weights
from strategies.vbt.accounts import Accounts, Orders
from strategies.vbt.sweep import Grid, parse_sizer, sweep

HIGHEST = 0.05  # a commission that nobody is asked: a rule that earns above it is told so
ROUNDS, STEPS = 4, 33  # each round narrows the bracket 32-fold


@checked
def cost_grid(
    forecasts: pd.DataFrame,
    bars: pd.DataFrame,
    *,
    policy: Policy | None = None,
    sizer: str = "fixed",
    commission: Sequence[float] = (0.0, 0.0002, 0.0005, 0.001, 0.002),
    slippage: Sequence[float] = (0.0, 0.0005, 0.001),
    delay: Sequence[int] = (0, 1, 2),
    cash: float = 10_000.0,
    days_per_year: float = 365.0,
) -> pd.DataFrame:
    """Trade one rule at every cost; return the rows of `sweep`, with ``break_even`` beside them.

    ``break_even`` is the commission at which the rule ends with what it began with, at that row's slippage and delay
    (`break_even_commission`): NaN where it loses even at none.
    """
    rule = {name: (value,) for name, value in asdict(policy or Policy()).items()}
    grid = Grid(**rule, sizer=(sizer,), commission=commission, slippage=slippage, delay=delay)
    table = sweep(forecasts, bars, grid, cash=cash, days_per_year=days_per_year)
    same = {"policy": policy, "sizer": sizer, "cash": cash, "days_per_year": days_per_year}
    found = {
        (slip, late): break_even_commission(forecasts, bars, slippage=slip, delay=late, **same)  # type: ignore[arg-type]
        for slip, late in table[["slippage", "delay"]].drop_duplicates().itertuples(index=False)
    }
    pairs = zip(table["slippage"], table["delay"], strict=True)
    table["break_even"] = [np.nan if (value := found[pair]) is None else value for pair in pairs]
    return table


@checked
def break_even_commission(
    forecasts: pd.DataFrame,
    bars: pd.DataFrame,
    *,
    policy: Policy | None = None,
    sizer: str = "fixed",
    slippage: float = 0.0005,
    delay: int = 0,
    cash: float = 10_000.0,
    days_per_year: float = 365.0,
) -> float | None:
    """Return the commission, as a fraction of a fill's value, at which the rule earns nothing; to 1e-7 or better.

    None where it loses at no commission, or never trades; infinity where it still earns at `HIGHEST`.
    """
    check_forecasts_before(forecasts, bars)
    name, params = parse_sizer(sizer)
    weights = target_weights(
        forecasts, bars, policy=policy, sizer=name, sizer_params=params, days_per_year=days_per_year
    )
    accounts = Accounts(bars.loc[weights.index], checked_cash(cash), days_per_year)
    orders = Orders.of(order_targets(weights)).late(delay, len(weights))

    def earned(commissions: np.ndarray) -> np.ndarray:
        costs = [Costs(float(commission), slippage) for commission in commissions]
        return accounts.trade([orders] * len(costs), costs)["final_value"].to_numpy() - cash

    low, high = 0.0, HIGHEST
    ends = earned(np.array([low, high]))
    if not ends[0] > 0:
        return None
    if ends[1] > 0:
        return float("inf")
    for _ in range(ROUNDS):
        tried = np.linspace(low, high, STEPS)
        last = int(np.flatnonzero(earned(tried) > 0)[-1])
        low, high = tried[last], tried[last + 1]
    return float((low + high) / 2)
