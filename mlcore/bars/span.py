"""A span of bars, by stamps."""

from __future__ import annotations

import pandas as pd

from mlcore.errors import BarwiseError


def between(bars: pd.DataFrame, start: str | None = None, end: str | None = None) -> pd.DataFrame:
    """Return the bars stamped `start` or later and before `end`; None is no bound. Stamps without a zone are UTC.

    Raises BarwiseError for words that are no stamps, and where nothing lies between them.

    >>> bars = pd.DataFrame({"close": range(4)}, pd.date_range("2024", periods=4, freq="h", tz="UTC"))
    >>> between(bars, "2024-01-01 01:00", "2024-01-01 03:00")["close"].tolist()
    [1, 2]
    """
    try:
        since, until = (None if text is None else pd.to_datetime(text, utc=True) for text in (start, end))
    except (ValueError, OverflowError):
        raise BarwiseError(f"`start` {start!r} and `end` {end!r} must be stamps, as 2024-01-01.") from None
    if since is not None and until is not None and since >= until:
        raise BarwiseError(f"`start` is {start!r} and `end` {end!r}: the start must lie before the end.")
    first = 0 if since is None else int(bars.index.searchsorted(since))
    stop = len(bars) if until is None else int(bars.index.searchsorted(until))
    return bars.iloc[first:stop]
