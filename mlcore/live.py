"""One bar in, one forecast out: a fitted fold as it runs beside a market."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from mlcore.bars import bar_interval, check_bars, missing_bars
from mlcore.confidence import ask
from mlcore.errors import BarsError, BarwiseError, LookAheadError
from mlcore.features import DEFAULT_FEATURES, clock_bars, table_for
from mlcore.features.newest import KEEP, NewestBars, NewestRow
from mlcore.features.recipes import Recipe, column_name, parse_recipe
from mlcore.features.slow import SlowRow
from mlcore.forecasts import speak
from mlcore.store.folds import StoredFold
from mlcore.store.run import check_interval
from mlcore.windows import Windows

PRICES = ("open", "high", "low", "close")


class LiveForecast(NamedTuple):
    """What is said at the close of the bar stamped `stamp`; NaN throughout where the window is not whole."""

    stamp: pd.Timestamp
    signal: float
    confidence: float
    outputs: np.ndarray  # (n_outputs,), in the order of ``task.outputs``
    fold: int
    trained_through: pd.Timestamp


class LiveForecaster:
    """Forecast bar after bar with one fitted fold, as the walk-forward would have forecast the whole block at once.

    `step` keeps the newest bars, the window of scaled features and, for a network that can, its state; of the features
    it makes the newest row only, those of slower clocks only when a longer bar has become whole. Its forecasts are
    those of `forecast_from_store` up to rounding
    (running sums begin elsewhere). One thread.

    Parameters
    ----------
    fold : a fitted fold (`mlcore.store.load_fold`), or a `StoredFold` made by hand.
    bars : the past up to now, checked bars; enough for the longest warm-up and a window. `KEEP` bars make recursive
        features (EMAs) forget where they began; what is before is not read.
    features : the recipes of the table that the model was fitted on.

    Attributes
    ----------
    inputs : ``(F,)`` unscaled features of the last bar stepped.

    Raises
    ------
    BarwiseError
        Features of other columns than the fold's, bars of another interval, or too short a past.
    LookAheadError
        From `step`: a bar that the model was trained through.
    """

    def __init__(self, fold: StoredFold, bars: pd.DataFrame, features: Sequence[Recipe] = DEFAULT_FEATURES) -> None:
        if not isinstance(fold, StoredFold):
            raise BarwiseError(f"`fold` is {fold!r}; give a fold: `mlcore.store.load_fold(path)` or `stored_folds`.")
        check_interval(fold, bars)
        self.fold, self.model = fold, fold.model
        self.through = pd.Timestamp(fold.record["trained_through"])
        self.interval = bar_interval(bars)
        self._recipes = features
        longest = max((clock_bars(clock, self.interval) for clock in getattr(self.model, "clocks", ())), default=1)
        self._keep = KEEP * longest  # a feature of 15 times as long bars needs 15 times as many
        self._bars = NewestBars(bars, self._keep)
        table = table_for(self.model, bars.iloc[-self._keep :], features)
        if list(table.columns) != list(fold.record["features"]):
            raise BarwiseError(
                f"`features` make the columns {', '.join(table.columns)}; the fold was fitted on "
                f"{', '.join(fold.record['features'])}: give the same recipes in the same order."
            )
        unknown = table.columns[table.iloc[-1].isna()]
        if len(unknown):
            raise BarwiseError(f"`bars` are {len(bars)}, too few for the feature {unknown[0]!r}: give a longer past.")
        self._newest = NewestRow(self._bars, self._all_recipes(), KEEP)
        clocks = getattr(self.model, "clocks", ())
        self._slow = [SlowRow(self._bars, clock, self.interval, features) for clock in clocks]
        self._window = _window(table, fold)
        self._length = self.model.lookback + int(fold.record["memory"])  # bars that must be without a long gap
        self._wait = _bars_to_wait(bars.iloc[-self._keep :], table, self._length, fold)
        self._stepper = self._made_stepper()
        self._threads = ThreadpoolController()

    def _made_stepper(self) -> Any:
        """Return the model's stepper with the past in its state, where it has one and nothing else is asked of it."""
        if not hasattr(self.model, "stepper") or self.fold.record.get("confidence") == "monte_carlo_dropout":
            return None
        stepper = self.model.stepper()
        for row in self._window:
            stepper.step(row)
        return stepper

    def _all_recipes(self) -> list[Recipe]:
        named = [column_name(*parse_recipe(recipe)) for recipe in self._recipes]
        own = [parse_recipe(recipe) for recipe in getattr(self.model, "own_features", ())]
        return [*self._recipes, *(recipe for recipe in own if column_name(*recipe) not in named)]

    def step(self, stamp: pd.Timestamp, bar: Mapping[str, float]) -> LiveForecast:
        """Take the bar that has just closed and forecast from it; `stamp` is its open, UTC.

        After a gap of more than the fold's ``max_gap`` bars signal, confidence and outputs are NaN until a whole window
        has come in again. Raises BarsError for a bar that is none, is off the grid of the bars or is not later than the
        last one, LookAheadError for one that the model was trained through; the state is then as before.
        """
        stamp = pd.Timestamp(stamp)
        gap = self._check(stamp, bar)
        self._bars.append(stamp.value, bar)
        self.inputs = self._row().copy()
        row = self.inputs[None]
        row = (row if self.fold.scaler is None else self.fold.scaler.transform(row))[0]
        self._window[:-1] = self._window[1:]
        self._window[-1] = row
        long = gap > int(self.fold.record["max_gap"])
        self._wait = self._length - 1 if long else max(0, self._wait - 1)
        raw, more = self._ask(row)
        if self._wait or not np.isfinite(raw).all():
            raw, signal, sure = np.full_like(raw, np.nan), np.nan, np.nan
        else:
            signal, sure = self._said(raw, more)
        number = int(self.fold.record["fold"])
        return LiveForecast(stamp, signal, sure, raw, number, self.through)

    def _said(self, raw: np.ndarray, more: dict[str, np.ndarray]) -> tuple[float, float]:
        gain = more.pop("gain", None)
        rule = self.fold.record.get("confidence")
        signal, sure = speak(raw[None], self.fold.task, self.fold.scale, confidence=rule, **more)
        return float(signal[0]), float(sure[0] if gain is None else min(sure[0] * gain[0], 1.0))

    def _row(self) -> np.ndarray:
        plain = self._newest.update(self._bars)
        return np.concatenate([plain, *(slow.update(self._bars) for slow in self._slow)]) if self._slow else plain

    def _ask(self, row: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Ask the model for its raw outputs ``(n_outputs,)``; a network that keeps a state is handed the row alone."""
        if self._stepper is not None:
            return self._stepper.step(row), {}
        if not np.isfinite(self._window).all():
            return np.full(self.fold.task.n_outputs, np.nan), {}
        lookback = self.model.lookback
        windows = Windows(self._window, np.array([lookback - 1]), lookback)
        with self._threads.limit(limits=1):  # as in the walk-forward: sums in one order
            raw, more = ask(self.model, windows, self.fold.task, self.fold.record.get("confidence"))
        return raw[0], more

    def _check(self, stamp: pd.Timestamp, bar: Mapping[str, float]) -> int:
        """Return how many bars are missing before this one; refuse what is no next bar."""
        if stamp.tzinfo is None:
            raise BarsError(f"`stamp` {stamp} has no time zone; it must be the bar's open in UTC.")
        if stamp <= self.through:
            raise LookAheadError(
                f"`stamp` is {stamp} and the model was trained through {self.through}: it may forecast later bars only."
            )
        since = stamp.value - self._bars.stamps[self._bars.n - 1]
        if since <= 0:
            raise BarsError(f"`stamp` {stamp} is not later than the last bar: hand every bar once, in order.")
        lacking = [name for name in self._bars.columns if name not in bar]
        if lacking:
            raise BarsError(f"`bar` {stamp} lacks {', '.join(lacking)}, which the past has.")
        if not _is_bar(bar):
            check_bars(pd.DataFrame(dict(bar), index=pd.DatetimeIndex([stamp], name="timestamp")))  # says what is wrong
        for slow in self._slow:
            slow.check(stamp.value)
        if since == self.interval.value:
            return 0
        if self.interval < pd.Timedelta("1D") and since % self.interval.value:
            raise BarsError(f"`stamp` {stamp} is no whole number of {self.interval} after the last bar: off the grid.")
        newest = pd.DatetimeIndex([*self._bars.tail(self._keep).frame().index, stamp])
        return int(missing_bars(newest, self.interval)[-1])


def _is_bar(bar: Mapping[str, float]) -> bool:
    if any(isinstance(bar[name], str) for name in (*PRICES, "volume")):
        raise BarsError(f"`bar` holds text where a number belongs: {dict(bar)}.")
    o, h, low, c = (bar[name] for name in PRICES)
    whole = math.isfinite(o + h + low + c + bar["volume"])
    return whole and 0 < low <= min(o, c) and max(o, c) <= h and bar["volume"] >= 0


def _window(table: pd.DataFrame, fold: StoredFold) -> np.ndarray:
    """Return the newest window ``(lookback, F)`` as the model wants it."""
    newest = table.to_numpy(np.float64)[-fold.model.lookback :]
    if len(newest) < fold.model.lookback:
        raise BarwiseError(f"`bars` are {len(table)}; the model's `lookback` alone takes {fold.model.lookback}.")
    return np.array(newest) if fold.scaler is None else fold.scaler.transform(newest)


def _bars_to_wait(bars: pd.DataFrame, table: pd.DataFrame, length: int, fold: StoredFold) -> int:
    """Return how many more bars must come until no long gap and no warm-up lies in what a forecast looks at."""
    holes = np.flatnonzero(missing_bars(pd.DatetimeIndex(bars.index)) > int(fold.record["max_gap"]))
    since_hole = len(bars) - 1 - int(holes[-1]) if len(holes) else length
    broken = np.flatnonzero(~np.isfinite(table.to_numpy(np.float64)).all(axis=1))
    since_broken = len(bars) - 1 - int(broken[-1]) if len(broken) else length
    return max(0, length - 1 - since_hole, fold.model.lookback - since_broken)
