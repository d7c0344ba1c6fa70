"""What is odd in bars but happens on real exchanges: counted and said, never mended."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from mlcore.bars.clock import bar_interval, missing_bars
from mlcore.errors import BarwiseWarning

# A spike sticks out of both neighbouring closes by this many usual moves, and by this share of the price.
_SPIKE_MOVES, _SPIKE_SHARE = 25.0, 0.01


def warn_of_oddities(bars: pd.DataFrame) -> None:
    """Warn, once a kind and with counts, of missing bars, zero volume, spikes that revert, and odd steps."""
    for message in (_missing(bars), _short_steps(bars), _zero_volume(bars), _spikes(bars)):
        if message:
            warnings.warn(f"`bars`: {message}", BarwiseWarning, stacklevel=3)


def spikes(bars: pd.DataFrame) -> np.ndarray:
    """Return ``(N,)`` bool: bars whose high or low sticks far out of the closes before AND after.

    Far is 25 times the usual absolute log return (the median of those that are not 0) and at least 1 %. A
    look at the whole past and future: for warnings, never for features.
    """
    high, low, close = (np.log(bars[name].to_numpy()) for name in ("high", "low", "close"))
    flags = np.zeros(len(close), dtype=bool)
    moves = np.abs(np.diff(close))
    moves = moves[moves > 0]
    if len(close) < 3 or not len(moves):
        return flags
    far = max(_SPIKE_MOVES * float(np.median(moves)), _SPIKE_SHARE)
    above = high[1:-1] - np.maximum(close[:-2], close[2:])
    below = np.minimum(close[:-2], close[2:]) - low[1:-1]
    flags[1:-1] = np.maximum(above, below) > far
    return flags


def _missing(bars: pd.DataFrame) -> str:
    if len(bars) < 2:
        return ""
    missing = missing_bars(bars.index)  # type: ignore[arg-type]
    gaps = np.flatnonzero(missing)
    if not gaps.size:
        return ""
    longest = int(missing.argmax())
    return (
        f"{_counted(missing.sum(), 'bar is', 'bars are')} missing in {_counted(gaps.size, 'gap', 'gaps')} (the longest "
        f"{_counted(missing[longest], 'bar', 'bars')}, before {bars.index[longest]}); the interval is "
        f"{_length(bar_interval(bars))}. Nothing was filled in."
    )


def _short_steps(bars: pd.DataFrame) -> str:
    if len(bars) < 3:
        return ""
    steps = np.diff(bars.index.as_unit("ns").asi8)  # type: ignore[attr-defined]
    short = np.flatnonzero(steps < 0.9 * bar_interval(bars).value)
    if not short.size:
        return ""
    return (
        f"{_counted(short.size, 'step is', 'steps are')} shorter than the interval {_length(bar_interval(bars))} "
        f"(the first before {bars.index[short[0] + 1]}): are bars of two intervals mixed?"
    )


def _zero_volume(bars: pd.DataFrame) -> str:
    idle = np.flatnonzero(bars["volume"].to_numpy() == 0)
    if not idle.size:
        return ""
    return (
        f"{idle.size:,} of {len(bars):,} bars {'has' if idle.size == 1 else 'have'} zero volume (the first "
        f"{bars.index[idle[0]]}): no order would have filled there."
    )


def _spikes(bars: pd.DataFrame) -> str:
    flagged = np.flatnonzero(spikes(bars))
    if not flagged.size:
        return ""
    return (
        f"{_counted(flagged.size, 'spike reverts', 'spikes revert')} in one bar (the first {bars.index[flagged[0]]}): "
        f"{'a real print or a bad tick' if flagged.size == 1 else 'real prints or bad ticks'}; no fill near by is "
        "to be trusted."
    )


def _counted(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"


def _length(interval: pd.Timedelta) -> str:
    """Return an interval as people say it: ``1 hour``, ``15 minutes``, ``7 days``.

    >>> [_length(pd.Timedelta(text)) for text in ("1h", "15min", "7D", "90s")]
    ['1 hour', '15 minutes', '7 days', '90 seconds']
    """
    seconds = interval.total_seconds()
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds % size == 0 and seconds >= size:
            return _counted(int(seconds // size), unit, f"{unit}s")
    return f"{seconds:g} seconds"
