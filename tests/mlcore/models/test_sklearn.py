"""Estimators that can learn on do so between refits; `test_by_path.py` has the laws that all of them obey."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge, SGDClassifier, SGDRegressor

from mlcore.errors import BarwiseError
from mlcore.models.sklearn import Sklearn
from mlcore.tasks import Task
from mlcore.windows import Windows

CLASSES = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
NUMBER = Task("regression", ("expected_return",))
TABLE = np.random.default_rng(0).standard_normal((900, 3)).astype(np.float32)
MOVE = TABLE[:, 0] + 0.3 * np.random.default_rng(1).standard_normal(900)


def windows(start, stop):
    return Windows(TABLE, np.arange(start, stop), 2)


@pytest.mark.parametrize(
    ("estimator", "task"),
    [(SGDClassifier(loss="log_loss"), CLASSES), (SGDRegressor(), NUMBER)],
    ids=["classes", "returns"],
)
def test_an_update_learns_from_the_newer_rows(estimator, task):
    y = np.digitize(MOVE, [-0.4, 0.4]).astype(float) if task is CLASSES else 0.01 * MOVE
    model = Sklearn(estimator, lookback=2).fit(windows(1, 500), y[1:500], task=task)
    said = model.predict(windows(700, 900))
    turned = 2.0 - y if task is CLASSES else -y
    assert model.update(windows(500, 700), turned[500:700]) is model
    assert np.corrcoef((model.predict(windows(700, 900)) - said)[:, -1], TABLE[700:, 0])[0, 1] < -0.5
    with pytest.raises(BarwiseError, match="must be finite labels of the 200 windows"):
        model.update(windows(500, 700), turned[:5])


def test_a_class_that_was_never_trained_on_is_left_out():
    y = np.digitize(MOVE, [0.0]).astype(float)
    model = Sklearn(SGDClassifier(loss="log_loss"), lookback=2).fit(windows(1, 500), y[1:500], task=CLASSES)
    said = model.predict(windows(700, 900))
    model.update(windows(500, 510), np.full(10, 2.0))
    np.testing.assert_array_equal(model.predict(windows(700, 900)), said)


def test_an_estimator_that_cannot_learn_on_has_no_update_and_one_that_refuses_is_told_in_one_line(monkeypatch):
    assert not hasattr(Sklearn(Ridge()), "update") and not hasattr(Sklearn(), "update")
    model = Sklearn(SGDRegressor(), lookback=2).fit(windows(1, 60), 0.01 * MOVE[1:60], task=NUMBER)

    def refuse(*_):
        raise ValueError("too odd")

    monkeypatch.setattr(SGDRegressor, "partial_fit", refuse)
    with pytest.raises(BarwiseError, match="`update`: SGDRegressor refuses: too odd"):
        model.update(windows(60, 70), MOVE[60:70])
