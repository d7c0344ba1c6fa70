"""Which rows see a hole in the bars that is too long: in their window (past) or in their label (future)."""

from __future__ import annotations

import numpy as np

from mlcore.errors import BarwiseError


def window_mask(missing: np.ndarray, length: int, max_gap: int = 3) -> np.ndarray:
    """Return ``(N,)`` bool: True where the last `length` bars hold no gap of more than `max_gap` missing bars.

    Known at the close of the row. A False row is neither trained on nor traded.

    Parameters
    ----------
    missing : ``(N,)`` bars missing between row ``i-1`` and row ``i`` (`mlcore.bars.missing_bars`).
    length : bars a row looks at, itself included: the model's lookback plus the features' `memory`.
    max_gap : bars a gap may miss.

    >>> window_mask(np.array([0, 0, 5, 0, 0, 0]), length=3, max_gap=3)
    array([ True,  True, False, False,  True,  True])
    """
    if length < 1:
        raise BarwiseError(f"`length` is {length}; a row looks at 1 bar at least.")
    holes = _holes_so_far(missing, max_gap)
    rows = np.arange(len(holes))
    return holes == holes[np.maximum(rows - length + 1, 0)]


def label_mask(missing: np.ndarray, ends: np.ndarray, max_gap: int = 3) -> np.ndarray:
    """Return ``(N,)`` bool: True where row to label end holds no long gap and the end is in the frame.

    Known only when the label has ended: it may bar a row from training, never from trading.

    >>> label_mask(np.array([0, 0, 5, 0, 0, 0]), ends=np.arange(6) + 2, max_gap=3)
    array([False, False,  True,  True, False, False])
    """
    holes = _holes_so_far(missing, max_gap)
    ends = np.asarray(ends, dtype=np.int64)
    inside = ends < len(holes)
    return inside & (holes == holes[np.where(inside, ends, 0)])


def finite_windows(table: np.ndarray, lookback: int) -> np.ndarray:
    """Return ``(N,)`` bool: True where the last `lookback` rows of the ``(N, F)`` table are there and finite."""
    broken = np.cumsum(~np.isfinite(table).all(axis=1))
    before = np.concatenate([np.zeros(lookback, dtype=broken.dtype), broken])[: len(broken)]
    return (broken == before) & (np.arange(len(table)) >= lookback - 1)


def _holes_so_far(missing: np.ndarray, max_gap: int) -> np.ndarray:
    if max_gap < 0:
        raise BarwiseError(f"`max_gap` is {max_gap}; it is a count of missing bars, 0 or more.")
    return np.cumsum(np.asarray(missing) > max_gap)
