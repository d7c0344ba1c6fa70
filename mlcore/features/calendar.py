"""The clock, as points on a circle: 23:55 is near 00:00. Known before the bar opens."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError
from mlcore.features.recipes import Bars, feature

_DAY = 86_400  # seconds
_STEPS_READ = 11  # newest steps between stamps that tell the interval: a changed one is believed after 6 bars


@feature
def time_of_day(bars: Bars) -> dict[str, np.ndarray]:
    """Return sine and cosine of the bar's open stamp on the UTC day."""
    return _on_circle(_seconds(bars) % _DAY, _DAY)


@feature
def day_of_week(bars: Bars) -> dict[str, np.ndarray]:
    """Return sine and cosine of the UTC weekday (Monday 0), constant within a day."""
    return _on_circle(_weekday(_seconds(bars)), 7)


@feature
def calendar_ahead(bars: Bars, steps: tuple[int, ...] = (5,)) -> dict[str, np.ndarray]:
    """Return the clock of the bar itself (0) and of the bars `steps` ahead of it, all known before the bar opens.

    Column ``day_sine_5`` in row `t` is the sine of `time_of_day` at the bar that should open five intervals
    after `t`; ``day_cosine``, ``week_sine`` and ``week_cosine`` likewise. The stamps ahead are reckoned, not looked up:
    stamp of `t` plus so many intervals, the interval being the median of the newest 11 steps up to `t`. So neither a
    gap ahead nor a later change of the step is known early, and a market's weekend is not left out.
    """
    if len(set(steps)) < len(steps) or min(steps, default=1) < 1:
        raise BarwiseError(f"`steps` of calendar_ahead are {steps}; they must be at least 1, each once.")
    stamps = _seconds(bars)
    interval = _usual_step(stamps)
    unknown = np.isnan(interval)
    columns = {}
    for ahead in (0, *steps):
        opens = stamps + ahead * np.where(unknown, 0, interval).astype(np.int64)
        for name, place, places in (("day", opens % _DAY, _DAY), ("week", _weekday(opens), 7)):
            for part, values in _on_circle(place, places).items():
                values[unknown] = np.nan
                columns[f"{name}_{part}_{ahead}"] = values
    return columns


def _usual_step(stamps: np.ndarray) -> np.ndarray:
    """Return ``(N,)`` seconds: the median of the newest steps up to each row; NaN where there are fewer."""
    steps = pd.Series(np.diff(stamps, prepend=np.nan))
    return steps.rolling(_STEPS_READ).median().to_numpy()


def _seconds(bars: Bars) -> np.ndarray:
    return bars.index.as_unit("s").asi8


def _weekday(seconds: np.ndarray) -> np.ndarray:
    return (seconds // _DAY + 3) % 7  # 1 January 1970 was a Thursday


def _on_circle(place: np.ndarray, places: int) -> dict[str, np.ndarray]:
    sine, cosine = _circle(places)
    return {"sine": sine[place], "cosine": cosine[place]}


@functools.cache
def _circle(places: int) -> tuple[np.ndarray, np.ndarray]:
    angle = 2 * np.pi * np.arange(places) / places  # a table: one sine per place, not one per bar
    return np.sin(angle), np.cos(angle)
