"""Bars as a backtrader feed that fills its line buffers in one go."""

from __future__ import annotations

import array
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from mlcore.errors import BarsError
from mlcore.kinds import check_stamped

_DAY = 86_400_000_000_000  # nanoseconds
_EPOCH = 719_163  # 1970-01-01 in backtrader's days since the year 1
_COLUMNS = ("open", "high", "low", "close", "volume", "openinterest")
_STEPS = (  # nanoseconds of one unit, from long to short
    (_DAY, bt.TimeFrame.Days),
    (60_000_000_000, bt.TimeFrame.Minutes),
    (1_000_000_000, bt.TimeFrame.Seconds),
)


def stamps_to_numbers(index: pd.DatetimeIndex) -> np.ndarray:
    """Return ``(N,)`` float64 days since the year 1 in UTC, as `backtrader.date2num` gives them.

    >>> stamps_to_numbers(pd.DatetimeIndex(["2024-01-01 06:00"], tz="UTC")).tolist()
    [738886.25]
    """
    nanoseconds = index.as_unit("ns").asi8
    days, rest = np.divmod(nanoseconds, _DAY)
    seconds, below = np.divmod(rest, 1_000_000_000)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    fraction = hours / 24 + minutes / 1440 + seconds % 60 / 86_400 + below // 1000 / 86_400e6
    return (days + _EPOCH) + fraction


# Cerebro asks every feed for its next bar and takes back those that come too early. With ``exactbars=1`` a feed of
# backtrader has dropped an older bar by then and goes on with the one after: the bar is lost. Ours keep it.
def _with_room(feed: Any, savemem: int = 0, replaying: bool = False) -> None:
    """As `qbuffer` of a feed, with room for one bar more, and fit to be run again, as `optstrategy` does."""
    for line in feed.lines:
        line.qbuffer(savemem=savemem, extrasize=1)
        line.set_idx(-1, force=True)  # else a buffer that was full begins the next run beyond its end


def _unbound(feed: Any) -> None:
    """Make a feed that was run with ``exactbars=1`` fit for a run that keeps its bars, as backtrader does not."""
    for line in feed.lines:
        if line.mode != line.UnBounded:
            line.mode = line.UnBounded
            line.reset()


def _keep_for_later(feed: Any, size: int = 1) -> None:
    """As `rewind` of a feed: take the newest bar back; it is the next to come."""
    if feed.lines.datetime.mode == feed.lines.datetime.UnBounded:
        feed.lines.rewind(size)
        return
    feed._barstack.appendleft([line[0] for line in feed.itersize()])
    feed.backwards(force=True)


class Double(bt.feed.DataClone):
    """What `cerebro.resampledata` makes of a feed that is in Cerebro already."""

    qbuffer, rewind = _with_room, _keep_for_later

    def start(self) -> None:
        super().start()
        _unbound(self)


