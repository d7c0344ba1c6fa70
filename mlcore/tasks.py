"""What a label asks of a model: classes, a number, or quantiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Task:
    """The shape of a model's raw output.

    `outputs` names the raw output columns of a forecast, in order: ``p_down p_flat p_up`` for
    classes, ``expected_return`` for regression, ``q10 q50 q90`` for quantiles. `scores` gives each
    class its value in [-1, 1]: the signal is the expected score.
    """

    kind: Literal["classes", "regression", "quantiles"]
    outputs: tuple[str, ...]
    scores: tuple[float, ...] = ()
    quantiles: tuple[float, ...] = ()

    @property
    def n_outputs(self) -> int:
        return len(self.outputs)


@dataclass(frozen=True)
class Label:
    """Labels of all N bars, row by row.

    values
        ``(N,)`` float64: class code 0..K-1, or a return; NaN where the label's end is not in the frame.
    returns
        ``(N,)`` float64 log return that a trade on this row would have had over the span; NaN likewise.
    ends
        ``(N,)`` int64 row of the last bar the label touches (``row + span`` for a fixed horizon).
    span
        bars from a row to the last bar its label touches (entry delay + horizon); the longest one
        for labels of variable length.
    recipe
        the call that made it, for the record: ``return(horizon=5, entry='next_open')``.
    """

    values: np.ndarray
    returns: np.ndarray
    ends: np.ndarray
    span: int
    task: Task
    recipe: str = ""
