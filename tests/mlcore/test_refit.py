import dataclasses
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import threadpoolctl

from mlcore.errors import BarwiseWarning
from mlcore.folds import Fold
from mlcore.models.linear import Linear
from mlcore.refit import Shared, run_fold
from mlcore.tasks import Task

NUMBER = Task("regression", ("expected_return",))
N, SPAN, LOOKBACK = 400, 4, 3
TRAIN, TEST = np.arange(50, 296), np.arange(300, 340)
RNG = np.random.default_rng(0)
TABLE = np.c_[5.0 + 2.0 * RNG.standard_normal((N, 2)), np.arange(N)]  # the last column says which row it is


class Spy(Linear):
    """Keeps what it was handed, for one test to look at."""

    def fit(self, windows, y, *, task, validation=None):
        type(self).seen = {"windows": windows, "y": y, "validation": validation, "model": self}
        type(self).threads = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
        torch = sys.modules.get("torch")
        type(self).torch_threads = torch.get_num_threads() if torch else 1
        return super().fit(windows, y, task=task, validation=validation)

    def predict(self, windows):
        type(self).predicted = windows
        return super().predict(windows)


class Raw(Spy):
    scaled = False


class Warns(Linear):
    def predict(self, windows):
        warnings.warn("the market was closed", BarwiseWarning, stacklevel=2)
        return super().predict(windows)


class Wrong(Linear):
    def predict(self, windows):
        return np.full((len(windows), 1), np.nan)


class Crashes(Linear):
    def fit(self, windows, y, *, task, validation=None):
        raise ZeroDivisionError


def shared(model=None, **options):
    defaults = {
        "model": model or Spy(lookback=LOOKBACK),
        "task": NUMBER,
        "table": TABLE,
        "columns": ("a", "b", "row"),
        "values": np.arange(N) * 0.001,
        "ends": np.arange(N) + SPAN,
        "tradable": np.arange(N) != 305,
        "validation": 0.2,
        "shuffle_labels": False,
        "seed": 4,
    }
    return Shared(**(defaults | options))


def fold(train=TRAIN, test=TEST):
    return Fold(2, train, test, int(train[-1]) + SPAN, pd.Timestamp("2024-01-01", tz="UTC"))


def rows_of(windows, column=2):
    """The bars a model was shown: the raw table tells them by its last column."""
    return np.unique(windows[:][:, :, column]).astype(int)


def test_the_newest_rows_are_held_out_and_the_purge_stands_before_them():
    run_fold(shared(Raw(lookback=LOOKBACK)), fold())
    train, held_out = Raw.seen["windows"], Raw.seen["validation"][0]
    assert held_out.last[:, 2].tolist() == TRAIN[-49:].tolist()
    assert train.last[0, 2] == TRAIN[0]
    assert train.last[-1, 2] == TRAIN[-50] - SPAN  # its label ends just before the first row held out
    assert rows_of(train)[0] == TRAIN[0] - LOOKBACK + 1


def test_labels_stand_beside_their_own_rows():
    run_fold(shared(Raw(lookback=LOOKBACK)), fold())
    np.testing.assert_allclose(Raw.seen["y"], Raw.seen["windows"].last[:, 2] * 0.001)
    held_out, y = Raw.seen["validation"]
    np.testing.assert_allclose(y, held_out.last[:, 2] * 0.001)


def test_the_model_is_handed_no_row_after_its_last_training_row():
    run_fold(shared(Raw(lookback=LOOKBACK)), fold())
    for windows in (Raw.seen["windows"], Raw.seen["validation"][0]):
        assert windows.table[:, 2].max() == TRAIN[-1]
    assert Raw.predicted.table[:, 2].max() == TEST[-1]


def test_the_scaler_is_fitted_on_the_inner_training_rows():
    run_fold(shared(), fold())
    windows = Spy.seen["windows"]
    np.testing.assert_allclose(windows.last.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(windows.last.std(axis=0), 1.0, atol=1e-6)
    assert windows.table.dtype == np.float32
    held_out = Spy.seen["validation"][0].last
    assert held_out[:, 2].min() > 1.5  # the row number has grown since: nothing of it went into the scale


def test_test_rows_are_forecast_with_their_full_past_and_the_others_are_not():
    outcome = run_fold(shared(Raw(lookback=LOOKBACK)), fold())
    assert Raw.predicted.last[:, 2].tolist() == [row for row in TEST if row != 305]
    assert rows_of(Raw.predicted)[0] == TEST[0] - LOOKBACK + 1
    assert np.flatnonzero(np.isnan(outcome.raw[:, 0])).tolist() == [5]


def test_a_block_that_may_not_be_traded_at_all_is_silent():
    outcome = run_fold(shared(tradable=np.zeros(N, dtype=bool)), fold())
    assert outcome.failure is None
    assert np.isnan(outcome.raw).all()


def test_each_fold_has_a_seed_of_its_own_and_the_model_itself_is_left_alone():
    model = Spy(lookback=LOOKBACK, seed=99)
    run_fold(shared(model, interval=pd.Timedelta("1h")), fold())
    one = Spy.seen["model"]
    run_fold(shared(model, seed=5), fold())
    other = Spy.seen["model"]
    run_fold(shared(model), dataclasses.replace(fold(), number=3))
    assert len({one.seed, other.seed, Spy.seen["model"].seed, 99}) == 4
    assert one.feature_names_in_ == ("a", "b", "row")
    assert one.bar_interval_ == pd.Timedelta("1h")
    assert model.seed == 99
    assert not hasattr(model, "estimators_")


def test_shuffled_labels_are_permuted_over_training_and_validation_rows():
    run_fold(shared(Raw(lookback=LOOKBACK)), fold())
    plain = Raw.seen["y"], Raw.seen["validation"][1]
    run_fold(shared(Raw(lookback=LOOKBACK), shuffle_labels=True), fold())
    mixed = Raw.seen["y"], Raw.seen["validation"][1]
    assert len(mixed[0]) == len(plain[0])
    assert np.isin(np.concatenate(mixed), TRAIN * 0.001).all()
    assert len(np.unique(np.concatenate(mixed))) == len(np.concatenate(mixed))
    assert abs(np.corrcoef(mixed[0], plain[0])[0, 1]) < 0.3
    assert mixed[1].min() < plain[1].min()


def test_one_thread_inside_a_fold_and_all_of_them_after():
    torch = pytest.importorskip("torch")
    with threadpoolctl.threadpool_limits(2):
        run_fold(shared(), fold())
        assert Spy.torch_threads == 1
        assert set(Spy.threads) == {1}
        assert torch.get_num_threads() == 2
        assert 2 in {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}


def test_what_the_user_should_know_comes_back_as_words():
    outcome = run_fold(shared(Warns(lookback=LOOKBACK)), fold())
    assert outcome.warnings == ("the market was closed",)
    assert np.isfinite(outcome.raw[0, 0])


def test_outputs_that_are_no_forecast_fail_the_fold():
    outcome = run_fold(shared(Wrong(lookback=LOOKBACK)), fold())
    assert "49 of it NaN or inf" in outcome.failure
    assert np.isnan(outcome.raw).all()


def test_a_bug_in_a_model_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        run_fold(shared(Crashes(lookback=LOOKBACK)), fold())


def test_too_few_rows_fail_the_fold():
    assert "leaves 28 rows" in run_fold(shared(), fold(train=np.arange(50, 90))).failure
