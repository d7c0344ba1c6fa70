"""From weights or forecasts to `vbt.Portfolio`: the functions that own the one-bar shift."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import vectorbt as vbt
from vectorbt.utils.config import merge_dicts

from mlcore.bars import bar_interval
from strategies.costs import Costs
from strategies.orders import (
    check_forecasts_before,
    checked_cash,
    checked_prices,
    checked_weights,
    order_targets,
    smallest_units,
)
from strategies.policy import Policy, bars_per_year, forecast_rows, target_weights
from strategies.sizers import Sizer

P = TypeVar("P", bound=vbt.Portfolio)


class YearlyPortfolio(vbt.Portfolio):
    """A `vbt.Portfolio` that knows its market's year: `sharpe_ratio()`, `stats()` and their like annualise by it.

    vectorbt's own ratios are of bar returns, x the root of the bars per year (`strategies.policy.bars_per_year`); the
    ratio of a run (`run_vectorbt`) is of daily ones, so the two differ a little. `year_freq` given to a call wins.
    """

    year: pd.Timedelta | None = None

    @property
    def writeable_attrs(self) -> set[str]:
        """What copies keep."""
        return {*super().writeable_attrs, "year"}

    def get_returns_acc(self, *args: Any, year_freq: Any = None, **options: Any) -> Any:
        """Return vectorbt's accessor of returns, with this portfolio's year."""
        return super().get_returns_acc(*args, year_freq=self.year if year_freq is None else year_freq, **options)

    @property
    def stats_defaults(self) -> dict[str, Any]:
        """vectorbt's own, with this portfolio's year."""
        return self._of_my_year(super().stats_defaults)

    @property
    def plots_defaults(self) -> dict[str, Any]:
        """vectorbt's own, with this portfolio's year."""
        return self._of_my_year(super().plots_defaults)

    def _of_my_year(self, defaults: dict[str, Any]) -> dict[str, Any]:
        return defaults if self.year is None else merge_dicts(defaults, {"settings": {"year_freq": self.year}})


def portfolio_from_weights(
    bars: pd.DataFrame,
    weights: pd.Series | pd.DataFrame,
    *,
    costs: Costs | None = None,
    cash: float = 10_000.0,
    days_per_year: float = 365.0,
    **options: Any,
) -> YearlyPortfolio:
    """Return a `vbt.Portfolio` that trades target weights decided at each bar's close at the next bar's open.

    **This function owns the one-bar shift**: give the weights as they were decided, unshifted. Shift them
    yourself and every order fills a bar late; `Portfolio.from_orders` without a shift fills at the close
    that decided. A frame of weights gives one column, with an account of its own, per column. Fills follow
    the rule of `backtest`; `days_per_year` is what its ratios annualise by (`YearlyPortfolio`); `options` go to
    `Portfolio.from_orders` (`freq`, `log`, `engine`, ...).
    """
    checked_prices(bars)
    checked_weights(weights, bars)
    if len(bars) > 1:
        options = {"freq": bar_interval(bars), **options}
    if isinstance(weights, pd.DataFrame):
        options = {"columns": weights.columns, **options}
        targets = np.column_stack([order_targets(weights.iloc[:, column]) for column in range(weights.shape[1])])
    else:
        targets = order_targets(weights)
    portfolio = simulate(bars, targets, costs or Costs(), checked_cash(cash), kind=YearlyPortfolio, **options)
    if len(bars) > 1:
        portfolio.year = bar_interval(bars) * bars_per_year(bars, days_per_year)
    return portfolio


def portfolio_from_forecasts(
    bars: pd.DataFrame,
    forecasts: pd.DataFrame,
    *,
    policy: Policy | None = None,
    sizer: str | Sizer = "fixed",
    sizer_params: Mapping[str, Any] | None = None,
    costs: Costs | None = None,
    cash: float = 10_000.0,
    days_per_year: float = 365.0,
    **options: Any,
) -> YearlyPortfolio:
    """Return a `vbt.Portfolio` that trades the frame of `walk_forward` over its span of `bars`.

    Forecasts become weights by `policy.target_weights`, weights fills by `portfolio_from_weights`, which
    **owns the one-bar shift**: give the forecasts unshifted. Raises `LookAheadError` for a row whose model
    was trained through that row's bar or later.
    """
    check_forecasts_before(forecasts, bars)
    weights = target_weights(
        forecasts,
        bars,
        policy=policy,
        sizer=sizer,
        sizer_params=sizer_params,
        days_per_year=days_per_year,
    )
    span = bars.iloc[forecast_rows(forecasts, bars)]
    return portfolio_from_weights(span, weights, costs=costs, cash=cash, days_per_year=days_per_year, **options)


# The kernels take 1e-12 for zero, of units, of money and of a price. In units of the account that is a rule
# of its own for each market: real numbers where a unit costs 1e6, nothing where the account holds 1e9. So a
# run counts in money and lots of its own, powers of two (scaled exactly, read back exactly) that put the
# starting cash near 1, the highest price near 2^-10 (an account of a thousand lots), and no price below 2^-30.
_HIGHEST, _LOWEST = -10, -30


@dataclass(frozen=True)
class Scale:
    """Engine money per unit of account currency, and units of the asset per engine lot."""

    money: float = 1.0
    lot: float = 1.0

    @classmethod
    def of(cls, bars: pd.DataFrame, cash: float) -> Scale:
        """Return the scale of a run over `bars`."""
        prices = bars[["open", "close"]].to_numpy(np.float64)
        money = -round(math.log2(cash))
        lot = max(_HIGHEST - math.log2(prices.max()), _LOWEST - math.log2(prices.min())) - money
        return cls(2.0**money, 2.0 ** round(lot))

    @property
    def price(self) -> float:
        """Engine price per price."""
        return self.money * self.lot


def simulate(
    bars: pd.DataFrame,
    targets: np.ndarray,
    costs: Costs,
    cash: float,
    *,
    scale: Scale | None = None,
    columns: pd.Index | None = None,
    log: bool = False,
    kind: type[P] = vbt.Portfolio,
    **options: Any,
) -> P:
    """Order `targets`, ``(N,)`` or ``(N, columns)`` of `order_targets`, each on the row after its own."""
    scale = scale or Scale()
    close = bars["close"] * scale.price
    opened = bars["open"].to_numpy(np.float64) * scale.price
    # The shift, in one place: what row t decided is ordered on row t + 1, at its open.
    ordered = np.concatenate([np.full_like(targets[:1], np.nan), targets[:-1]])
    decided = close.shift(1).to_numpy(np.float64)
    if targets.ndim == 2:
        opened, decided = opened[:, None], decided[:, None]
    settings = {
        **execution(ordered, opened, decided, cash * scale.money),
        "size": ordered if columns is None else pd.DataFrame(ordered, bars.index, columns),
        "fees": costs.commission,
        "slippage": costs.slippage,
        "log": ~np.isnan(ordered) if log else False,
    }
    return kind.from_orders(close, **{**settings, **options})


def execution(ordered: np.ndarray, opened: np.ndarray, decided: np.ndarray, cash: float) -> dict[str, Any]:
    """Return the rule of execution in vectorbt's words: target weights `ordered` by the rows they fill on.

    `opened` are those rows' opens, `decided` the closes that decided; all of one shape, or of shapes that broadcast.
    The account is valued at the close that decided (without `val_price`: at the price of the fill).
    """
    orders = max(int((~np.isnan(ordered)).sum()), 1)
    return {
        "size_type": "targetpercent",
        "price": opened,
        "val_price": decided,
        "min_size": np.nan_to_num(smallest_units(decided, cash, ordered)),
        "init_cash": cash,
        "max_orders": orders,
        "max_logs": orders,
    }
