"""What a fitted model looks at, by changing one bar at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlcore.tasks import Task
from mlcore.windows import Windows

NUMBER = Task("regression", ("expected_return",))


def bars_that_matter(model: Any, around: int = 3) -> list[int]:
    """Return how many bars back of a forecast's row (0: its own, -1: the next) a change moves the forecast."""
    rng = np.random.default_rng(0)
    lookback = model.lookback
    table = rng.standard_normal((300, 2)).astype(np.float32)
    rows = np.arange(lookback - 1, 300)
    model.fit(Windows(table, rows, lookback), table[rows, 0].astype(float), task=NUMBER)
    row = np.array([150])
    before = model.predict(Windows(table, row, lookback))[0, 0]
    found = []
    for back in range(-around, lookback + around):
        other = table.copy()
        other[150 - back] += 5
        if model.predict(Windows(other, row, lookback))[0, 0] != before:
            found.append(back)
    return found
