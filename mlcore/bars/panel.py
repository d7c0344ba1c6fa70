"""Bars of many symbols: one file each, or one long file with a column that tells them apart."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from mlcore.bars.check import check_bars
from mlcore.bars.columns import SYMBOLS, key_of
from mlcore.bars.identity import market_of, name_market, ticker_in
from mlcore.bars.read import BUNDLED, _read, read_bars
from mlcore.errors import BarsError, BarwiseWarning, did_you_mean

Paths = str | Path | Sequence[str | Path] | Mapping[str, str | Path]


def read_panel(
    paths: Paths,
    *,
    symbols: Iterable[str] | None = None,
    repair: Iterable[str] | str = (),
    min_rows: int = 1,
    stamped: str = "open",
) -> dict[str, pd.DataFrame]:
    """Read checked bars of many symbols; histories may be ragged (a coin listed later, delisted earlier, with gaps).

    Parameters
    ----------
    paths : one file or several; a mapping names each file's symbol. A file with a column of symbols gives all of
        them, sorted; another one is named by the ticker in its name (``binance_spot_BTCUSDT_1h`` is BTCUSDT), and where
        that is missing or not unique, by its name without the suffix.
    symbols : which to keep, in this order; default all.
    repair, min_rows, stamped : as in `read_bars`, for every symbol.

    Raises
    ------
    BarsError
        As `read_bars`, with the symbol; a symbol in two files; a symbol asked for that is not there.

    Warns
    -----
    BarwiseWarning
        Once a kind for all symbols together: how many have it, and what it says of the first.
    """
    frames = _frames(paths)
    wanted = list(frames) if symbols is None else _known(symbols, frames)
    panel: dict[str, pd.DataFrame] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", BarwiseWarning)
        said: list[tuple[str, str]] = []
        for symbol in wanted:
            path, frame = frames.pop(symbol)
            panel[symbol] = _checked(path, symbol, frame, repair=repair, min_rows=min_rows, stamped=stamped)
            said += [(symbol, str(warning.message)) for warning in caught]
            caught.clear()
    for text in _by_kind(said, len(panel)):
        warnings.warn(text, BarwiseWarning, stacklevel=2)
    return panel


def symbols_in(path: str | Path) -> list[str]:
    """Return the symbols that a file tells apart, sorted; empty where it has no column of them, or cannot be read.

    >>> symbols_in("sp500")
    []
    """
    path = Path(path)
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            import pyarrow.parquet

            names = pyarrow.parquet.read_schema(path).names
            column = next((name for name in names if key_of(name) in SYMBOLS), None)
            frame = None if column is None else pd.read_parquet(path, columns=[column])
        else:
            frame = _read(path)
    except (BarsError, OSError, ValueError):  # reading it for good will say what is wrong
        return []
    column = None if frame is None else _column(frame)
    return [] if frame is None or column is None else sorted(map(str, frame[column].dropna().unique()))


def _frames(paths: Paths) -> dict[str, tuple[Path, pd.DataFrame | None]]:
    """Return symbol -> (file, its raw rows; None for what `read_bars` reads by its name)."""
    named = isinstance(paths, Mapping)
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in _values(paths)]
    if not files:
        raise BarsError("`paths` is empty: name one file of bars at least.")
    names = list(paths) if isinstance(paths, Mapping) else _names(files)
    frames: dict[str, tuple[Path, pd.DataFrame | None]] = {}
    for name, path in zip(names, files, strict=True):
        for symbol, frame in _split(path, str(name), named):
            if symbol in frames:
                raise BarsError(
                    f"{path}: the symbol {symbol!r} is in {frames[symbol][0]} already: leave one of them out."
                )
            frames[symbol] = path, frame
    return frames


def _values(paths: Sequence[str | Path] | Mapping[str, str | Path]) -> Iterable[str | Path]:
    return paths.values() if isinstance(paths, Mapping) else paths


def _names(files: Sequence[Path]) -> list[str]:
    tickers = [ticker_in(path) or path.stem for path in files]
    return tickers if len(set(tickers)) == len(files) else [path.name.split(".")[0] for path in files]


def _split(path: Path, name: str, named: bool) -> Iterable[tuple[str, pd.DataFrame | None]]:
    if str(path) == BUNDLED:
        return [(name, None)]
    try:
        frame = _read(path)
    except BarsError as error:
        raise BarsError(f"{path}: {error}") from None
    column = _column(frame)
    if column is None:
        return [(name, frame)]
    groups = frame.groupby(column, observed=True)
    parts = [(str(symbol), name_market(part.drop(columns=column), str(symbol))) for symbol, part in groups]
    if named and len(parts) > 1:
        raise BarsError(f"{path}: the file holds {len(parts)} symbols and is named as one, {name!r}: give it unnamed.")
    return [(name, parts[0][1])] if named and parts else parts


def _column(frame: pd.DataFrame) -> str | None:
    """Return the column that tells symbols apart; numbers do not."""
    keys = {key_of(name): name for name in frame.columns if not isinstance(name, tuple)}
    found = next((keys[name] for name in SYMBOLS if name in keys), None)
    return None if found is None or pd.api.types.is_numeric_dtype(frame[found]) else found


def _known(symbols: Iterable[str], frames: Mapping[str, object]) -> list[str]:
    wanted = [symbols] if isinstance(symbols, str) else list(dict.fromkeys(symbols))
    for symbol in wanted:
        if symbol not in frames:
            raise BarsError(
                f"the symbol {symbol!r} is in none of the files.{did_you_mean(symbol, list(frames))} They hold: "
                f"{', '.join(list(frames)[:10])}{', ...' if len(frames) > 10 else ''}."
            )
    return wanted


def _checked(path: Path, symbol: str, frame: pd.DataFrame | None, **options: object) -> pd.DataFrame:
    try:
        bars = read_bars(path, **options) if frame is None else check_bars(frame, **options)  # type: ignore[arg-type]
    except BarsError as error:
        raise BarsError(f"{path}: {symbol}: {error}") from None
    return name_market(bars, market_of(bars) or ticker_in(path))  # not `symbol`, which may be a file's name or an alias


def _by_kind(said: Sequence[tuple[str, str]], n_symbols: int) -> list[str]:
    """Return one sentence a kind of warning; two are of one kind where they differ in numbers and stamps only."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for symbol, text in said:
        kinds.setdefault(re.sub(r"\([^)]*\)|\d[\d,.:+\- ]*|\bdays?\b", "#", text), []).append((symbol, text))
    return [
        f"{found[0][0]}: {found[0][1]}"
        + (f" Likewise {len(found) - 1} more of {n_symbols} symbols." * (len(found) > 1))
        for found in kinds.values()
    ]
