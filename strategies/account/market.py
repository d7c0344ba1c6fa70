"""Bars of many symbols on one clock, as the arrays that the core reads."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mlcore.barriers import barrier_units
from mlcore.errors import BarsError, BarwiseError, did_you_mean
from strategies.account.core import Market
from strategies.account.rules import RiskRules
from strategies.orders import checked_prices

Bars = Mapping[str, pd.DataFrame]
# Exchanges stamp a settlement up to some milliseconds late; what is paid at 08:00:00.001 is the payment of 08:00.
SETTLEMENT = "1s"
LONGEST_SETTLEMENT = pd.Timedelta("8h")  # that perpetuals have; longer bars may well pay on every one


def clock_of(bars: Bars) -> pd.DatetimeIndex:
    """Return the stamps at which any symbol has a bar, in order."""
    if not bars:
        raise BarsError("`bars` hold no symbol: give a mapping of symbol to bars, one at least.")
    stamps = [pd.DatetimeIndex(frame.index) for frame in bars.values()]
    clock = stamps[0]
    for other in stamps[1:]:
        clock = clock.union(other)
    return clock.rename("timestamp")


def make_market(
    bars: Bars,
    clock: pd.DatetimeIndex,
    rules: RiskRules,
    slippage: float | pd.DataFrame,
    funding: Mapping[str, pd.Series] | None,
) -> Market:
    """Put checked bars on the `clock`; see `Market` for what each array holds and when it is known."""
    check_bars_of(bars, rules)
    rows = {symbol: clock.get_indexer(pd.DatetimeIndex(frame.index)) for symbol, frame in bars.items()}
    empty = np.full((len(clock), len(bars)), np.nan)
    opened, high, low, close, unit = (empty.copy() for _ in range(5))
    for s, (symbol, frame) in enumerate(bars.items()):
        for array, name in ((opened, "open"), (high, "high"), (low, "low"), (close, "close")):
            if name in frame.columns:
                array[rows[symbol], s] = frame[name].to_numpy(np.float64)
        unit[rows[symbol], s] = barrier_units(frame, rules.volatility_window)
    last, here = pd.DataFrame(close).ffill().to_numpy(np.float64), ~np.isnan(close)
    return Market(
        opened,
        high,
        low,
        np.ascontiguousarray(last),
        here,
        slippage_at(slippage, clock, list(bars), here),
        unit,
        funding_at(funding_of(bars, funding), clock, list(bars)),
        borrow_at(clock, rules.borrow),
    )


def check_bars_of(bars: Bars, rules: RiskRules) -> None:
    """Refuse bars that could not be traded, or have no range where barriers must be watched."""
    for symbol, frame in bars.items():
        try:
            checked_prices(frame)
        except BarwiseError as error:
            raise BarsError(f"{symbol}: {error}") from None
        index = frame.index
        if not isinstance(index, pd.DatetimeIndex) or not (index.is_monotonic_increasing and index.is_unique):
            raise BarsError(f"{symbol}: `bars` must have increasing, unique stamps; `check_bars` repairs them.")
        if rules.stop is None and rules.profit is None:
            continue
        if missing := [name for name in ("high", "low") if name not in frame.columns]:
            raise BarsError(f"{symbol}: `bars` have no column {missing[0]!r}, which barriers are watched in.")
        prices = frame[["open", "high", "low", "close"]].to_numpy(np.float64)
        wrong = ~((prices[:, 1] >= prices.max(axis=1)) & (prices[:, 2] <= prices.min(axis=1)) & (prices[:, 2] > 0))
        if wrong.any():
            raise BarsError(
                f"{symbol}: `bars` at {index[wrong.argmax()]} have a high or low that does not hold open and close: "
                "`check_bars(bars, repair='widen_range')` mends it."
            )


def slippage_at(
    slippage: float | pd.DataFrame, clock: pd.DatetimeIndex, symbols: list[str], here: np.ndarray
) -> np.ndarray:
    """Return the share of the price that a fill of each bar slips, ``(N, S)``; 0 where `here` says there is no bar."""
    if not isinstance(slippage, pd.DataFrame):
        return np.full((len(clock), len(symbols)), float(slippage))
    if missing := [name for name in symbols if name not in slippage.columns]:
        raise BarwiseError(
            f"`slippage` has no column {missing[0]!r}: give one a symbol.{did_you_mean(missing[0], slippage.columns)}"
        )
    given = slippage.reindex(clock)[symbols]
    lacking = here & given.isna().to_numpy()
    if lacking.any():
        row, column = np.argwhere(lacking)[0]
        raise BarwiseError(
            f"`slippage` of {symbols[column]!r} has no number at {clock[row]}, one of {lacking.sum():,} bars without: "
            "their fills would cost nothing. Give one for each bar, by its own stamp."
        )
    found = given.fillna(0.0).to_numpy(np.float64)
    if not ((found >= 0) & (found < 1)).all():
        raise BarwiseError("`slippage` must be in [0, 1) on every bar: a share of the price, 0.0005 being 0.05%.")
    return np.ascontiguousarray(found)


def funding_of(bars: Bars, funding: Mapping[str, pd.Series] | None) -> dict[str, pd.Series]:
    """Return the rates of each symbol by stamp: those given, else the column `funding_rate` of its bars."""
    given = dict(funding or {})
    if unknown := [name for name in given if name not in bars]:
        raise BarwiseError(f"`funding` names {unknown[0]!r}, which has no bars.{did_you_mean(unknown[0], list(bars))}")
    columns = {name: frame["funding_rate"] for name, frame in bars.items() if "funding_rate" in frame.columns}
    own = {name: _check_settlements(name, rates) for name, rates in columns.items() if name not in given}
    return {name: rates.dropna() for name, rates in {**own, **given}.items()}


def _check_settlements(symbol: str, rates: pd.Series) -> pd.Series:
    """Refuse a column that was filled forward: each bar would pay what one settlement paid."""
    index = pd.DatetimeIndex(rates.index)
    close = len(rates) > 1 and (index[1:] - index[:-1]).min() < LONGEST_SETTLEMENT
    paid = rates.notna() & (rates != 0)  # bars before the first settlement stay empty, whatever was filled
    if close and paid.any() and (rates == rates.shift())[paid].mean() >= 0.5:
        raise BarwiseError(
            f"{symbol}: the column `funding_rate` of `bars` mostly repeats the rate of the bar before: it was filled "
            "forward, and every bar would pay it. Leave NaN where nothing is settled, or give `funding`, rates by "
            "settlement stamp, which are taken as they are."
        )
    return rates


def funding_at(funding: Mapping[str, pd.Series], clock: pd.DatetimeIndex, symbols: list[str]) -> np.ndarray:
    """Return what each row's open settles, ``(N, S)``: the sum of rates stamped after the row before, through its own.

    A payment inside a bar is settled at the open of the next one, on what was held then: positions within a
    bar are known at its close. What is stamped before the first row or after the last is not paid.
    """
    rates = np.zeros((len(clock), len(symbols)))
    for s, symbol in enumerate(symbols):
        if symbol not in funding:
            continue
        paid = funding[symbol]
        stamps = pd.DatetimeIndex(paid.index)
        if stamps.tz is None or not np.isfinite(paid.to_numpy(np.float64)).all():
            raise BarwiseError(f"`funding` of {symbol!r} must be finite rates by UTC stamps, one a settlement.")
        rows = np.searchsorted(clock.asi8, stamps.floor(SETTLEMENT).as_unit(clock.unit).asi8)
        known = (rows < len(clock)) & (stamps >= clock[0])
        np.add.at(rates[:, s], rows[known], paid.to_numpy(np.float64)[known])
    return rates


def borrow_at(clock: pd.DatetimeIndex, borrow: float) -> np.ndarray:
    """Return what a short pays of its value at each row's open, ``(N,)``: `borrow` a year for the time since."""
    years = np.diff(clock.as_unit("ns").asi8, prepend=clock.as_unit("ns").asi8[:1]) / (365 * 86_400e9)
    return borrow * years
