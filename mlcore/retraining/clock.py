"""When a new model goes live: the part of retraining that knows no model."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError
from mlcore.folds import Block, WalkForward
from mlcore.retraining.rules import Rule, Standing

CALENDAR = "calendar"


@dataclass(frozen=True)
class Retrain:
    """One retrain, as it stands in the result.

    fold
        Number of the new model's fold. reason: ``"calendar"``, or what a rule said; both where both fell together.
    decided
        Stamp of the newest bar that the fit may know: it begins at that bar's close.
    live
        Stamp of the first bar that the new model forecasts.
    trained_through
        Stamp of the last bar that any training label touched. n_train: rows fitted on or held out. seconds: it took.
    note
        None, or why the fit failed. A failed retrain that a rule asked for leaves the old model live.
    """

    fold: int
    reason: str
    decided: pd.Timestamp
    live: pd.Timestamp
    trained_through: pd.Timestamp
    n_train: int
    seconds: float
    note: str | None = None

    def as_row(self) -> dict[str, Any]:
        """Return the retrain as a plain dict."""
        return asdict(self)


class Said(NamedTuple):
    """What the live model says at the close of one bar; NaN where it does not speak."""

    signal: float
    confidence: float
    outputs: np.ndarray  # (n_outputs,), in the order of ``task.outputs``
    fold: int


class Pending(NamedTuple):
    """A retrain that a rule has asked for: the row at which its model goes live, and why."""

    live: int
    reason: str


class RetrainClock(ABC):
    """Told bar by bar where the clock stands, it has models fitted as they fall due and says what the live one says.

    The law: a model that goes live at row `t` was fitted on labels that ended at row ``t - 1 - latency`` or before.
    What the calendar wants goes live where a test block opens (`WalkForward`), whatever else happened. What a rule
    asks for at the close of row `r` goes live at row ``r + 1 + latency``; until then the old model serves and no rule
    is asked.
    """

    def __init__(self, folds: WalkForward, rules: Sequence[Rule] | Rule = ()) -> None:
        if not isinstance(folds, WalkForward):
            raise BarwiseError(f"`folds` is {folds!r}; give the schedule: `WalkForward(train='60D', test='7D')`.")
        rules = (rules,) if callable(rules) else tuple(rules)
        for rule in rules:
            if not callable(rule):
                raise BarwiseError(
                    f"`rules` hold {rule!r}, which cannot be called: give `Decayed()`, `Drifted()` or any function "
                    "that takes a Standing and returns a reason or None."
                )
        self.folds, self.rules = folds, copy.deepcopy(rules)
        self.retrains: list[Retrain] = []
        self._row, self._number = -1, 0  # the last row stepped; the number of the next fold
        self._pending: Pending | None = None
        self._silent: list[
            tuple[int, int]
        ] = []  # rows from, to, at which no rule was asked since the live model's first

    def step(self, row: int) -> Said | None:
        """Say what the live model says of bar `row`, which has just closed; None before the first model.

        Rows left out since the last step are stepped through.
        """
        said = None
        if row <= self._row:
            raise BarwiseError(f"`row` is {row}: bar {self._row} was stepped already, and time does not run back.")
        while self._row < row:
            self._row += 1
            said = self._step(self._row)
        return said

    def _step(self, row: int) -> Said | None:
        block = self._opens(row)
        due = self._pending if self._pending is not None and self._pending.live == row else None
        if block is not None or due is not None:
            if due is not None:
                self._pending = None
            reasons = [CALENDAR] * (block is not None) + [due.reason for due in (due,) if due is not None]
            self._retrain(row, block, "; ".join(reasons))
        said = self._say(row)
        if self._pending is None:
            self._ask(row, said)
        return said

    def _ask(self, row: int, said: Said | None) -> None:
        """Ask the rules, where there are any and a fitted model is live."""
        if not self.rules or said is None or not self._serves():
            return
        now = self._standing(row, said)
        told = list(filter(None, [rule(now) for rule in self.rules]))
        if told:
            self._pending = Pending(row + 1 + self.folds.latency, "; ".join(map(str, told)))
            self._silent.append((row + 1, self._pending.live))

    @abstractmethod
    def _opens(self, row: int) -> Block | None:
        """Return the calendar's block that opens at `row`, None where none does."""

    @abstractmethod
    def _retrain(self, row: int, block: Block | None, reason: str) -> None:
        """Fit a model that goes live at `row`; `block` is None where only a rule asked for it."""

    @abstractmethod
    def _say(self, row: int) -> Said | None:
        """Return what the live model says of `row`, None where there is none yet."""

    @abstractmethod
    def _serves(self) -> bool:
        """Tell whether a fitted model is live."""

    @abstractmethod
    def _standing(self, row: int, said: Said) -> Standing:
        """Return what rules may look at."""
