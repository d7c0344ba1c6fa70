"""Weights over bars in vectorbt, by `Portfolio.from_orders` on its Rust kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import vectorbt as vbt
from vectorbt._engine import is_rust_available
from vectorbt.portfolio.enums import OrderSide, OrderStatus, OrderStatusInfo

from strategies.costs import Costs
from strategies.measures import sharpe_or_note
from strategies.orders import (
    BROKE,
    CLIP_TOLERANCE,
    NO_CASH,
    PARTIAL,
    Plan,
    check_forecasts_before,
    clip_note,
    make_plan,
    orders_table,
    smallest_units,
)
from strategies.result import BacktestResult
from strategies.trades import round_trips

ENGINE = "vectorbt"
FELL_BACK = "vectorbt ran on numba, not on Rust (its first call compiles for 12-20 s): {reason}"


def run_vectorbt(
    bars: pd.DataFrame,
    weights: pd.Series,
    *,
    costs: Costs | None = None,
    cash: float = 10_000.0,
    days_per_year: float = 365.0,
    forecasts: pd.DataFrame | None = None,
    symbol: str = "asset",
) -> BacktestResult:
    """Trade `weights` over `bars` in vectorbt; see `backtest` for the rule of execution.

    `forecasts` are checked (`LookAheadError`) and kept in the result; the weights alone decide the orders.
    ``extras["kernel"]`` is ``"rust"``, or ``"numba"`` with a note where vectorbt had to fall back.
    """
    check_forecasts_before(forecasts, bars)
    plan = make_plan(bars, weights, costs, cash)
    portfolio, kernel, fallback = _simulate(plan)
    orders = orders_table(ENGINE, symbol, bars.index, _order_rows(portfolio, plan))
    equity = pd.Series(np.asarray(portfolio.value(engine=kernel), np.float64), bars.index, name=ENGINE)
    metrics, notes = _metrics(plan, portfolio, equity, orders, days_per_year, kernel)
    return BacktestResult(
        engine=ENGINE,
        equity=equity,
        weights=plan.weights,
        orders=orders,
        trades=round_trips(orders),
        metrics=metrics,
        notes=(*notes, *([fallback] if fallback else [])),
        forecasts=forecasts,
        extras={"version": vbt.__version__, "kernel": kernel},
    )


def portfolio_from_weights(
    bars: pd.DataFrame,
    weights: pd.Series,
    *,
    costs: Costs | None = None,
    cash: float = 10_000.0,
    **options: Any,
) -> vbt.Portfolio:
    """Return a `vbt.Portfolio` that trades target weights decided at each bar's close at the next bar's open.

    **This function owns the one-bar shift**: give the weights unshifted, as they were decided. Shift them
    yourself and every order fills a bar late; `Portfolio.from_orders` without a shift fills at the close
    that decided. `options` go to `Portfolio.from_orders` (`freq`, `log`, `engine`, ...).
    """
    return _from_plan(make_plan(bars, weights, costs, cash), **options)


def _simulate(plan: Plan) -> tuple[vbt.Portfolio, str, str]:
    """Return the portfolio, the kernel that ran, and a note if that was not Rust."""
    if not is_rust_available():
        reason = "vectorbt-rust is missing or of another version"
        return _from_plan(plan, log=True, engine="numba"), "numba", FELL_BACK.format(reason=reason)
    try:
        return _from_plan(plan, log=True, engine="rust"), "rust", ""
    except ValueError as error:
        if "Rust engine" not in str(error):
            raise
        return _from_plan(plan, log=True, engine="numba"), "numba", FELL_BACK.format(reason=error)


def _from_plan(plan: Plan, *, log: bool = False, **options: Any) -> vbt.Portfolio:
    targets, close = plan.targets, plan.bars["close"]
    # The shift, in one place: what row t decided is ordered on row t + 1, at its open.
    ordered = np.r_[np.nan, targets[:-1]]
    orders = ~np.isnan(ordered)
    smallest = np.zeros(len(targets))
    for row in np.flatnonzero(orders).tolist():
        smallest[row] = smallest_units(close.iloc[row - 1], plan.cash, ordered[row])
    n_orders = int(orders.sum())
    settings = {
        "size": ordered,
        "size_type": "targetpercent",
        "price": plan.bars["open"].to_numpy(np.float64),
        # The account is valued at the close that decided (without this: at the price of the fill).
        "val_price": -np.inf,
        "min_size": smallest,
        "fees": plan.costs.commission,
        "slippage": plan.costs.slippage,
        "init_cash": plan.cash,
        "log": orders if log else False,
        "max_orders": max(n_orders, 1),
        "max_logs": max(n_orders, 1),
    }
    return vbt.Portfolio.from_orders(close, **{**settings, **options})


def _order_rows(portfolio: vbt.Portfolio, plan: Plan) -> list[tuple]:
    """Read vectorbt's log into ``(decided, filled, size, price, commission, status, reason)``; dust is no row."""
    log = portfolio.log_records
    sign = np.where(log["res_side"] == OrderSide.Buy, 1.0, -1.0)
    wanted = np.abs(log["req_size"] * log["value"] / log["val_price"] - log["position"])
    filled, rejected = log["res_status"] == OrderStatus.Filled, log["res_status"] == OrderStatus.Rejected
    clipped = filled & (log["res_size"] < wanted * (1 - CLIP_TOLERANCE))
    broke = rejected & (log["res_status_info"] == OrderStatusInfo.ValueZeroNeg)
    too_small = rejected & (log["res_status_info"] == OrderStatusInfo.MinSizeNotReached)
    dust = too_small & (wanted < log["req_min_size"] * (1 - CLIP_TOLERANCE))
    reasons = np.select([broke, rejected, clipped], [BROKE, NO_CASH, PARTIAL], "")
    statuses = np.select([rejected, clipped], ["rejected", "partial"], "filled")
    kept = (filled | rejected) & ~dust
    size, fees = np.where(filled, sign * log["res_size"], 0.0), np.where(filled, log["res_fees"], 0.0)
    columns = (log["idx"] - 1, log["idx"], size, np.where(filled, log["res_price"], np.nan), fees, statuses, reasons)
    return list(zip(*(column[kept].tolist() for column in columns), strict=True))


