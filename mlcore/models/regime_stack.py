"""One model for trends and another for sideways markets; which one speaks is known from past moves alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlcore import combiners
from mlcore.errors import BarwiseError
from mlcore.models.columns import given_column
from mlcore.models.ensemble import Ensemble
from mlcore.models.members import listed, make_members, member_names, refuse_twins
from mlcore.windows import Windows


class RegimeStack(Ensemble):
    """A sequence model while the market trends, a model for short horizons while it goes sideways.

    The market trends at the close of a bar where the moves of the last `regime_window` bars, summed, are at
    least `trend` of the sum of their sizes (the efficiency ratio of Kaufman 1995). A random walk of 30 bars does so
    about a quarter of the time. The rule knows past bars only and is not fitted.

    Parameters
    ----------
    members : models for trends, by name (``"lstm"``, ``"lstm:light"``) or as they are; several are averaged.
    sideways : the model, or models, for everything else, likewise; ``hybrid`` is made for it.
    regime_window : bars whose moves are looked at.
    trend : net share of the moves from which on they are a trend, between 0 and 1.
    column : the feature that holds a bar's return: its name (the ensemble asks for it) or its number.
    seed : the members' seeds are derived from it.

    The rest is told in `Ensemble`.
    """

    def __init__(
        self,
        members: Any = ("tcn",),
        sideways: Any = "hybrid",
        regime_window: int = 30,
        trend: float = 0.25,
        column: str | int = "close_pct_change",
        seed: int = 0,
    ) -> None:
        self.members = members
        self.sideways = sideways
        self.regime_window = regime_window
        self.trend = trend
        self.column = column
        self.seed = seed

    def member_models(self) -> list[Any]:
        refuse_twins([*listed(self.members), *listed(self._sideways())])  # it would speak in both regimes
        return [*make_members(self.members), *make_members(self._sideways())]

    def member_names(self) -> tuple[str, ...]:
        return (*member_names(self.members), *member_names(self._sideways()))

    def _sideways(self) -> Any:
        return self.sideways if isinstance(self.sideways, str | list | tuple) else (self.sideways,)

    @property
    def lookback(self) -> int:
        return max(super().lookback, self.regime_window)

    @property
    def own_features(self) -> tuple[Any, ...]:
        own = (self.column,) if isinstance(self.column, str) else ()
        return (*own, *(feature for feature in super().own_features if feature not in own))

    def make_combiner(self) -> combiners.Combiner:
        if int(self.regime_window) != self.regime_window or self.regime_window < 2:
            raise BarwiseError(f"`regime_window` is {self.regime_window!r}; it is a count of bars, 2 or more.")
        names, n_sideways = self.member_names(), len(member_names(self._sideways()))
        return combiners.Regime([number >= len(names) - n_sideways for number in range(len(names))], self.trend)

    def market(self, windows: Windows) -> np.ndarray:
        """Return ``(N, 1)``: the signed efficiency ratio of the last `regime_window` moves."""
        column = given_column(self, windows.shape[2], "The regime")
        moves = Windows(windows.table[:, column : column + 1], windows.rows, self.regime_window)
        return combiners.efficiency_ratio(moves[:][:, :, 0].astype(np.float64))[:, None]
