"""Stamps as files carry them (epochs, ISO, dates of spreadsheets), read as UTC nanoseconds."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from mlcore.bars.columns import CLOSE_STAMPS, STAMPS, key_of
from mlcore.errors import BarsError

_FIRST_SECOND, _LAST_SECOND = 0, 7_258_118_400  # 1970 to 2200
_TIMES = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", " %I-%p")
_PLAIN_DATES = ("%Y-%m-%d", "%Y.%m.%d", "%Y/%m/%d", "%b %d, %Y", "%d %b %Y", "%d-%b-%Y", "%B %d, %Y")
_SAMPLE = 200


def find_stamps(frame: pd.DataFrame, stamped: str) -> tuple[pd.Series | pd.Index, str]:
    """Return the raw stamps of a frame with folded names, and what they are called in it.

    Times of the close, in a column or the index, are never taken for opens: they count with ``stamped="close"`` only.
    """
    closing = stamped != "close" and key_of(frame.index.name) in CLOSE_STAMPS
    if isinstance(frame.index, pd.DatetimeIndex) and not closing:
        return frame.index, "index"
    wanted = (*CLOSE_STAMPS, *STAMPS) if stamped == "close" else STAMPS
    names = [name for name in wanted if name in frame]
    if names[:1] == ["date"] and "time" in names and _holds_times(frame["time"]):
        return frame["date"].astype(str) + " " + frame["time"].astype(str), "date and time"
    if names:
        return frame[names[0]], names[0]
    if not _counts_rows(frame.index) and not closing:
        return frame.index, "index"
    first = str(frame.columns[0])
    unnamed = first == "" or first.startswith("unnamed")  # an index written to CSV without a name
    if not closing and unnamed and not _counts_rows(frame[frame.columns[0]]):
        return frame[frame.columns[0]], "first column"
    found = [key_of(frame.index.name)] if closing else [name for name in CLOSE_STAMPS if name in frame]
    if found:
        raise BarsError(
            f"the only stamps are {found[0]!r}: times of the close, and bars are stamped at their open. "
            "Say stamped='close'."
        )
    raise BarsError(
        f"no column holds the stamps; the columns are {', '.join(map(str, frame.columns[:20]))}. "
        "Call it timestamp (or open_time, date, time, unix), or make it the index."
    )


def read_stamps(raw: pd.Series | pd.Index) -> pd.DatetimeIndex:
    """Return stamps as ``datetime64[ns, UTC]``; NaT where one cannot be read. No timezone means UTC."""
    values = pd.Series(raw).reset_index(drop=True)
    if isinstance(values.dtype, pd.PeriodDtype):
        values = values.dt.start_time
    if pd.api.types.is_bool_dtype(values):
        stamps = pd.DatetimeIndex([pd.NaT] * len(values))
    elif pd.api.types.is_numeric_dtype(values):
        stamps = _from_numbers(values)
    elif pd.api.types.is_datetime64_any_dtype(values):
        stamps = pd.DatetimeIndex(values)
    else:
        numbers = pd.to_numeric(values, errors="coerce")
        stamps = _from_numbers(numbers) if numbers.notna().mean() > 0.5 else _from_text(values)
    stamps = stamps.tz_localize("UTC") if stamps.tz is None else stamps.tz_convert("UTC")
    return stamps.as_unit("ns").rename("timestamp")


def _from_numbers(values: pd.Series) -> pd.DatetimeIndex:
    """Read epochs by their size, each for itself: dumps change from ms to us on the way."""
    if pd.api.types.is_integer_dtype(values):
        numbers = values.to_numpy(dtype=np.int64, na_value=0)
    else:  # a float holds 53 bits: whole nanoseconds would be noise, milliseconds are not
        floats = values.to_numpy(dtype=np.float64, na_value=np.nan)
        whole = np.isfinite(floats) & (floats == np.floor(floats))
        floats = np.where(~whole & (np.abs(floats) < 1e11), np.round(floats * 1e3), floats)
        numbers = np.where(np.isfinite(floats), floats, 0).astype(np.int64)
    if ((numbers >= 19_000_101) & (numbers <= 22_000_101)).all() and len(numbers):  # 20240131
        return pd.DatetimeIndex(pd.to_datetime(pd.Series(numbers).astype(str), format="%Y%m%d", errors="coerce"))
    size = np.abs(numbers)
    to_ns = np.select([size < 10**8, size < 10**11, size < 10**14, size < 10**17], [0, 10**9, 10**6, 10**3], 1)
    seconds = numbers // np.where(to_ns > 0, 10**9 // np.maximum(to_ns, 1), 1)
    good = (to_ns > 0) & (seconds >= _FIRST_SECOND) & (seconds < _LAST_SECOND)
    stamps = (np.where(good, numbers, 0) * np.where(good, to_ns, 0)).astype("datetime64[ns]")
    return pd.DatetimeIndex(np.where(good, stamps, np.datetime64("NaT")))


def _from_text(values: pd.Series) -> pd.DatetimeIndex:
    text = values.astype(str).str.strip()
    filled = text[~text.isin(["", "nan", "NaT", "None"])]
    sample = pd.concat([filled.iloc[: _SAMPLE // 2], filled.iloc[-_SAMPLE // 2 :]])
    formats = [f for f in _formats(sample) if _readable(sample, f) > 0.5]
    readings = [_parsed(text, f) for f in formats]
    complete = [(f, stamps) for f, stamps in zip(formats, readings, strict=True) if not np.asarray(stamps.isna()).any()]
    if len(complete) > 1 and (complete[0][1] != complete[1][1]).any():
        raise BarsError(
            f"stamp {text.iloc[0]!r} can be read as {complete[0][0]} and as {complete[1][0]}, and no row decides. "
            "Write the stamps as ISO (2024-01-31 10:00) or as epochs."
        )
    if complete:
        return complete[0][1]
    return min(readings, key=lambda stamps: np.asarray(stamps.isna()).sum(), default=_parsed(text, "ISO8601"))


def _formats(sample: pd.Series) -> list[str]:
    """Return the formats worth trying: ISO alone if it reads anything, else dates by words or by order of fields."""
    if _readable(sample, "ISO8601") > 0.5:
        return ["ISO8601"]
    found = re.search(r"\d([/.-])\d", str(sample.iloc[0])) if len(sample) else None
    dates = list(_PLAIN_DATES)
    if found:
        dates += [f"%m{found[1]}%d{found[1]}%Y", f"%d{found[1]}%m{found[1]}%Y"]
    return [date + time for date in dates for time in _TIMES]


def _readable(sample: pd.Series, form: str) -> float:
    return float(np.asarray(_parsed(sample, form).notna()).mean()) if len(sample) else 0.0


def _parsed(text: pd.Series, form: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(pd.to_datetime(text, format=form, errors="coerce", utc=True))


def _counts_rows(values: pd.Index | pd.Series) -> bool:
    """Tell whether values are the numbers of the rows, from 0 or 1 on: those are no stamps."""
    if isinstance(values, pd.RangeIndex):
        return True
    if not pd.api.types.is_integer_dtype(values.dtype) or not len(values):
        return False
    numbers = values.to_numpy()
    return bool(0 <= numbers[0] <= 1 and (np.diff(numbers) == 1).all())


def _holds_times(column: pd.Series) -> bool:
    return len(column) > 0 and bool(re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", str(column.iloc[0]).strip()))


def is_stamp_column(name: object) -> bool:
    """Tell whether a folded name is one of stamps (dropped once the stamps are the index)."""
    return key_of(name) in (*STAMPS, *CLOSE_STAMPS)


def open_stamps(closes: pd.DatetimeIndex, interval: pd.Timedelta) -> pd.DatetimeIndex:
    """Return the opens of bars stamped at their close (10:59:59.999 and 10:59:59 count as 11:00)."""
    whole = closes.ceil("s")
    if len(whole) and (whole.second == 59).all():
        whole = whole + pd.Timedelta(seconds=1)
    return (whole - interval).rename("timestamp")
