"""Moves of the price from bar to bar."""

from __future__ import annotations

import numpy as np
import talib

from mlcore.features.recipes import Bars, feature


@feature
def close_pct_change(bars: Bars) -> np.ndarray:
    """Return close over the close before, less 1 (a simple return, as a fraction)."""
    return talib.ROCP(np.asarray(bars["close"]), timeperiod=1)


@feature
def log_return(bars: Bars) -> np.ndarray:
    """Return the log of close over the close before."""
    return log_returns(np.asarray(bars["close"]))


@feature
def high_low_range(bars: Bars) -> np.ndarray:
    """Return (high - low) / close of the bar."""
    close = np.asarray(bars["close"])
    return (np.asarray(bars["high"]) - np.asarray(bars["low"])) / close


def log_returns(close: np.ndarray) -> np.ndarray:
    """Return log returns ``(N,)``, NaN in row 0."""
    returns = np.full(len(close), np.nan)
    returns[1:] = np.log(close[1:] / close[:-1])
    return returns
