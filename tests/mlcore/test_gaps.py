"""Gap masks against a slow, clear reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcore.errors import BarwiseError
from mlcore.gaps import label_mask, window_mask

missing_counts = st.lists(st.integers(0, 6), min_size=1, max_size=60).map(lambda counts: np.array([0, *counts[1:]]))


@given(missing_counts, st.integers(1, 12), st.integers(0, 5))
def test_a_window_is_barred_if_a_step_inside_it_is_too_long(missing, length, max_gap):
    for row, allowed in enumerate(window_mask(missing, length, max_gap)):
        first = max(0, row - length + 1)
        assert allowed == all(missing[step] <= max_gap for step in range(first + 1, row + 1))


@given(missing_counts, st.integers(0, 5), st.data())
def test_a_label_is_barred_if_a_step_to_its_end_is_too_long(missing, max_gap, data):
    n = len(missing)
    ends = np.arange(n) + data.draw(st.lists(st.integers(0, 8), min_size=n, max_size=n).map(np.array))
    for row, allowed in enumerate(label_mask(missing, ends, max_gap)):
        end = ends[row]
        assert allowed == (end < n and all(missing[step] <= max_gap for step in range(row + 1, end + 1)))


@given(missing_counts, st.integers(1, 12), st.integers(1, 20))
def test_the_window_mask_does_not_know_later_bars(missing, length, cut):
    full = window_mask(missing, length)
    np.testing.assert_array_equal(window_mask(missing[:cut], length), full[:cut])


def test_nonsense_is_refused():
    with pytest.raises(BarwiseError, match="`length`"):
        window_mask(np.zeros(3), 0)
    with pytest.raises(BarwiseError, match="`max_gap`"):
        window_mask(np.zeros(3), 1, -1)
