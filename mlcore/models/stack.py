"""Stacked models: weights by ridge regression on what the members said out of sample (Wolpert 1992, Breiman 1996)."""

from __future__ import annotations

from typing import Any

from mlcore import combiners
from mlcore.models.ensemble import DEFAULT_MEMBERS, Ensemble


class Stack(Ensemble):
    """Members in weights that ridge regression finds on their forecasts of the validation rows.

    Weights are not negative and sum to 1 (`mlcore.combiners.Stack`), so that the members' probabilities stay
    probabilities and their quantiles do not cross.

    Parameters
    ----------
    members : names (``"lstm"``, ``"lstm:light"``) or models.
    shrinkage : how strongly equal weights are held to; a weight is taken to lie ``1 / sqrt(shrinkage)`` about them.
    seed : the members' seeds are derived from it.

    The rest is told in `Ensemble`.
    """

    def __init__(self, members: Any = DEFAULT_MEMBERS, shrinkage: float = 10.0, seed: int = 0) -> None:
        self.members = members
        self.shrinkage = shrinkage
        self.seed = seed

    def make_combiner(self) -> combiners.Combiner:
        return combiners.Stack(self.shrinkage)
