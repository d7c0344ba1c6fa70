"""How far and how steadily the price has moved. Conventions are TA-Lib's unless said."""

from __future__ import annotations

import numpy as np
import talib

from mlcore.features.recipes import Bars, feature


@feature(recursive=True)
def rsi(bars: Bars, window: int = 14) -> np.ndarray:
    """Return Wilder's relative strength index, 0 to 100 (seed: the mean of the first `window` changes).

    0 where the price has never moved (TA-Lib's rule).
    """
    return talib.RSI(np.asarray(bars["close"]), timeperiod=window)


@feature(recursive=True)
def macd_signal(bars: Bars, fast: int = 12, slow: int = 26, signal: int = 9) -> np.ndarray:
    """Return (MACD - its signal line) / close.

    The division frees it of the price's level: a model trained at 20,000 must read 100,000.
    """
    close = np.asarray(bars["close"])
    difference = talib.MACD(close, fastperiod=fast, slowperiod=slow, signalperiod=signal)[2]
    return difference / close


@feature
def momentum(bars: Bars, window: int = 30) -> np.ndarray:
    """Return (close - close `window` bars ago) / close now."""
    close = np.asarray(bars["close"])
    return talib.MOM(close, timeperiod=window) / close


@feature
def roc(bars: Bars, window: int = 10) -> np.ndarray:
    """Return the rate of change, close over the close `window` bars ago, less 1 (a fraction)."""
    return talib.ROCP(np.asarray(bars["close"]), timeperiod=window)


@feature
def stochastic_k(bars: Bars, window: int = 14, smooth: int = 3) -> np.ndarray:
    """Return %K, 0 to 100: where the close lies in the range of `window` bars, averaged over `smooth` bars.

    0 where the range is nil (TA-Lib's rule).
    """
    return _stochastic(bars, window, smooth, 1)[0]


@feature
def stochastic_d(bars: Bars, window: int = 14, smooth: int = 3, average: int = 3) -> np.ndarray:
    """Return %D: %K averaged over `average` bars."""
    return _stochastic(bars, window, smooth, average)[1]


@feature
def cci(bars: Bars, window: int = 20) -> np.ndarray:
    """Return the commodity channel index: distance of the typical price from its mean, over .015 mean deviations."""
    high, low, close = (np.asarray(bars[name]) for name in ("high", "low", "close"))
    return talib.CCI(high, low, close, timeperiod=window)


def _stochastic(bars: Bars, window: int, smooth: int, average: int):  # type: ignore[no-untyped-def]
    high, low, close = (np.asarray(bars[name]) for name in ("high", "low", "close"))
    return talib.STOCH(high, low, close, fastk_period=window, slowk_period=smooth, slowd_period=average)
