"""Where the price stands against its own average."""

from __future__ import annotations

import numpy as np
import talib

from mlcore.features.recipes import Bars, feature

# A band narrower than this share of the price is rounding, not movement: one tick in 20 bars is wider by far.
_NO_WIDTH = 1e-9


@feature(recursive=True)
def ema_distance(bars: Bars, window: int = 30) -> np.ndarray:
    """Return close over its exponential average, less 1 (seed: the mean of the first `window` closes)."""
    close = np.asarray(bars["close"])
    return close / talib.EMA(close, timeperiod=window) - 1


@feature
def bollinger_position(bars: Bars, window: int = 20, deviations: float = 2.0) -> np.ndarray:
    """Return where the close lies between the bands: 0 the lower, 1 the upper, 0.5 in a band without width."""
    upper, middle, lower = _bands(bars, window, deviations)
    width = upper - lower
    flat = width <= _NO_WIDTH * middle
    position = (np.asarray(bars["close"]) - lower) / np.where(flat, 1.0, width)
    return np.where(flat, 0.5, position)


@feature
def bollinger_width(bars: Bars, window: int = 20, deviations: float = 2.0) -> np.ndarray:
    """Return (upper band - lower band) / middle; bands by the population deviation (ddof 0)."""
    upper, middle, lower = _bands(bars, window, deviations)
    return (upper - lower) / middle


def _bands(bars: Bars, window: int, deviations: float):  # type: ignore[no-untyped-def]
    return talib.BBANDS(np.asarray(bars["close"]), timeperiod=window, nbdevup=deviations, nbdevdn=deviations)
