"""Markets made to order: with an edge of known size, or with none; and the oracle that knows it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError, did_you_mean

Kind = Literal["linear", "nonlinear"]
KINDS = ("linear", "nonlinear")
_GAP_SHARE = 0.1  # of a bar's deviation: the jump from a close to the next open, which stays (no bounce)
_RANGE, _RANGE_SWING = 6.0, 0.28  # of a bar's deviation: the usual wicks, and what one deviation of the state adds


@dataclass(frozen=True, eq=False)
class Market:
    """Bars, and what somebody who knows the law of the market would forecast.

    bars
        Obey `check_bars`.
    oracle
        Series, known at the close of each row: the expected log return from the open of ``t+1`` to the open
        of ``t+1+horizon`` (the default label). All zeros without an edge.
    edge, horizon, kind
        As asked for.
    """

    bars: pd.DataFrame
    oracle: pd.Series
    edge: float
    horizon: int
    kind: Kind


def planted_market(
    n: int = 20_000,
    *,
    edge: float = 0.2,
    kind: Kind = "linear",
    horizon: int = 5,
    persistence: float = 0.9,
    interval: str = "1h",
    volatility: float = 0.005,
    seed: int = 0,
) -> Market:
    """Make a market with a planted edge.

    A hidden state ``s`` (first-order autoregression, variance 1) shows in the wicks of each bar: its
    ``high_low_range`` grows with ``s`` in a straight line, and so `atr_normalized` follows. The body of bar
    ``t+1`` then has the expected log return ``b * m(s_t)`` in units of `volatility`, with ``m(s) = s`` for
    ``"linear"`` and ``m(s) = (s**2 - 1) / sqrt(2)`` for ``"nonlinear"``: both very long and very short wicks
    foretell a rise, and no straight line through the wicks sees it. Both have mean 0 and variance 1, so
    nothing is to be had by holding. ``b`` is solved for so that the oracle has the correlation `edge` with
    the label, in the long run; a negative `edge` turns the law round.

    Volume, the jump to the next open and all else are noise.

    Parameters
    ----------
    n : bars.
    edge : correlation of the oracle with the log return of the default label over `horizon` bars (its rank IC
        is about 5 % lower in the linear market, lower still in the other).
    kind : ``"linear"`` or ``"nonlinear"``.
    horizon : bars the label holds.
    persistence : correlation of the state with itself one bar on.
    interval : step of the stamps.
    volatility : deviation of one bar's log return.
    seed : same seed, same market; the noise does not depend on `edge`.

    >>> market = planted_market(500, edge=0.2)
    >>> list(market.bars), len(market.oracle)
    (['open', 'high', 'low', 'close', 'volume'], 500)
    """
    _check(n, edge, kind, persistence, volatility)
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n, 5)).T.copy()  # row by row: a shorter market is the beginning of a longer one
    shocks = noise[0] * np.sqrt(1 - persistence**2)
    shocks[0] = noise[0, 0]  # the state starts in its long-run law
    state = np.fromiter(accumulate(shocks, lambda before, shock: persistence * before + shock), float, n)
    moved, decay = (state, persistence) if kind == "linear" else ((state**2 - 1) / np.sqrt(2), persistence**2)
    size = _size(edge, horizon, decay)
    bars = _bars(size * moved, np.sqrt(1 - size**2), state, noise, volatility, interval)
    ahead = (1 - decay**horizon) / (1 - decay)  # expected sum of m over the label's bars, for m = 1 now
    oracle = pd.Series(volatility * size * ahead * moved, index=bars.index, name="oracle")
    return Market(bars, oracle, edge, horizon, kind)


def random_market(
    n: int = 20_000, *, interval: str = "1h", volatility: float = 0.005, persistence: float = 0.9, seed: int = 0
) -> Market:
    """Make a market with no edge: a random walk in which nothing foretells the next body.

    Wicks come and go in the same waves as in `planted_market`, so models have something to be fooled by.
    """
    return planted_market(n, edge=0.0, interval=interval, volatility=volatility, persistence=persistence, seed=seed)


def oracle_rank_ic(market: Market) -> float:
    """Return the rank correlation of the oracle with the realised label: what a perfect model would reach."""
    from mlcore.labels import forward_return

    label = pd.Series(forward_return(market.bars, market.horizon).values, index=market.bars.index)
    return float(market.oracle.rank().corr(label.where(label.notna()).rank()))


def _bars(
    expected: np.ndarray, spread: float, state: np.ndarray, noise: np.ndarray, volatility: float, interval: str
) -> pd.DataFrame:
    """Chain jumps and bodies to prices; `expected` is known at the close of a bar and moves the next body."""
    n = len(state)
    own = np.sqrt(1 - _GAP_SHARE**2)
    body = volatility * (np.r_[0.0, expected[:-1]] + spread * own * noise[1])
    jump = volatility * spread * _GAP_SHARE * noise[2]
    jump[0] = 0.0
    close = np.log(100.0) + np.cumsum(body + jump)
    opened = close - body
    wicks = volatility * np.maximum(_RANGE * (1 + _RANGE_SWING * state), 0.1)
    above = wicks / (1 + np.exp(-noise[3]))  # how the wicks part above and below tells nothing
    high, low = np.maximum(opened, close) + above, np.minimum(opened, close) - (wicks - above)
    stamps = pd.date_range("2020-01-01", periods=n, freq=interval, tz="UTC", name="timestamp").as_unit("ns")
    logs = {"open": opened, "high": high, "low": low, "close": close}
    prices = {name: np.exp(values) for name, values in logs.items()}
    return pd.DataFrame({**prices, "volume": 1000 * np.exp(0.5 * noise[4])}, index=stamps)


def _size(edge: float, horizon: int, decay: float) -> float:
    """Return b such that the oracle's correlation with the label is `edge`.

    The label is a sum over `horizon` bars of ``b m + sqrt(1 - b**2) e`` (body and jump). With autocorrelation
    ``decay**k`` the sum of m, given m now, is ``A m``, and its variance over all is V:
    edge = b A / sqrt(b**2 V + (1 - b**2) h).
    """
    lags = np.arange(1, horizon)
    ahead = float((decay ** np.arange(horizon)).sum())
    variance = horizon + 2 * float(((horizon - lags) * decay**lags).sum())
    squared = edge**2 * horizon / (ahead**2 - edge**2 * (variance - horizon))
    if not 0 <= squared < 1:
        raise BarwiseError(f"`edge` is {edge}; over {horizon} bars this market can carry less. Ask for a smaller one.")
    return float(np.sign(edge) * np.sqrt(squared))


def _check(n: int, edge: float, kind: str, persistence: float, volatility: float) -> None:
    if n < 2:
        raise BarwiseError(f"`n` is {n}; a market has 2 bars at least.")
    if not -1 < edge < 1:
        raise BarwiseError(f"`edge` is {edge}; it is a correlation between -1 and 1.")
    if kind not in KINDS:
        raise BarwiseError(f"`kind` is {kind!r}.{did_you_mean(str(kind), KINDS)} Known: {', '.join(KINDS)}.")
    if not 0 <= persistence < 1:
        raise BarwiseError(f"`persistence` is {persistence}; it lies in [0, 1).")
    if not volatility > 0:
        raise BarwiseError(f"`volatility` is {volatility}; it is a deviation per bar above 0.")
