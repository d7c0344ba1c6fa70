"""Models that vote: the majority speaks, and is surer where nobody disagrees."""

from __future__ import annotations

from typing import Any

from mlcore import combiners
from mlcore.errors import BarwiseError
from mlcore.models.ensemble import DEFAULT_MEMBERS, Ensemble


class Vote(Ensemble):
    """The mean of the members that are with the majority; confidence up by `bonus` where all are.

    A member votes for its likeliest class, or for the sign of its return (of its median). Where two camps are as
    large, the louder one wins: higher probability of its class, larger returns.

    Parameters
    ----------
    members : names (``"lstm"``, ``"lstm:light"``) or models.
    bonus : share by which the confidence of a forecast goes up, to 1 at most, where all members vote alike.
    seed : the members' seeds are derived from it.

    The rest is told in `Ensemble`.
    """

    def __init__(self, members: Any = DEFAULT_MEMBERS, bonus: float = 0.1, seed: int = 0) -> None:
        self.members = members
        self.bonus = bonus
        self.seed = seed

    def make_combiner(self) -> combiners.Combiner:
        if not 0 <= self.bonus < float("inf"):
            raise BarwiseError(f"`bonus` is {self.bonus!r}; it is a share of the confidence, 0 or more.")
        return combiners.Vote(self.bonus)
