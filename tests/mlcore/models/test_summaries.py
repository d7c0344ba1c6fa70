import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcore.errors import BarwiseError
from mlcore.models import inputs
from mlcore.models.summaries import Summaries
from mlcore.windows import Windows

TABLE = np.random.default_rng(0).standard_normal((80, 3)).astype(np.float32)


def test_every_column_is_what_its_name_says():
    made = Summaries.within(21, (1, 3), (5,), (20,))
    names, rows = made.names(["a", "b", "c"]), np.array([40, 20, 79])
    columns = dict(zip(names, made.of(Windows(TABLE, rows, 21)).T, strict=True))
    assert len(columns) == 3 * (1 + 2 + 2 + 1)
    for i, row in enumerate(rows):
        for j, feature in enumerate("abc"):
            past = TABLE[: row + 1, j].astype(np.float64)
            assert columns[feature][i] == TABLE[row, j]
            assert columns[f"{feature}_lag3"][i] == TABLE[row - 3, j]
            assert columns[f"{feature}_mean5"][i] == pytest.approx(past[-5:].mean(), abs=1e-6)
            assert columns[f"{feature}_std5"][i] == pytest.approx(past[-5:].std(), abs=1e-6)
            assert columns[f"{feature}_momentum20"][i] == pytest.approx(past[-1] - past[-21], abs=1e-6)


@given(st.integers(1, 30))
def test_what_the_lookback_does_not_hold_is_left_out(lookback):
    made = Summaries.within(lookback, (1, 2, 12), (2, 10), (5, 29))
    assert made.lags == tuple(k for k in (1, 2, 12) if k < lookback)
    assert made.rolling == tuple(k for k in (2, 10) if k <= lookback)
    assert made.momentum == tuple(k for k in (5, 29) if k < lookback)
    windows = Windows(TABLE, np.arange(lookback - 1, 80), lookback)
    assert made.of(windows).shape == (len(windows), len(made.names("abc")))


def test_a_row_s_bits_depend_on_its_own_window_only(monkeypatch):
    made, rows = Summaries.within(10, (1,), (7,), (9,)), np.arange(9, 80)
    whole = made.of(Windows(TABLE, rows, 10))
    monkeypatch.setattr(inputs, "PART", 10 * 3 * 4)
    np.testing.assert_array_equal(made.of(Windows(TABLE, rows, 10)), whole)
    other = TABLE.copy()
    other[50:] = 9
    np.testing.assert_array_equal(made.of(Windows(other, rows, 10))[:41], whole[:41])
    np.testing.assert_array_equal(made.of(Windows(TABLE, rows[17:18], 10)), whole[17:18])


def test_a_window_that_is_not_finite_is_refused_even_where_no_summary_looks():
    table = TABLE.copy()
    table[33, 1] = np.inf
    with pytest.raises(BarwiseError, match="NaN or inf"):
        Summaries().of(Windows(table, np.array([40]), 10))


@pytest.mark.parametrize(("name", "values"), [("lags", (0,)), ("rolling", (1,)), ("momentum", (2.5,)), ("lags", 3)])
def test_what_is_no_list_of_bars_is_refused(name, values):
    given_ = {"lags": (1,), "rolling": (5,), "momentum": (5,)} | {name: values}
    with pytest.raises(BarwiseError, match=f"`{name}` is"):
        Summaries.within(20, **given_)
