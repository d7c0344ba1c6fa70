import numpy as np

from mlcore.labels import direction
from mlcore.store.state import task_of, task_values
from mlcore.tasks import Task
from tests.conftest import random_bars

CLASSES = Task("classes", ("p_down", "p_up"), scores=(-1.0, 1.0))


def test_the_lead_keeps_its_names_and_the_others_say_how_far_they_look():
    task = CLASSES.over((5, 15, 60))
    assert task.outputs == ("p_down", "p_up", "p_down_h15", "p_up_h15", "p_down_h60", "p_up_h60")
    assert (task.n_horizons, task.n_outputs, task.scores) == (3, 6, (-1.0, 1.0))
    assert task.lead == CLASSES.over((5,))
    assert [part.horizons for part in task.parts()] == [(5,), (15,), (60,)]
    assert [name for part in task.parts() for name in part.outputs] == list(task.outputs)


def test_one_horizon_is_its_own_part():
    assert CLASSES.n_horizons == 1
    assert CLASSES.parts() == (CLASSES,)
    assert CLASSES.over((5,)).outputs == CLASSES.outputs


def test_a_task_comes_back_from_its_values_and_from_those_of_a_store_without_horizons():
    task = CLASSES.over((5, 15))
    assert task_of(task_values(task)) == task
    old = {name: value for name, value in task_values(CLASSES).items() if name != "horizons"}
    assert task_of(old) == CLASSES


def test_a_label_parts_into_its_horizons():
    label = direction(random_bars(80), horizon=(3, 9), threshold=0.0)
    lead, later = label.parts()
    np.testing.assert_array_equal(np.column_stack([lead.values, later.values]), label.values)
    np.testing.assert_array_equal(lead.returns, label.returns)
    np.testing.assert_array_equal(later.returns, label.horizon_returns[:, 1])
    assert later.task.outputs == ("p_down_h9", "p_up_h9")
    assert (lead.span, later.span) == (10, 10)
    assert lead.parts() == (lead,)
