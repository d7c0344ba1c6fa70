"""The clock, as points on a circle: 23:55 is near 00:00. Known before the bar opens."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError
from mlcore.features.recipes import feature

_DAY = 86_400  # seconds
_STEPS_READ = 21  # newest steps between stamps that tell the interval: a changed one is believed after 11 bars


@feature
def time_of_day(bars: pd.DataFrame) -> pd.DataFrame:
    """Return sine and cosine of the bar's open stamp on the UTC day."""
    seconds = bars.index.as_unit("s").asi8 % _DAY  # type: ignore[attr-defined]
    return _on_circle(seconds, _DAY, bars.index)


@feature
def day_of_week(bars: pd.DataFrame) -> pd.DataFrame:
    """Return sine and cosine of the UTC weekday (Monday 0), constant within a day."""
    days = bars.index.as_unit("s").asi8 // _DAY  # type: ignore[attr-defined]
    return _on_circle((days + 3) % 7, 7, bars.index)  # 1 January 1970 was a Thursday


@feature
def calendar_ahead(bars: pd.DataFrame, steps: int = 5) -> pd.DataFrame:
    """Return the clock of the bar itself (0) and of the next `steps` bars, all known before the bar opens.

    Column ``day_sine_3`` in row `t` is the sine of `time_of_day` at the bar that should open three intervals
    after `t`; ``day_cosine``, ``week_sine`` and ``week_cosine`` likewise. The stamps ahead are reckoned, not looked up:
    stamp of `t` plus so many intervals, the interval being the median of the newest 21 steps up to `t`. So neither a
    gap ahead nor a later change of the step is known early, and a market's weekend is not left out.
    """
    if steps < 0:
        raise BarwiseError(f"`steps` of calendar_ahead is {steps}; it must be at least 0.")
    stamps = bars.index.as_unit("s").asi8  # type: ignore[attr-defined]
    interval = _usual_step(stamps)
    known = np.isfinite(interval)
    columns = {}
    for ahead in range(steps + 1):
        opens = stamps + ahead * np.where(known, interval, 0).astype(np.int64)
        at = pd.DataFrame(index=pd.DatetimeIndex(opens.astype("datetime64[s]"), tz="UTC"))
        for name, clock in (("day", time_of_day(at)), ("week", day_of_week(at))):
            for part in clock:
                columns[f"{name}_{part}_{ahead}"] = np.where(known, clock[part], np.nan)
    return pd.DataFrame(columns, index=bars.index)


def _usual_step(stamps: np.ndarray) -> np.ndarray:
    """Return ``(N,)`` seconds: the lower median of the newest steps up to each row; NaN in row 0."""
    steps = pd.Series(np.diff(stamps, prepend=np.nan))
    return steps.rolling(_STEPS_READ, min_periods=1).quantile(0.5, interpolation="lower").to_numpy()


def _on_circle(place: np.ndarray, places: int, index: pd.Index) -> pd.DataFrame:
    angle = 2 * np.pi * np.arange(places) / places  # a table: one sine per place, not one per bar
    return pd.DataFrame({"sine": np.sin(angle)[place], "cosine": np.cos(angle)[place]}, index=index)
