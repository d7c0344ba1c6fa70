from importlib.util import find_spec

import lightgbm
import numpy as np
import pytest

from mlcore.errors import BarwiseError
from mlcore.models.lightgbm import LightGBM
from mlcore.models.linear import Linear
from mlcore.models.xgboost import XGBoost
from mlcore.tasks import Task
from mlcore.windows import Windows

CLASSES = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
NUMBER = Task("regression", ("expected_return",))
QUANTILES = Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9))
N, K = 3000, 2400  # rows; of them training rows


def market(seed=0):
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((N, 4)).astype(np.float32)
    return table, np.where(table[:, 0] * table[:, 1] > 0, 1.0, -1.0) + rng.standard_normal(N)  # no linear model sees it


def fitted(task, y, table, **options):
    train, held_out = Windows(table, np.arange(K)), Windows(table, np.arange(K, N))
    return LightGBM(lookback=1, **options).fit(train, y[:K], task=task, validation=(held_out, y[K:]))


@pytest.mark.parametrize("unit", [1.0, 1e-4])
def test_an_interaction_is_found_in_any_unit(unit):
    table, y = market()
    model = fitted(NUMBER, y * unit, table)
    prediction = model.predict(Windows(table, np.arange(K, N)))[:, 0]
    assert np.corrcoef(prediction, y[K:])[0, 1] > 0.6
    assert 0.5 < prediction.std() / (np.std(np.sign(table[:, 0] * table[:, 1])) * unit) < 1.1


def test_boosting_stops_early_and_keeps_the_best_round():
    table, y = market()
    noise = np.random.default_rng(1).permutation(y)
    (rounds,) = fitted(NUMBER, noise, table, n_estimators=200).best_epoch_
    assert 1 <= rounds < 40
    model = fitted(NUMBER, y, table, n_estimators=200)
    (booster,) = model.boosters_
    assert model.best_epoch_ == (booster.current_iteration(),)
    assert booster.num_trees() == booster.current_iteration() < 200
    losses = [
        np.mean((booster.predict(table[K:], num_iteration=i) * model.unit_ + model.center_ - y[K:]) ** 2)
        for i in range(1, booster.current_iteration() + 1)
    ]
    assert int(np.argmin(losses)) == len(losses) - 1


def test_without_validation_all_rounds_are_made():
    table, y = market()
    model = LightGBM(lookback=1, n_estimators=7).fit(Windows(table, np.arange(K)), y[:K], task=NUMBER)
    assert model.best_epoch_ == (7,)


