"""Long stretches of bars for causal networks: which bars go in, and which rows are learned from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlcore.errors import BarwiseError
from mlcore.windows import Windows


def runs(rows: np.ndarray, lookback: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and last row of every run of `rows` (increasing) whose windows overlap.

    Bars between two runs belong to no window (a gap in the bars lies there), so no stretch crosses them.

    >>> runs(np.array([5, 6, 8, 20]), lookback=4)
    (array([ 5, 20]), array([ 8, 20]))
    """
    breaks = np.flatnonzero(np.diff(rows) >= lookback)
    return rows[np.r_[0, breaks + 1]], rows[np.r_[breaks, len(rows) - 1]]


def check_finite(windows: Windows) -> None:
    """Raise BarwiseError where a bar of a window is NaN or infinite, with the first such row and column."""
    if not len(windows):
        return
    rows = np.unique(windows.rows)
    for first, last in zip(*runs(rows, windows.lookback), strict=True):
        start = first - windows.lookback + 1
        bad = ~np.isfinite(windows.table[start : last + 1])
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise BarwiseError(
                f"`windows` hold {windows.table[start + row, column]} at table row {start + row}, column {column}; "
                "a network needs a finite number everywhere: leave out the rows of the warm-up and of gaps."
            )


class Stretches:
    """Blocks of `size` successive rows with `history` bars behind the first, to be passed through in one go.

    Parameters
    ----------
    rows : ``(N,)`` increasing rows to learn from or to forecast.
    lookback : bars of a window; rows further apart than that never share a block.
    history : bars a network is given before the first row of a block (at most ``lookback - 1``).
    size : rows of a block; 1 makes every block one window.
    """

    def __init__(self, rows: np.ndarray, lookback: int, history: int, size: int) -> None:
        self.history, self.size = history, size
        self.firsts, self.lasts = runs(rows, lookback)
        wanted = np.zeros(rows[-1] + 2, dtype=np.int64)
        wanted[rows + 1] = 1
        self._count = np.cumsum(wanted)  # rows before a bar, to see which blocks hold any

    def blocks(self, offset: int = 0) -> np.ndarray:
        """Return ``(M, 3)``: first row passed through, first row and last row that count.

        Every row counts in exactly one block. `offset` (0..size-1) moves all the borders.
        """
        counts = (self.lasts - self.firsts + offset) // self.size + 1
        run = np.repeat(np.arange(len(counts)), counts)
        nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        border = self.firsts[run] + nth * self.size - offset
        low = np.maximum(border, self.firsts[run])
        high = np.minimum(border + self.size - 1, self.lasts[run])
        start = np.maximum(np.minimum(border, self.lasts[run] - self.size + 1), self.firsts[run])
        filled = self._count[high + 1] > self._count[low]
        return np.stack([start, low, high], axis=1)[filled]

    def bars(self, blocks: np.ndarray) -> np.ndarray:
        """Return ``(history + size, M)`` table rows to pass through, oldest first.

        A block longer than its run repeats the run's last bar; what comes of it counts nowhere.
        """
        start, _, high = blocks.T
        bars = start - self.history + np.arange(self.history + self.size)[:, None]
        return np.minimum(bars, high)

    def counting(self, blocks: np.ndarray) -> np.ndarray:
        """Return ``(size, M)`` bool: the rows of the block that count, wanted ones or not."""
        start, low, high = blocks.T
        rows = start + np.arange(self.size)[:, None]
        return (rows >= low) & (rows <= high)


def batches(n: int, size: int, order: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Cut `n` things, in the given order, into batches of `size` or one less: no small rest."""
    order = np.arange(n) if order is None else order
    yield from np.array_split(order, max(1, -(-n // size)))
