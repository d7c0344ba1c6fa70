"""The newest row of a feature table, made again with every bar that comes in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError
from mlcore.features.recipes import Recipe, column_name, parse_recipe
from mlcore.plugins import FEATURES

KEEP = 4096  # bars that a recursive feature is run over: an EMA of 200 bars has forgotten what lies before to 1e-17


class Tail:
    """The newest bars as plain arrays: what a feature reads of them, without pandas."""

    def __init__(self, columns: Mapping[str, np.ndarray], stamps: np.ndarray, start: int, stop: int) -> None:
        self._columns, self._stamps, self._start, self._stop = columns, stamps, start, stop

    def __getitem__(self, column: str) -> np.ndarray:
        return self._columns[column][self._start : self._stop]

    def __len__(self) -> int:
        return self._stop - self._start

    @property
    def index(self) -> Stamps:
        """Open stamps, UTC, as plain numbers: a DatetimeIndex takes longer to make than all features together."""
        return Stamps(self._stamps[self._start : self._stop])

    def frame(self) -> pd.DataFrame:
        """Return the bars as a DataFrame."""
        values = {name: column[self._start : self._stop] for name, column in self._columns.items()}
        stamps = self._stamps[self._start : self._stop].view("M8[ns]")
        return pd.DataFrame(values, index=pd.DatetimeIndex(stamps, name="timestamp").tz_localize("UTC"))


class Stamps:
    """What calendar features read of a DatetimeIndex; one that wants more is given a DataFrame."""

    units: ClassVar[dict[str, int]] = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}

    def __init__(self, nanoseconds: np.ndarray, unit: str = "ns") -> None:
        self.asi8 = nanoseconds // self.units[unit]
        self._nanoseconds = nanoseconds

    def as_unit(self, unit: str) -> Stamps:
        """Return the same stamps counted in `unit`, rounded down."""
        return Stamps(self._nanoseconds, unit)


class NewestBars:
    """Bars as they come in; the newest `keep` of them stand in one piece of memory."""

    def __init__(self, bars: pd.DataFrame, keep: int = KEEP) -> None:
        bars = bars.iloc[-keep:]
        self.keep, self.n = keep, len(bars)
        numeric = [str(name) for name in bars.columns if pd.api.types.is_numeric_dtype(bars[name])]
        self.columns = {name: np.empty(2 * keep) for name in numeric}
        for name, column in self.columns.items():
            column[: self.n] = bars[name].to_numpy(np.float64)
        self.stamps = np.empty(2 * keep, dtype=np.int64)
        self.stamps[: self.n] = pd.DatetimeIndex(bars.index).as_unit("ns").asi8

    def append(self, stamp: int, values: Mapping[str, float]) -> None:
        """Add a bar; `stamp` in nanoseconds since 1970."""
        if self.n == 2 * self.keep:
            for array in (*self.columns.values(), self.stamps):
                array[: self.keep] = array[self.keep :]
            self.n = self.keep
        for name, column in self.columns.items():
            column[self.n] = values[name]
        self.stamps[self.n] = stamp
        self.n += 1

    def tail(self, length: int) -> Tail:
        """Return the newest `length` bars, or as many as there are."""
        return Tail(self.columns, self.stamps, max(0, self.n - min(length, self.keep)), self.n)


@dataclass
class _Part:
    """One recipe: how its newest value is made, over how many bars, and where in the row it goes."""

    feature: Callable[..., Any]  # as it is registered: what it wraps could not be pickled
    params: dict[str, Any]
    length: int
    columns: slice
    plain: bool  # reads plain arrays, no DataFrame

    @property
    def made(self) -> Callable[..., Any]:
        """The function that makes it: of plain arrays the one inside."""
        return getattr(self.feature, "__wrapped__", self.feature) if self.plain else self.feature


class NewestRow:
    """The newest row of ``feature_table(bars, features)``, ``(F,)`` float64, from as few bars as each feature needs.

    A feature of finite memory is run over its own warm-up, a recursive one over the newest `KEEP` bars; so a value
    differs from the table's by rounding (running sums begin elsewhere) and by what an average has forgotten. A feature
    that wants a DataFrame gets one; that is slower. Known at the close of the newest bar.

    Parameters
    ----------
    bars : newest bars, with enough of them that every feature is past its warm-up.
    features : recipes, as for `feature_table`.
    keep : bars that a recursive feature is run over; all that `bars` keep by default.
    """

    def __init__(self, bars: NewestBars, features: Sequence[Recipe], keep: int | None = None) -> None:
        self.parts: list[_Part] = []
        self.names: list[str] = []
        self.keep = bars.keep if keep is None else keep
        frame = bars.tail(self.keep).frame()
        for recipe in features:
            name, params = parse_recipe(recipe)
            self.parts.append(self._part(bars, frame, name, params))
        self.row = np.empty(len(self.names))

    def _part(self, bars: NewestBars, frame: pd.DataFrame, name: str, params: dict[str, Any]) -> _Part:
        feature, column = FEATURES[name], column_name(name, params)
        table = feature(frame, **params)
        values = table.to_numpy(np.float64).reshape(len(frame), -1)
        known = np.isfinite(values).all(axis=1)
        if not known[-1]:
            raise BarwiseError(f"`bars` are {len(frame)}, too few for the feature {column!r}: give a longer past.")
        start = len(self.names)
        made = [f"{column}_{part}" for part in table.columns] if isinstance(table, pd.DataFrame) else [column]
        self.names += made
        length = self.keep if getattr(feature, "recursive", False) else int(known.argmax()) + 1
        part = _Part(feature, params, length, slice(start, start + len(made)), plain=True)
        if not _agree(part, bars, values[-1]):
            part = _Part(feature, params, length, part.columns, plain=False)
        return part

    def update(self, bars: NewestBars) -> np.ndarray:
        """Return the row of the newest of `bars`; it is overwritten by the next call."""
        for part in self.parts:
            self.row[part.columns] = _newest(part, bars)
        return self.row


def _newest(part: _Part, bars: NewestBars) -> Any:
    tail = bars.tail(part.length)
    made = part.made(tail if part.plain else tail.frame(), **part.params)
    if isinstance(made, np.ndarray):
        return made[-1]
    if isinstance(made, dict):
        return [values[-1] for values in made.values()]
    return made.iloc[-1]


def _agree(part: _Part, bars: NewestBars, row: np.ndarray) -> bool:
    """Tell whether the feature reads plain arrays and says of them what it says of a DataFrame."""
    try:
        found = np.atleast_1d(np.asarray(_newest(part, bars), dtype=np.float64))
    except Exception:  # whatever a feature raises that wants a DataFrame
        return False
    return found.shape == row.shape and bool(np.allclose(found, row, rtol=1e-6, atol=1e-12))
