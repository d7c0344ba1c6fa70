"""Features and the market's regime as backtrader indicators."""

from __future__ import annotations

import functools
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from mlcore.combiners import efficiency_ratio
from mlcore.errors import BarwiseError, did_you_mean
from mlcore.features.newest import KEEP, NewestBars, NewestRow
from mlcore.features.recipes import column_name, parse_recipe
from mlcore.features.table import feature_table
from mlcore.plugins import FEATURES
from strategies.bt.feed import columns_of
from strategies.bt.indicators import number_to_stamp

_PROBE = 3000  # bars that a feature's warm-up is counted on


class FeatureIndicator(bt.Indicator):
    """Line `value`: a feature of `FEATURES` by name, of the bar that has just closed.

    ``self.rsi = FeatureIndicator(self.data, feature="rsi_window7")``; ``self.rsi[0]`` in ``next``.

    feature
        a recipe: name, column's name (``"rsi_window7"``) or ``(name, params)``. column: which one, where the feature
        makes several; default the first.

    The minimum period is the feature's warm-up and its bar. Over a preloaded feed the value is that of `feature_table`,
    bit for bit; bar by bar it is made of the newest bars alone, and equal up to rounding. It reads open, high, low,
    close, volume and further lines of the feed (`BarsFeed`); features of columns that the feed lacks are refused.
    Calendar features read the feed's own stamps: those of a resampled feed are its bars' ends. Not for `replaydata`,
    whose bars change after they were seen.
    """

    lines: Any = ("value",)
    params: Any = (("feature", None), ("column", None))
    csv = True

    def __init__(self) -> None:
        if self.p.feature is None:
            raise BarwiseError("`feature` is not given: `FeatureIndicator(self.data, feature='rsi')`.")
        self._name, given = parse_recipe(self.p.feature)
        self._recipe = (self._name, given)
        self._columns = columns_of(self.data)
        names, waits = _probed(self._name, tuple(sorted(given.items())), self._columns)
        self._place = _place(names, self.p.column)
        self.addminperiod(waits + 1)
        self.plotinfo.plotname = self.plotinfo.plotname or column_name(*self._recipe)
        self._shown: list[list[float]] = []  # of the warm-up
        self._bars: NewestBars | None = None
        self._heard = 0

    def _plotlabel(self) -> list[str]:
        return []  # the name says it

    def once(self, start: int, end: int) -> None:
        values = np.asarray(feature_table(self._frame(end), [self._recipe]))[:, self._place]
        np.frombuffer(self.lines.value.array)[start:end] = values[start:end]

    def _frame(self, end: int) -> pd.DataFrame:
        numbers = np.frombuffer(self.data.datetime.array)[:end]
        return _bars_of(numbers, {name: np.array(getattr(self.data, name).array[:end]) for name in self._columns})

    def _is_heard(self) -> bool:
        """Tell whether this bar was dealt with: beside a faster feed an indicator is asked of one bar many times."""
        before, self._heard = self._heard, len(self.data)
        return before == self._heard

    def prenext(self) -> None:
        if not self._is_heard():
            self._shown.append(self._newest())

    def nextstart(self) -> None:
        if self._is_heard():
            return
        self._shown.append(self._newest())
        table = np.array(self._shown)
        bars = _bars_of(table[:, 0], dict(zip(self._columns, table[:, 1:].T, strict=True)))
        self._bars = NewestBars(bars, KEEP)
        self._row = NewestRow(self._bars, [self._recipe])
        self.lines.value[0] = self._row.update(self._bars)[self._place]

    def next(self) -> None:
        if self._is_heard():
            return
        number, *prices = self._newest()
        assert self._bars is not None  # made where the warm-up ended
        self._bars.append(number_to_stamp(number).value, dict(zip(self._columns, prices, strict=True)))
        self.lines.value[0] = self._row.update(self._bars)[self._place]

    def _newest(self) -> list[float]:
        return [self.data.datetime[0], *(getattr(self.data, name)[0] for name in self._columns)]


