"""Slower clocks beside the bars' own: features of longer bars, joined by when those bars were known."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any

import pandas as pd

from mlcore.bars import bar_interval, join_known, resample
from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.features.recipes import Recipe, column_name, parse_recipe
from mlcore.features.table import DEFAULT_FEATURES, feature_table


def table_for(model: Any, bars: pd.DataFrame, features: Sequence[Recipe] = DEFAULT_FEATURES) -> pd.DataFrame:
    """Return the feature table ``(N, F)`` of `features`, and of what `model` says it needs besides.

    A model may have ``own_features``, recipes that join `features` where they are not among them, and ``clocks``:
    ``"5x"`` (five of the bars' own) or ``"1h"``. For each clock the bars are put together to longer ones and every
    feature of `features` is computed on those; beside bar t stands the row of the newest longer bar that was whole
    at the close of t. Its columns are called ``5x:rsi``. So a row of the table is known at the close of its bar.

    Returns
    -------
    DataFrame
        As `feature_table`; ``attrs["memory"]`` counts the bars' own rows, those inside longer bars included.

    Raises
    ------
    BarwiseError
        A clock that the bars cannot be put together to, or that is named twice.

    Warns
    -----
    BarwiseWarning
        A duration that is the bars' own interval: nothing slower stands beside the bars then.
    """
    names = {_written(recipe) for recipe in features}
    own = [recipe for recipe in getattr(model, "own_features", ()) if _written(recipe) not in names]
    table = feature_table(bars, (*features, *own))
    clocks = tuple(getattr(model, "clocks", ()))
    if not clocks:
        return table
    if len(set(clocks)) < len(clocks):
        raise BarwiseError(f"`clocks` are {clocks}; each may be named once.")
    interval = bar_interval(bars)
    for clock in clocks:
        _warn_of_own_clock(clock, interval)
    slow = [_slow_table(bars, clock, interval, features) for clock in clocks]
    joined = pd.concat([table, *slow], axis=1)
    joined.attrs["memory"] = max(part.attrs["memory"] for part in (table, *slow))
    return joined


def clock_bars(clock: str, interval: pd.Timedelta) -> int:
    """Return how many bars of `interval` make one bar of `clock`.

    >>> clock_bars("5x", pd.Timedelta("1min")), clock_bars("1h", pd.Timedelta("15min"))
    (5, 4)
    """
    if times := re.fullmatch(r"(\d+)x", clock):
        ratio, rest = int(times[1]), 0
    else:
        try:
            ratio, rest = divmod(pd.Timedelta(clock).value, interval.value)
        except ValueError:
            raise BarwiseError(f"`clock` is {clock!r}; it is a multiple like '5x' or a duration like '1h'.") from None
    if ratio < 1 or rest:
        raise BarwiseError(
            f"`clock` is {clock!r}, no whole multiple of the bars' interval {interval}: take one that is, or "
            "shorter bars."
        )
    return int(ratio)


def _warn_of_own_clock(clock: str, interval: pd.Timedelta) -> None:
    if clock_bars(clock, interval) == 1 and not clock.endswith("x"):  # "1x" says so itself
        warnings.warn(
            f"The slow clock '{clock}' is the interval of the bars themselves, so the model reads the same bars twice: "
            f"it needs bars shorter than {clock} (a quarter, say), or a slower clock (dual_stream: `--set slow=4x`).",
            BarwiseWarning,
            stacklevel=3,
        )


def clock_columns(names: Sequence[str], clock: str) -> list[int]:
    """Return the places of the columns of `clock` in a table of `names`; refuse a table without any.

    >>> clock_columns(["rsi", "1h:rsi", "1h:volatility"], "1h")
    [1, 2]
    """
    found = [place for place, name in enumerate(names) if name.startswith(f"{clock}:")]
    if not found:
        raise BarwiseError(
            f"`features` have no column of the clock {clock!r} ({clock}:...): make the table with "
            "`mlcore.features.table_for(model, bars)`, which adds them, and let the walk-forward tell the names."
        )
    return found


def plain_columns(names: Sequence[str]) -> list[int]:
    """Return the places of the columns that belong to no clock but the bars' own.

    >>> plain_columns(["rsi", "1h:rsi"])
    [0]
    """
    return [place for place, name in enumerate(names) if ":" not in name]


def _written(recipe: Recipe) -> str:
    """Return a recipe in its one spelling."""
    return column_name(*parse_recipe(recipe))


def _slow_table(bars: pd.DataFrame, clock: str, interval: pd.Timedelta, features: Sequence[Recipe]) -> pd.DataFrame:
    """Return the features of the longer bars on the index of `bars`, NaN until the first of them was whole.

    A longer bar known at the close of t ended at most ``ratio - 1`` bars before it, and reaches ``ratio`` bars
    back, as does each of those its features remember.
    """
    ratio = clock_bars(clock, interval)
    longer = resample(bars, ratio * interval)
    table = feature_table(longer if len(longer) else bars.iloc[:1], features)  # of one bar: only for the names
    joined = join_known(bars[[]], table.iloc[: len(longer)], interval=ratio * interval, prefix=f"{clock}:")
    joined.attrs["memory"] = (table.attrs["memory"] + 2) * ratio - 2
    return joined
