"""A writer to Parquet: every bar's prices, observers and indicators, one row a bar."""

from __future__ import annotations

import contextlib
import uuid
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mlcore.errors import BarwiseError
from strategies.bt.indicators import number_to_stamp

_ROWS = 8192  # of one piece that is written


class ParquetWriter(bt.WriterBase):
    """``cerebro.addwriter(ParquetWriter, path="bars.parquet")``: what `WriterFile` prints, as columns of numbers.

    A row is written at every call of the strategy's ``next`` (and in its warm-up); column `timestamp` is the
    strategy's clock (UTC), the others are ``<feed, strategy, indicator or observer>.<line>`` as float64, a second one
    of the same name with ``_2``. Indicators are written where they say so (``csv = True``), as Barwise's do. The file
    appears whole when the run ends; one that is there already is replaced. Rows leave memory in pieces.
    """

    params: Any = (("path", None), ("csv", True))

    def __init__(self) -> None:
        if self.p.path is None:
            raise BarwiseError("`path` is not given: `cerebro.addwriter(ParquetWriter, path='bars.parquet')`.")
        self._path = Path(self.p.path)
        if not self._path.parent.is_dir() or self._path.is_dir():
            raise BarwiseError(f"`path` is {str(self._path)!r}: give a file in a folder that is there.")
        self._headers: list[str] = []
        self._rows: list[list[float]] = []
        self._file: pq.ParquetWriter | None = None

    def addheaders(self, headers: Iterable[str]) -> None:
        """Take the names of what is written; cerebro calls it for feeds and strategies."""
        self._headers += map(str, headers)

    def start(self) -> None:
        """Open the file under another name; cerebro calls it before the first bar."""
        self._names, self._places, self._clock = _columns(self._headers)
        self._beside = self._path.with_name(f".{self._path.name}-{uuid.uuid4().hex}")
        fields = [pa.field("timestamp", pa.timestamp("ns", "UTC")), *(pa.field(n, pa.float64()) for n in self._names)]
        self._schema = pa.schema(fields)
        self._file = pq.ParquetWriter(self._beside, self._schema)

    def addvalues(self, values: Iterable[Any]) -> None:
        """Take the values of one bar, as many as there are headers."""
        row = list(values)
        self._rows.append([row[self._clock], *(_number(row[place]) for place in self._places)])

    def next(self) -> None:
        """Write a piece where enough bars have come."""
        if len(self._rows) >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows and self._file is not None:
            stamps = pd.DatetimeIndex([number_to_stamp(row[0]) for row in self._rows]).as_unit("ns")
            table = np.array([row[1:] for row in self._rows], dtype=np.float64).reshape(len(self._rows), -1)
            arrays = [pa.array(stamps, self._schema.field(0).type), *(pa.array(column) for column in table.T)]
            self._file.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
            self._rows = []

    def writedict(self, *told: Any, **more: Any) -> None:
        """Cerebro's summary in words; numbers of analyzers are read from `get_analysis`."""

    def stop(self) -> None:
        """Finish the file and give it its name."""
        if self._file is None:
            return
        try:
            self._flush()
            self._file.close()
            self._beside.rename(self._path)
        finally:
            self._file = None
            with contextlib.suppress(OSError):
                self._beside.unlink()


def _columns(headers: list[str]) -> tuple[list[str], list[int], int]:
    """Return names and places of the columns, and the place of the strategy's stamp.

    A block of headers is a name, ``len``, and lines. The last block with a line ``datetime`` is the strategy's.
    """
    starts = [i for i in range(len(headers) - 1) if headers[i + 1] == "len"]
    blocks = list(zip(starts, [*starts[1:], len(headers)], strict=True))
    seen: Counter[str] = Counter()
    names, places, clock = [], [], -1
    for first, stop in blocks:
        name = headers[first] or "feed"  # a feed without a name
        seen[name] += 1
        name = name if seen[name] == 1 else f"{name}_{seen[name]}"
        for place in range(first + 2, stop):
            if headers[place] == "datetime":
                clock = place
            else:
                names.append(f"{name}.{headers[place]}")
                places.append(place)
    return names, places, clock


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float | np.number) else float("nan")
