"""From forecasts to target weights: when to hold (`Policy`) and how much (a sizer).

Everything here is known at the close of the bar it stands on; the engines fill it at the next open.
Three steps, each a pure function of arrays: `held_sides` (which side is held), `held_weights` (how much
of it), `apply_band` (which changes are worth an order). They walk bar by bar and are compiled by numba, once and for
all runs (its cache on disk): a sweep asks them ten thousand times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numba
import numpy as np
import pandas as pd

from mlcore.bars import bar_interval, check_market
from mlcore.errors import BarwiseError
from mlcore.forecasts import check_columns
from mlcore.kinds import check_settings, checked
from strategies.sizers import Sizer, sizes_of

VOLATILITY_WINDOW = 60
_DAY, _FOUR_WEEKS, _YEAR = pd.Timedelta(days=1), pd.Timedelta(days=28), pd.Timedelta(days=365)


@dataclass(frozen=True)
class Policy:
    """When to hold. Signals are compared at a bar's close and traded at the next open.

    entry
        a flat account takes a side when ``|signal| >= entry`` and the signal is not 0; in [0, 1].
    exit
        a side is left when ``side * signal < exit``; in [-entry, entry]. Below 0 a position outlives a
        weak view of the other side; an entry to the other side always reverses.
    min_hold
        bars from the close that decided to enter to the first close that may decide to leave. A NaN
        forecast goes flat at once regardless: gaps are not traded through.
    band
        a new target nearer than this to the last ordered one is not ordered; in [0, 2). Going flat, and
        leaving a side, always are; what is entered next is measured from 0.
    side
        ``"both"``, ``"long"`` or ``"short"``: the sides that may be taken.
    min_confidence
        least confidence to enter; in [0, 1]. What is held already stays.

    While a position is held against its signal (`min_hold`, or `exit` below 0) its size stays as it was.
    """

    entry: float = 0.0
    exit: float = 0.0
    min_hold: int = 0
    band: float = 0.0
    side: Literal["both", "long", "short"] = "both"
    min_confidence: float = 0.0

    def __post_init__(self) -> None:
        check_settings(self)
        if not 0 <= self.entry <= 1:
            raise BarwiseError(f"`entry` is {self.entry!r}: it must be in [0, 1], like the size of a signal.")
        if not -self.entry <= self.exit <= self.entry:
            raise BarwiseError(
                f"`exit` is {self.exit!r}: it must be in [-entry, entry] = [{-self.entry!r}, {self.entry!r}]. "
                "Lower `exit` to hold longer, or raise `entry`."
            )
        if not isinstance(self.min_hold, (int, np.integer)) or self.min_hold < 0:
            raise BarwiseError(f"`min_hold` is {self.min_hold!r}: it must be a whole number of bars, 0 or more.")
        if not 0 <= self.band < 2:
            raise BarwiseError(f"`band` is {self.band!r}: it must be in [0, 2), a distance between weights.")
        if self.side not in ("both", "long", "short"):
            raise BarwiseError(f"`side` is {self.side!r}: it must be 'both', 'long' or 'short'.")
        if not 0 <= self.min_confidence <= 1:
            raise BarwiseError(f"`min_confidence` is {self.min_confidence!r}: it must be in [0, 1].")


def bars_per_year(index: pd.DatetimeIndex | pd.DataFrame, days_per_year: float) -> float:
    """Return how many bars a year has, by their usual interval.

    Up to a day: `days_per_year` x the bars of one trading day, which is taken as 24 hours for bars below a day. Longer
    bars come by the calendar, whatever days the market rests inside them: 365 days over the interval, and whole
    numbers of bars longer than four weeks (calendar months, quarters).

    >>> bars_per_year(pd.date_range("2024", periods=9, freq="1h", tz="UTC"), 365.0)
    8760.0
    >>> bars_per_year(pd.date_range("2024", periods=9, freq="7D", tz="UTC"), 252.0) == 365 / 7
    True
    >>> bars_per_year(pd.date_range("2024", periods=9, freq="MS", tz="UTC"), 252.0)
    12.0
    """
    interval = bar_interval(index)
    if interval <= _DAY:
        return days_per_year * (_DAY / interval)
    bars = _YEAR / interval
    return bars if interval <= _FOUR_WEEKS else float(max(1, round(bars)))


@checked
def annual_volatility(bars: pd.DataFrame, window: int = VOLATILITY_WINDOW, days_per_year: float = 365.0) -> pd.Series:
    """Return the deviation of the last `window` log returns of closes, annualised, as a fraction.

    Known at the bar's own close; NaN in the first `window` bars. ``0.2`` is 20% a year: sample deviation x
    the root of the bars per year, so it has no bar interval in it.
    """
    if window < 2:
        raise BarwiseError(f"`volatility_window` is {window!r}: it must be at least 2 bars.")
    log_return = np.log(bars["close"]).diff()
    return log_return.rolling(window).std() * np.sqrt(bars_per_year(bars, days_per_year))


@checked
def target_weights(
    forecasts: pd.DataFrame,
    bars: pd.DataFrame,
    *,
    policy: Policy | None = None,
    sizer: str | Sizer = "fixed",
    sizer_params: Mapping[str, Any] | None = None,
    volatility_window: int = VOLATILITY_WINDOW,
    days_per_year: float = 365.0,
) -> pd.Series:
    """Return the target weight at each bar's close, NaN for flat, from the first to the last forecast.

    `bars` may begin before the forecasts, so that volatility is warm. A bar without a forecast, with NaN
    signal, confidence or size, is flat. Nothing at a bar depends on later bars or forecasts.
    """
    policy = policy or Policy()
    rows = forecast_rows(forecasts, bars)
    spanned = forecasts.reindex(bars.index[rows])
    volatility = annual_volatility(bars, volatility_window, days_per_year).iloc[rows]
    sizes = sizes_of(spanned, volatility, sizer, sizer_params or {})
    return pd.Series(weights_of(spanned, sizes, policy), index=spanned.index, name="weight")


def forecast_rows(forecasts: pd.DataFrame, bars: pd.DataFrame) -> slice:
    """Return the rows of `bars` from the first forecast to the last; refuse stamps that are no bar's."""
    check_columns(forecasts)
    check_market(forecasts, bars)
    at = bars.index.get_indexer(forecasts.index)
    if not len(at):
        raise BarwiseError("`forecasts` are empty: there is nothing to trade.")
    if (at < 0).any():
        raise BarwiseError(
            f"`forecasts` have stamp {forecasts.index[at < 0][0]}, which is no bar of `bars` "
            f"({(at < 0).sum()} such rows): give the bars the forecasts were made from."
        )
    if (np.diff(at) <= 0).any():
        raise BarwiseError("`forecasts` are not in increasing order of their stamps: sort them, one row a bar.")
    return slice(int(at[0]), int(at[-1]) + 1)


