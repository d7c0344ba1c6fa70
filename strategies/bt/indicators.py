"""Forecasts as backtrader lines, looked up by the bar's stamp."""

from __future__ import annotations

from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError
from mlcore.forecasts import check_interval, check_trained_through
from strategies.bt.feed import _EPOCH, stamps_to_numbers

_MILLISECONDS = 86_400_000  # a day's; backtrader's float stamps are good to 10 microseconds


class StampRows:
    """Rows of a table by backtrader's float stamps; -1 where the table has no such stamp."""

    def __init__(self, index: pd.DatetimeIndex) -> None:
        self._keys = _keys(stamps_to_numbers(index))
        if len(self._keys) > 1 and (np.diff(self._keys) <= 0).any():
            raise BarwiseError("`forecasts` or `weights` must have increasing stamps, one row a bar: sort them.")
        self._rows: dict[int, int] | None = None

    def row(self, number: float) -> int:
        """Return the row of one stamp."""
        if self._rows is None:
            self._rows = {key: row for row, key in enumerate(self._keys.tolist())}
        return self._rows.get(round(number * _MILLISECONDS), -1)

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """Return ``(N,)`` int64 rows of ``(N,)`` stamps."""
        if not len(self._keys):
            return np.full(len(numbers), -1)
        keys = _keys(numbers)
        rows = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        return np.where(self._keys[rows] == keys, rows, -1)


def number_to_stamp(number: float) -> pd.Timestamp:
    """Return backtrader's float stamp as a UTC timestamp, to the millisecond.

    >>> number_to_stamp(738886.25)
    Timestamp('2024-01-01 06:00:00+0000', tz='UTC')
    """
    return pd.Timestamp((round(number * _MILLISECONDS) - _EPOCH * _MILLISECONDS) * 1_000_000, tz="UTC")


def _keys(numbers: np.ndarray) -> np.ndarray:
    return np.rint(np.nan_to_num(numbers) * _MILLISECONDS).astype(np.int64)


class ForecastIndicator(bt.Indicator):
    """Lines `signal`, `confidence`, `fold` and `retrain` of a forecasts frame; NaN on bars without a forecast.

    ``self.forecast = ForecastIndicator(self.data, forecasts=forecasts)`` in a strategy's ``__init__``;
    ``self.forecast.signal[0]`` in ``next`` is the forecast of the bar that has just closed, to be traded
    at the next open. `retrain` is 1.0 on the first bar of each new fold, where a new model went live,
    NaN elsewhere. No warm-up: the minimum period is 1. Raises `LookAheadError` if any row's model was
    trained through that row's bar or later, or a row with a signal does not say (column `trained_through`),
    and before the first bar of a preloaded feed, `LookAheadError` if forecasts are of longer bars than its own, and
    `BarwiseError` if no row's stamp is one of its stamps.
    """

    csv = True  # writers write it
    lines: Any = ("signal", "confidence", "fold", "retrain")
    params = (("forecasts", None),)
    plotinfo = {"plotname": "forecast", "plotyhlines": [0.0], "plotymargin": 0.15}
    plotlines = {
        "signal": {"color": "tab:blue"},
        "confidence": {"color": "tab:orange", "alpha": 0.7},
        "fold": {"_plotskip": True},
        "retrain": {"marker": "v", "color": "tab:red", "markersize": 7.0, "ls": ""},
    }

    def __init__(self, *datas: Any, **params: Any) -> None:
        forecasts = self.p.forecasts
        if not isinstance(forecasts, pd.DataFrame) or "signal" not in forecasts.columns:
            raise BarwiseError("`forecasts` has no column 'signal': give the frame that `walk_forward` returns.")
        if not isinstance(forecasts.index, pd.DatetimeIndex):
            raise BarwiseError("`forecasts` must be indexed by open times: give the frame that `walk_forward` returns.")
        check_trained_through(forecasts)
        self._lookup = StampRows(forecasts.index)
        self._columns = [*forecast_columns(forecasts).values()]

    def advance(self, size: int = 1) -> None:
        """Move on by a bar; in Cerebro's runonce mode this is all there is to do per bar."""
        buffers = list(self.lines)
        if buffers[0].mode != buffers[0].UnBounded:
            super().advance(size)
        elif buffers[0].lencount < len(self._clock):
            for line in buffers:
                line._idx += size
                line.lencount += size

    def _plotlabel(self) -> list[str]:
        return []  # the default would print the whole frame

    def _refuse_strangers(self) -> None:
        """Refuse forecasts of other bars where all bars are there to see; else they would be silence."""
        stamps = self.data.datetime
        preloaded = getattr(getattr(self.data, "_env", None), "_dopreload", True)
        if not preloaded or stamps.buflen() <= len(stamps):  # what comes is not known; at most a bar that waits
            return
        numbers = np.array(stamps.array)
        check_interval(
            self.p.forecasts.index, pd.to_datetime(_keys(numbers) - _EPOCH * _MILLISECONDS, unit="ms", utc=True)
        )
        if (self._lookup.rows(numbers) < 0).all():
            held = self.p.forecasts.index
            span = f"{held[0]} to {held[-1]}" if len(held) else "no rows"
            raise BarwiseError(
                f"`forecasts` ({span}) have no row for any of the feed's {len(numbers)} bars, "
                f"{bt.num2date(numbers[0])} to {bt.num2date(numbers[-1])} UTC: give forecasts and bars of one market, "
                "interval and span."
            )

    def nextstart(self) -> None:
        self._refuse_strangers()
        self.next()

    def oncestart(self, start: int, end: int) -> None:
        self._refuse_strangers()
        self.once(start, end)

    def next(self) -> None:
        row = self._lookup.row(self.data.datetime[0])
        for line, values in zip(self.lines, self._columns, strict=True):
            line[0] = float(values[row])

    def once(self, start: int, end: int) -> None:
        rows = self._lookup.rows(np.frombuffer(self.data.datetime.array)[start:end])
        for line, values in zip(self.lines, self._columns, strict=True):
            np.frombuffer(line.array)[start:end] = values[rows]


def forecast_columns(forecasts: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the indicator's lines as ``(N + 1,)`` float64 arrays; the last, row -1, is NaN: no forecast."""
    missing = np.full(len(forecasts), np.nan)
    fold = forecasts["fold"].to_numpy(np.float64) if "fold" in forecasts.columns else missing
    first = np.r_[True, fold[1:] != fold[:-1]][: len(fold)] & ~np.isnan(fold)
    lines = {
        "signal": forecasts["signal"].to_numpy(np.float64),
        "confidence": forecasts["confidence"].to_numpy(np.float64) if "confidence" in forecasts.columns else missing,
        "fold": fold,
        "retrain": np.where(first, 1.0, np.nan),
    }
    return {name: np.r_[values, np.nan] for name, values in lines.items()}
