"""How far and how steadily the price has moved. Conventions are TA-Lib's unless said."""

from __future__ import annotations

import pandas as pd
import talib

from mlcore.features.recipes import feature


@feature(recursive=True)
def rsi(bars: pd.DataFrame, window: int = 14) -> pd.Series:
    """Return Wilder's relative strength index, 0 to 100 (seed: the mean of the first `window` changes).

    0 where the price has never moved (TA-Lib's rule).
    """
    return pd.Series(talib.RSI(bars["close"].to_numpy(), timeperiod=window), index=bars.index)


@feature(recursive=True)
def macd_signal(bars: pd.DataFrame, fast: int = 12, slow: int = 26, signal: int = 9) -> pd.Series:
    """Return (MACD - its signal line) / close.

    The division frees it of the price's level: a model trained at 20,000 must read 100,000.
    """
    close = bars["close"].to_numpy()
    difference = talib.MACD(close, fastperiod=fast, slowperiod=slow, signalperiod=signal)[2]
    return pd.Series(difference / close, index=bars.index)


@feature
def momentum(bars: pd.DataFrame, window: int = 30) -> pd.Series:
    """Return (close - close `window` bars ago) / close now."""
    close = bars["close"].to_numpy()
    return pd.Series(talib.MOM(close, timeperiod=window) / close, index=bars.index)


@feature
def roc(bars: pd.DataFrame, window: int = 10) -> pd.Series:
    """Return the rate of change, close over the close `window` bars ago, less 1 (a fraction)."""
    return pd.Series(talib.ROCP(bars["close"].to_numpy(), timeperiod=window), index=bars.index)


@feature
def stochastic_k(bars: pd.DataFrame, window: int = 14, smooth: int = 3) -> pd.Series:
    """Return %K, 0 to 100: where the close lies in the range of `window` bars, averaged over `smooth` bars.

    0 where the range is nil (TA-Lib's rule).
    """
    return pd.Series(_stochastic(bars, window, smooth, 1)[0], index=bars.index)


@feature
def stochastic_d(bars: pd.DataFrame, window: int = 14, smooth: int = 3, average: int = 3) -> pd.Series:
    """Return %D: %K averaged over `average` bars."""
    return pd.Series(_stochastic(bars, window, smooth, average)[1], index=bars.index)


@feature
def cci(bars: pd.DataFrame, window: int = 20) -> pd.Series:
    """Return the commodity channel index: distance of the typical price from its mean, over .015 mean deviations."""
    high, low, close = (bars[name].to_numpy() for name in ("high", "low", "close"))
    return pd.Series(talib.CCI(high, low, close, timeperiod=window), index=bars.index)


def _stochastic(bars: pd.DataFrame, window: int, smooth: int, average: int):  # type: ignore[no-untyped-def]
    high, low, close = (bars[name].to_numpy() for name in ("high", "low", "close"))
    return talib.STOCH(high, low, close, fastk_period=window, slowk_period=smooth, slowd_period=average)
