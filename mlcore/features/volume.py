"""What the volume says."""

from __future__ import annotations

import numpy as np
import talib

from mlcore.features.recipes import Bars, feature


@feature
def volume_ma_ratio(bars: Bars, window: int = 20) -> np.ndarray:
    """Return volume over its mean of the last `window` bars, this one included; 0 where none was traded."""
    volume = np.asarray(bars["volume"])
    return _ratio(volume, talib.SMA(volume, timeperiod=window))


@feature
def obv_slope(bars: Bars, window: int = 5) -> np.ndarray:
    """Return the slope of on-balance volume over `window` bars, in mean volumes of these bars per bar.

    The slope is that of the least-squares line through the last `window` values of OBV (which adds the
    volume of a bar that closes up and takes away that of one that closes down); it is divided by the mean
    volume of the same bars, so it lies near -1..1 for every coin. It is summed from the signed volumes:
    OBV itself grows without end and loses digits. 0 where nothing was traded.
    """
    close, volume = np.asarray(bars["close"]), np.asarray(bars["volume"])
    signed = np.full(len(close), np.nan)
    signed[1:] = np.sign(close[1:] - close[:-1]) * volume[1:]
    slope = np.full(len(close), np.nan)
    slope[window - 1 :] = 0.0
    for lag, weight in enumerate(_slope_weights(window)):
        slope[window - 1 :] += weight * signed[window - 1 - lag : len(close) - lag]
    return _ratio(slope, talib.SMA(volume, timeperiod=window))


def _slope_weights(window: int) -> np.ndarray:
    """Return what each step between points, newest first, adds to the slope of a line through `window` points."""
    x = np.arange(window) - (window - 1) / 2
    return np.cumsum(x[::-1])[:-1] / (x**2).sum()


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    empty = below <= 0  # False for the NaN of the warm-up
    return np.where(empty, 0.0, above / np.where(empty, 1.0, below))
