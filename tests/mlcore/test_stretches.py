import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcore.errors import BarwiseError
from mlcore.stretches import Stretches, batches, check_finite, runs
from mlcore.windows import Windows


@st.composite
def cases(draw):
    lookback = draw(st.integers(1, 9))
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 1, 2, 3, lookback, lookback + 1, 25]), min_size=1, max_size=60))
    rows = lookback - 1 + draw(st.integers(0, 3)) + np.cumsum([0, *steps])
    size = draw(st.integers(1, 12))
    return rows, lookback, draw(st.integers(0, lookback - 1)), size, draw(st.integers(0, size - 1))


@given(cases())
def test_every_row_counts_once_with_its_history_behind_it_and_bars_of_windows_only(case):
    rows, lookback, history, size, offset = case
    stretches = Stretches(rows, lookback, history, size)
    blocks = stretches.blocks(offset)
    bars, counting = stretches.bars(blocks), stretches.counting(blocks)
    assert bars.shape == (history + size, len(blocks))
    outputs = bars[history:]
    counted = outputs[counting]
    assert len(np.unique(counted)) == len(counted)
    assert set(rows) <= set(counted)
    of_windows = np.unique(rows[:, None] - np.arange(lookback))
    assert set(bars.ravel()) <= set(of_windows)
    for j, m in np.argwhere(counting):  # what the network is shown before this row: the bars before it, no other
        seen = bars[: history + j + 1, m]
        np.testing.assert_array_equal(seen, np.arange(outputs[j, m] - len(seen) + 1, outputs[j, m] + 1))


@given(cases())
def test_no_block_is_empty_and_one_row_a_block_gives_the_windows_themselves(case):
    rows, lookback, history, size, offset = case
    stretches = Stretches(rows, lookback, history, size)
    blocks = stretches.blocks(offset)
    outputs = stretches.bars(blocks)[history:]
    assert (np.isin(outputs, rows) & stretches.counting(blocks)).any(axis=0).all()
    windows = Stretches(rows, lookback, lookback - 1, 1)
    np.testing.assert_array_equal(windows.bars(windows.blocks()).T, rows[:, None] - np.arange(lookback)[::-1])


def test_a_gap_ends_a_run():
    rows = np.r_[10:30, 34:50]  # a gap between bars 29 and 30: the rows whose window spans it, 30..33, are left out
    first, last = runs(rows, lookback=5)
    assert first.tolist() == [10, 34]
    assert last.tolist() == [29, 49]
    assert runs(rows, lookback=6)[0].tolist() == [10]


def test_offsets_move_the_borders():
    stretches = Stretches(np.arange(9, 100), 10, 9, 8)
    assert {tuple(stretches.blocks(o)[1:3, 1]) for o in range(8)} == {(17 - o, 25 - o) for o in range(8)}


def test_nan_counts_only_inside_windows():
    table = np.zeros((40, 3))
    table[:5] = np.nan
    table[20, 1] = np.inf
    check_finite(Windows(table, np.r_[9:20, 25:40], 5))
    with pytest.raises(BarwiseError, match="inf at table row 20, column 1"):
        check_finite(Windows(table, np.r_[24, 9:20], 5))
    with pytest.raises(BarwiseError, match="nan at table row 4, column 0"):
        check_finite(Windows(table, np.array([8]), 5))
    check_finite(Windows(table, np.array([], dtype=int), 5))


@given(st.integers(1, 200), st.integers(1, 50))
def test_batches_are_nearly_equal_and_hold_everything_in_order(n, size):
    parts = list(batches(n, size))
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(n))
    sizes = {len(part) for part in parts}
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
