"""How much the price moves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import talib

from mlcore.features.recipes import feature
from mlcore.features.returns import log_returns


@feature(recursive=True)
def atr_normalized(bars: pd.DataFrame, window: int = 14) -> pd.Series:
    """Return Wilder's average true range / close (a fraction; true ranges from row 1, seed: their first mean)."""
    high, low, close = (bars[name].to_numpy() for name in ("high", "low", "close"))
    return pd.Series(talib.ATR(high, low, close, timeperiod=window) / close, index=bars.index)


@feature
def volatility(bars: pd.DataFrame, window: int = 14) -> pd.Series:
    """Return the population deviation of `window` log returns, per bar (not annualised)."""
    return pd.Series(_deviation(bars, window), index=bars.index)


@feature
def volatility_ratio(bars: pd.DataFrame, fast: int = 14, slow: int = 50) -> pd.Series:
    """Return the deviation of the last `fast` log returns over that of the last `slow`; 1 where nothing moved."""
    short, long = _deviation(bars, fast), _deviation(bars, slow)
    still = long <= 1e-10  # rounding, not movement
    return pd.Series(np.where(still, 1.0, short / np.where(still, 1.0, long)), index=bars.index)


def _deviation(bars: pd.DataFrame, window: int) -> np.ndarray:
    return talib.STDDEV(log_returns(bars["close"].to_numpy()), timeperiod=window)
