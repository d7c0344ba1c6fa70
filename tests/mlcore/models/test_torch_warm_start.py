"""Networks that start from another one's weights, and updates between refits."""

import pickle

import numpy as np
import pytest

from mlcore.errors import BarwiseError
from mlcore.models.lstm import LSTM
from mlcore.models.tcn import TCN
from mlcore.windows import Windows
from tests.mlcore.models.small_networks import (
    CLASSES,
    EVERY,
    NUMBER,
    QUANTILES,
    L,
    N,
    fitted,
    fitted_state,
    market,
    small,
    state,
)


def held_out_loss(model, task=CLASSES):
    """The lowest validation loss on the training curve."""
    return min(entry["validation"] for entry in model.history_)


@EVERY
def test_a_warm_start_begins_with_the_other_s_weights_and_never_ends_worse(kind):
    first = fitted(small(kind))
    again = fitted(small(kind, seed=8).warm_start_from(first))
    start, later = again.history_[0], again.history_[1:]
    assert (start["epoch"], [entry["epoch"] for entry in later]) == (0.0, [1.0, 2.0, 3.0][: len(later)])
    assert start["validation"] == pytest.approx(held_out_loss(first), rel=1e-5)  # the same weights, rows and head
    assert again.best_epoch_ == int(np.argmin([entry["validation"] for entry in again.history_])) - 1
    assert state(first) == state(fitted(small(kind)))  # the other is left as it was
    assert not hasattr(again, "start_")
    assert fitted_state(again) == fitted_state(small(kind, seed=8))  # a clone knows nothing of it


def test_a_warm_start_that_finds_nothing_better_keeps_what_it_began_with():
    first = fitted(small(TCN, epochs=6))
    again = fitted(small(TCN, learning_rate=3.0, warm_rate=1.0).warm_start_from(first))
    assert again.best_epoch_ == -1
    assert state(again) == state(first)


def test_a_warm_start_is_at_a_lower_rate(monkeypatch):
    rates = []
    monkeypatch.setattr("mlcore.models.torch.train", lambda *args, plan, **more: rates.append(plan.learning_rate) or [])
    monkeypatch.setattr("mlcore.models.torch.best_epoch", lambda history: 0)
    first = fitted(small(TCN, learning_rate=0.01, warm_rate=0.2))
    fitted(small(TCN, learning_rate=0.01, warm_rate=0.2).warm_start_from(first))
    first.update(Windows(market()[0], np.arange(520, 560), L), np.ones(40))
    assert rates == [0.01, pytest.approx(0.002), pytest.approx(0.002)]


def test_a_warm_start_from_another_kind_or_shape_is_refused():
    first = fitted(small(TCN))
    with pytest.raises(BarwiseError, match="`other` is TCN; LSTM starts from a fitted LSTM"):
        small(LSTM).warm_start_from(first)
    with pytest.raises(BarwiseError, match="starts from a fitted TCN"):
        small(TCN).warm_start_from(small(TCN))
    wider = small(TCN, width=12).warm_start_from(first)
    with pytest.raises(BarwiseError, match="weights that do not fit"):
        fitted(wider)


@EVERY
@pytest.mark.parametrize("task", [CLASSES, NUMBER, QUANTILES], ids=lambda task: task.kind)
def test_updates_are_small_and_the_same_every_time(kind, task):
    table, move = market()
    y = np.full(N, 2.0) if task.kind == "classes" else 0.01 * move + 0.05
    ups = Windows(table, np.arange(505, 560), L), y[505:560]
    model, asked = fitted(small(kind), task), Windows(table, np.arange(560, N), L)
    before = model.predict(asked)
    raws = []
    for _ in range(2):
        updated = pickle.loads(pickle.dumps(model))
        assert updated.update(*ups) is updated
        raws.append([updated.predict(asked), updated.update(*ups).predict(asked)])
    np.testing.assert_array_equal(raws[0], raws[1])
    (once, twice), outermost = raws[0], -1
    moved = [raw[:, outermost].mean() - before[:, outermost].mean() for raw in (once, twice)]
    assert 0 < moved[0] < moved[1]  # only the highest class, or high returns, were seen since
    np.testing.assert_array_equal(model.predict(asked), before)


def test_an_update_takes_any_number_of_rows_and_refuses_what_is_no_label():
    model, (table, _) = fitted(small(TCN)), market()
    before = model.predict(Windows(table, np.arange(560, N), L))
    model.update(Windows(table, np.arange(0), L), np.empty(0))
    np.testing.assert_array_equal(model.predict(Windows(table, np.arange(560, N), L)), before)
    model.update(Windows(table, np.array([520]), L), np.array([1.0]))
    assert (model.predict(Windows(table, np.arange(560, N), L)) != before).any()
    for y in (np.ones(2), np.array([np.nan])):
        with pytest.raises(BarwiseError, match="finite labels of the 1 windows"):
            model.update(Windows(table, np.array([520]), L), y)
    with pytest.raises(BarwiseError, match="hold 4 bars"):
        model.update(Windows(table, np.array([520]), 4), np.ones(1))