def test_a_class_missing_from_the_training_rows_gets_probability_zero_even_if_validation_has_it():
    table, z = market()
    y = np.where(z > 0, 2.0, 0.0)
    y[K::3] = 1.0
    p = fitted(CLASSES, y, table).predict(Windows(table, np.arange(K, N)))
    assert (p[:, 1] == 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert np.corrcoef(p[:, 2], z[K:])[0, 1] > 0.5


def test_a_validation_of_foreign_classes_only_is_no_validation():
    table, z = market()
    y = np.where(z > 0, 2.0, 0.0)
    y[K:] = 1.0
    assert fitted(CLASSES, y, table, n_estimators=5).best_epoch_ == (5,)


def test_quantiles_cover_what_they_say_and_do_not_cross():
    table, y = market()
    model = fitted(QUANTILES, y * 1e-3, table)
    q = model.predict(Windows(table, np.arange(K, N)))
    np.testing.assert_allclose((y[K:, None] * 1e-3 <= q).mean(axis=0), [0.1, 0.5, 0.9], atol=0.06)
    assert (np.diff(q, axis=1) >= 0).all()
    assert len(model.best_epoch_) == 3


def test_another_seed_grows_other_trees():
    table, y = market()
    rows = Windows(table, np.arange(K, N))
    one, other = (fitted(NUMBER, y, table, seed=seed, n_estimators=9).predict(rows) for seed in (0, 1))
    assert not np.array_equal(one, other)


without = pytest.mark.skipif(find_spec("xgboost") is None, reason="the extra `xgboost` is not here: NOT tested")
WEIGHED = pytest.mark.parametrize(
    "model", [LightGBM, Linear, pytest.param(XGBoost, marks=without)], ids=["lightgbm", "linear", "xgboost"]
)


def rare_market():
    """Two classes; the rare one's odds are told by one feature."""
    rng = np.random.default_rng(3)
    table = rng.standard_normal((N, 3)).astype(np.float32)
    odds = np.exp(1.5 * table[:, 0] - 4.0)
    true = odds / (1 + odds)
    return table, (rng.random(N) < true).astype(np.float64), true


@WEIGHED
@pytest.mark.parametrize("weights", ["balanced", (1.0, 8.0)])
def test_class_weights_are_learned_by_and_undone_in_the_forecast(model, weights):
    table, y, true = rare_market()
    two = Task("classes", ("p_down", "p_up"), scores=(-1.0, 1.0))
    train, held_out = Windows(table, np.arange(K)), Windows(table, np.arange(K, N))
    made = {
        given: model(lookback=1, class_weights=given).fit(train, y[:K], task=two, validation=(held_out, y[K:]))
        for given in (None, weights)
    }
    assert made[None].weights_ is None
    p = {given: fitted.predict(held_out)[:, 1] for given, fitted in made.items()}
    assert not np.array_equal(p[None], p[weights])  # it did learn otherwise
    assert p[weights].mean() == pytest.approx(true[K:].mean(), abs=0.03)
    bent = p[weights] * made[weights].weights_[1]
    bent = bent / (bent + (1 - p[weights]) * made[weights].weights_[0])
    assert bent.mean() > true[K:].mean() + 0.1  # the negative control: not undone, the rare class is far too likely
    assert np.abs(p[weights] - true[K:]).mean() < 0.05


@WEIGHED
def test_large_moves_count_by_the_factor(model):
    """A return that is +0.01 mostly and -0.1 rarely: its weighted mean is another one."""
    rng = np.random.default_rng(0)
    table, y = rng.standard_normal((N, 1)).astype(np.float32), np.where(rng.random(N) < 0.05, -0.1, 0.01)
    windows = Windows(table, np.arange(N))
    weight = np.where(np.abs(y) > 0.02, 7.0, 1.0)
    options = {"loss": "weighted_squared", "loss_params": {"factor": 7}}
    for given, wanted in (({}, y.mean()), (options, np.average(y, weights=weight))):
        found = model(lookback=1, **given).fit(windows, y, task=NUMBER).predict(windows).mean()
        assert found == pytest.approx(wanted, abs=4e-3)


def test_hubers_loss_gives_way_to_the_median():
    rng = np.random.default_rng(0)
    table, y = rng.standard_normal((N, 1)).astype(np.float32), rng.exponential(0.01, N)
    windows = Windows(table, np.arange(N))
    squared, huber = (
        LightGBM(lookback=1, loss=loss, loss_params=numbers).fit(windows, y, task=NUMBER).predict(windows).mean()
        for loss, numbers in ((None, None), ("huber", {"delta": 0.05}))
    )
    assert np.median(y) < huber < squared - 0.001


@pytest.mark.parametrize(
    ("model", "loss", "task"), [(LightGBM, "focal", CLASSES), (Linear, "huber", NUMBER), (XGBoost, "huber", NUMBER)]
)
def test_a_loss_that_the_model_does_not_know_is_refused(model, loss, task):
    with pytest.raises(BarwiseError, match=f"`loss` is '{loss}', which this model cannot be trained by. There "):
        model(loss=loss).check_task(task)


def test_training_and_validation_rows_weigh_alike(monkeypatch):
    """Also where a class is missing, and LightGBM's codes are not the label's."""
    table, z = market()
    handed = []
    made = lightgbm.Dataset
    monkeypatch.setattr(lightgbm, "Dataset", lambda *args, **kw: handed.append(kw["weight"]) or made(*args, **kw))
    y = np.where(z > 0, 2.0, 0.0)
    model = fitted(CLASSES, y, table, class_weights=(1.0, 9.0, 3.0), n_estimators=3)
    ratio = np.where(y == 2, 3.0, 1.0)
    for weight, wanted in zip(handed, (ratio[:K], ratio[K:]), strict=True):
        np.testing.assert_allclose(weight / weight.min(), wanted)
    assert model.weights_[1] == 1.0  # a class that was never seen has nothing to undo
    handed.clear()
    fitted(NUMBER, 0.01 * z, table, loss="weighted_squared", n_estimators=3)
    beyond = np.where(np.abs(0.01 * z) > 0.02, 5.0, 1.0)
    for weight, wanted in zip(handed, (beyond[:K], beyond[K:]), strict=True):
        np.testing.assert_array_equal(weight, wanted)


def test_where_every_move_is_large_the_weighted_loss_is_the_plain_one_also_in_its_penalty():
    table, y = market()
    windows = Windows(table, np.arange(N))
    options = {"loss": "weighted_squared", "loss_params": {"threshold": 1e-9}}
    one, other = (Linear(**given).fit(windows, y, task=NUMBER).predict(windows) for given in ({}, options))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def warm_scene(task, n=900):
    rng = np.random.default_rng(0)
    table = rng.standard_normal((n, 3)).astype(np.float32)
    move = table[:, 0] + 0.5 * rng.standard_normal(n)
    y = np.digitize(move, [-0.4, 0.4]).astype(float) if task.kind == "classes" else 0.01 * move

    def rows(start, stop):
        return Windows(table, np.arange(start, stop), 11), y[start:stop]

    return rows


WARM_TASKS = (
    Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0)),
    Task("regression", ("expected_return",)),
    Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9)),
)


