"""One account with everything that a report must tell of, traded for real in both engines, and its books on paper."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from strategies.account import RiskRules, clock_of
from strategies.account_study import study_account
from strategies.costs import Costs
from strategies.portfolio import backtest_portfolio
from strategies.study import AccountStudy
from tests.conftest import random_bars

COSTS = Costs(commission=0.001, slippage=0.0005, maker=0.0002)
RULES = RiskRules(
    stop=2.0, profit=3.0, horizon=12, volatility_window=10, reenter=True, risk_per_trade=0.01, max_position=0.36,
    max_drawdown=0.12, pause=48, borrow=0.3,
)  # fmt: skip
N = 1390


@cache
def panel() -> dict[str, pd.DataFrame]:
    """A has all bars, B begins late and has a gap, C ends early."""
    some = {name: random_bars(N, seed=seed, volatility=0.01) for seed, name in enumerate("ABC")}
    return {"A": some["A"], "B": some["B"].iloc[200:].drop(some["B"].index[497:504]), "C": some["C"].iloc[:-100]}


def forecasts(bars: pd.DataFrame, seed: int) -> pd.DataFrame:
    signal = np.random.default_rng(seed).choice([1.0, -1.0, 0.0], len(bars) // 8 + 1).repeat(8)[: len(bars)]
    made = {"signal": signal, "confidence": 0.4, "fold": 0, "trained_through": bars.index[0] - pd.Timedelta(hours=3)}
    return pd.DataFrame(made, bars.index)


@cache
def rates() -> pd.Series:
    stamps = panel()["A"].index[5::8]
    return pd.Series(np.random.default_rng(7).normal(0, 0.002, len(stamps)), stamps)


@cache
def account_study(**settings: Any) -> AccountStudy:
    """The account under `RULES`, or others."""
    bars = panel()
    made = {name: forecasts(frame, seed) for seed, (name, frame) in enumerate(bars.items())}
    weights = pd.DataFrame({name: one["signal"] * 0.4 for name, one in made.items()}, clock_of(bars))
    options: dict[str, Any] = {"rules": RULES, "costs": COSTS, "funding": {"A": rates(), "B": rates()}}
    options |= {"forecasts": made, "cash": 10_000.0} | settings
    results, reconciliation = backtest_portfolio(bars, weights, **options)
    plain, _ = backtest_portfolio(bars, weights, costs=COSTS, engine="backtrader")
    rivals = {"weights alone": plain["backtrader"]}
    return study_account(
        results, reconciliation, title="three symbols", rivals=rivals, config={"model": "none"}, seed=3
    )


def sides_on_paper(study: AccountStudy) -> pd.DataFrame:
    """Net profit by symbol (rows) and side (``long short``), from fills, closes, rates and the clock alone.

    Every fill is split into what it does to the units held long and what to those held short.
    """
    result, bars = next(iter(study.results.values())), panel()
    rows = {}
    for symbol, frame in bars.items():
        fills = result.orders[(result.orders["symbol"] == symbol) & (result.orders["size"] != 0)]
        after = fills["size"].cumsum().to_numpy(copy=True)
        after[np.abs(after) < 1e-9] = 0.0
        before = np.r_[0.0, after[:-1]]
        price, last = fills["price"].to_numpy(), float(frame["close"].iloc[-1])
        book = {}
        for name, part in (("long", np.maximum), ("short", np.minimum)):
            units = part(after, 0) - part(before, 0)
            fee = fills["commission"].to_numpy() * np.abs(units) / np.abs(after - before)
            book[name] = float(-(units * price).sum() - fee.sum() + part(after[-1], 0) * last)
        paid = holding_on_paper(symbol, frame, fills, result.equity.index)
        rows[symbol] = {name: book[name] - paid[name] for name in book} | {"borrow": paid["borrow"]}
    return pd.DataFrame.from_dict(rows, orient="index")


def holding_on_paper(symbol: str, frame: pd.DataFrame, fills: pd.DataFrame, clock: Any) -> dict[str, float]:
    """What holding cost, bar by bar: on what was held when the bar opened, at that open (the last close in a gap)."""
    held = fills.groupby("timestamp")["size"].sum().reindex(clock, fill_value=0.0).cumsum().shift(1, fill_value=0.0)
    price = frame["open"].reindex(clock).fillna(frame["close"].reindex(clock).ffill())
    value = (held.where(held.abs() > 1e-9, 0.0) * price).fillna(0.0)
    rate = rates().reindex(clock, fill_value=0.0) if symbol in "AB" else 0.0
    years = pd.Series(clock, clock).diff().dt.total_seconds().fillna(0.0) / (365 * 86_400)
    borrow = float((-value.clip(upper=0.0) * 0.3 * years).sum())
    funding = value * rate
    return {"long": funding[value > 0].sum(), "short": funding[value < 0].sum() + borrow, "borrow": borrow}