def _metrics(
    plan: Plan, portfolio: vbt.Portfolio, equity: pd.Series, orders: pd.DataFrame, days_per_year: float, kernel: str
) -> tuple[dict, tuple]:
    daily = equity.groupby(equity.index.floor("D")).last()
    returns = vbt.returns.accessors.ReturnsSRAccessor.from_value(
        daily, init_value=plan.cash, engine=kernel, freq="1D", year_freq=pd.Timedelta(days=days_per_year)
    )
    own = returns.sharpe_ratio() if len(daily) > 1 else None
    ratio, note = sharpe_or_note(own, returns.obj.to_numpy(), float(equity.min()))
    # From the starting cash on: vectorbt's own drawdown begins at the first bar's close.
    fall = pd.Series(np.r_[plan.cash, equity.to_numpy()]).vbt.drawdown(engine=kernel)
    fills = portfolio.orders.records_arr
    before = equity.to_numpy()[fills["idx"] - 1]
    opened = plan.bars["open"].to_numpy(np.float64)[fills["idx"]]
    metrics: dict[str, float | int | None] = {
        "sharpe": ratio,
        "max_drawdown": max(-float(fall.min()), 0.0),
        "total_return": float(portfolio.total_return(engine=kernel)),
        "final_value": float(portfolio.final_value(engine=kernel)),
        "n_orders": len(orders),
        "n_rejected": int((orders["status"] == "rejected").sum()),
        "turnover": float((fills["size"] * fills["price"] / before).sum()),
        "slippage_paid": float((fills["size"] * np.abs(fills["price"] - opened)).sum()),
        "commission_paid": float(fills["fees"].sum()),
    }
    return metrics, tuple(filter(None, (note, clip_note(orders))))
