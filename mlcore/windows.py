"""Lazy windows: the last `lookback` rows of a feature table, for chosen rows."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from mlcore.errors import BarwiseError


class Windows:
    """A view of `table` that reads as ``(N, L, F)``; nothing is copied until a batch is taken.

    Window ``i`` holds rows ``rows[i]-lookback+1 .. rows[i]`` of `table` (oldest first), so it knows
    nothing after the close of bar ``rows[i]``.

    Parameters
    ----------
    table : ``(T, F)`` feature table.
    rows : ``(N,)`` rows of `table`, each at least ``lookback - 1``.
    lookback : bars a window holds.
    moments : ``(N,)`` place of each row on the clock, where symbols stand one below the other; default: `rows`.
    """

    def __init__(
        self, table: np.ndarray, rows: np.ndarray, lookback: int = 1, moments: np.ndarray | None = None
    ) -> None:
        rows = np.asarray(rows, dtype=np.int64)
        if lookback < 1:
            raise BarwiseError(f"`lookback` is {lookback}; it must be at least 1.")
        if rows.size and (rows.min() < lookback - 1 or rows.max() >= len(table)):
            raise BarwiseError(
                f"`rows` run from {rows.min()} to {rows.max()}; with `lookback` {lookback} and {len(table)} table rows "
                f"they must lie in {lookback - 1}..{len(table) - 1}."
            )
        self.table = table
        self.rows = rows
        self.lookback = lookback
        self.moments = rows if moments is None else np.asarray(moments, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(N, L, F)``."""
        return len(self.rows), self.lookback, self.table.shape[1]

    def __getitem__(self, index: int | slice | np.ndarray) -> np.ndarray:
        """Return the chosen windows as an array ``(n, L, F)`` (``(L, F)`` for one integer)."""
        starts = self.rows[index] - self.lookback + 1
        view = sliding_window_view(self.table, self.lookback, axis=0)  # (T-L+1, F, L)
        return np.swapaxes(view[starts], -1, -2)

    @property
    def last(self) -> np.ndarray:
        """``(N, F)``: the newest row of every window."""
        return self.table[self.rows]

    def take(self, index: slice | np.ndarray) -> Windows:
        """Return the windows of a part of the rows, over the same table."""
        return Windows(self.table, self.rows[index], self.lookback, self.moments[index])
