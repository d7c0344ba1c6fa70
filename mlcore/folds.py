"""Walk-forward folds: which rows a model is fitted on, and which bars it then forecasts.

The law: a model that goes live for row `t` was fitted on rows whose label ENDED before bar `t`, less the
latency. The purge follows from the labels' ends; nobody types it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.tseries.offsets import BaseOffset

from mlcore.errors import BarwiseError
from mlcore.kinds import check_settings

Length = int | pd.Timedelta | BaseOffset
_CALENDAR = re.compile(r"(\d+)\s*(mo|months?|y|years?)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Fold:
    """One pair of train rows and test rows.

    number
        0, 1, 2, ... in time.
    train, test
        int64 rows of the bars, increasing. `test` holds every bar of its block, also those not to be traded.
        Of several markets stacked one below the other: rows of the stack.
    trained_through
        Row of `index` of the last bar that any training label touched; always before the test block.
    opened
        When the test block begins: the calendar's boundary for durations, else the stamp of ``test[0]``.
    """

    number: int
    train: np.ndarray
    test: np.ndarray
    trained_through: int
    opened: pd.Timestamp


class Block(NamedTuple):
    """One test block: first row of the clock, row after the last, and when it opens (`Fold.opened`)."""

    start: int
    stop: int
    opened: pd.Timestamp


class Usable:
    """Rows that may be trained on, and from when on each is known.

    rows
        ``(U,)`` int64, increasing. when: ``(U,)`` moment of each. free: ``(U,)`` first test moment that may know it.
    known, known_free
        The moments of `when`, each once, and the smallest `free` there.
    ends, moments
        ``(N,)`` of all rows, as `WalkForward.split` takes them.
    """

    def __init__(
        self, rows: np.ndarray, when: np.ndarray, free: np.ndarray, ends: np.ndarray, moments: np.ndarray
    ) -> None:
        self.rows, self.when, self.free, self.ends, self.moments = rows, when, free, ends, moments
        self.known, self.known_free = _earliest(when, free)

    def purge(self, latency: int) -> int:
        """Return the bars between a train row and the first test row that may know it, at most."""
        return int((self.ends - self.moments).max(initial=0)) + latency


@dataclass(frozen=True)
class WalkForward:
    """Train on the past, test on the next block, move on.

    Parameters
    ----------
    train : rows to train on (int), or a duration (``"60D"``, ``"3 months"``, Timedelta, DateOffset).
    test : length of one test block, likewise.
    expanding : train on everything from the first row on instead of a window of fixed length.
    latency : bars that a fit takes before its model can go live.

    Notes
    -----
    With `train` in rows the purge shifts the test and the train keeps its size: it is the newest `train`
    usable rows whose label has ended. With a duration the tests stay in place and the purge shortens the
    train. The last test may be short; tests tile time to the last bar.

    With a label that touches ``span`` future bars (the default label: ``horizon + 1``, from the next open
    to the open `horizon` bars on), exactly ``span + latency`` rows lie between the last train row and the
    first test row. A label that ends on bar ``e`` is taken as known at the close of ``e``, and the model
    first decides at the close of ``e + 1``: one bar more careful than the tightest legal gap.

    >>> index = pd.date_range("2024-01-01", periods=12, freq="h", tz="UTC")
    >>> folds = WalkForward(train=4, test=2).split(index, ends=np.arange(12) + 1)  # span 1
    >>> [(f.train.tolist(), f.test.tolist()) for f in folds][:2]
    [([0, 1, 2, 3], [5, 6]), ([2, 3, 4, 5], [7, 8])]
    """

    train: Any  # a Length once made; text is parsed
    test: Any
    expanding: bool = False
    latency: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "train", parse_length(self.train, "train"))
        object.__setattr__(self, "test", parse_length(self.test, "test"))
        if isinstance(self.latency, bool) or not isinstance(self.latency, int | np.integer) or self.latency < 0:
            raise BarwiseError(f"`latency` is {self.latency!r}; it is a count of bars, 0 or more.")
        check_settings(self)

    def split(
        self,
        index: pd.DatetimeIndex,
        ends: np.ndarray,
        rows: np.ndarray | None = None,
        moments: np.ndarray | None = None,
    ) -> list[Fold]:
        """Return the folds over N bars.

        Several markets are cut at one moment for all: `index` then is their common clock, a row is one bar of one
        market, and `moments` says when it is. Counts (`train`, `test`, `latency`) are of moments, not of rows: a
        moment is trained on where any market has a row there that may be, and each row must be legal by itself.

        Parameters
        ----------
        index : ``(M,)`` stamps of the bars, M = N for one market.
        ends : ``(N,)`` row of `index` that each row's label touches last (beyond M-1 where it is not in the frame).
        rows : rows that may be trained on, as a bool mask or as row numbers; default all. The clock starts
            at the first of them, so a warm-up shortens no fold.
        moments : ``(N,)`` row of `index` at which each row is; default its own number.

        Raises
        ------
        BarwiseError
            Fewer bars than one fold needs, or a hole in the bars as long as the train window.
        """
        usable = self.usable(index, ends, rows, moments)
        blocks = self.openings(index, usable)
        if not blocks:
            raise self._too_short(index, usable)
        return [self.fold(index, usable, number, block) for number, block in enumerate(blocks)]

    def usable(
        self,
        index: pd.DatetimeIndex,
        ends: np.ndarray,
        rows: np.ndarray | None = None,
        moments: np.ndarray | None = None,
    ) -> Usable:
        """Return the rows that may be trained on and from when on; parameters as in `split`."""
        moments = np.arange(len(index)) if moments is None else np.asarray(moments, dtype=np.int64)
        ends = _checked_ends(ends, moments)
        usable = np.arange(len(moments)) if rows is None else _row_numbers(rows)
        return Usable(usable, moments[usable], ends[usable] + self.latency + 1, ends, moments)

    def openings(self, index: pd.DatetimeIndex, usable: Usable) -> list[Block]:
        """Return every test block that holds a bar, in time; none where the bars do not reach the first.

        When a block opens depends on no later bar: of fewer bars the same blocks open, the last one cut short.
        """
        first = self._first_test_row(index, usable)
        return list(self._blocks(index, usable.known, first)) if first < len(index) else []

    def fold(self, index: pd.DatetimeIndex, usable: Usable, number: int, block: Block) -> Fold:
        """Return the fold that forecasts `block`: on rows whose label ended, and the latency passed, before it opens.

        Raises BarwiseError where the train window holds no such row.
        """
        window = self._window(index, usable.known[usable.known_free <= block.start], block.opened)
        if not window.size:
            raise self._no_train_rows(index, usable, block.start, block.opened)
        train = usable.rows[(usable.free <= block.start) & (usable.when >= window[0])]
        test = np.flatnonzero((usable.moments >= block.start) & (usable.moments < block.stop))
        return Fold(number, train, test, int(usable.ends[train].max()), block.opened)

    def _first_test_row(self, index: pd.DatetimeIndex, usable: Usable) -> int:
        """Return the first row that can be forecast, the number of bars where there is none."""
        n = len(index)
        if isinstance(self.train, int):
            free = usable.known_free
            return min(n, int(np.sort(free)[self.train - 1])) if len(free) >= self.train else n
        if not len(usable.known) or index[usable.known[0]] + self.train > index[-1]:
            return n
        return int(index.searchsorted(index[usable.known[0]] + self.train))

    def _too_short(self, index: pd.DatetimeIndex, usable: Usable) -> BarwiseError:
        n, known, purge = len(index), usable.known, usable.purge(self.latency)
        if isinstance(self.train, int):
            return BarwiseError(
                f"`train` of {self.train} rows, a purge of {purge} and one test row need "
                f"{self.train + purge + 1} bars; there are {n}, of which {len(known)} can be trained on. "
                "Bring more bars or shorten `train`."
            )
        if not len(known):
            return BarwiseError(
                f"There are {n} bars, of which 0 can be trained on: warm-up of the features, `lookback` and the "
                "label's horizon take them all. Bring more bars, or shorten these."
            )
        spans = index[-1] - index[known[0]]
        return BarwiseError(
            f"`train` of {_told(self.train)} and one test bar need more time than the {_told(spans)} that the "
            f"{n} bars span ({len(known)} of them can be trained on). Bring more bars or shorten `train`."
        )

    def _blocks(self, index: pd.DatetimeIndex, usable: np.ndarray, first: int) -> Iterator[Block]:
        n = len(index)
        if isinstance(self.test, int):
            for start in range(first, n, self.test):
                yield Block(start, min(start + self.test, n), index[start])
            return
        zero = index[first] if isinstance(self.train, int) else index[usable[0]] + self.train
        step, opened = 0, zero
        while opened <= index[-1]:
            step += 1
            closed = zero + step * self.test  # from the first day, so that months do not drift
            begin, end = int(index.searchsorted(opened)), int(index.searchsorted(closed))
            if end > begin:
                yield Block(begin, end, opened)
            opened = closed

    def _window(self, index: pd.DatetimeIndex, legal: np.ndarray, opened: pd.Timestamp) -> np.ndarray:
        if self.expanding:
            return legal
        if isinstance(self.train, int):
            return legal[-self.train :]
        return legal[index[legal] >= opened - self.train]

    def _no_train_rows(self, index: pd.DatetimeIndex, usable: Usable, start: int, opened: pd.Timestamp) -> BarwiseError:
        first = 0 if isinstance(self.train, int) or self.expanding else int(index.searchsorted(opened - self.train))
        n_usable = int(((usable.known >= first) & (usable.known < start)).sum())
        return BarwiseError(
            f"`train` of {_told(self.train)} leaves no training row before the test from {index[start]}: the window "
            f"holds {start - first} bars, of which {n_usable} can be trained on (warm-up and gaps take the others) "
            f"and the purge takes {usable.purge(self.latency)} bars. Lengthen `train`, use `expanding`, or allow a "
            "longer gap."
        )


def parse_length(value: object, name: str) -> Length:
    """Read a length of time: a count of bars (``500``, ``"500"``) or a duration.

    Durations are Timedelta, DateOffset, or text: ``"60D"``, ``"12h"``, ``"3 months"``, ``"1y"``.

    >>> parse_length("60D", "train"), parse_length("500", "train")
    (Timedelta('60 days 00:00:00'), 500)
    """
    length = _read_length(value)
    stamp = pd.Timestamp("2024-01-01")
    if length is None or (length <= 0 if isinstance(length, int) else not stamp + length > stamp):
        raise BarwiseError(
            f"`{name}` is {value!r}; it is a count of bars (500) or a duration ('60D', '12h', '3 months') above zero."
        )
    return length


def _read_length(value: object) -> Length | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, BaseOffset):
        return value
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str):
        if re.fullmatch(r"-?\d+", text):
            return int(text)
        if found := _CALENDAR.fullmatch(text):
            count, months = int(found[1]), found[2].lower().startswith("m")
            return pd.DateOffset(months=count) if months else pd.DateOffset(years=count)
        text = re.sub(r"(?<=\d)\s*[dw]\b", lambda unit: unit[0].upper(), text)  # pandas wants 60D, people write 60d
    if not isinstance(text, str | pd.Timedelta | np.timedelta64) and not hasattr(text, "total_seconds"):
        return None
    try:
        return None if pd.isna(delta := pd.Timedelta(text)) else delta  # type: ignore[arg-type]
    except ValueError:
        return None


def check_share(share: float, name: str = "share") -> None:
    """Refuse a share of rows that leaves none on one side."""
    if not 0 < share < 1:
        raise BarwiseError(f"`{name}` is {share}; the validation share lies between 0 and 1.")


def newest_split(
    rows: np.ndarray, ends: np.ndarray, share: float = 0.2, moments: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split training rows for early stopping: ``(train, validation)``, purged like the outer split.

    The validation rows are the newest `share` of `rows`; of the others those are kept whose label ended
    before the first validation row. With `moments` (when each row is; `ends` are moments then, as in
    `WalkForward.split`) both are cut at one moment, and all rows of that moment are validated on.
    """
    check_share(share)
    rows = np.asarray(rows, dtype=np.int64)
    when = rows if moments is None else moments[rows]
    n_validation = max(1, round(share * len(rows)))
    first = np.partition(when, -n_validation)[-n_validation] if len(when) else 0
    validation = rows[when >= first]
    train = rows[ends[rows] < first]  # a label never ends before its row
    if not len(train):
        raise BarwiseError(
            f"`share` {share} of {len(rows)} rows leaves no row whose label ends before the validation rows begin. "
            "Bring more training rows or a shorter horizon."
        )
    return train, validation


def _earliest(when: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the moments of `when`, each once, and the smallest `free` of a row there."""
    order = np.lexsort((free, when))
    moments, first = np.unique(when[order], return_index=True)
    return moments, free[order][first]


def _checked_ends(ends: np.ndarray, moments: np.ndarray) -> np.ndarray:
    ends = np.asarray(ends, dtype=np.int64)
    if ends.shape != moments.shape:
        raise BarwiseError(
            f"`ends` has shape {ends.shape}; it needs one row number for each of the {len(moments)} bars."
        )
    if (early := np.flatnonzero(ends < moments)).size:
        raise BarwiseError(
            f"`ends` says row {early[0]} ends on bar {ends[early[0]]}; a label never ends before its row."
        )
    return ends


def _row_numbers(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else np.sort(rows.astype(np.int64))


def _told(length: object) -> str:
    if isinstance(length, int):
        return f"{length} rows"
    if isinstance(length, BaseOffset):
        return str(length).strip("<>")
    return str(length)
