"""Bars to work out on paper, and runs of both engines over them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from strategies.account import RiskRules
from strategies.costs import Costs
from strategies.portfolio import backtest_portfolio
from strategies.result import BacktestResult

FREE = Costs(0.0, 0.0)


def bars_of(rows: list[tuple[float, float, float, float] | None]) -> pd.DataFrame:
    """Hourly bars of (open, high, low, close); None is no bar."""
    index = pd.date_range("2024", periods=len(rows), freq="1h", tz="UTC", name="timestamp").as_unit("ns")
    kept = [(stamp, *row) for stamp, row in zip(index, rows, strict=True) if row is not None]
    frame = pd.DataFrame(kept, columns=["timestamp", "open", "high", "low", "close"]).set_index("timestamp")
    return frame.astype(float).assign(volume=1.0)


def quiet(n: int, price: float = 100.0) -> list[Any]:
    return [(price, price, price, price)] * n


def both(bars: dict[str, pd.DataFrame], weights: dict[str, list[float]], **settings: Any) -> list[BacktestResult]:
    """The results of both engines, which agree; weights by symbol, one a row of the clock."""
    clock = pd.DatetimeIndex(sorted(set().union(*(frame.index for frame in bars.values()))), name="timestamp")
    settings = {"costs": FREE, "rules": RiskRules(), **settings}
    results, agreement = backtest_portfolio(bars, pd.DataFrame(weights, clock), **settings)
    assert agreement is not None and agreement["agrees"]
    return list(results.values())


def one(rows: list[Any], weights: list[float], **settings: Any) -> list[BacktestResult]:
    return both({"A": bars_of(rows)}, {"A": weights}, **settings)