def weights_of(forecasts: pd.DataFrame, sizes: np.ndarray, policy: Policy) -> np.ndarray:
    """Return ``(N,)`` target weights, NaN for flat: sides, then sizes, then the band."""
    signal = forecasts["signal"].to_numpy(np.float64)
    return PolicyWalk(policy).on(signal, forecasts["confidence"].to_numpy(np.float64), sizes)


class PolicyWalk:
    """A policy that is shown bar after bar, one or many at a time: the weights are those of all bars at once.

    state
        ``{"side", "age", "size", "last"}``, all that it remembers, as plain numbers: the side held, the bars since it
        was taken or left, the size that the last backed bar gave it, the last ordered target.
    """

    def __init__(self, policy: Policy, state: Mapping[str, float] | None = None) -> None:
        self.policy = policy
        self.state = {"side": 0, "age": 0, "size": 0.0, "last": 0.0} | dict(state or {})

    def on(self, signal: np.ndarray, confidence: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Return the ``(N,)`` target weights of the next N bars, NaN for flat."""
        state, policy = self.state, self.policy
        side, age = int(state["side"]), int(state["age"])
        sides, age = _held_sides(signal, np.where(np.isnan(sizes), np.nan, confidence), policy, side, age)
        # One row in front of them stands for what is held already, at its size.
        held = held_weights(np.r_[np.int8(side), sides], np.r_[float(side), signal], np.r_[state["size"], sizes])[1:]
        weights = apply_band(held, policy.band, state["last"])
        if len(weights):
            self.state = {"side": int(sides[-1]), "age": age, "size": abs(float(held[-1])), "last": float(weights[-1])}
        return np.where(weights == 0, np.nan, weights)


def held_sides(signal: np.ndarray, confidence: np.ndarray, policy: Policy) -> np.ndarray:
    """Return the side held at each bar's close, ``(N,)`` int8 of -1, 0, 1; NaN in either input is flat."""
    return _held_sides(signal, confidence, policy, 0, 0)[0]


def _held_sides(
    signal: np.ndarray, confidence: np.ndarray, policy: Policy, side: int, age: int
) -> tuple[np.ndarray, int]:
    """Return the sides, and the bars since the last one was taken or left; `side` and `age` are those before."""
    return _walk_sides(
        signal,
        confidence,
        float(policy.entry),
        float(policy.exit),
        int(policy.min_hold),
        float(policy.min_confidence),
        policy.side != "short",
        policy.side != "long",
        side,
        age,
    )


@numba.njit(cache=True)
def _walk_sides(
    signal: np.ndarray,
    confidence: np.ndarray,
    entry: float,
    exit: float,
    min_hold: int,
    min_confidence: float,
    longs: bool,
    shorts: bool,
    side: int,
    age: int,
) -> tuple[np.ndarray, int]:
    sides = np.zeros(len(signal), np.int8)
    for row in range(len(signal)):
        view, sure = signal[row], confidence[row]
        age += 1
        before = side
        if np.isnan(view) or np.isnan(sure):
            side = 0
        elif side == 0 or age >= min_hold:
            if longs and sure >= min_confidence and view >= entry and view > 0:
                side = 1
            elif shorts and sure >= min_confidence and -view >= entry and view < 0:
                side = -1
            elif side * view < exit:
                side = 0
        if side != before:
            age = 0
        sides[row] = side
    return sides, age


@numba.njit(cache=True)
def held_weights(sides: np.ndarray, signal: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return side x size, ``(N,)``, 0 for flat; where the signal does not back the side, the size before stays."""
    weights = np.zeros(len(sides))
    size = 0.0  # a position begins on a bar that backs it, so it never looks back into the one before
    for row in range(len(sides)):
        if sides[row] * signal[row] > 0:
            size = abs(sizes[row])
        if sides[row] != 0:
            weights[row] = sides[row] * size
    return weights


def apply_band(weights: np.ndarray, band: float, last: float = 0.0) -> np.ndarray:
    """Return ``(N,)`` last ordered targets: a change nearer than `band` keeps the one before (`last` at first).

    >>> apply_band(np.array([0.50, 0.52, 0.61, -0.04, -0.2, 0.0]), 0.1).tolist()
    [0.5, 0.5, 0.61, 0.0, -0.2, 0.0]
    """
    return weights if band == 0 else _walk_band(weights, float(band), float(last))


@numba.njit(cache=True)
def _walk_band(weights: np.ndarray, band: float, last: float) -> np.ndarray:
    ordered = np.empty(len(weights))
    for row in range(len(weights)):
        weight = weights[row]
        if weight * last <= 0:
            last = 0.0
        if weight != 0 and abs(weight - last) >= band:
            last = weight
        ordered[row] = last
    return ordered
