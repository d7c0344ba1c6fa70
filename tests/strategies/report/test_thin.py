"""Drawn rows: few, true, and no spike lost."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies.report.thin import drawn_rows


@settings(max_examples=60)
@given(st.integers(1, 9000), st.integers(1, 6), st.integers(0, 2**31))
def test_rows_are_few_and_keep_ends_and_extremes(n: int, curves: int, seed: int) -> None:
    values = np.cumsum(np.random.default_rng(seed).normal(size=(n, curves)), axis=0)
    rows = drawn_rows(values, most=1000)
    assert rows.dtype == np.int64
    assert (np.diff(rows) > 0).all()
    assert len(rows) <= 1002
    assert (rows[0], rows[-1]) == (0, n - 1)
    np.testing.assert_array_equal(values[rows].min(axis=0), values.min(axis=0))
    np.testing.assert_array_equal(values[rows].max(axis=0), values.max(axis=0))


def test_extremes_of_every_stretch_stay() -> None:
    values = np.zeros((10_000, 2))
    spikes = np.arange(50, 10_000, 500)
    values[spikes, 0] = 1.0
    values[spikes + 7, 1] = -1.0
    rows = set(drawn_rows(values, most=400).tolist())
    assert set(spikes.tolist()) | set((spikes + 7).tolist()) <= rows


def test_missing_values_do_not_hide_the_rest() -> None:
    values = np.full((5000, 2), np.nan)
    values[:, 1] = 0.0
    values[4321, 1] = 5.0
    assert 4321 in drawn_rows(values, most=100)
