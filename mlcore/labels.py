"""Labels: what a model learns to foretell. They look ahead by design and say how far (`Label.ends`, `span`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError, did_you_mean
from mlcore.plugins import LABELS
from mlcore.tasks import Label, Task

Entry = Literal["next_open", "close"]
ENTRIES = ("next_open", "close")


@LABELS.named("return")
def forward_return(bars: pd.DataFrame, horizon: int = 5, *, entry: Entry = "next_open") -> Label:
    """Label each row with the log return over the next `horizon` bars.

    Parameters
    ----------
    bars : N checked bars.
    horizon : bars held.
    entry : ``"next_open"``: from the open of ``t+1``, the first price that can be had after the close of
        ``t``, to the open of ``t+1+horizon``; known when that bar opens; span ``horizon + 1``.
        ``"close"``: from the close of ``t`` to the close of ``t+horizon``; span `horizon`; no order filled
        after the decision gets that first price.

    >>> stamps = pd.date_range("2024", periods=4, tz="UTC")
    >>> forward_return(pd.DataFrame({"open": [1.0, 2.0, 4.0, 8.0]}, stamps), horizon=1).values
    array([0.69, 0.69, nan, nan])
    """
    returns, ends, span = _log_returns(bars, horizon, entry)
    recipe = f"return(horizon={int(horizon)}, entry={entry!r})"
    return Label(returns, returns, ends, span, Task("regression", ("expected_return",)), recipe)


@LABELS.add
def direction(bars: pd.DataFrame, horizon: int = 5, threshold: float = 0.002, *, entry: Entry = "next_open") -> Label:
    """Label each row down, flat or up (0, 1, 2) by its log return over the next `horizon` bars.

    Flat is ``-threshold <= log return <= threshold``. With `threshold` 0 there are two classes, down and
    up (0, 1), and a return of exactly zero is down: a long trade did not pay. `entry` as in `forward_return`.
    """
    if not (np.isfinite(threshold) and threshold >= 0):
        raise BarwiseError(f"`threshold` is {threshold}; it is a return as a fraction, 0 or more (0.002 is 0.2 %).")
    if threshold == 0:
        task = Task("classes", ("p_down", "p_up"), scores=(-1.0, 1.0))
        return _classes(bars, horizon, entry, (0.0,), task)
    task = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
    return _classes(bars, horizon, entry, (-threshold, threshold), task)


@LABELS.add
def up_move(bars: pd.DataFrame, horizon: int = 5, threshold: float = 0.002, *, entry: Entry = "next_open") -> Label:
    """Label each row 1 where its log return over the next `horizon` bars is above `threshold`, 0 where it is not.

    "Not" is both quiet and down, so its score is 0: the signal is the probability of the move, never below 0, and a
    policy must say from which probability on it buys (`entry` 0.5, not 0). `entry` as in `forward_return`.
    """
    return _move(bars, horizon, threshold, entry, up=True)


@LABELS.add
def down_move(bars: pd.DataFrame, horizon: int = 5, threshold: float = 0.002, *, entry: Entry = "next_open") -> Label:
    """Label each row 1 where its log return over the next `horizon` bars is below ``-threshold``, 0 where it is not.

    The mirror of `up_move`: the signal is minus the probability of the move, never above 0.
    """
    return _move(bars, horizon, threshold, entry, up=False)


@LABELS.add
def five_class(
    bars: pd.DataFrame, horizon: int = 5, edges: Sequence[float] = (0.005, 0.015), *, entry: Entry = "next_open"
) -> Label:
    """Label each row strong down, down, flat, up or strong up (0..4) by its log return over `horizon` bars.

    `edges` are the two absolute returns, as fractions, that part flat from up and up from strong up.
    `entry` as in `forward_return`.
    """
    if len(edges) != 2 or not 0 < edges[0] < edges[1] < np.inf:
        raise BarwiseError(
            f"`edges` is {tuple(edges)}; it needs two returns with 0 < first < second, as (0.005, 0.015)."
        )
    inner, outer = edges
    outputs = ("p_strong_down", "p_down", "p_flat", "p_up", "p_strong_up")
    task = Task("classes", outputs, scores=(-1.0, -0.5, 0.0, 0.5, 1.0))
    return _classes(bars, horizon, entry, (-outer, -inner, inner, outer), task)


def _move(bars: pd.DataFrame, horizon: int, threshold: float, entry: Entry, *, up: bool) -> Label:
    if not (np.isfinite(threshold) and threshold > 0):
        raise BarwiseError(f"`threshold` is {threshold}; it is a return as a fraction, above 0 (0.002 is 0.2 %).")
    task = Task("classes", ("p_not", "p_up" if up else "p_down"), scores=(0.0, 1.0 if up else -1.0))
    label = _classes(bars, horizon, entry, (threshold if up else -threshold,), task)
    recipe = label.recipe.replace("classes(", "up_move(" if up else "down_move(")
    return replace(label, values=label.values if up else 1.0 - label.values, recipe=recipe)


def _classes(bars: pd.DataFrame, horizon: int, entry: Entry, edges: tuple[float, ...], task: Task) -> Label:
    returns, ends, span = _log_returns(bars, horizon, entry)
    # A return on a negative edge belongs to the class nearer to flat, as one on a positive edge does.
    below = sum((returns >= edge if edge < 0 else returns > edge).astype(np.float64) for edge in edges)
    recipe = f"classes(horizon={int(horizon)}, edges={tuple(map(float, edges))}, entry={entry!r})"
    return Label(np.where(np.isnan(returns), np.nan, below), returns, ends, span, task, recipe)


def _log_returns(bars: pd.DataFrame, horizon: int, entry: Entry) -> tuple[np.ndarray, np.ndarray, int]:
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
        raise BarwiseError(f"`horizon` is {horizon!r}; it is a count of bars, 1 or more.")
    if entry not in ENTRIES:
        raise BarwiseError(f"`entry` is {entry!r}.{did_you_mean(str(entry), ENTRIES)} Known: {', '.join(ENTRIES)}.")
    delay = 1 if entry == "next_open" else 0
    price = bars["open" if delay else "close"].to_numpy(dtype=np.float64)
    n, span = len(price), int(delay + horizon)
    returns = np.full(n, np.nan)
    if n > span:
        returns[: n - span] = np.log(price[span:] / price[delay : n - horizon])
    return returns, np.arange(n, dtype=np.int64) + span, span
