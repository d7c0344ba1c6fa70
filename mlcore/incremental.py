"""Updates between refits: when they are due, and which rows they may learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError
from mlcore.folds import Fold, Length, parse_length


@dataclass(frozen=True)
class Updates:
    """What the folds need to know of updates.

    cuts
        Fold by fold the moments of its test block from which an updated model forecasts.
    known
        ``(N,)`` bool: rows that may be trained on.
    ends
        ``(N,)`` moment that each row's label touches last. latency: moments that an update takes.
    """

    cuts: tuple[np.ndarray, ...]
    known: np.ndarray
    ends: np.ndarray
    latency: int = 0

    def rows(self, since: int, cut: int) -> np.ndarray:
        """Return the rows whose label ended in time for `cut` and not yet for `since`.

        Ended means what it means for a fold that opens at `cut`: the label's last bar, and the latency, lie before it.
        """
        free = self.ends + self.latency + 1  # the first moment that may know the row
        return np.flatnonzero(self.known & (free > since) & (free <= cut))


def cuts_of(clock: pd.DatetimeIndex, moments: np.ndarray, fold: Fold, every: Length) -> np.ndarray:
    """Return the moments in the fold's test block, after its first, at which an update is due `every` so often.

    >>> clock = pd.date_range("2024-01-01", periods=9, freq="h", tz="UTC")
    >>> fold = Fold(0, np.arange(2), np.arange(2, 9), 1, clock[2])
    >>> cuts_of(clock, np.arange(9), fold, 3).tolist(), cuts_of(clock, np.arange(9), fold, pd.Timedelta("2h")).tolist()
    ([5, 8], [4, 6, 8])
    """
    first, last = int(moments[fold.test].min()), int(moments[fold.test].max())
    if isinstance(every, int):
        return np.arange(first + every, last + 1, every)
    found, due = [], fold.opened
    while (due := due + every) <= clock[last]:
        found.append(int(clock.searchsorted(due)))
    return np.unique([cut for cut in found if cut > first]).astype(np.int64)


def check_incremental(every: Any, model: Any) -> Length | None:
    """Return `every` as a length, None for no updates; refuse a model that cannot be updated."""
    if every is None:
        return None
    if not hasattr(model, "update"):
        raise BarwiseError(
            f"`incremental` is {every!r} and {type(model).__name__} cannot be updated: it has no method "
            "`update(windows, y)`. Networks, lightgbm, xgboost and scikit-learn's estimators with `partial_fit` have; "
            "or refit more often (a shorter `test`)."
        )
    return parse_length(every, "incremental")


def check_warm_start(warm_start: bool, model: Any) -> None:
    """Refuse a model that cannot start from the one before."""
    if warm_start and not hasattr(model, "warm_start_from"):
        raise BarwiseError(
            f"`warm_start` is asked for and {type(model).__name__} cannot start from another model: it has no method "
            "`warm_start_from(other)`. Networks and lightgbm have."
        )


def refuse_incremental(every: Any) -> None:
    """Refuse updates where retraining runs under a clock."""
    if every is not None:
        raise BarwiseError(
            f"`incremental` is {every!r}: under a clock a model is refitted, not updated in between. Let calendar or "
            "rules refit more often (a shorter `test`, with `warm_start`), or take `walk_forward(incremental=...)`."
        )
