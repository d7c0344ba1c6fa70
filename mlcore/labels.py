"""Labels: what a model learns to foretell. They look ahead by design and say how far (`Label.ends`, `span`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from mlcore.barriers import PROFIT, STOP, barrier_units, check_width, first_barriers
from mlcore.bars.identity import market_of
from mlcore.errors import BarwiseError, did_you_mean
from mlcore.kinds import checked
from mlcore.plugins import LABELS
from mlcore.tasks import Label, Task

Entry = Literal["next_open", "close"]
ENTRIES = ("next_open", "close")
BARRIER_VALUES = ("classes", "return")
Horizon = int | Sequence[int]


@LABELS.named("return")
@checked
def forward_return(
    bars: pd.DataFrame,
    horizon: Horizon = 5,
    *,
    quantiles: Sequence[float] | None = None,
    entry: Entry = "next_open",
) -> Label:
    """Label each row with the log return over the next `horizon` bars.

    Parameters
    ----------
    bars : N checked bars.
    horizon : bars held. Several, as ``(5, 15, 60)``, are foretold at once: the first one leads (signal, confidence,
        plain names of the outputs), the longest one sets the span, and a row is labelled once all have ended.
    quantiles : levels to foretell instead of the mean, rising within (0, 1), two or more, with 0.5 among or between
        them (the median makes the signal): ``(0.1, 0.5, 0.9)`` gives the outputs ``q10 q50 q90``.
    entry : ``"next_open"``: from the open of ``t+1``, the first price that can be had after the close of
        ``t``, to the open of ``t+1+horizon``; known when that bar opens; span ``horizon + 1``.
        ``"close"``: from the close of ``t`` to the close of ``t+horizon``; span `horizon`; no order filled
        after the decision gets that first price.

    >>> stamps = pd.date_range("2024", periods=4, tz="UTC")
    >>> forward_return(pd.DataFrame({"open": [1.0, 2.0, 4.0, 8.0]}, stamps), horizon=1).values
    array([0.69, 0.69, nan, nan])
    """
    ahead = _Ahead.of(bars, horizon, entry)
    if quantiles is None:
        return ahead.label(ahead.returns, Task("regression", ("expected_return",)), "return", "")
    levels = _levels(quantiles)
    task = Task("quantiles", tuple(f"q{100 * level:.10g}" for level in levels), quantiles=levels)
    return ahead.label(ahead.returns, task, "return", f"quantiles={levels}, ")


@LABELS.add
@checked
def direction(
    bars: pd.DataFrame, horizon: Horizon = 5, threshold: float = 0.002, *, entry: Entry = "next_open"
) -> Label:
    """Label each row down, flat or up (0, 1, 2) by its log return over the next `horizon` bars.

    Flat is ``-threshold <= log return <= threshold``. With `threshold` 0 there are two classes, down and
    up (0, 1), and a return of exactly zero is down: a long trade did not pay. `horizon` and `entry` as in
    `forward_return`; the threshold is the same for every horizon.
    """
    if not (np.isfinite(threshold) and threshold >= 0):
        raise BarwiseError(f"`threshold` is {threshold}; it is a return as a fraction, 0 or more (0.002 is 0.2 %).")
    if threshold == 0:
        task = Task("classes", ("p_down", "p_up"), scores=(-1.0, 1.0))
        return _classes(bars, horizon, entry, (0.0,), task)
    task = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
    return _classes(bars, horizon, entry, (-threshold, threshold), task)


@LABELS.add
@checked
def up_move(bars: pd.DataFrame, horizon: Horizon = 5, threshold: float = 0.002, *, entry: Entry = "next_open") -> Label:
    """Label each row 1 where its log return over the next `horizon` bars is above `threshold`, 0 where it is not.

    "Not" is both quiet and down, so its score is 0: the signal is the probability of the move, never below 0, and a
    policy must say from which probability on it buys (`entry` 0.5, not 0). `entry` as in `forward_return`.
    """
    return _move(bars, horizon, threshold, entry, up=True)


@LABELS.add
@checked
def down_move(
    bars: pd.DataFrame, horizon: Horizon = 5, threshold: float = 0.002, *, entry: Entry = "next_open"
) -> Label:
    """Label each row 1 where its log return over the next `horizon` bars is below ``-threshold``, 0 where it is not.

    The mirror of `up_move`: the signal is minus the probability of the move, never above 0.
    """
    return _move(bars, horizon, threshold, entry, up=False)


@LABELS.add
@checked
def five_class(
    bars: pd.DataFrame, horizon: Horizon = 5, edges: Sequence[float] = (0.005, 0.015), *, entry: Entry = "next_open"
) -> Label:
    """Label each row strong down, down, flat, up or strong up (0..4) by its log return over `horizon` bars.

    `edges` are the two absolute returns, as fractions, that part flat from up and up from strong up.
    `horizon` and `entry` as in `forward_return`; the edges are the same for every horizon.
    """
    if len(edges) != 2 or not 0 < edges[0] < edges[1] < np.inf:
        raise BarwiseError(
            f"`edges` is {tuple(edges)}; it needs two returns with 0 < first < second, as (0.005, 0.015)."
        )
    inner, outer = edges
    outputs = ("p_strong_down", "p_down", "p_flat", "p_up", "p_strong_up")
    task = Task("classes", outputs, scores=(-1.0, -0.5, 0.0, 0.5, 1.0))
    return _classes(bars, horizon, entry, (-outer, -inner, inner, outer), task)


@LABELS.add
@checked
def triple_barrier(
    bars: pd.DataFrame,
    horizon: int = 10,
    profit: float | None = 0.02,
    stop: float | None = 0.02,
    *,
    side: Literal[1, -1] = 1,
    volatility_window: int | None = None,
    values: Literal["classes", "return"] = "classes",
) -> Label:
    """Label each row by which barrier a position entered at the next open meets first: profit, stop, or time.

    The rule of fills is that of `mlcore.barriers`, which the engines trade by, too (`strategies.account.RiskRules`).
    Each row's `ends` is its own: the bar that met the barrier, or ``t+1+horizon``, at whose open time is up.

    Parameters
    ----------
    horizon : bars that a position is held at most.
    profit, stop : widths, above 0, as fractions of the entry price; None for no such barrier (not both).
    side : 1, a long position: profit above, stop below. -1, a short one: profit below, stop above.
    volatility_window : widths are multiples of the volatility per bar over this window, known at the close of the row;
        a row in its warm-up has no label.
    values : ``"classes"``: down, flat, up (0, 1, 2), the way the price went: to the barrier below, to none in
        time, to the one above. ``"return"``: the log return of the price from entry to exit.

    `Label.returns` is the log return of the price; a short position earns minus the simple one.
    """
    horizons = check_horizons(horizon)
    if len(horizons) > 1:
        raise BarwiseError(f"`horizon` is {horizon!r}; a triple barrier has one horizon, a count of bars.")
    for name, width in (("profit", profit), ("stop", stop)):
        check_width(name, width)
    if profit is None and stop is None:
        raise BarwiseError("`profit` and `stop` are both None: time alone is the label `return` or `direction`.")
    if side not in (1, -1):
        raise BarwiseError(f"`side` is {side!r}; known: 1 for long, -1 for short.")
    if values not in BARRIER_VALUES:
        raise BarwiseError(
            f"`values` is {values!r}.{did_you_mean(str(values), BARRIER_VALUES)} Known: classes, return."
        )
    opened, high, low = (bars[name].to_numpy(np.float64) for name in ("open", "high", "low"))
    stop_width, profit_width = (np.nan if width is None else float(width) for width in (stop, profit))
    units = barrier_units(bars, volatility_window)
    ends, left, kinds = first_barriers(opened, high, low, units, float(side), horizons[0], stop_width, profit_width)
    returns = np.log(left / np.append(opened[1:], np.nan))
    recipe = (
        f"triple_barrier(horizon={horizons[0]}, profit={profit}, stop={stop}, side={side}, "
        f"volatility_window={volatility_window}, values={values!r})"
    )
    if values == "return":
        made, task = returns.copy(), Task("regression", ("expected_return",))
    else:
        way = np.select([kinds == PROFIT, kinds == STOP], [side, -side], 0) + 1.0
        made = np.where(np.isnan(returns), np.nan, way)
        task = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
    return Label(made, returns, ends, 1 + horizons[0], task.over(horizons), recipe, symbol=market_of(bars))


def _move(bars: pd.DataFrame, horizon: Horizon, threshold: float, entry: Entry, *, up: bool) -> Label:
    if not (np.isfinite(threshold) and threshold > 0):
        raise BarwiseError(f"`threshold` is {threshold}; it is a return as a fraction, above 0 (0.002 is 0.2 %).")
    task = Task("classes", ("p_not", "p_up" if up else "p_down"), scores=(0.0, 1.0 if up else -1.0))
    label = _classes(bars, horizon, entry, (threshold if up else -threshold,), task)
    recipe = label.recipe.replace("classes(", "up_move(" if up else "down_move(")
    return replace(label, values=label.values if up else 1.0 - label.values, recipe=recipe)


def _classes(bars: pd.DataFrame, horizon: Horizon, entry: Entry, edges: tuple[float, ...], task: Task) -> Label:
    ahead = _Ahead.of(bars, horizon, entry)
    # A return on a negative edge belongs to the class nearer to flat, as one on a positive edge does.
    below = sum((ahead.returns >= edge if edge < 0 else ahead.returns > edge).astype(np.float64) for edge in edges)
    values = np.where(np.isnan(ahead.returns), np.nan, below)
    return ahead.label(values, task, "classes", f"edges={tuple(map(float, edges))}, ")


@dataclass(frozen=True)
class _Ahead:
    """Log returns ``(N, H)`` over each horizon, NaN where the longest one's end is not in the frame."""

    returns: np.ndarray
    horizons: tuple[int, ...]
    delay: int
    entry: str
    symbol: str | None

    @classmethod
    def of(cls, bars: pd.DataFrame, horizon: Horizon, entry: Entry) -> _Ahead:
        horizons = check_horizons(horizon)
        if entry not in ENTRIES:
            raise BarwiseError(f"`entry` is {entry!r}.{did_you_mean(str(entry), ENTRIES)} Known: {', '.join(ENTRIES)}.")
        delay = 1 if entry == "next_open" else 0
        price = bars["open" if delay else "close"].to_numpy(dtype=np.float64)
        returns = np.full((len(price), len(horizons)), np.nan)
        n = max(0, len(price) - delay - max(horizons))  # rows whose label has ended
        for column, bars_held in enumerate(horizons):
            bought, sold = price[delay : delay + n], price[delay + bars_held : delay + bars_held + n]
            returns[:n, column] = np.log(sold / bought)
        return cls(returns, horizons, delay, entry, market_of(bars))

    def label(self, values: np.ndarray, task: Task, name: str, more: str) -> Label:
        one = len(self.horizons) == 1
        span = self.delay + max(self.horizons)
        horizon = self.horizons[0] if one else self.horizons
        return Label(
            values[:, 0].copy() if one else values,
            self.returns[:, 0].copy(),
            np.arange(len(values), dtype=np.int64) + span,
            span,
            task.over(self.horizons),
            f"{name}(horizon={horizon}, {more}entry={self.entry!r})",
            None if one else self.returns,
            self.symbol,
        )