class RegimeIndicator(bt.Indicator):
    """Lines `efficiency`, in [-1, 1], and `regime`: 1 up, -1 down, 0 sideways; the rule of the model `regime_stack`.

    The efficiency ratio (Kaufman 1995) of the last `window` moves: their sum over the sum of their sizes. The market
    trends where it is at least `trend` on either side. Known at the bar's close, from past closes alone; the minimum
    period is ``window + 1``.
    """

    lines: Any = ("efficiency", "regime")
    params: Any = (("window", 30), ("trend", 0.25))
    plotinfo = {"plotyhlines": [0.0], "plotyticks": [-1.0, 0.0, 1.0]}
    plotlines = {"efficiency": {"color": "tab:blue"}, "regime": {"color": "tab:gray", "ls": "--", "drawstyle": "steps"}}
    csv = True

    def __init__(self) -> None:
        if isinstance(self.p.window, bool) or int(self.p.window) != self.p.window or self.p.window < 2:
            raise BarwiseError(f"`window` is {self.p.window!r}; it is a count of bars, 2 or more.")
        if not 0 < self.p.trend <= 1:
            raise BarwiseError(f"`trend` is {self.p.trend!r}; it is a share of the moves in (0, 1].")
        self.addminperiod(int(self.p.window) + 1)

    def _told(self, closes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return both lines of ``(N,)`` closes, from row `window` on."""
        moves = closes[1:] / closes[:-1] - 1.0
        windows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(moves, int(self.p.window)))
        ratio = efficiency_ratio(windows)
        return ratio, np.where(np.abs(ratio) >= self.p.trend, np.sign(ratio), 0.0)

    def next(self) -> None:
        ratio, regime = self._told(np.array(self.data.close.get(size=int(self.p.window) + 1)))
        self.lines.efficiency[0], self.lines.regime[0] = ratio[-1], regime[-1]

    def once(self, start: int, end: int) -> None:
        told = self._told(np.array(self.data.close.array[start - int(self.p.window) : end]))
        for line, values in zip(self.lines, told, strict=True):
            np.frombuffer(line.array)[start:end] = values


def _bars_of(numbers: np.ndarray, columns: dict[str, np.ndarray]) -> pd.DataFrame:
    stamps = [number_to_stamp(number) for number in numbers.tolist()]
    return pd.DataFrame(columns, index=pd.DatetimeIndex(stamps, name="timestamp").as_unit("ns"))


def _place(names: tuple[str, ...], column: str | None) -> int:
    if column is None:
        return 0
    for place, name in enumerate(names):
        if column == name or name.endswith(f"_{column}"):
            return place
    raise BarwiseError(
        f"`column` is {column!r}; the feature makes {', '.join(names)}.{did_you_mean(str(column), names)}"
    )


@functools.cache
def _probed(name: str, given: tuple[tuple[str, Any], ...], columns: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
    """Return the columns of a feature and the bars that it must wait for, told on a random walk."""
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, _PROBE)))
    opened = np.r_[100.0, close[:-1]]
    high, low = np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999
    index = pd.date_range("2024-01-01", periods=_PROBE, freq="1h", tz="UTC", name="timestamp").as_unit("ns")
    prices = {"open": opened, "high": high, "low": low, "close": close}
    values = prices | {name: rng.lognormal(3, 0.5, _PROBE) for name in columns if name not in prices}
    table = feature_table(pd.DataFrame(values, index=index), [(name, dict(given))])
    known = np.isfinite(table.to_numpy()).all(axis=1)
    if not known.any():
        raise BarwiseError(f"`feature` {name!r} is not warm after {_PROBE} bars: take a shorter window.")
    return tuple(map(str, table.columns)), int(known.argmax())


def feature_names() -> list[str]:
    """Return the names that `FeatureIndicator` knows."""
    return sorted(FEATURES)
