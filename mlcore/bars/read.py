"""Bars from files: Parquet, Feather and CSV as exchanges, Kaggle and Binance dumps write them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from mlcore.bars.check import check_bars
from mlcore.bars.columns import HEADERLESS, key_of, refuse_twins
from mlcore.bars.identity import market_of, name_market, ticker_in
from mlcore.errors import BarsError, did_you_mean

BUNDLED = "sp500"
_PARQUET, _FEATHER = (".parquet", ".pq"), (".feather",)
_CSV = (".csv", ".txt", ".tsv")
_PACKED = (".gz", ".zip", ".bz2", ".xz", ".zst")


def read_bars(
    path: str | Path,
    *,
    repair: Iterable[str] | str = (),
    min_rows: int = 1,
    stamped: str = "open",
    symbol: str | None = None,
) -> pd.DataFrame:
    """Read a file and return checked bars (`check_bars` tells the other parameters); the file is never touched.

    ``"sp500"`` stands for the S&P 500, daily, 1999-2018, which ships with the package `arch`; it takes neither
    `stamped` nor `symbol`. ``bars.attrs["symbol"]`` is what a column, or a ticker in the file's name, says.

    Reads Parquet, Feather and CSV (also packed), usual column names, epochs of any unit or dates, stamps as a
    column or the index, Binance and Kraken dumps without a header, lines above the header.
    """
    if str(path) == BUNDLED:
        if stamped != "open" or symbol is not None:
            raise BarsError(f"`{BUNDLED}` is one index, stamped by its days: leave `stamped` and `symbol` out.")
        from arch.data import sp500

        return check_bars(sp500.load(), repair=repair, min_rows=min_rows)
    path = Path(path)
    try:
        frame = _read(path)
        bars = check_bars(frame, repair=repair, min_rows=min_rows, stamped=stamped, symbol=symbol)
    except BarsError as error:
        raise BarsError(f"{path}: {error}") from None
    return name_market(bars, market_of(bars) or ticker_in(path))


def _read(path: Path) -> pd.DataFrame:
    if path.is_dir():
        raise BarsError(f"this is a folder: name a file in it.{_an_example(path)}")
    if not path.is_file():
        near = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        raise BarsError(f"the file does not exist.{did_you_mean(path.name, near)} (`{BUNDLED}` needs no file.)")
    if path.stat().st_size == 0:
        raise BarsError("the file is empty (0 bytes).")
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix.lower() not in _PACKED), "").lower()
    if kind in _PARQUET + _FEATHER:
        return _read_arrow(path, kind)
    if kind in _CSV:
        return _read_csv(path)
    raise BarsError(f"the kind {kind or '(no suffix)'!r} is not known; use .parquet, .feather or .csv.")


def _an_example(folder: Path) -> str:
    """Return the first file of a folder that could hold bars, in a sentence."""
    known = {*_PARQUET, *_FEATHER, *_CSV}
    found = sorted(item.name for item in folder.iterdir() if item.is_file() and known & set(item.suffixes))
    return f" It holds {len(found)}, the first is {found[0]!r}." if found else " It holds none of a kind that is read."


def _read_arrow(path: Path, kind: str) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.parquet

    try:
        if kind in _PARQUET:
            refuse_twins(pa.parquet.read_schema(path).names)  # Arrow's own word on twins names no column
            return pa.parquet.read_table(path).to_pandas()
        table = pa.feather.read_table(path)
        refuse_twins(table.column_names)
        return table.to_pandas()
    except BarsError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0]
        raise BarsError(f"this is no readable {kind[1:]} file (truncated?): {first}") from None


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        skipped, header, separator = _header(path)
        frame = pd.read_csv(
            path,
            sep=separator,
            header=None,
            skiprows=skipped + (header is not None),
            index_col=False,
            skipinitialspace=True,
            low_memory=False,
            encoding="utf-8-sig",
        )
    except pd.errors.EmptyDataError:
        raise BarsError("the file holds a header and no row, or nothing.") from None
    except (pd.errors.ParserError, UnicodeDecodeError, OSError, ValueError, EOFError) as error:
        raise BarsError(f"this is no readable CSV: {str(error).strip().splitlines()[-1]}") from None
    names = header if header is not None else HEADERLESS.get(frame.shape[1])
    if names is None or len(names) != frame.shape[1]:
        raise BarsError(
            f"the rows have {frame.shape[1]} fields"
            + (f" and the header has {len(names)}." if names else "; without a header 6, 7, 8, 11 or 12 are known.")
            + " Add a header line: timestamp,open,high,low,close,volume."
        )
    return frame.set_axis(list(names), axis=1)


def _header(path: Path) -> tuple[int, list[str] | None, str]:
    """Return how many lines stand above, the header's names (None without one), and the separator."""
    # One field a line, whatever the separator: this way pandas unpacks and decodes.
    read: dict[str, Any] = {"sep": "\x01", "quoting": csv.QUOTE_NONE, "header": None, "skip_blank_lines": False}
    lines = pd.read_csv(path, nrows=20, dtype=str, encoding="utf-8-sig", **read)
    top = lines[0].fillna("").tolist()
    for skipped, line in enumerate(top):
        separator = max(",;\t", key=line.count)
        if line.startswith("#"):
            continue
        fields = [field.strip() for field in next(csv.reader([line], delimiter=separator), [])]
        if len(fields) >= 5 or {"open", "close"} <= {key_of(field) for field in fields}:
            return skipped, None if _is_number(fields[1]) else fields, separator
    raise BarsError("no line has 5 fields or more: this is no table of bars.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
