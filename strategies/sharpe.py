"""Sharpe ratios of accounts with an interval: days drawn again in blocks, the same days for all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlcore.bootstrap import Estimate, Resamples, block_length, differences, estimate, resample
from mlcore.quality import Metric
from strategies.measures import NO_MOVE
from strategies.orders import MIN_ACCOUNT
from strategies.result import BacktestResult

FEWEST_DAYS = 20  # below, days drawn again are the same few over and over


def daily_returns(result: BacktestResult) -> pd.Series | None:
    """Return simple returns between the last bars of the UTC days, the first from the starting cash.

    None for an account that fell to zero: from there on returns mean nothing.
    """
    equity = result.equity
    cash = float(equity.iloc[0])
    if float(equity.min()) <= MIN_ACCOUNT * cash:
        return None
    last = equity.groupby(pd.DatetimeIndex(equity.index).floor("D")).last()
    return last / last.shift(1, fill_value=cash) - 1


def sharpe_metric(returns: np.ndarray, year: float) -> Metric:
    """Return the Sharpe ratio of ``(D,)`` returns as a function of how often each day counts; times `year`."""
    sums = np.column_stack([np.ones(len(returns)), returns, returns**2])

    def of(weights: np.ndarray) -> np.ndarray:
        n, total, square = (weights @ sums).T
        mean = total / n
        variance = (square - n * mean**2) / np.maximum(n - 1, 1)
        defined = variance > 1e-12 * square / n
        return np.where(defined, mean / np.sqrt(np.where(defined, variance, 1.0)) * year, np.nan)

    return Metric(of, by_day=True)


@dataclass(frozen=True)
class SharpeRatios:
    """Annual Sharpe ratios of accounts over the same days.

    ratios
        account -> its ratio with a 95% interval; None where the account was gone, 0 without one where it never moved.
    less
        account -> ratio of the first account less this one's, paired day by day.
    days, block
        Returns that each has, and the mean length of the blocks they were drawn in.
    """

    ratios: dict[str, Estimate]
    less: dict[str, Estimate]
    days: int
    block: float


def sharpe_ratios(
    results: Mapping[str, BacktestResult], per_year: float, *, resamples: int = 1000, seed: int = 0
) -> SharpeRatios:
    """Return the ratios of `results`, whose first is held against all others; `per_year` returns are a year.

    Days come in blocks of random length (stationary bootstrap) as long as the most dependent account asks for. Fewer
    than 20 days have ratios without intervals. The days are those of the first account (of the first that was never
    gone); one that lacks some of them has no ratio, days that it has besides do not count.
    """
    table = _paired(results)
    year, days = math.sqrt(per_year), len(table)
    block = block_length(table.to_numpy()) if days else 1.0
    metrics = {str(name): sharpe_metric(table[name].to_numpy(), year) for name in table}
    drawn = {}
    if days >= FEWEST_DAYS:
        drawn = resample(metrics, Resamples(1, days, 1.0, block, n=resamples, seed=seed))
    nothing = np.full(1, np.nan)
    values = {name: _known(float(metric.of(np.ones((1, days)))[0])) for name, metric in metrics.items() if days > 1}
    ratios = {name: estimate(values.get(name), drawn.get(name, nothing)) for name in results}
    for name in (
        table.columns[table.abs().max() < NO_MOVE] if days > 1 else ()
    ):  # the convention of `strategies.measures`
        ratios[name], drawn[name] = Estimate(0.0), np.zeros(resamples)
    first = next(iter(results))
    if first not in drawn or days < FEWEST_DAYS:
        return SharpeRatios(ratios, {}, days, block)
    less = {
        name: differences(
            {"sharpe": ratios[first]}, {"sharpe": ratios[name]}, {"sharpe": drawn[first]}, {"sharpe": drawn[name]}
        )["sharpe"]
        for name in drawn
        if name != first
    }
    return SharpeRatios(ratios, less, days, block)


def _paired(results: Mapping[str, BacktestResult]) -> pd.DataFrame:
    """Return daily returns ``(D, C)``, a column an account, over the days of the first."""
    daily = {name: one for name, result in results.items() if (one := daily_returns(result)) is not None}
    if not daily:
        return pd.DataFrame()
    days = next(iter(daily.values())).index
    return pd.DataFrame({name: one.reindex(days) for name, one in daily.items()}).dropna(axis=1)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
