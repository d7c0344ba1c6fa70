"""Tables by UTC stamp from Parquet files that a user names."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mlcore.errors import BarwiseError


def read_table(path: str | Path, name: str) -> pd.DataFrame:
    """Return the table that the setting `name` says; BarwiseError for what is no Parquet file of rows by UTC stamp."""
    if Path(path).is_dir():
        raise BarwiseError(f"`{name}` is {str(path)!r}, which is a folder: name a Parquet file in it.")
    try:
        table = pd.read_parquet(path)
    except FileNotFoundError:
        raise BarwiseError(f"`{name}` is {str(path)!r}, and there is no such file.") from None
    except Exception as error:  # pyarrow raises its own kinds for a file cut short, empty, or of another format
        raise BarwiseError(f"`{name}` is {str(path)!r}, which is not readable Parquet: {error}") from None
    if not isinstance(table.index, pd.DatetimeIndex) or table.index.tz is None:
        raise BarwiseError(f"`{name}` is {str(path)!r}, whose index is no UTC stamps, one a row.")
    return table
