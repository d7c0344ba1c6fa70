import numpy as np
import pytest

from mlcore.errors import BarwiseError
from mlcore.models.naive import Naive
from mlcore.tasks import Task
from mlcore.windows import Windows

CLASSES = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
NUMBER = Task("regression", ("expected_return",))
QUANTILES = Task("quantiles", ("q25", "q50", "q75"), quantiles=(0.25, 0.5, 0.75))
TABLE = np.array([[0.0, 1.0], [0.0, -3.0], [0.0, 2.0], [0.0, 0.0]])  # the return is in column 1
CODES = np.array([0.0, 1.0, 1.0, 2.0])
RETURNS = np.array([-0.01, 0.03, 0.0, 0.02])


def said(rule, task=CLASSES, y=CODES, lookback=1, **options):
    windows = Windows(TABLE, np.arange(lookback - 1, 4), lookback)
    model = Naive(rule, lookback=lookback, **options)
    return model.fit(windows, y[lookback - 1 :], task=task).predict(windows)


def test_prior_says_what_the_training_rows_were_like():
    assert said("prior").tolist() == [[0.25, 0.5, 0.25]] * 4
    np.testing.assert_allclose(said("prior", NUMBER, RETURNS), np.full((4, 1), 0.01))
    np.testing.assert_allclose(said("prior", QUANTILES, RETURNS), np.tile([-0.0025, 0.01, 0.0225], (4, 1)))


@pytest.mark.parametrize(
    ("rule", "lookback", "sides"),
    [("last_return", 1, [1, -1, 1, 0]), ("reversal", 1, [-1, 1, -1, 0]), ("momentum", 2, [-1, -1, 1])],
)
def test_directional_rules_follow_the_sign_of_the_return(rule, lookback, sides):
    p = said(rule, lookback=lookback, column=1)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    leaning = p @ CLASSES.scores - said("prior", lookback=lookback) @ CLASSES.scores
    assert np.sign(np.round(leaning, 12)).tolist() == sides
    numbers = said(rule, NUMBER, RETURNS - 0.01, lookback=lookback, column=1)[:, 0]
    moved = np.array(sides) != 0
    assert (np.sign(numbers) == sides)[moved].all()
    shifted = said(rule, QUANTILES, RETURNS, lookback=lookback, column=1)
    assert np.sign(shifted[:, 1] - said("prior", QUANTILES, RETURNS, lookback=lookback)[:, 1]).tolist() == sides


def test_a_forecast_return_is_as_large_as_training_labels_are():
    assert said("last_return", NUMBER, RETURNS, column=1)[0, 0] == pytest.approx(0.015)


def test_the_return_is_found_by_name_where_the_walk_forward_tells_the_names():
    model = Naive("last_return", column="close_pct_change")
    model.feature_names_in_ = ("rsi", "close_pct_change")
    windows = Windows(TABLE, np.arange(4))
    assert np.array_equal(model.fit(windows, CODES, task=CLASSES).predict(windows), said("last_return", column=1))


def test_what_makes_no_sense_is_refused():
    with pytest.raises(BarwiseError, match="Did you mean 'momentum'"):
        said("momentun")
    with pytest.raises(BarwiseError, match="needs 2 or more"):
        said("momentum")
    with pytest.raises(BarwiseError, match=r"`column` is 'close_pct_change'.*0\.\.1"):
        said("last_return")
    with pytest.raises(BarwiseError, match="`column` is 2"):
        said("last_return", column=2)
