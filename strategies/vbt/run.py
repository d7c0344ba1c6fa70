"""Weights over bars in vectorbt, by `Portfolio.from_orders` on its Rust kernels."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import vectorbt as vbt
from vectorbt._engine import is_rust_available
from vectorbt.portfolio.enums import OrderSide, OrderStatus, OrderStatusInfo

from strategies.costs import Costs
from strategies.measures import open_note, return_or_note, returns_per_year, sharpe_or_note
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
)
from strategies.result import BacktestResult
from strategies.trades import round_trips
from strategies.vbt.portfolio import Scale, simulate

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
    in_sample: bool = False,
) -> BacktestResult:
    """Trade `weights` over `bars` in vectorbt; see `backtest` for the rule of execution.

    `forecasts` are checked (`LookAheadError`; `in_sample` lets those pass that know their own bar, by name) and kept in
    the result; the weights alone decide the orders.
    ``extras["kernel"]`` is ``"rust"``, or ``"numba"`` with a note where vectorbt had to fall back.
    """
    check_forecasts_before(forecasts, bars, in_sample)
    plan = make_plan(bars, weights, costs, cash)
    scale = Scale.of(plan.bars, plan.cash)
    portfolio, kernel, fallback = _simulate(plan, scale)
    orders = orders_table(ENGINE, symbol, bars.index, _order_rows(portfolio, scale))
    equity = pd.Series(portfolio.value(engine=stats_kernel(kernel)).to_numpy() / scale.money, bars.index, name=ENGINE)
    metrics, notes = _metrics(plan, equity, orders, days_per_year, stats_kernel(kernel))
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


def _simulate(plan: Plan, scale: Scale) -> tuple[vbt.Portfolio, str, str]:
    """Return the portfolio (in the scale), the kernel that ran, and a note if that was not Rust."""
    # Rows for stamps: vectorbt makes an object of every stamp of its index, ten times over (3 s in 100,000 bars).
    bars = plan.bars[["open", "close"]].reset_index(drop=True)
    run = partial(simulate, bars, plan.targets, plan.costs, plan.cash, scale=scale, log=True)
    if not is_rust_available():
        reason = "vectorbt-rust is missing or of another version"
        return run(engine="numba"), "numba", FELL_BACK.format(reason=reason)
    try:
        return run(engine="rust"), "rust", ""
    except ValueError as error:
        if "Rust engine" not in str(error):
            raise
        return run(engine="numba"), "numba", FELL_BACK.format(reason=error)


def stats_kernel(kernel: str) -> str:
    """Return the kernel for vectorbt's own statistics: the one that simulated."""
    return kernel


def _order_rows(portfolio: vbt.Portfolio, scale: Scale) -> list[tuple]:
    """Read vectorbt's log into ``(decided, filled, size, price, commission, status, reason)``; dust is no row."""
    log = portfolio.log_records
    sign = np.where(log["res_side"] == OrderSide.Buy, 1.0, -1.0)
    wanted = np.abs(log["req_size"] * log["value"] / log["val_price"] - log["position"])
    filled, rejected = log["res_status"] == OrderStatus.Filled, log["res_status"] == OrderStatus.Rejected
    clipped = filled & (log["res_size"] < wanted * (1 - CLIP_TOLERANCE))
    broke = rejected & (log["res_status_info"] == OrderStatusInfo.ValueZeroNeg)
    # Rejected for want of cash or of size, but no order to begin with.
    dust = rejected & ~broke & (wanted < log["req_min_size"] * (1 - CLIP_TOLERANCE))
    reasons = np.select([broke, rejected, clipped], [BROKE, NO_CASH, PARTIAL], "")
    statuses = np.select([rejected, clipped], ["rejected", "partial"], "filled")
    kept = (filled | rejected) & ~dust
    size = np.where(filled, sign * log["res_size"] * scale.lot, 0.0)
    fees = np.where(filled, log["res_fees"] / scale.money, 0.0)
    price = np.where(filled, log["res_price"] / scale.price, np.nan)
    columns = (log["idx"] - 1, log["idx"], size, price, fees, statuses, reasons)
    return list(zip(*(column[kept].tolist() for column in columns), strict=True))


def engine_numbers(
    equity: pd.Series, cash: float, days_per_year: float, kernel: str
) -> tuple[float | None, str, float]:
    """Return vectorbt's own Sharpe ratio, the note where it is not defined, and its own maximal drawdown."""
    daily = equity.groupby(pd.DatetimeIndex(equity.index).floor("D")).last()
    year = pd.Timedelta(days=returns_per_year(pd.DatetimeIndex(equity.index), days_per_year))  # each counts as a day
    returns = vbt.returns.accessors.ReturnsSRAccessor.from_value(
        daily, init_value=cash, engine=kernel, freq="1D", year_freq=year
    )
    own = returns.sharpe_ratio() if len(daily) > 1 else None
    ratio, note = sharpe_or_note(own, returns.obj.to_numpy(), float(equity.min()) / cash)
    # From the starting cash on: vectorbt's own drawdown begins at the first bar's close.
    fall = vbt.generic.accessors.GenericSRAccessor(pd.Series(np.r_[cash, equity.to_numpy()])).drawdown(engine=kernel)
    return ratio, note, abs(float(fall.min()))


def _metrics(
    plan: Plan, equity: pd.Series, orders: pd.DataFrame, days_per_year: float, kernel: str
) -> tuple[dict, tuple]:
    ratio, note, fall = engine_numbers(equity, plan.cash, days_per_year, kernel)
    earned, ruin = return_or_note(float(equity.iloc[-1]), equity, plan.cash)
    fills = orders[orders["size"] != 0]
    rows = equity.index.get_indexer(pd.Index(fills["timestamp"]))
    opened = plan.bars["open"].to_numpy(np.float64)[rows]
    size, price = fills["size"].abs().to_numpy(), fills["price"].to_numpy()
    metrics: dict[str, float | int | None] = {
        "sharpe": ratio,
        "max_drawdown": fall,
        "total_return": earned,
        "final_value": float(equity.iloc[-1]),
        "n_orders": len(orders),
        "n_rejected": int((orders["status"] == "rejected").sum()),
        "turnover": float((size * price / equity.to_numpy()[rows - 1]).sum()),
        "slippage_paid": float((size * np.abs(price - opened)).sum()),
        "commission_paid": float(fills["commission"].sum()),
    }
    return metrics, tuple(filter(None, (ruin, note, open_note(plan, orders), clip_note(orders))))
