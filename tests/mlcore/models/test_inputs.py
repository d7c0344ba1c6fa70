import numpy as np
import pytest

from mlcore.errors import BarwiseError
from mlcore.models.inputs import check_fit, check_windows, flatten, parts, spread_over_classes
from mlcore.tasks import Task
from mlcore.windows import Windows

CLASSES = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
NUMBER = Task("regression", ("expected_return",))


def windows(n=4, lookback=2, features=3):
    table = np.arange((n + lookback - 1) * features, dtype=np.float32).reshape(-1, features)
    return Windows(table, np.arange(lookback - 1, len(table)), lookback)


def test_flat_windows_hold_the_oldest_bar_first():
    flat = flatten(windows(n=2))
    assert flat.tolist() == [[0, 1, 2, 3, 4, 5], [3, 4, 5, 6, 7, 8]]
    assert flatten(windows(n=2, lookback=1)).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_flat_windows_are_the_callers_own_and_made_part_by_part(monkeypatch):
    some = windows(n=7)
    whole = flatten(some, np.float64)
    monkeypatch.setattr("mlcore.models.inputs.PART", 13)  # two windows of 6 values
    assert [(part.start, part.stop) for part in parts(some)] == [(0, 2), (2, 4), (4, 6), (6, 8)]
    np.testing.assert_array_equal(flatten(some, np.float64), whole)
    assert whole.dtype == np.float64
    one = windows(lookback=1)
    assert not np.shares_memory(flatten(one), one.table)


@pytest.mark.parametrize("lookback", [1, 2])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_features_are_refused_with_the_window_they_stand_in(bad, lookback):
    some = windows(lookback=lookback)
    some.table[lookback + 1, 2] = bad
    with pytest.raises(BarwiseError, match="window 2"):
        flatten(some)


@pytest.mark.parametrize(
    ("y", "word"),
    [
        ([0, 1, 2], r"shape \(3,\)"),
        ([0, 1, np.nan, 2], "nan at row 2"),
        ([0, 1, 3, 2], r"whole numbers 0\.\.2"),
        ([0, 1, 0.5, 2], "holds 0.5"),
        ([0, -1, 0, 2], "holds -1"),
        ([1, 1, 1, 1], r"one class only \(p_flat, 4 rows\)"),
    ],
)
def test_labels_no_model_can_learn_from_are_refused(y, word):
    with pytest.raises(BarwiseError, match=word):
        check_fit(windows(), np.array(y, dtype=float), CLASSES, lookback=2)


def test_returns_may_be_any_finite_number_and_are_copied():
    y = np.array([0.5, -0.1, 0.5, 0.5])
    checked = check_fit(windows(), y, NUMBER, lookback=2)
    checked[0] = 9.0
    assert y[0] == 0.5


def test_no_rows_and_foreign_windows_are_refused():
    with pytest.raises(BarwiseError, match="is empty"):
        check_fit(windows().take(slice(0, 0)), np.array([]), NUMBER, lookback=2)
    with pytest.raises(BarwiseError, match="hold 2 bars and the model's `lookback` is 5"):
        check_windows(windows(), lookback=5)
    with pytest.raises(BarwiseError, match="3 features and the model was fitted on 4"):
        check_windows(windows(), lookback=2, n_features=4)


def test_a_class_never_trained_on_has_probability_zero():
    assert spread_over_classes(np.array([[0.3, 0.7]]), np.array([0, 2]), 3).tolist() == [[0.3, 0.0, 0.7]]
