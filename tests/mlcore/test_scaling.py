"""The scaler learns from training rows and from nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from mlcore.errors import BarwiseError
from mlcore.scaling import Scaler


@pytest.fixture
def table() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(3, 2, (200_000, 3)) * [1, 1e-6, 1e6]


def test_training_rows_get_mean_0_and_deviation_1(table):
    scaled = Scaler().fit(table[:5000]).transform(table[:5000])
    assert scaled.dtype == np.float32
    assert scaled.flags.c_contiguous
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-5)


def test_it_agrees_with_sklearn_over_many_chunks(table):
    wanted = StandardScaler().fit(table[:5000]).transform(table)
    np.testing.assert_allclose(Scaler().fit(table[:5000]).transform(table), wanted, rtol=1e-6, atol=1e-6)


def test_later_rows_change_nothing_before(table):
    scaler = Scaler().fit(table[:5000])
    before = scaler.transform(table)[:6000]
    table[6000:] *= 100
    np.testing.assert_array_equal(scaler.transform(table)[:6000], before)


def test_a_broken_bar_is_clipped(table):
    table[7000] = [1e12, -1e12, np.nan]
    scaled = Scaler(clip=4).fit(table[:5000]).transform(table)
    np.testing.assert_array_equal(scaled[7000], [4, -4, np.nan])


@pytest.mark.parametrize("constant", [0.0, 1.0, 0.1, 1e9 + 0.1, -3e-7])
def test_a_constant_column_becomes_zero_even_where_it_moves_later(constant):
    table = np.full((1000, 1), constant)
    scaler = Scaler().fit(table)
    table[500:] += 5
    np.testing.assert_array_equal(scaler.transform(table), 0)


def test_the_warm_up_may_not_be_fitted_on(table):
    table[3, 1] = np.nan
    with pytest.raises(BarwiseError, match="nan in training row 3, column 1"):
        Scaler().fit(table)
    assert np.isnan(Scaler().fit(table[10:]).transform(table)[3, 1])


def test_wrong_shapes_are_refused(table):
    with pytest.raises(BarwiseError, match="2 columns; the scaler was fitted on 3"):
        Scaler().fit(table).transform(table[:, :2])
    with pytest.raises(BarwiseError, match="two dimensions"):
        Scaler().fit(table[:, 0])
    with pytest.raises(BarwiseError, match="no row"):
        Scaler().fit(table[:0])
    with pytest.raises(BarwiseError, match="`clip`"):
        Scaler(clip=0)
