"""What a backtest leaves behind; the same shape from both engines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

ORDER_COLUMNS = ["engine", "symbol", "decided", "timestamp", "size", "price", "commission", "status", "reason"]
METRICS = (
    "sharpe",
    "max_drawdown",
    "total_return",
    "final_value",
    "n_orders",
    "n_rejected",
    "commission_paid",
    "slippage_paid",
    "turnover",
)


@dataclass(frozen=True)
class BacktestResult:
    """One run of one engine over one span of bars.

    engine
        ``"backtrader"`` or ``"vectorbt"``.
    equity
        Series, index `timestamp` (a bar's open stamp), account value at that bar's close; the first
        row is the starting cash.
    weights
        Series on the same index: target weight decided at each bar's close; NaN means flat. Of a
        portfolio: a frame, one column a symbol.
    orders
        One row per order, `ORDER_COLUMNS`: `decided` is the stamp of the bar whose close decided it,
        `timestamp` that of the bar it filled on, `size` signed units filled, `price` with slippage,
        `status` ``filled``, ``partial`` or ``rejected``, `reason` a sentence for the last two; that of an order which a
        rule of the account gave (`strategies.account.RiskRules`) begins with the name of the rule.
    trades
        One row per round trip: ``symbol entry_time exit_time side size entry_price exit_price pnl commission
        reason`` (that of the order that closed it).
    metrics
        The engine's own numbers, keys `METRICS`; a number that is not defined is None and `notes` says why.
    """

    engine: str
    equity: pd.Series
    weights: pd.Series | Any  # DataFrame, of a portfolio
    orders: pd.DataFrame
    trades: pd.DataFrame
    metrics: dict[str, float | int | None]
    notes: tuple[str, ...] = ()
    forecasts: pd.DataFrame | None = None
    extras: dict[str, Any] = field(default_factory=dict)