def check_horizons(horizon: Horizon) -> tuple[int, ...]:
    """Return the horizons in the order given; refuse what is no count of bars, or a horizon given twice."""
    several = isinstance(horizon, Sequence | np.ndarray) and not isinstance(horizon, str)
    given: tuple[int, ...] = tuple(horizon) if several else (horizon,)  # type: ignore[arg-type, assignment]
    for one in given:
        if isinstance(one, bool) or not isinstance(one, int | np.integer) or one < 1:
            raise BarwiseError(f"`horizon` is {horizon!r}; it is a count of bars, 1 or more, or several: (5, 15, 60).")
    if not given or len(set(given)) < len(given):
        raise BarwiseError(f"`horizon` is {horizon!r}; give one count of bars, or several that differ: (5, 15, 60).")
    return tuple(int(one) for one in given)


def _levels(quantiles: Sequence[float]) -> tuple[float, ...]:
    levels = tuple(float(level) for level in quantiles)
    rises = all(low < high for low, high in zip((0.0, *levels), (*levels, 1.0), strict=True))
    if len(levels) < 2 or not rises or not levels[0] <= 0.5 <= levels[-1]:
        raise BarwiseError(
            f"`quantiles` is {levels}; it needs two or more levels that rise within (0, 1), with the median among or "
            "between them, as (0.1, 0.5, 0.9)."
        )
    return levels
