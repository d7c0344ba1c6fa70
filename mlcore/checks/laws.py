"""What the checks share: how a broken law is told, and bars whose future can be changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

PRICES = ["open", "high", "low", "close"]
CUTS = (1, 2, 5, 19, 100, 230, 299)  # bars kept; the first ones lie inside most warm-ups, where a `bfill` shows
Change = Callable[[pd.DataFrame], pd.DataFrame]


class BrokenLawError(AssertionError):
    """A plugin that breaks a law; the message says which plugin, which law, and where."""


def require(holds: Any, plugin: Any, what: str) -> None:
    """Raise `BrokenLawError` unless the law holds."""
    if not holds:
        raise BrokenLawError(f"{name_of(plugin)}: {what}")


def name_of(plugin: Any) -> str:
    """Return the name of a function, a class or an instance."""
    return getattr(plugin, "__name__", None) or type(plugin).__name__


def sample_bars(n: int = 300, *, seed: int = 0, interval: str = "1h") -> pd.DataFrame:
    """Return `n` bars of a random walk, hourly by default, sound by `check_bars`."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, n)))
    opened = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0.0, 0.002, n))
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0.0, 0.005, n)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0.0, 0.005, n)))
    stamps = pd.date_range("2024-01-01", periods=n, freq=interval, tz="UTC", name="timestamp").as_unit("ns")
    columns = {"open": opened, "high": high, "low": low, "close": close, "volume": rng.lognormal(3.0, 0.5, n)}
    return pd.DataFrame(columns, index=stamps)


def changed(bars: pd.DataFrame, rows: slice, factor: float) -> pd.DataFrame:
    """Return bars that are sound but wholly other in `rows`: prices times `factor`, another volume."""
    other = bars.copy()
    for name in (*PRICES, "volume"):
        if name in other:
            values = other[name].to_numpy(np.float64, copy=True)
            values[rows] *= factor * (3.0 if name == "volume" else 1.0)
            other[name] = values
    return other


def same(a: pd.DataFrame | pd.Series | np.ndarray, b: pd.DataFrame | pd.Series | np.ndarray) -> bool:
    """Bit for bit the same numbers, NaN where NaN."""
    one, other = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return one.shape == other.shape and bool(np.array_equal(one, other, equal_nan=True))


def first_difference(a: Any, b: Any) -> str:
    """Say where two arrays differ first."""
    one, other = (np.asarray(x, dtype=np.float64) for x in (a, b))
    if one.shape != other.shape:
        return f"shapes {one.shape} and {other.shape}"
    at = np.argwhere(~((one == other) | (np.isnan(one) & np.isnan(other))))
    if not len(at):
        return "nowhere"
    place = tuple(int(i) for i in at[0])
    return f"first in row {place[0]}: {one[place]} and {other[place]}"
