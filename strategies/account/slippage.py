"""Slippage by bar: shares of the price, each known at the close of the bar before."""

from __future__ import annotations

import numpy as np
import pandas as pd
import talib

from mlcore.errors import BarwiseError


def atr_slippage(bars: pd.DataFrame, share: float = 0.05, window: int = 14) -> pd.Series:
    """Return `share` of the average true range of `window` bars, as a fraction of the price, for fills of each bar.

    The range and the price are those of the close before; 0 in the warm-up, where it is not known.
    """
    _check("share", share)
    _check_window(window)
    high, low, close = (bars[name].to_numpy(np.float64) for name in ("high", "low", "close"))
    ranges = talib.ATR(high, low, close, timeperiod=window) if len(bars) else close
    return _known_before(share * ranges / close, bars)


def volume_slippage(
    bars: pd.DataFrame, value: float, impact: float = 0.1, window: int = 24, most: float = 0.05
) -> pd.Series:
    """Return the slippage of an order of `value`: `impact` times its share of a bar's traded value, at most `most`.

    The traded value is the mean of volume x close over the `window` bars before; where nothing was traded, and in the
    warm-up, it is `most`. `value` is what an order is expected to be worth, in the currency of the prices; that of each
    order is not known before its bar.
    """
    for name, number in (("value", value), ("impact", impact), ("most", most)):
        _check(name, number)
    _check_window(window)
    traded = (bars["volume"] * bars["close"]).rolling(window).mean().to_numpy(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(traded > 0, impact * value / traded, most)
    return _known_before(np.minimum(share, most), bars, first=most)


def _known_before(share: np.ndarray, bars: pd.DataFrame, first: float = 0.0) -> pd.Series:
    moved = np.nan_to_num(np.r_[first, share[:-1]], nan=0.0)[: len(bars)]
    return pd.Series(np.minimum(moved, 0.999), bars.index, name="slippage")


def _check(name: str, number: float) -> None:
    if not 0 <= number < np.inf:
        raise BarwiseError(f"`{name}` is {number!r}: it must be a number, 0 or more.")


def _check_window(window: int) -> None:
    if not isinstance(window, int) or window < 1:
        raise BarwiseError(f"`window` is {window!r}: it is a count of bars, 1 or more.")
