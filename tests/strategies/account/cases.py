"""Cases of accounts for hypothesis: symbols that start late, end, and have gaps; all rules; prices of 1e-6 to 1e6."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from strategies.account import RiskRules, clock_of
from strategies.costs import Costs


@dataclass(frozen=True)
class Case:
    bars: dict[str, pd.DataFrame]
    weights: pd.DataFrame
    settings: dict[str, Any] = field(default_factory=dict)


def frame(n: int, moves: np.ndarray, gaps: np.ndarray, ranges: np.ndarray, first: float, index: Any) -> pd.DataFrame:
    close = np.clip(first * np.exp(np.cumsum(moves)), 1e-6, 1e6)
    # No gap below a millionth of the price: what vectorbt forgives there is 1e-9 of the cash (see test_backtest).
    opened = np.clip(np.r_[first, close[:-1]] * np.exp(np.round(gaps, 4)), 1e-6, 1e6)
    high = np.maximum(opened, close) * np.exp(np.abs(ranges[0]))
    low = np.minimum(opened, close) * np.exp(-np.abs(ranges[1]))
    return pd.DataFrame({"open": opened, "high": high, "low": low, "close": close, "volume": 1.0}, index)


def draw_bars(rng: np.random.Generator, n: int, index: pd.DatetimeIndex) -> pd.DataFrame:
    """Bars of one symbol; every kind of size, gap and hole comes up."""
    size, gap = rng.choice([0.0, 0.001, 0.02, 0.3]), rng.choice([0.0, 0.01, 0.5])
    moves, gaps, *ranges = rng.uniform(-1, 1, (4, n))
    bars = frame(n, moves * size, gaps * gap, np.array(ranges) * size, 10.0 ** rng.uniform(-6, 6), index)
    if rng.random() < 0.4:
        return bars
    kept = rng.random(n) < rng.choice([1.0, 0.9, 0.5])
    kept[: rng.integers(0, n) // 2] = False
    kept[n - rng.integers(0, n) // 2 :] = False
    return bars[kept] if kept.any() else bars


def shares(*some: float | None) -> st.SearchStrategy:
    return st.one_of(st.none(), st.sampled_from(some))


@st.composite
def rules(draw) -> RiskRules:
    window = draw(shares(2, 5))
    stop = draw(shares(0.001, 0.02, 0.2, 0.9 if window is None else 2.0))
    drawdown = draw(shares(0.02, 0.2))
    return RiskRules(
        stop=stop,
        profit=draw(shares(0.001, 0.03, 0.5)),
        horizon=draw(shares(1, 2, 5)),
        volatility_window=window,
        reenter=draw(st.booleans()),
        risk_per_trade=draw(shares(0.02, 0.5)) if stop else None,
        max_heat=draw(shares(0.06, 0.3)) if stop else None,
        max_position=draw(shares(0.05, 0.7)),
        max_gross=draw(shares(0.5, 1.5)),
        max_net=draw(shares(0.3, 1.0)),
        max_drawdown=drawdown,
        pause=draw(shares(1, 4)) if drawdown else None,
        borrow=draw(st.sampled_from([0.0, 0.1, 20.0])),
    )


WEIGHTS = np.array([-1.0, 0.0, 1.0, np.nan, 0.5, 0.5 + 1e-7, 1 - 1e-9, 1e-7])


def draw_weights(rng: np.random.Generator, n: int, s: int) -> np.ndarray:
    """Weights that are held for a while: whole, empty, shares, and changes too small to order."""
    some = np.where(rng.random((n, s)) < 0.4, rng.choice(WEIGHTS, (n, s)), rng.uniform(-1, 1, (n, s)))
    some = np.where(rng.random((n, s)) < 0.1, rng.uniform(0.4, 0.401, (n, s)), some)
    return (some * rng.choice([1.0, 1.0 / s])).repeat(rng.choice([1, 3, 6]), axis=0)[:n]


@st.composite
def cases(draw) -> Case:
    n, names = draw(st.integers(2, 40)), "ABCD"[: draw(st.integers(1, 4))]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    index = pd.date_range("2024", periods=n, freq=draw(st.sampled_from(["1min", "1h", "1D"])), tz="UTC")
    index = index.as_unit("ns").rename("timestamp")
    bars = {name: draw_bars(rng, n, index) for name in names}
    clock = clock_of(bars)
    weights = pd.DataFrame(draw_weights(rng, len(clock), len(names)), clock, columns=list(names))
    funding = {}
    for name in names:
        if draw(st.booleans()):
            rates = rng.choice([0.0, 1e-4, -1e-4, 0.05, -0.3], len(clock))
            funding[name] = pd.Series(rates, clock + pd.Timedelta("1ms"))
    costs = Costs(*(draw(st.sampled_from([0.0, 0.0005, 0.01, 0.3])) for _ in range(2)), draw(shares(0.0, 0.002)))
    slippage = None
    if draw(st.booleans()):
        slippage = pd.DataFrame(rng.choice([0.0, 0.001, 0.1], weights.shape), clock, columns=list(names))
    settings = {
        "rules": draw(st.one_of(st.just(RiskRules()), rules())),
        "costs": costs,
        "cash": draw(st.sampled_from([0.5, 1e4, 1e9])),
        "funding": funding,
        "slippage": slippage,
    }
    return Case(bars, weights, settings)
