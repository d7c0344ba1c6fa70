"""The newest row of a slower clock's table, made again only when a longer bar has become whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mlcore.bars import resample
from mlcore.bars.known import FIRST_MONDAY, one_bar
from mlcore.errors import BarsError
from mlcore.features.clocks import clock_bars
from mlcore.features.newest import NewestBars, Tail
from mlcore.features.recipes import Recipe
from mlcore.features.table import feature_table


class SlowRow:
    """The columns of one clock beside the newest bar, ``(F,)``, as `mlcore.features.table_for` would join them.

    Between two closes of longer bars nothing of them changes, so nothing is computed. When one has become whole it is
    put together from its own bars, and the clock's features are made anew over all longer bars that the kept bars hold:
    the same bits as a table made from scratch. Known at the close of the newest bar.

    Parameters
    ----------
    bars : newest bars; what they hold is what the features of longer bars are made from.
    clock, interval : the clock, and the interval of `bars`.
    features : recipes, as for `table_for`.
    """

    def __init__(self, bars: NewestBars, clock: str, interval: pd.Timedelta, features: Sequence[Recipe]) -> None:
        self.clock, self.features = clock, features
        ratio = clock_bars(clock, interval)
        self.step, self.length = interval.value, ratio * interval.value
        self.longer = NewestBars(resample(bars.tail(bars.keep).frame(), ratio * interval), bars.keep // ratio + 2)
        self.open = self._begin_of(int(bars.stamps[bars.n - 1]))  # of the longer bar that the newest bar lies in
        self.row = self._made(bars)

    def check(self, stamp: int) -> None:
        """Refuse a bar, stamped in nanoseconds, that closes after the longer bar it falls into."""
        if stamp + self.step > self._begin_of(stamp) + self.length:
            raise BarsError(f"`stamp` {pd.Timestamp(stamp, tz='UTC')} is off the grid of the clock {self.clock!r}.")

    def update(self, bars: NewestBars) -> np.ndarray:
        """Return the row beside the newest of `bars`; to be called once after each bar that came in."""
        newest = int(bars.stamps[bars.n - 1])
        begin, before = self._begin_of(newest), self.longer.n
        if begin > self.open:
            self._close(bars, self.open)  # its last bars never came
        if newest + self.step >= begin + self.length:
            self._close(bars, begin)
        self.open = begin
        if self.longer.n != before:
            self.row = self._made(bars)
        return self.row

    def _begin_of(self, stamp: int) -> int:
        return stamp - (stamp - FIRST_MONDAY.value) % self.length

    def _close(self, bars: NewestBars, begin: int) -> None:
        """Add the longer bar that begins at `begin`, unless it is there already or its beginning is not kept."""
        if self.longer.n and begin <= self.longer.stamps[self.longer.n - 1]:
            return
        kept = bars.tail(bars.keep)
        stamps = kept.index.asi8
        first, stop = np.searchsorted(stamps, [begin, begin + self.length])
        if stop > first and (first or stamps[0] == begin):
            self.longer.append(begin, one_bar(bars.tail(len(stamps) - int(first)).frame().iloc[: stop - first]))

    def _made(self, bars: NewestBars) -> np.ndarray:
        """Return the newest row over the longer bars that the kept bars hold from their first one on."""
        stop = self.longer.n
        start = int(np.searchsorted(self.longer.stamps[:stop], bars.tail(bars.keep).index.asi8[0]))
        whole = Tail(self.longer.columns, self.longer.stamps, min(start, max(stop - 1, 0)), stop).frame()
        if not len(whole):
            return np.full(feature_table(bars.tail(1).frame(), self.features).shape[1], np.nan)
        return feature_table(whole, self.features).to_numpy(np.float64)[-1]