class BarsFeed(bt.feed.DataBase):
    """A feed of bars (see `check_bars`): ``cerebro.adddata(BarsFeed(bars))``.

    Values are those `PandasData` gives, at a twentieth of its time when preloaded: the columns are copied
    into the line buffers whole. A bar is stamped at its open and known at its close: `next` sees it then.
    Works in all modes of Cerebro; `timeframe` and `compression` are read from the bars' modal step.
    Filters, `fromdate`, `todate` and `tzinput` go the slow way, bar by bar.

    Further columns are shown where a subclass has lines of their names, as with backtrader's own feeds:
    ``class Funded(BarsFeed): lines = ("funding_rate",)``. Features, labels and `WalkForwardStrategy` read them too.
    """

    params: Any = (("timeframe", None), ("compression", None))

    # What the broker would read instead of the bar's own prices while a bar is still forming.
    tick_open = tick_high = tick_low = tick_close = tick_volume = tick_openinterest = tick_last = None

    qbuffer, rewind = _with_room, _keep_for_later

    def __init__(self, bars: pd.DataFrame | None = None) -> None:
        if bars is not None:
            self.p.dataname = bars
        bars = self.p.dataname
        missing = [name for name in _COLUMNS[:4] if not isinstance(bars, pd.DataFrame) or name not in bars.columns]
        if missing:
            raise BarsError(f"`bars` have no column {missing[0]!r}: `BarsFeed` needs open, high, low and close.")
        check_stamped(bars)
        timeframe, compression = _timeframe(pd.DatetimeIndex(bars.index))
        if self.p.timeframe is None:
            self.p.timeframe, self.p.compression = timeframe, self.p.compression or compression
        self.p.compression = self.p.compression or 1

    def clone(self, **params: Any) -> Double:
        """Return what cerebro resamples beside this feed."""
        return Double(dataname=self, **params)

    @property
    def index(self) -> pd.DatetimeIndex:
        """The stamps of the bars."""
        return self.p.dataname.index

    def start(self) -> None:
        super().start()
        _unbound(self)
        bars = self.p.dataname
        columns = {name: bars[name].to_numpy(np.float64) for name in self.getlinealiases() if name in bars.columns}
        columns["datetime"] = stamps_to_numbers(bars.index)
        self._values = [columns.get(name) for name in self.getlinealiases()]
        self._size, self._next_row = len(bars), 0
        self._plain = not (self.resampling or self.replaying)
        self._buffers: list[Any] = []  # of a preloaded feed

    def preload(self) -> None:
        if self._filters or self.lines.datetime.extension or self._tzinput or self._cuts():
            super().preload()
            return
        for line, values in zip(self.lines, self._values, strict=True):
            line.array = array.array("d")
            line.array.frombytes((np.full(self._size, np.nan) if values is None else values).tobytes())
        self._next_row = self._size
        self.home()
        self._buffers = list(self.lines) if self._plain else []
        self._stamps = self.lines.datetime

    def _cuts(self) -> bool:
        return self.fromdate > float("-inf") or self.todate < float("inf")

    def _load(self) -> bool:
        if self._next_row >= self._size:
            return False
        for line, values in zip(self.lines, self._values, strict=True):
            if values is not None:
                line[0] = float(values[self._next_row])
        self._next_row += 1
        return True

    # Preloaded, a bar further is two counters a line; backtrader's way there is five calls a line.
    def advance(self, size: int = 1, datamaster: Any = None, ticks: bool = True) -> None:
        if datamaster is not None or not self._buffers:
            super().advance(size, datamaster, ticks)
            return
        for line in self._buffers:
            line._idx += size
            line.lencount += size

    def advance_peek(self) -> float:
        if not self._buffers:
            return super().advance_peek()
        stamps = self._stamps
        return stamps.array[stamps._idx + 1] if stamps.lencount < self._size else float("inf")

    # One bar is one tick here: nothing of the seven attributes that backtrader sets for every bar, to
    # show a bar while it forms, is ever read unless the feed is replayed or resampled.
    def _tick_nullify(self) -> None:
        if not self._plain:
            super()._tick_nullify()

    def _tick_fill(self, force: bool = False) -> None:
        if not self._plain:
            super()._tick_fill(force=force)


def columns_of(data: Any) -> tuple[str, ...]:
    """Return the names of a feed's lines that are columns of bars: prices, volume, and what a subclass has besides."""
    return (*_COLUMNS[:5], *(name for name in data.getlinealiases() if name not in (*_COLUMNS, "datetime")))


def _timeframe(index: pd.DatetimeIndex) -> tuple[Any, int]:
    steps = np.diff(index.as_unit("ns").asi8)
    if not len(steps):
        return bt.TimeFrame.Days, 1
    values, counts = np.unique(steps, return_counts=True)
    step = int(values[counts.argmax()])
    for length, timeframe in _STEPS:
        if step >= length and step % length == 0:
            return timeframe, step // length
    return bt.TimeFrame.MicroSeconds, max(step // 1000, 1)
