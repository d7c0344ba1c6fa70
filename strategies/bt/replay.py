"""Bars played as if they came from an exchange: first the past, then one after another."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd

from mlcore.bars import read_bars
from mlcore.errors import BarsError
from strategies.bt.feed import BarsFeed


class ReplayFeed(BarsFeed):
    """A live feed for paper trading: ``cerebro.adddata(ReplayFeed("bars.parquet", live_from="2024-06-01"))``.

    To Cerebro it is live (`islive`): nothing is preloaded, indicators run bar by bar. Bars before `live_from` are the
    past that a live feed begins with, announced as ``DELAYED``; before the first bar from then on it announces
    ``LIVE``. A strategy hears of it in ``notify_data(data, status)``. After the last bar the run ends.

    dataname
        Parquet or CSV file (`read_bars`), or a frame of checked bars.
    live_from
        stamp of the first live bar, UTC; default the first bar of all.
    pace
        seconds to wait before each live bar; 0 plays them at once.
    """

    params = (("live_from", None), ("pace", 0.0))

    def __init__(self, bars: pd.DataFrame | str | Path | None = None) -> None:
        bars = self.p.dataname if bars is None else bars
        super().__init__(read_bars(bars) if isinstance(bars, str | Path) else bars)
        first = self.index[0] if self.p.live_from is None else pd.Timestamp(self.p.live_from)
        first = first.tz_localize("UTC") if first.tz is None else first
        self._live_row = int(self.index.searchsorted(first))
        if not self.p.pace >= 0:
            raise BarsError(f"`pace` is {self.p.pace!r}: it is a number of seconds, 0 or more.")

    def islive(self) -> bool:
        return True

    def haslivedata(self) -> bool:
        return self._next_row < self._size

    def _load(self) -> bool:
        if self._next_row >= self._size:
            return False
        status = self.LIVE if self._next_row >= self._live_row else self.DELAYED
        self.put_notification(status)  # says so where it changes
        if status == self.LIVE and self.p.pace:
            time.sleep(self.p.pace)
        return super()._load()


def is_live(data: Any) -> bool:
    """Tell whether orders may be given on `data`'s bars: always on history; on a live feed once it is ``LIVE``."""
    return not data.islive() or data._laststatus == bt.feed.DataBase.LIVE
