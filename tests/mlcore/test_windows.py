"""Windows are views that end at their row."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcore.errors import BarwiseError
from mlcore.windows import Windows


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_window_i_is_the_lookback_rows_that_end_at_row_i(lookback, seed):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(40, 3))
    rows = rng.integers(lookback - 1, 40, 17)
    windows = Windows(table, rows, lookback)
    assert windows.shape == windows[:].shape == (17, lookback, 3)
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(windows[i], table[row - lookback + 1 : row + 1])
    np.testing.assert_array_equal(windows[3:9], windows[:][3:9])
    np.testing.assert_array_equal(windows.last, windows[:][:, -1])
    np.testing.assert_array_equal(windows.take(np.array([5, 2]))[:], windows[np.array([5, 2])])


@given(st.integers(1, 12), st.integers(0, 39))
def test_a_window_does_not_see_later_rows(lookback, row):
    if row < lookback - 1:
        return
    table = np.random.default_rng(0).normal(size=(40, 2))
    before = Windows(table, np.array([row]), lookback)[0].copy()
    table[row + 1 :] = np.nan
    np.testing.assert_array_equal(Windows(table, np.array([row]), lookback)[0], before)


def test_a_batch_copies_only_the_batch():
    table = np.zeros((200_000, 20), dtype=np.float32)
    windows = Windows(table, np.arange(59, 200_000), 60)
    tracemalloc.start()
    batch = windows[1000:1064]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * batch.nbytes


def test_rows_without_their_past_are_refused():
    table = np.zeros((10, 2))
    with pytest.raises(BarwiseError, match="`rows` run from 2 to 9; with `lookback` 4"):
        Windows(table, np.array([9, 2]), 4)
    with pytest.raises(BarwiseError, match="`rows`"):
        Windows(table, np.array([10]), 4)
    with pytest.raises(BarwiseError, match="`lookback` is 0"):
        Windows(table, np.array([1]), 0)


def test_no_rows_is_an_empty_batch():
    assert Windows(np.zeros((10, 2)), np.array([], dtype=np.int64), 4)[:].shape == (0, 4, 2)


def test_moments_are_the_rows_where_nothing_else_is_told_and_go_with_them():
    table = np.zeros((20, 1))
    assert Windows(table, np.arange(5, 9), 3).moments.tolist() == [5, 6, 7, 8]
    told = Windows(table, np.arange(5, 9), 3, np.array([7, 8, 1, 2]))
    assert told.take(np.array([3, 0])).moments.tolist() == [2, 7]
