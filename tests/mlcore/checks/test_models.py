"""Negative controls: models that break a law must be caught."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from mlcore.checks import BrokenLawError, Case, check_model
from mlcore.checks import models as laws
from mlcore.models.linear import Linear
from mlcore.models.lstm import LSTM
from mlcore.models.naive import Naive

CLASSES, NUMBER, QUANTILES = laws.TASKS


class Broken(Linear):
    """Linear, with one thing wrong."""

    def __init__(self, lookback=1, shrinkage=0.01, max_iter=300, quantile_rows=2_000, seed=0):
        super().__init__(lookback, shrinkage, max_iter, quantile_rows, seed)


class RoundsItsArguments(Broken):
    def __init__(self, lookback=1, shrinkage=0.01, max_iter=300, quantile_rows=2_000, seed=0):
        super().__init__(lookback, shrinkage * 2, max_iter, quantile_rows, seed)


class NeedsAnArgument(BaseEstimator):
    def __init__(self, hidden, lookback=1, seed=0):
        self.hidden, self.lookback, self.seed = hidden, lookback, seed


class WritesItsParameters(Broken):
    def fit(self, windows, y, *, task, validation=None):
        self.max_iter = 7
        return super().fit(windows, y, task=task, validation=validation)


class ScalesInPlace(Broken):
    def fit(self, windows, y, *, task, validation=None):
        windows.table *= 2.0
        return super().fit(windows, y, task=task, validation=validation)


class ReturnsNothing(Broken):
    def fit(self, windows, y, *, task, validation=None):
        super().fit(windows, y, task=task, validation=validation)


class ForgetsItsSeed(Broken):
    def fit(self, windows, y, *, task, validation=None):
        self.noise_ = np.random.default_rng().standard_normal()
        return super().fit(windows, y, task=task, validation=validation)

    def predict(self, windows):
        return super().predict(windows) + self.noise_


class LosesItsNoiseWhenPickled(Broken):
    def __getstate__(self):
        return self.__dict__ | {"shift_": 1.0}

    def predict(self, windows):
        return super().predict(windows) + getattr(self, "shift_", 0.0)


class OneColumn(Broken):
    def predict(self, windows):
        return super().predict(windows)[:, :1]


class Unnormalised(Broken):
    def predict(self, windows):
        return super().predict(windows) * 0.9


class SinglePrecision(Broken):
    def predict(self, windows):
        return super().predict(windows).astype(np.float32)


class CrossedQuantiles(Broken):
    def predict(self, windows):
        return super().predict(windows)[:, ::-1]


class LearnsWhilePredicting(Broken):
    def predict(self, windows):
        self.calls_ = getattr(self, "calls_", 0) + 1
        return super().predict(windows) + self.calls_


class CentresTheBatch(Broken):
    def predict(self, windows):
        raw = super().predict(windows)
        return raw - raw.mean(axis=0)


class PeeksAtTheNextRow(Broken):
    def predict(self, windows):
        after = np.minimum(windows.rows + 1, len(windows.table) - 1)
        return super().predict(windows) + windows.table[after, :1]


class LooksBackTooFar(Broken):
    def predict(self, windows):
        return super().predict(windows) + windows.table[: windows.rows[0]].mean()


class KeepsItsTrainingRows(Broken):
    def fit(self, windows, y, *, task, validation=None):
        self.windows_ = windows
        return super().fit(windows, y, task=task, validation=validation)

    def predict(self, windows):
        return super().predict(windows) + self.windows_.last.mean()


class FillsNaN(Broken):
    def fit(self, windows, y, *, task, validation=None):
        windows.table = np.nan_to_num(windows.table)
        return super().fit(windows, np.nan_to_num(y), task=task, validation=validation)


class GuessesOneClass(Broken):
    def fit(self, windows, y, *, task, validation=None):
        y = y.copy()
        y[:1] = 0.0
        return super().fit(windows, y, task=task, validation=validation)


class TakesAnyWindows(Broken):
    def predict(self, windows):
        return np.zeros((len(windows), 1))


class HopesForTheBest(Broken):
    def predict(self, windows):
        return super().predict(windows) * 0.9 + 0.1 / 3  # a class never seen gets a chance


class ExplainsWithNaN(Broken):
    def explain(self, windows):
        return {"importance": pd.DataFrame({"gain": [np.nan]}, ["a"])}


class ExplainsAtRandom(Broken):
    def explain(self, windows):
        return {"importance": pd.DataFrame({"gain": np.random.default_rng().random(3)})}


class LearnsWhileExplaining(Broken):
    def explain(self, windows):
        self.estimators_[0].coef_ = self.estimators_[0].coef_ * 2
        return {"importance": pd.DataFrame({"gain": [1.0]})}


CONTROLS = [
    (WritesItsParameters, NUMBER, laws.model_fit_returns_itself_and_keeps_its_parameters),
    (ScalesInPlace, NUMBER, laws.model_fit_returns_itself_and_keeps_its_parameters),
    (ReturnsNothing, NUMBER, laws.model_fit_returns_itself_and_keeps_its_parameters),
    (ForgetsItsSeed, NUMBER, laws.model_is_the_same_for_the_same_seed),
    (LosesItsNoiseWhenPickled, NUMBER, laws.model_survives_pickling),
    (OneColumn, QUANTILES, laws.model_outputs_what_its_task_asks),
    (Unnormalised, CLASSES, laws.model_outputs_what_its_task_asks),
    (SinglePrecision, NUMBER, laws.model_outputs_what_its_task_asks),
    (CrossedQuantiles, QUANTILES, laws.model_outputs_what_its_task_asks),
    (Naive, CLASSES, laws.model_finds_a_planted_signal),
    (LearnsWhilePredicting, NUMBER, laws.model_predict_is_pure),
    (CentresTheBatch, NUMBER, laws.model_forecasts_each_row_on_its_own),
    (PeeksAtTheNextRow, NUMBER, laws.model_is_causal),
    (LooksBackTooFar, NUMBER, laws.model_sees_its_windows_only),
    (KeepsItsTrainingRows, NUMBER, laws.model_keeps_no_hold_on_its_input),
    (FillsNaN, NUMBER, laws.model_refuses_what_is_not_finite),
    (GuessesOneClass, CLASSES, laws.model_refuses_one_class),
    (TakesAnyWindows, NUMBER, laws.model_refuses_foreign_windows),
    (HopesForTheBest, CLASSES, laws.model_gives_a_missing_class_no_chance),
    (ExplainsWithNaN, NUMBER, laws.model_explains_itself_in_tables),
    (ExplainsAtRandom, NUMBER, laws.model_explains_itself_in_tables),
    (LearnsWhileExplaining, NUMBER, laws.model_explains_itself_in_tables),
]


def test_an_honest_model_passes():
    check_model(Linear())


def test_an_exception_is_honoured_when_it_is_named():
    check_model(Naive())


@pytest.mark.parametrize(("kind", "task", "check"), CONTROLS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_broken_model_is_caught(kind, task, check):
    with pytest.raises(BrokenLawError):
        check(Case(kind(), task))


def test_a_model_that_does_not_clone_is_caught():
    with pytest.raises(BrokenLawError, match="modifies parameter shrinkage"):
        Case(RoundsItsArguments(), NUMBER)


def test_a_model_without_defaults_is_caught():
    with pytest.raises(BrokenLawError, match="`hidden` has no default"):
        laws.model_keeps_sklearns_grammar(Case(NeedsAnArgument(3), NUMBER))


def test_a_refusal_of_another_kind_is_no_refusal():
    class Asserts(Broken):
        def fit(self, windows, y, *, task, validation=None):
            assert np.isfinite(y).all()
            return super().fit(windows, y, task=task, validation=validation)

    with pytest.raises(BrokenLawError, match="AssertionError, not BarwiseError"):
        laws.model_refuses_what_is_not_finite(Case(Asserts(), NUMBER))


def test_a_large_model_is_cut_down_for_the_checks():
    assert Case(Linear(lookback=60), NUMBER).model.lookback == laws.LOOKBACK
    assert Case(Linear(lookback=3), NUMBER).model.lookback == 3
    cut = Case(LSTM(width=128, layers=2), NUMBER).model
    assert (cut.width, cut.layers, cut.lookback) == (32, 2, laws.LOOKBACK)


class Slow(Broken):
    """A model with all it can ask for; `seen` holds what it was told at each fit."""

    own_features = ("log_return", "time_of_day")
    clocks = ("5x", "1h")
    seen: list = []  # noqa: RUF012 - clones share it

    def fit(self, windows, y, *, task, validation=None):
        self.seen.append((self.feature_names_in_, self.bar_interval_, windows.shape[2]))
        return super().fit(windows, y, task=task, validation=validation)


def test_a_model_gets_the_columns_it_asks_for_under_their_names():
    case = Case(Slow(), NUMBER)
    plain = ["log_return", "feature1", "feature2", "feature3"]
    slow = [f"{clock}:{name}" for clock in ("5x", "1h") for name in plain]
    assert list(case.columns) == [*plain, "time_of_day_sine", "time_of_day_cosine", *slow]
    for check in laws.MODEL_CHECKS:
        check(case)
    assert set(Slow.seen) == {(case.columns, laws.INTERVAL, 14)}
    np.testing.assert_array_equal(case.table[:, :4], Case(Linear(), NUMBER).table)


@pytest.mark.parametrize(("first", "ratio"), [(6, 5), (10, 4)])
def test_slow_columns_stand_still_until_a_longer_bar_is_whole(first, ratio):
    table = Case(Slow(), NUMBER).table
    changes = np.flatnonzero((np.diff(table[:, first : first + 4], axis=0) != 0).any(axis=1)) + 1
    assert changes.tolist() == list(range(ratio - 1, laws.N, ratio))
    row = 7 * ratio - 1  # the last bar of the seventh
    np.testing.assert_allclose(
        table[row, first : first + 4], table[row + 1 - ratio : row + 1, :4].mean(axis=0) * ratio**0.5, rtol=1e-4
    )


class SwapsTheHorizons(Broken):
    def predict(self, windows):
        raw = super().predict(windows)
        return np.roll(raw, raw.shape[1] // self.task_.n_horizons, axis=1)


class KnowsTheLeadOnly(Broken):
    def predict(self, windows):
        raw = super().predict(windows)
        return np.tile(raw[:, : self.task_.lead.n_outputs], self.task_.n_horizons)


class CrossesTheSecondHorizon(Broken):
    def predict(self, windows):
        raw = super().predict(windows)
        return np.hstack([raw[:, :3], raw[:, :2:-1]])


class TakesLabelsOfAnyShape(Broken):
    def fit(self, windows, y, *, task, validation=None):
        return super().fit(windows, y if task.n_horizons > 1 else np.asarray(y).reshape(len(y), -1)[:, 0], task=task)


@pytest.mark.parametrize(
    ("kind", "task", "check"),
    [
        (SwapsTheHorizons, "classes_twice", laws.model_finds_a_planted_signal),
        (SwapsTheHorizons, "returns_twice", laws.model_finds_a_planted_signal),
        (KnowsTheLeadOnly, "returns_twice", laws.model_finds_a_planted_signal),
        (CrossesTheSecondHorizon, "quantiles_twice", laws.model_outputs_what_its_task_asks),
        (OneColumn, "two_classes", laws.model_outputs_what_its_task_asks),
        (TakesLabelsOfAnyShape, "five_classes", laws.model_refuses_labels_of_other_horizons),
    ],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_a_model_that_does_not_speak_a_task_is_caught(kind, task, check):
    check(Case(Linear(), laws.MORE_TASKS[task]))
    with pytest.raises(BrokenLawError):
        check(Case(kind(), laws.MORE_TASKS[task]))
