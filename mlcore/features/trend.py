"""Where the price stands against its own average."""

from __future__ import annotations

import numpy as np
import pandas as pd
import talib

from mlcore.features.recipes import feature

# A band narrower than this share of the price is rounding, not movement: one tick in 20 bars is wider by far.
_NO_WIDTH = 1e-9


@feature(recursive=True)
def ema_distance(bars: pd.DataFrame, window: int = 30) -> pd.Series:
    """Return close over its exponential average, less 1 (seed: the mean of the first `window` closes)."""
    close = bars["close"].to_numpy()
    return pd.Series(close / talib.EMA(close, timeperiod=window) - 1, index=bars.index)


@feature
def bollinger_position(bars: pd.DataFrame, window: int = 20, deviations: float = 2.0) -> pd.Series:
    """Return where the close lies between the bands: 0 the lower, 1 the upper, 0.5 in a band without width."""
    upper, middle, lower = _bands(bars, window, deviations)
    width = upper - lower
    flat = width <= _NO_WIDTH * middle
    position = (bars["close"].to_numpy() - lower) / np.where(flat, 1.0, width)
    return pd.Series(np.where(flat, 0.5, position), index=bars.index)


@feature
def bollinger_width(bars: pd.DataFrame, window: int = 20, deviations: float = 2.0) -> pd.Series:
    """Return (upper band - lower band) / middle; bands by the population deviation (ddof 0)."""
    upper, middle, lower = _bands(bars, window, deviations)
    return pd.Series((upper - lower) / middle, index=bars.index)


def _bands(bars: pd.DataFrame, window: int, deviations: float):  # type: ignore[no-untyped-def]
    return talib.BBANDS(bars["close"].to_numpy(), timeperiod=window, nbdevup=deviations, nbdevdn=deviations)
