"""The tables of several markets stacked one below the other, on one clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mlcore.bars import bar_interval, market_of, missing_bars
from mlcore.bars.identity import differ
from mlcore.errors import BarwiseError
from mlcore.gaps import finite_windows, label_mask, window_mask
from mlcore.models.inputs import label_shape
from mlcore.tasks import Label, Task

FEWEST_BARS = 10  # of a market, to tell its interval by


@dataclass(frozen=True)
class Member:
    """One market of a stack: its bars (only their index is read), its feature table, its label."""

    bars: pd.DataFrame
    features: pd.DataFrame
    label: Label

    @property
    def memory(self) -> int:
        """Past bars that go into a value: the table's own word, else its longest warm-up."""
        return int(self.features.attrs.get("memory", _longest_warm_up(self.features.to_numpy(np.float64))))

    def whole(self, lookback: int, max_gap: int, interval: pd.Timedelta | None = None) -> np.ndarray:
        """Return ``(N,)`` bool: the rows at which a model of `lookback` has a whole window."""
        missing, table = missing_bars(pd.DatetimeIndex(self.bars.index), interval), self.features.to_numpy(np.float64)
        return window_mask(missing, lookback + self.memory, max_gap) & finite_windows(table, lookback)


def label_for(model: Any, member: Member, lookback: int, max_gap: int) -> Label:
    """Return the label that a rival `model` learns from: without the rows at which `lookback` bars are no whole window.

    A clock of folds starts at the first row that can be trained on. A rival of a shorter lookback than the model it is
    held against would begin earlier, and have other folds.
    """
    if model.lookback >= lookback:
        return member.label
    values = np.array(member.label.values, dtype=np.float64)
    values[~member.whole(lookback, max_gap)] = np.nan
    return replace(member.label, values=values)


