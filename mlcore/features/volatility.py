"""How much the price moves."""

from __future__ import annotations

import numpy as np
import talib

from mlcore.features.recipes import Bars, feature
from mlcore.features.returns import log_returns


@feature(recursive=True)
def atr_normalized(bars: Bars, window: int = 14) -> np.ndarray:
    """Return Wilder's average true range / close (a fraction; true ranges from row 1, seed: their first mean)."""
    high, low, close = (np.asarray(bars[name]) for name in ("high", "low", "close"))
    return talib.ATR(high, low, close, timeperiod=window) / close


@feature
def volatility(bars: Bars, window: int = 14) -> np.ndarray:
    """Return the population deviation of `window` log returns, per bar (not annualised)."""
    return _deviation(bars, window)


@feature
def volatility_ratio(bars: Bars, fast: int = 14, slow: int = 50) -> np.ndarray:
    """Return the deviation of the last `fast` log returns over that of the last `slow`; 1 where nothing moved."""
    short, long = _deviation(bars, fast), _deviation(bars, slow)
    still = long <= 1e-10  # rounding, not movement
    return np.where(still, 1.0, short / np.where(still, 1.0, long))


def _deviation(bars: Bars, window: int) -> np.ndarray:
    return talib.STDDEV(log_returns(np.asarray(bars["close"])), timeperiod=window)
