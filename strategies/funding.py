"""Funding rates of perpetuals from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mlcore.errors import BarwiseError, did_you_mean
from strategies.tables import read_table


def read_funding(path: str | Path, symbols: Sequence[str]) -> dict[str, pd.Series]:
    """Return symbol -> rates by UTC stamp, of a Parquet file with the columns ``symbol`` and ``funding_rate``.

    Raises BarwiseError for what is no such file, and for a symbol that it has no rate of: nothing would be paid.
    """
    rates = read_table(path, "funding")
    for column in ("symbol", "funding_rate"):
        if column not in rates.columns:
            raise BarwiseError(
                f"`funding` is {str(path)!r}, which has no column {column!r}."
                f"{did_you_mean(column, map(str, rates.columns))} It holds rates by stamp, with a column symbol."
            )
    known = list(map(str, rates["symbol"].unique()))
    for symbol in symbols:
        if symbol not in known:
            raise BarwiseError(
                f"`funding` is {str(path)!r}, which has no rate of {symbol!r}.{did_you_mean(symbol, known)} It has: "
                f"{', '.join(known[:10])}{', ...' if len(known) > 10 else ''}."
            )
    return {symbol: rates.loc[rates["symbol"] == symbol, "funding_rate"] for symbol in symbols}
