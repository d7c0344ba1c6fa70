"""The clock, as points on a circle: 23:55 is near 00:00. Known before the bar opens."""

from __future__ import annotations

import functools

import numpy as np

from mlcore.features.recipes import Bars, feature

_DAY = 86_400  # seconds


@feature
def time_of_day(bars: Bars) -> dict[str, np.ndarray]:
    """Return sine and cosine of the bar's open stamp on the UTC day."""
    seconds = bars.index.as_unit("s").asi8 % _DAY  # type: ignore[attr-defined]
    return _on_circle(seconds, _DAY)


@feature
def day_of_week(bars: Bars) -> dict[str, np.ndarray]:
    """Return sine and cosine of the UTC weekday (Monday 0), constant within a day."""
    days = bars.index.as_unit("s").asi8 // _DAY  # type: ignore[attr-defined]
    return _on_circle((days + 3) % 7, 7)  # 1 January 1970 was a Thursday


def _on_circle(place: np.ndarray, places: int) -> dict[str, np.ndarray]:
    sine, cosine = _circle(places)
    return {"sine": sine[place], "cosine": cosine[place]}


@functools.cache
def _circle(places: int) -> tuple[np.ndarray, np.ndarray]:
    angle = 2 * np.pi * np.arange(places) / places  # a table: one sine per place, not one per bar
    return np.sin(angle), np.cos(angle)
