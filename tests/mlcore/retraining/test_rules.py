"""Rules: decay of accuracy on settled forecasts, told by both its numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcore.errors import BarwiseError
from mlcore.retraining import Decayed
from mlcore.retraining.rules import right
from mlcore.tasks import Task


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 12), st.integers(1, 30), st.sampled_from([0.5, 0.9, 1.0]))
def test_decay_is_the_accuracy_of_the_newest_below_a_share_of_that_before(hits, newest, before, share):
    said = Decayed(newest, before, share).said(np.array(hits, dtype=bool))
    if len(hits) < newest + before:
        assert said is None
        return
    late, early = hits[len(hits) - newest :], hits[len(hits) - newest - before : len(hits) - newest]
    assert (said is not None) == (sum(late) / newest < share * (sum(early) / before))


def test_the_defaults_are_fifty_against_a_hundred_and_fifty():
    good = np.tile([True, False], 75)  # 0.5 before
    assert Decayed().said(np.r_[good, np.zeros(49, bool)]) is None
    assert "accuracy 0.440 of the last 50" in Decayed().said(np.r_[good, np.repeat([True, False], [22, 28])])
    assert Decayed().said(np.r_[good, np.repeat([True, False], [23, 27])]) is None  # 0.46 is no less than 0.45


def test_right_is_the_likeliest_class_or_the_sign_of_the_lead():
    classes = Task("classes", ("p_down", "p_flat", "p_up"), (-1.0, 0.0, 1.0))
    raw = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.2, 0.5, 0.3]])
    assert right(raw, np.zeros(3), np.array([0.0, 1.0, 1.0]), classes).tolist() == [True, False, True]
    both = classes.over((3, 9))
    values = np.array([[0.0, 9.0], [2.0, 9.0], [2.0, 9.0]])
    assert right(np.c_[raw, raw[::-1]], np.zeros(3), values, both).tolist() == [True, True, False]
    number = Task("regression", ("expected_return",))
    found = right(np.zeros((3, 1)), np.array([0.4, -0.1, 0.4]), np.array([0.01, -0.02, -0.01]), number)
    assert found.tolist() == [True, True, False]
    assert len(right(np.empty((0, 3)), np.empty(0), np.empty(0), classes)) == 0


@pytest.mark.parametrize("given", [{"newest": 0}, {"before": 1.5}, {"share": 0}, {"newest": True}, {"share": np.nan}])
def test_numbers_that_are_none_are_refused(given):
    with pytest.raises(BarwiseError, match=f"`{next(iter(given))}` is"):
        Decayed(**given)
