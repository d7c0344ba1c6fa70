"""A span of bars, by stamps."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import pandas as pd

from mlcore.errors import BarwiseError, BarwiseWarning


class NoBarsError(BarwiseError):
    """A span without a bar."""


def between(bars: pd.DataFrame, start: str | None = None, end: str | None = None) -> pd.DataFrame:
    """Return the bars stamped `start` or later and before `end`; None is no bound. Stamps without a zone are UTC.

    Raises BarwiseError for words that are no stamps, and where no bar lies between them.

    >>> bars = pd.DataFrame({"close": range(4)}, pd.date_range("2024", periods=4, freq="h", tz="UTC"))
    >>> between(bars, "2024-01-01 01:00", "2024-01-01 03:00")["close"].tolist()
    [1, 2]
    """
    since, until = _stamps(start, end)
    first = 0 if since is None else int(bars.index.searchsorted(since))
    stop = len(bars) if until is None else int(bars.index.searchsorted(until))
    if first >= stop:
        raise NoBarsError(
            f"no bar lies between `start` {start!r} and `end` {end!r}: they run from {bars.index[0]} to "
            f"{bars.index[-1]}."
        )
    return bars if stop - first == len(bars) else bars.iloc[first:stop]


def panel_between(
    panel: Mapping[str, pd.DataFrame], start: str | None = None, end: str | None = None
) -> dict[str, pd.DataFrame]:
    """Return `between` of every symbol; those without a bar in the span are left out, with a warning that names them.

    Raises BarwiseError for words that are no stamps, and where no symbol has a bar.
    """
    cut, refused = {}, ""
    for symbol, bars in panel.items():
        try:
            cut[symbol] = between(bars, start, end)
        except NoBarsError as error:
            refused = refused or f"{symbol}: {error}"
    if not cut:
        raise NoBarsError(refused)
    if absent := [symbol for symbol in panel if symbol not in cut]:
        shown = ", ".join(absent[:5]) + ", ..." * (len(absent) > 5)
        warnings.warn(
            f"{len(absent)} of {len(panel)} symbols have no bar between {start} and {end}, and are left out: {shown}.",
            BarwiseWarning,
            stacklevel=2,
        )
    return cut


def _stamps(start: str | None, end: str | None) -> tuple[pd.Timestamp | None, pd.Timestamp | None]:
    try:
        since, until = (None if text is None else pd.to_datetime(text, utc=True) for text in (start, end))
    except (ValueError, OverflowError):
        raise BarwiseError(f"`start` {start!r} and `end` {end!r} must be stamps, as 2024-01-01.") from None
    if since is not None and until is not None and since >= until:
        raise BarwiseError(f"`start` is {start!r} and `end` {end!r}: the start must lie before the end.")
    return since, until
