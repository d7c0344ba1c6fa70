"""The door: any frame that looks like bars comes out as bars, or with one clear line of what is wrong."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from mlcore.bars.clock import bar_interval
from mlcore.bars.columns import REQUIRED, SYMBOLS, rename_columns
from mlcore.bars.identity import market_of, name_market
from mlcore.bars.oddities import warn_of_oddities
from mlcore.bars.rules import Raw, check_repairs, enforce, repaired
from mlcore.bars.stamps import find_stamps, is_stamp_column, open_stamps, read_stamps
from mlcore.errors import BarsError, did_you_mean


def check_bars(
    bars: pd.DataFrame,
    *,
    repair: Iterable[str] | str = (),
    min_rows: int = 1,
    stamped: str = "open",
    symbol: str | None = None,
) -> pd.DataFrame:
    """Return bars that obey the rules: UTC index `timestamp` of open stamps, float64, numeric extras kept.

    The frame given is left alone.

    Parameters
    ----------
    bars : columns named as exchanges, Kaggle or Binance dumps do; stamps in a column or the index.
    repair : repairs to make, each with a warning: ``sort``, ``drop_duplicates``, ``drop_bad_rows``, ``widen_range``.
    min_rows : fewest rows that will do.
    stamped : ``"open"``, or ``"close"`` if the stamps are the bars' closing times: they are moved one
        interval back. Never guessed.
    symbol : which market, where a column tells them apart. Where it is known, ``bars.attrs["symbol"]`` says it.

    Raises
    ------
    BarsError
        With row, value, rule and repair.

    Warns
    -----
    BarwiseWarning
        Once a kind, with counts: missing bars, zero volume, spikes that revert in one bar, repairs made.
    """
    if stamped not in ("open", "close"):
        raise BarsError(f"`stamped` is {stamped!r}.{did_you_mean(stamped, ['open', 'close'])} Known: open, close.")
    repair = check_repairs(repair)
    if not isinstance(bars, pd.DataFrame):
        raise BarsError(f"`bars` is a {type(bars).__name__}; it must be a DataFrame.")
    raw = repaired(_raw(bars, stamped, symbol), repair)
    enforce(raw)
    checked = raw.bars
    if len(checked) < min_rows:
        raise BarsError(f"`bars` holds {len(checked):,} rows; {min_rows:,} are needed.")
    if stamped == "close":
        checked = checked.set_axis(open_stamps(checked.index, bar_interval(checked)), axis=0)  # type: ignore[arg-type]
    warn_of_oddities(checked)
    return name_market(checked, market_of(raw.original))


def _raw(frame: pd.DataFrame, stamped: str, symbol: str | None) -> Raw:
    if not len(frame):
        raise BarsError("`bars` is empty: there is no row.")
    named = _one_symbol(rename_columns(frame), symbol)
    stamps, _ = find_stamps(named, stamped)
    index = read_stamps(stamps)
    columns = {name: _numbers(named[name]) for name in REQUIRED}
    columns |= {name: values for name in _extras(named) if (values := _extra(named[name])) is not None}
    bars = pd.DataFrame(columns)
    bars.index = index
    return Raw(bars, named, stamps)


def _one_symbol(named: pd.DataFrame, symbol: str | None) -> pd.DataFrame:
    column = next((name for name in SYMBOLS if name in named and not pd.api.types.is_float_dtype(named[name])), None)
    if column is None:
        if symbol is not None:
            raise BarsError(f"`symbol` is {symbol!r}, and no column tells symbols apart: leave it out.")
        return named
    known = [str(value) for value in named[column].dropna().unique()]
    if symbol is None and len(known) > 1:
        shown = ", ".join(sorted(known)[:5])
        raise BarsError(
            f"column {column!r} holds {len(known)} markets ({shown}, ...); bars are of one. Choose it with `symbol`."
        )
    if symbol is None:
        return name_market(named.drop(columns=column), known[0] if known else None)
    if symbol not in known:
        raise BarsError(f"`symbol` is {symbol!r}, which column {column!r} does not hold.{did_you_mean(symbol, known)}")
    return name_market(named[(named[column].astype(str) == symbol).to_numpy()].drop(columns=column), symbol)


def _numbers(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _extras(named: pd.DataFrame) -> list[str]:
    dropped = {*REQUIRED, "ignore", ""}
    return [
        name
        for name in named.columns
        if name not in dropped and not name.startswith("unnamed") and not is_stamp_column(name)
    ]


def _extra(column: pd.Series) -> np.ndarray | None:
    """Return an extra as float64, or None where it holds no numbers (names, classes)."""
    return _numbers(column) if pd.api.types.is_numeric_dtype(column) else None