@pytest.mark.parametrize("task", WARM_TASKS, ids=lambda task: task.kind)
def test_a_warm_start_goes_on_from_the_trees_of_the_other(task):
    rows = warm_scene(task)
    first = LightGBM(n_estimators=200, patience=10).fit(*rows(20, 500), task=task, validation=rows(510, 600))
    trees = [booster.model_to_string().split("end of trees")[0] for booster in first.boosters_]
    again = LightGBM(n_estimators=200, patience=10, seed=2).warm_start_from(first)
    again.fit(*rows(60, 540), task=task, validation=rows(550, 640))
    for old, before, booster in zip(first.boosters_, trees, again.boosters_, strict=True):
        assert booster.current_iteration() > old.current_iteration()
        part = (
            booster.model_to_string(num_iteration=old.current_iteration()).split("Tree=0")[1].split("end of trees")[0]
        )
        assert (
            part.split("\n\nTree=")[0] == before.split("Tree=0")[1].split("\n\nTree=")[0]
        )  # the first tree is its first
        assert old.model_to_string().split("end of trees")[0] == before  # the other is left as it was
    assert again.best_epoch_ == tuple(booster.current_iteration() for booster in again.boosters_)
    assert again.history_[0]["epoch"] > 1


def test_a_chain_of_warm_starts_that_is_full_or_of_other_classes_starts_from_nothing():
    rows = warm_scene(WARM_TASKS[0])
    first = LightGBM(n_estimators=30, patience=10).fit(*rows(20, 500), task=WARM_TASKS[0], validation=rows(510, 600))
    cold = LightGBM(n_estimators=first.best_epoch_[0] + 9, patience=10)
    full = LightGBM(n_estimators=first.best_epoch_[0] + 9, patience=10).warm_start_from(first)
    for model in (cold, full):
        model.fit(*rows(20, 500), task=WARM_TASKS[0], validation=rows(510, 600))
    np.testing.assert_array_equal(full.predict(rows(610, 700)[0]), cold.predict(rows(610, 700)[0]))
    windows, y = rows(20, 500)
    two = (
        LightGBM(n_estimators=60, patience=10)
        .warm_start_from(first)
        .fit(windows, np.where(y == 1, 2.0, y), task=WARM_TASKS[0])
    )
    assert two.predict(windows)[:, 1].max() == 0
    with pytest.raises(BarwiseError, match="starts from a LightGBM fitted for one horizon"):
        LightGBM().warm_start_from(LightGBM())


@pytest.mark.parametrize("task", WARM_TASKS, ids=lambda task: task.kind)
def test_an_update_adds_trees_of_the_newer_rows(task):
    rows = warm_scene(task)
    model = LightGBM(n_estimators=20).fit(*rows(20, 500), task=task, validation=rows(510, 600))
    (windows, y), (ahead, _) = rows(610, 700), rows(720, 900)
    before, rounds = model.predict(ahead), [booster.current_iteration() for booster in model.boosters_]
    y = 2.0 - y if task.kind == "classes" else -y  # what went up goes down now
    model.update(windows, y)
    assert np.corrcoef((model.predict(ahead) - before)[:, -1], ahead.last[:, 0])[0, 1] < -0.3
    assert [booster.current_iteration() for booster in model.boosters_] == [n + 2 for n in rounds]
    some = model.predict(ahead)
    model.update(windows.take(np.arange(4)), y[:4])  # too few for a leaf each
    np.testing.assert_array_equal(model.predict(ahead), some)


def test_the_validation_loss_of_every_round_is_kept():
    rows = warm_scene(WARM_TASKS[2])
    model = LightGBM(n_estimators=60, patience=10).fit(*rows(20, 500), task=WARM_TASKS[2], validation=rows(510, 600))
    losses = [entry["validation"] for entry in model.history_]
    assert [entry["epoch"] for entry in model.history_] == list(range(1, len(losses) + 1))
    assert losses[0] > min(losses)
    assert LightGBM(n_estimators=5).fit(*rows(20, 500), task=WARM_TASKS[2]).history_ == []
