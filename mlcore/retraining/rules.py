"""Rules that ask for a new model, and what they may look at."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError
from mlcore.tasks import Task


@dataclass(frozen=True)
class Standing:
    """What is known at the close of one bar; what a rule may look at.

    stamp, row
        The bar that has just closed, by its open; its number since the run's first bar.
    fold
        Number of the live model's fold: another number is another model.
    bars_live
        Bars that the live model has forecast, this one included: 1 on its first.
    signal, confidence
        What it says of this bar; NaN where it does not speak.
    inputs
        ``(F,)`` features of this bar, unscaled, by `columns`.
    """

    stamp: pd.Timestamp
    row: int
    fold: int
    bars_live: int
    signal: float
    confidence: float
    inputs: np.ndarray
    columns: tuple[str, ...]
    _hits: Callable[[], np.ndarray] = field(repr=False)
    _trained_on: Callable[[], np.ndarray] = field(repr=False)

    @property
    def hits(self) -> np.ndarray:
        """``(n,)`` bool: was a forecast right? Of the live model's settled ones, in the order in which they settled.

        A forecast settles at the close of the bar that its label ends on, and counts from that bar on. Right is the
        likeliest class that came, or, without classes, the sign of the return.
        """
        return self._hits()

    @property
    def trained_on(self) -> np.ndarray:
        """``(n, F)`` unscaled features of the rows that the live model was trained on, in time."""
        return self._trained_on()


class Rule(Protocol):
    """Asked once at the close of every bar that a model has forecast, in order, while no new model is being trained.

    Returns the reason for a retrain in a few words, or None. A run asks copies (`copy.deepcopy`) of the rules it was
    given. A rule may remember what it was shown, but nothing from before the live model's first forecast
    (``now.bars_live == 1``): where a run is taken up again after a stop, it is shown what came since then.
    """

    def __call__(self, now: Standing) -> str | None:
        """Return why a new model is needed, or None."""


@dataclass(frozen=True)
class Decayed:
    """Retrain when the live model's newest forecasts are right less often than those before.

    Asks for a new model when the accuracy of the last `newest` settled forecasts is below `share` x that of the
    `before` forecasts before them. A model is judged by its own forecasts alone, so nothing is asked for until
    ``newest + before`` of them have settled: a calendar that retrains more often than that leaves this rule nothing
    to say.

    >>> Decayed(newest=2, before=4).said(np.array([1, 1, 1, 1, 1, 0], dtype=bool))
    'accuracy 0.500 of the last 2 settled forecasts, 1.000 of the 4 before'
    """

    newest: int = 50
    before: int = 150
    share: float = 0.9

    def __post_init__(self) -> None:
        for name in ("newest", "before"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise BarwiseError(f"`{name}` is {value!r}; it is a count of settled forecasts, 1 or more.")
        if not (isinstance(self.share, int | float) and math.isfinite(self.share) and self.share > 0):
            raise BarwiseError(f"`share` is {self.share!r}; it is a share of the accuracy before, as 0.9.")

    def said(self, hits: np.ndarray) -> str | None:
        """Return what the rule says of ``(n,)`` settled forecasts."""
        if len(hits) < self.newest + self.before:
            return None
        newest = float(np.mean(hits[-self.newest :]))
        before = float(np.mean(hits[-self.newest - self.before : -self.newest]))
        if newest >= self.share * before:
            return None
        return (
            f"accuracy {newest:.3f} of the last {self.newest} settled forecasts, {before:.3f} of the {self.before} "
            "before"
        )

    def __call__(self, now: Standing) -> str | None:
        return self.said(now.hits)


def right(raw: np.ndarray, signal: np.ndarray, values: np.ndarray, task: Task) -> np.ndarray:
    """Return ``(n,)`` whether forecasts came true; `raw`, `signal` and labels `values` are of the same rows.

    >>> right(np.array([[0.2, 0.8]]), np.array([0.6]), np.array([1.0]), Task("classes", ("p_down", "p_up"), (-1, 1)))
    array([ True])
    """
    lead, came = task.lead, values if values.ndim == 1 else values[:, 0]
    if lead.kind == "classes":
        return np.argmax(raw[:, : lead.n_outputs], axis=1) == came
    return (signal > 0) == (came > 0)
