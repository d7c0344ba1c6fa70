"""A small network over several models: who is to be heard follows from what they say and from the market."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlcore import combiners
from mlcore.models.ensemble import DEFAULT_MEMBERS, Ensemble
from mlcore.windows import Windows


class Meta(Ensemble):
    """Members in weights that a small network gives for every bar (a gate, as in a mixture of experts, Jacobs 1991).

    In: the members' raw outputs and the newest bar's features. It learns from the validation rows, stops by the newest
    three tenths of them, purged, and begins with equal weights, to which it goes back where nothing better is found
    (`mlcore.gating.Gate`).

    Parameters
    ----------
    members : names (``"lstm"``, ``"lstm:light"``) or models.
    width : hidden units.
    steps : of the optimiser at most. patience : steps without a lower loss before it stops.
    learning_rate, weight_decay : AdamW's.
    seed : of the gate, and of the members, whose seeds are derived from it.

    The rest is told in `Ensemble`.
    """

    def __init__(
        self,
        members: Any = DEFAULT_MEMBERS,
        width: int = 8,
        steps: int = 200,
        patience: int = 30,
        learning_rate: float = 0.02,
        weight_decay: float = 0.05,
        seed: int = 0,
    ) -> None:
        self.members = members
        self.width = width
        self.steps = steps
        self.patience = patience
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.seed = seed

    def make_combiner(self) -> combiners.Combiner:
        from mlcore.gating import Gate  # torch is loaded only where it is used

        return Gate(self.width, self.steps, self.patience, self.learning_rate, self.weight_decay, self.seed)

    def market(self, windows: Windows) -> np.ndarray:
        return self._features(windows.last).astype(np.float64)