@dataclass(frozen=True)
class Layout:
    """Where the markets' rows lie in the stack, and when each row is.

    starts
        ``(S + 1,)`` first row of each market, and the number of rows N.
    moments
        ``(N,)`` row of the common clock at which each row is; increasing within a market.
    """

    starts: np.ndarray
    moments: np.ndarray

    @classmethod
    def of_one(cls, n: int) -> Layout:
        """One market of `n` bars: its rows are the clock."""
        return cls(np.array([0, n]), np.arange(n))

    def by_symbol(self, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (market's number, its rows) of increasing `rows`, for every market that has any."""
        bounds = np.searchsorted(rows, self.starts)
        for number in np.flatnonzero(np.diff(bounds)):
            yield int(number), rows[bounds[number] : bounds[number + 1]]

    def symbol_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the market's number of each row."""
        return np.searchsorted(self.starts, rows, side="right") - 1


@dataclass(frozen=True)
class Stack:
    """What a walk-forward reads of its markets, row by row.

    symbols
        Names of the S markets, in the order of their rows.
    clock
        ``(M,)`` all stamps at which any market has a bar. stamps: ``(N,)`` of each row. interval: of the bars.
    table, values
        ``(N, F)`` features and ``(N,)`` labels, ``(N, H)`` of several horizons.
    ends
        ``(N,)`` row of the clock that each label touches last; M and more where it is not in the frame.
    whole, known
        ``(N,)`` bool: the window is whole (may be traded); the label is there and spans no long gap. Both: may be
        trained on.
    """

    symbols: tuple[str, ...]
    clock: pd.DatetimeIndex
    stamps: pd.DatetimeIndex
    interval: pd.Timedelta | None
    layout: Layout
    columns: tuple[str, ...]
    task: Task
    table: np.ndarray
    values: np.ndarray
    ends: np.ndarray
    whole: np.ndarray
    known: np.ndarray


def stack(members: Mapping[str, Member], lookback: int, max_gap: int) -> Stack:
    """Stack `members`; refuse tables that do not belong together. A window or label never spans two markets."""
    if not members:
        raise BarwiseError("`panel` is empty: there is no market to train on.")
    for symbol, member in members.items():
        _check(symbol, member)
    clock = _clock(members)
    interval = bar_interval(clock) if len(clock) > 1 else None
    _check_alike(members, interval)
    pieces = [_piece(member, clock, interval, lookback, max_gap) for member in members.values()]
    joined = {name: _joined([piece[name] for piece in pieces]) for name in pieces[0]}
    starts = np.cumsum([0, *(len(piece["moments"]) for piece in pieces)])
    first = next(iter(members.values()))
    return Stack(
        tuple(members),
        clock,
        clock[joined["moments"]],
        interval,
        Layout(starts, joined.pop("moments")),
        tuple(map(str, first.features.columns)),
        first.label.task,
        **joined,
    )


def _clock(members: Mapping[str, Member]) -> pd.DatetimeIndex:
    indices = [pd.DatetimeIndex(member.bars.index) for member in members.values()]
    if len(indices) == 1:
        return indices[0]
    stamps = np.unique(np.concatenate([index.as_unit("ns").asi8 for index in indices]))
    return pd.DatetimeIndex(stamps, tz="UTC", name="timestamp").as_unit("ns")


def _piece(
    member: Member, clock: pd.DatetimeIndex, interval: pd.Timedelta | None, lookback: int, max_gap: int
) -> dict[str, np.ndarray]:
    """One market's rows, its label ends told by the clock."""
    index, label = pd.DatetimeIndex(member.bars.index), member.label
    table = np.ascontiguousarray(member.features.to_numpy(np.float64))
    missing, moments = missing_bars(index, interval), clock.get_indexer(index)
    ends = np.asarray(label.ends, dtype=np.int64)
    inside = (ends >= 0) & (ends < len(index))
    told = np.where(inside, moments[np.where(inside, ends, 0)], ends + (len(clock) - len(index)))
    return {
        "moments": moments,
        "table": table,
        "values": np.asarray(label.values, dtype=np.float64),
        "ends": told,
        "whole": member.whole(lookback, max_gap, interval),
        "known": np.isfinite(label.values).reshape(len(index), -1).all(axis=1) & label_mask(missing, ends, max_gap),
    }


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _check(symbol: str, member: Member) -> None:
    bars, features, label = member.bars, member.features, member.label
    of = f" of {symbol}" if symbol else ""
    if not features.index.equals(bars.index):
        raise BarwiseError(
            f"`features`{of} are not on the index of `bars`: make them from the same bars, one row a bar."
        )
    if not features.shape[1]:
        raise BarwiseError(f"`features`{of} has no column: name at least one feature.")
    if label.values.shape != label_shape(len(bars), label.task) or label.ends.shape != (len(bars),):
        raise BarwiseError(
            f"`label`{of} has {len(label.values)} rows and `bars` {len(bars)}: make it from the same bars."
        )
    for name, made in (("features", market_of(features)), ("label", label.symbol)):
        if differ(made, market_of(bars)):
            raise BarwiseError(
                f"`{name}`{of} are of {made} and `bars` of {market_of(bars)}: make them from the same bars. If that is "
                "meant, `bars.attrs.pop('symbol')` first."
            )


def _check_alike(members: Mapping[str, Member], interval: pd.Timedelta | None) -> None:
    """Refuse markets of other columns, another task or another interval than the first one's or the clock's."""
    names = iter(members.items())
    first, leader = next(names)
    for symbol, member in names:
        if list(member.features.columns) != list(leader.features.columns):
            raise BarwiseError(f"`features` of {symbol} and {first} differ in their columns: one recipe for all.")
        if member.label.task != leader.label.task:
            raise BarwiseError(f"`label` of {symbol} and {first} differ in their task: one label for all.")
    for symbol, member in members.items():
        if len(members) > 1 and len(member.bars) >= FEWEST_BARS and bar_interval(member.bars) != interval:
            raise BarwiseError(
                f"`panel`: the bars of {symbol} are {bar_interval(member.bars)} apart, the clock steps by {interval}: "
                "one interval for all. Resample them (`mlcore.bars.resample`) or leave it out."
            )


def _longest_warm_up(table: np.ndarray) -> int:
    """Return the NaN rows on top of the column that has most of them."""
    known = ~np.isnan(table)
    return int(np.where(known.any(axis=0), known.argmax(axis=0), len(table)).max())
