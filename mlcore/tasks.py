"""What a label asks of a model: classes, a number, or quantiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class Task:
    """The shape of a model's raw output.

    `outputs` names the raw output columns of a forecast, in order: ``p_down p_flat p_up`` for
    classes, ``expected_return`` for regression, ``q10 q50 q90`` for quantiles. `scores` gives each
    class its value in [-1, 1]: the signal is the expected score.

    `horizons` are the bars ahead of each horizon, where the label has any. With several, the first one listed leads:
    its outputs keep their plain names and make signal and confidence. Those of the others follow, horizon by horizon,
    with a suffix (``p_up_h15``). `scores` and `quantiles` are those of one horizon: they are the same for all.
    """

    kind: Literal["classes", "regression", "quantiles"]
    outputs: tuple[str, ...]
    scores: tuple[float, ...] = ()
    quantiles: tuple[float, ...] = ()
    horizons: tuple[int, ...] = ()

    @property
    def n_outputs(self) -> int:
        return len(self.outputs)

    @property
    def n_horizons(self) -> int:
        """Horizons that are foretold at once: H of a label's values ``(N, H)``, 1 where they are ``(N,)``."""
        return max(1, len(self.horizons))

    @property
    def lead(self) -> Task:
        """The task of the leading horizon alone."""
        return self.parts()[0]

    def parts(self) -> tuple[Task, ...]:
        """Return one task a horizon, each with its own outputs as they are named here; ``(self,)`` for one."""
        if self.n_horizons == 1:
            return (self,)
        k = self.n_outputs // self.n_horizons
        return tuple(
            replace(self, outputs=self.outputs[i * k : (i + 1) * k], horizons=(horizon,))
            for i, horizon in enumerate(self.horizons)
        )

    def over(self, horizons: tuple[int, ...]) -> Task:
        """Return this task of one horizon, asked for `horizons` at once.

        >>> Task("regression", ("expected_return",)).over((5, 15)).outputs
        ('expected_return', 'expected_return_h15')
        """
        later = (f"{name}_h{horizon}" for horizon in horizons[1:] for name in self.outputs)
        return replace(self, outputs=(*self.outputs, *later), horizons=tuple(horizons))


@dataclass(frozen=True)
class Label:
    """Labels of all N bars, row by row.

    values
        ``(N,)`` float64, or ``(N, H)`` for several horizons: class code 0..K-1, or a return; NaN in all horizons where
        the label's end is not in the frame.
    returns
        ``(N,)`` float64 log return that a trade on this row would have had over the (leading) horizon; NaN likewise.
    ends
        ``(N,)`` int64 row of the last bar the label touches (``row + span`` for a fixed horizon), over all horizons.
    span
        bars from a row to the last bar its label touches (entry delay + horizon); the longest one
        for labels of variable length and of several horizons.
    recipe
        the call that made it, for the record: ``return(horizon=5, entry='next_open')``.
    horizon_returns
        ``(N, H)`` log returns of every horizon, the lead's first; None for one horizon.
    symbol
        what the bars it was made of are of (`mlcore.bars.market_of`), None where that is not known.
    """

    values: np.ndarray
    returns: np.ndarray
    ends: np.ndarray
    span: int
    task: Task
    recipe: str = ""
    horizon_returns: np.ndarray | None = None
    symbol: str | None = None

    def parts(self) -> tuple[Label, ...]:
        """Return one label a horizon, ``(self,)`` for one; `ends` and `span` stay those of the longest."""
        if self.task.n_horizons == 1:
            return (self,)
        returns = np.full(self.values.shape, np.nan) if self.horizon_returns is None else self.horizon_returns
        return tuple(
            replace(self, values=self.values[:, i], returns=returns[:, i], task=task, horizon_returns=None)
            for i, task in enumerate(self.task.parts())
        )
