"""A writer to Parquet: every bar's prices, observers and indicators, one row a bar."""

from __future__ import annotations

import os
import shutil
import string
import tempfile
import uuid
import weakref
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

    path
        file in a folder that is there. Parameters of the strategy in braces are filled in by the run's own
        (``"runs/{window}-{policy.entry}.parquet"``; plain values only), so that every run of `optstrategy` has a file
        of its own. There, a path that names none is refused, and so is a run whose file another run of it has taken.
    """

    params: Any = (("path", None), ("csv", True))

    def __init__(self) -> None:
        if self.p.path is None:
            raise BarwiseError("`path` is not given: `cerebro.addwriter(ParquetWriter, path='bars.parquet')`.")
        path = Path(self.p.path)
        if not path.parent.is_dir() or path.is_dir():
            raise BarwiseError(f"`path` is {str(path)!r}: give a file in a folder that is there.")
        optimises = bt.metabase.findowner(self, bt.Cerebro)._dooptimize  # as backtrader's own parts find theirs
        if optimises and "{" not in path.name:
            raise BarwiseError(
                f"`path` is {str(path)!r} and `optstrategy` makes several runs, which would all write to it: name "
                "parameters of the strategy in it, as 'runs/{window}-{policy.entry}.parquet'."
            )
        # What runs in other processes see of one another: the names of files that are taken.
        self._taken = tempfile.mkdtemp(prefix="barwise-") if optimises else None
        self._mark = uuid.uuid4().hex
        weakref.finalize(self, _clear, path.parent, self._mark, self._taken, os.getpid())
        self._headers: list[str] = []
        self._rows: list[list[float]] = []
        self._file: pq.ParquetWriter | None = None

    def addheaders(self, headers: Iterable[str]) -> None:
        """Take the names of what is written; cerebro calls it for feeds and strategies."""
        self._headers += map(str, headers)

    def start(self) -> None:
        """Open the file under another name; cerebro calls it before the first bar."""
        self._names, self._places, self._clock = _columns(self._headers)
        self._path, self._beside = self._places_of_run()
        fields = [pa.field("timestamp", pa.timestamp("ns", "UTC")), *(pa.field(n, pa.float64()) for n in self._names)]
        self._schema = pa.schema(fields)
        self._file = pq.ParquetWriter(self._beside, self._schema)

    def _places_of_run(self) -> tuple[Path, Path]:
        """Return the run's file, and the one beside it that it is written to meanwhile."""
        cerebro, given = bt.metabase.findowner(self, bt.Cerebro), Path(self.p.path)
        name = _filled(given.name, cerebro.runningstrats[0].p)
        if self._taken is not None:
            try:
                (Path(self._taken) / name).touch(exist_ok=False)
            except FileExistsError:
                raise BarwiseError(
                    f"`path` {str(given)!r} is {name!r} for two runs of this optimisation: name all parameters in it "
                    "that the runs differ by."
                ) from None
        return given.with_name(name), given.with_name(f".{name}-{self._mark}")

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
        self._headers = []  # the next run of an optimisation has its own
        if self._file is None:
            return
        try:
            self._flush()
            self._file.close()
            self._beside.replace(self._path)
        finally:
            self._file, self._rows = None, []
            self._beside.unlink(missing_ok=True)


class _Plain(string.Formatter):
    """Fills in plain values, and attributes of the parameters."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if not isinstance(value, str | int | float | None):
            raise TypeError(f"{type(value).__name__} is no plain value")
        return super().format_field(value, format_spec)


def _filled(name: str, params: Any) -> str:
    """Return the file's name with the run's parameters in the place of their names in braces."""
    if "{" not in name:
        return name
    try:
        filled = _Plain().vformat(name, (), dict(params._getkwargs()))
    except (KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
        known = ", ".join(params._getkeys())
        raise BarwiseError(
            f"`path` names the file {name!r}, which cannot be filled in ({error}): in braces stand parameters of the "
            f"strategy that are numbers or text, or have such attributes. It has: {known}."
        ) from None
    if Path(filled).name != filled:
        raise BarwiseError(f"`path` names the file {name!r}, which becomes {filled!r}: that is no name of a file.")
    return filled


def _clear(folder: Path, mark: str, taken: str | None, process: int) -> None:
    """Remove what runs that broke, here or in processes of the pool, have left behind."""
    if os.getpid() != process:
        return  # a fork's copy
    for left in folder.glob(f".*-{mark}"):
        left.unlink(missing_ok=True)
    if taken is not None:
        shutil.rmtree(taken, ignore_errors=True)


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
