"""Moves of the price from bar to bar."""

from __future__ import annotations

import numpy as np
import pandas as pd
import talib

from mlcore.features.recipes import feature


@feature
def close_pct_change(bars: pd.DataFrame) -> pd.Series:
    """Return close over the close before, less 1 (a simple return, as a fraction)."""
    return pd.Series(talib.ROCP(bars["close"].to_numpy(), timeperiod=1), index=bars.index)


@feature
def log_return(bars: pd.DataFrame) -> pd.Series:
    """Return the log of close over the close before."""
    return pd.Series(log_returns(bars["close"].to_numpy()), index=bars.index)


@feature
def high_low_range(bars: pd.DataFrame) -> pd.Series:
    """Return (high - low) / close of the bar."""
    close = bars["close"].to_numpy()
    return pd.Series((bars["high"].to_numpy() - bars["low"].to_numpy()) / close, index=bars.index)


def log_returns(close: np.ndarray) -> np.ndarray:
    """Return log returns ``(N,)``, NaN in row 0."""
    returns = np.full(len(close), np.nan)
    returns[1:] = np.log(close[1:] / close[:-1])
    return returns
