"""What makes two frames the same bars, and what market a frame is of."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError

SYMBOL = "symbol"  # the entry of `attrs` that says what bars or forecasts are of; Parquet keeps it
_TICKER = re.compile(r"(?<![A-Za-z0-9])[A-Z0-9]+(?:USDT|USDC|BUSD|FDUSD|USD|EUR|BTC|ETH)(?![A-Za-z0-9])")
Frame = TypeVar("Frame", bound=pd.DataFrame)


def bars_sha256(bars: pd.DataFrame) -> str:
    """Return the SHA-256 of stamps (ns), column names and float64 values.

    Equal for equal bars, whatever file they came in.
    """
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(bars.index.as_unit("ns").asi8, dtype="<i8").data)  # type: ignore[attr-defined]
    for name in bars.columns:
        digest.update(f"\0{name}\0".encode())
        digest.update(np.ascontiguousarray(bars[name].to_numpy(), dtype="<f8").data)
    return digest.hexdigest()


def ticker_in(path: str | Path) -> str | None:
    """Return the first ticker in a file's name, None where it holds none.

    >>> ticker_in("bars/binance_spot_BTCUSDT_1h_2021.parquet"), ticker_in("bars.csv")
    ('BTCUSDT', None)
    """
    found = _TICKER.findall(Path(path).name.split(".")[0])
    return str(found[0]) if found else None


def market_of(frame: pd.DataFrame) -> str | None:
    """Return what bars, or forecasts, are of: ``frame.attrs["symbol"]``; None where it is not known."""
    return frame.attrs.get(SYMBOL)


def name_market(frame: Frame, symbol: str | None) -> Frame:
    """Return the very `frame`, told what it is of; None leaves it as it is."""
    if symbol is not None:
        frame.attrs[SYMBOL] = symbol
    return frame


def check_market(forecasts: pd.DataFrame, bars: pd.DataFrame) -> None:
    """Refuse forecasts of another market than the bars are of, as far as both are known.

    Stamps agree between markets, so nothing else would tell. ``BTC/USDT`` and ``BTCUSDT`` are one.
    """
    if differ(ours := market_of(forecasts), theirs := market_of(bars)):
        raise BarwiseError(
            f"`forecasts` are of {ours} and `bars` of {theirs}: give the bars they were made from. If both are one "
            "market by two names, `forecasts.attrs.pop('symbol')` says so."
        )


def differ(symbol: str | None, other: str | None) -> bool:
    """Tell whether two names, both known, are those of two markets."""
    return symbol is not None and other is not None and _plain(symbol) != _plain(other)


def _plain(symbol: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", symbol.upper())
