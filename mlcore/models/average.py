"""The mean of several models: the plainest ensemble, and hard to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlcore import combiners
from mlcore.models.ensemble import DEFAULT_MEMBERS, Ensemble


class Average(Ensemble):
    """Members' probabilities, returns or quantiles in fixed weights.

    Parameters
    ----------
    members : names (``"lstm"``, ``"lstm:light"``) or models.
    weights : one number a member, none below 0; they are divided by their sum. Default: all alike.
    seed : the members' seeds are derived from it.

    The rest is told in `Ensemble`.
    """

    def __init__(self, members: Any = DEFAULT_MEMBERS, weights: Sequence[float] | None = None, seed: int = 0) -> None:
        self.members = members
        self.weights = weights
        self.seed = seed

    def make_combiner(self) -> combiners.Combiner:
        if self.weights is not None:
            combiners.checked_weights(self.weights, len(self.member_names()))
        return combiners.Average(self.weights)
