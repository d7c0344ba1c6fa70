"""A rule strategy beside a model: sides from the bars alone, and what both together say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError
from mlcore.features.momentum import macd_signal, rsi
from mlcore.kinds import checked

Side = Callable[..., pd.Series]


def ma_cross(bars: pd.DataFrame, fast: int = 20, slow: int = 50) -> pd.Series:
    """Return the side of two moving averages of the close: 1 with the fast one above, -1 below, 0 in the warm-up."""
    if not 1 <= fast < slow:
        raise BarwiseError(f"`fast` and `slow` are {fast!r} and {slow!r}: the fast average is of fewer bars.")
    close = bars["close"]
    return _side(close.rolling(fast).mean() - close.rolling(slow).mean(), bars)


def rsi_side(bars: pd.DataFrame, window: int = 14, low: float = 30.0, high: float = 70.0) -> pd.Series:
    """Return the side of a reversal by the RSI: 1 from below `low` until it is above 50, -1 the other way round.

    0 before the first extreme, and once the middle is reached.
    """
    if not 0 < low < 50 < high < 100:
        raise BarwiseError(f"`low` and `high` are {low!r} and {high!r}: they lie below and above 50, within 0 and 100.")
    index = np.asarray(rsi(bars, window=window))
    # A level is entered at an extreme and left in the middle; in between what was said last still holds.
    said = pd.Series(np.select([index <= low, index >= high], [1.0, -1.0], np.nan), bars.index)
    side = said.ffill()
    done = ((side > 0) & (index >= 50)) | ((side < 0) & (index <= 50))
    return side.where(~done.groupby(said.notna().cumsum()).cummax()).fillna(0.0).rename("side")


def macd_side(bars: pd.DataFrame, fast: int = 12, slow: int = 26, signal: int = 9) -> pd.Series:
    """Return the side of the MACD against its signal line; 0 in the warm-up."""
    return _side(np.asarray(macd_signal(bars, fast=fast, slow=slow, signal=signal)), bars)


def wave_trend(
    bars: pd.DataFrame, channel: int = 10, average: int = 21, smooth: int = 4
) -> tuple[pd.Series, pd.Series]:
    """Return LazyBear's Wave Trend oscillator and its smoothed line; recursive from the first bar on.

    ap = (high + low + close) / 3, esa = EMA(ap), d = EMA(|ap - esa|), ci = (ap - esa) / (0.015 d), wt1 = EMA(ci),
    wt2 = SMA(wt1). ci is 0 where d is 0, as on the first bar.
    """
    typical = (bars["high"] + bars["low"] + bars["close"]) / 3
    middle = typical.ewm(span=channel, adjust=False).mean()
    apart = (typical - middle).abs().ewm(span=channel, adjust=False).mean()
    index = ((typical - middle) / (0.015 * apart).where(apart > 0)).fillna(0.0)
    first = index.ewm(span=average, adjust=False).mean()
    return first.rename("wt1"), first.rolling(smooth).mean().rename("wt2")


def wave_trend_side(bars: pd.DataFrame, channel: int = 10, average: int = 21, smooth: int = 4) -> pd.Series:
    """Return the side of the Wave Trend against its smoothed line; 0 in the warm-up."""
    first, second = wave_trend(bars, channel, average, smooth)
    return _side(first - second, bars)


# Rule strategies by name: ``f(bars, **params) -> Series`` of sides (-1, 0, 1), known at each bar's close.
SIDES: dict[str, Side] = {
    "ma_cross": ma_cross,
    "rsi": rsi_side,
    "macd": macd_side,
    "wave_trend": wave_trend_side,
}


@checked
def combine(
    side: pd.Series,
    forecasts: pd.DataFrame,
    *,
    size: float = 0.5,
    bonus: float = 1.0,
    entry: float = 0.0,
    override: float = 0.8,
) -> pd.Series:
    """Return target weights ``(N,)`` of a rule's `side` and a model's forecasts, from the first forecast to the last.

    ==============================  =====================================================================
    what they say                   target weight
    ==============================  =====================================================================
    the same side                   `size` x (1 + `bonus` x confidence), at most 1: agreement adds strength
    confidence above `override`     the model's side, `size`, whatever the rule says
    opposite sides (conflict)       what was held stays, whichever it is
    one of them nothing             the side of the other one, `size`
    both nothing                    flat
    ==============================  =====================================================================

    The model says nothing where ``|signal| < entry`` or the signal is 0; a row without a forecast is flat (gaps are not
    traded through), and nothing is held over it. `side` may begin before the forecasts, so that it is warm.
    """
    if not 0 < size <= 1:
        raise BarwiseError(f"`size` is {size!r}: it must be in (0, 1], a share of equity.")
    if not (0 <= bonus < np.inf and 0 <= entry <= 1 and 0 <= override <= 1):
        raise BarwiseError(
            f"`bonus`, `entry` and `override` are {bonus!r}, {entry!r} and {override!r}: a bonus is 0 or more, a "
            "signal and a confidence are in [0, 1]."
        )
    span = side.loc[forecasts.index[0] : forecasts.index[-1]]
    spoken = forecasts.reindex(span.index)
    signal, sure = (spoken[name].to_numpy(np.float64) for name in ("signal", "confidence"))
    model = np.where(np.abs(signal) >= entry, np.sign(signal), 0.0)
    rule = span.to_numpy(np.float64)
    cases = [np.isnan(signal) | np.isnan(sure), (rule == model) & (rule != 0), sure > override, rule * model < 0]
    stronger = np.minimum(size * (1 + bonus * sure), 1.0)
    # 0 is flat, said; NaN is what was held before.
    made = np.select(
        cases, [0.0, model * stronger, np.where(model != 0, model, rule) * size, np.nan], (rule + model) * size
    )
    held = pd.Series(made, span.index, name="weight").ffill()
    return held.where(held != 0)


def _side(difference: pd.Series | np.ndarray, bars: pd.DataFrame) -> pd.Series:
    return pd.Series(np.nan_to_num(np.sign(np.asarray(difference))), bars.index, name="side")
