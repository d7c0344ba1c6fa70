"""From an engine's equity and orders to a result; the same for both."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from strategies.account import core
from strategies.account.plan import REASONS, AccountPath, AccountPlan
from strategies.measures import return_or_note
from strategies.orders import clip_note, orders_table
from strategies.result import BacktestResult
from strategies.trades import round_trips

_UNSLIPPED = REASONS[2]  # a profit barrier fills at its own price


def account_result(
    engine: str,
    version: str,
    path: AccountPath,
    equity: pd.Series,
    rows: list[tuple],
    funding: list[float],
    numbers: tuple[float | None, str, float],
    forecasts: Mapping[str, pd.DataFrame] | None = None,
) -> BacktestResult:
    """Return the result of a run of one engine.

    `rows` are ``(symbol, decided row, fill row, size, price, commission, status, reason)``; `funding` what holding cost
    at each row's open; `numbers` the engine's own Sharpe ratio, its note, and its maximal drawdown.

    The result's extras: the `plan` that was traded, ``holding_paid`` (`funding` as a series), and what the path tells
    of itself (`AccountPath`): ``holding`` by symbol, ``barriers`` by position, orders ``waiting`` at the end, ``cuts``.
    """
    plan = path.plan
    orders = orders_table(engine, [row[0] for row in rows], plan.clock, [row[1:] for row in rows])
    paid = pd.Series(funding, plan.clock, dtype=np.float64, name="holding_paid")
    ratio, note, fall = numbers
    earned, ruin = return_or_note(float(equity.iloc[-1]), equity, plan.cash)
    metrics: dict[str, float | int | None] = {
        "sharpe": ratio,
        "max_drawdown": fall,
        "total_return": earned,
        "final_value": float(equity.iloc[-1]),
        "n_orders": len(orders),
        "n_rejected": int((orders["status"] == "rejected").sum()),
        **_paid(plan, equity, orders),
        "funding_paid": float(path.paid[[core.FUNDING_LONG, core.FUNDING_SHORT]].sum()),
        "borrow_paid": float(path.paid[core.BORROW].sum()),
    }
    owed = f"what holding cost was not paid for want of cash: {path.owed:,.6g} is owed" if path.owed > 0 else ""
    return BacktestResult(
        engine=engine,
        equity=equity,
        weights=plan.weights,
        orders=orders,
        trades=round_trips(orders),
        metrics=metrics,
        notes=tuple(filter(None, (ruin, note, clip_note(orders), owed, *path.notes()))),
        forecasts=_one(forecasts),
        extras={
            "version": version,
            "plan": plan,
            "holding_paid": paid,
            "holding": path.holding(),
            "barriers": path.barriers(),
            "waiting": path.waiting(),
            "cuts": path.cuts(),
        },
    )


def _one(forecasts: Mapping[str, pd.DataFrame] | None) -> pd.DataFrame | None:
    """Return the forecasts of all symbols as one frame with a column `symbol`."""
    if not forecasts:
        return None
    return pd.concat([frame.assign(symbol=symbol) for symbol, frame in forecasts.items()])


def _paid(plan: AccountPlan, equity: pd.Series, orders: pd.DataFrame) -> dict[str, float]:
    """Return turnover, slippage and commission, from the fills of one engine."""
    fills = orders[orders["size"] != 0]
    rows = plan.clock.get_indexer(pd.DatetimeIndex(fills["timestamp"]))
    size, price = fills["size"].to_numpy(), fills["price"].to_numpy()
    columns = pd.Index(plan.symbols).get_indexer(pd.Index(fills["symbol"]))
    slip = np.sign(size) * plan.market.slippage[rows, columns]
    quoted = np.where(fills["reason"].str.startswith(_UNSLIPPED), price, price / (1 + slip))
    before = np.r_[plan.cash, equity.to_numpy()][rows]
    return {
        "turnover": float((np.abs(size) * price / before).sum()),
        "slippage_paid": float((np.abs(size) * np.abs(price - quoted)).sum()),
        "commission_paid": float(fills["commission"].sum()),
    }
