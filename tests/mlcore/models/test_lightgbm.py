import numpy as np
import pytest

from mlcore.models.lightgbm import LightGBM
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


@pytest.mark.parametrize("task", [CLASSES, NUMBER, QUANTILES], ids=lambda task: task.kind)
def test_importance_is_the_share_of_the_gain_and_finds_the_feature_that_matters(task):
    rng = np.random.default_rng(0)
    table = rng.standard_normal((1500, 3)).astype(np.float32)
    z = table[:, 2] + 0.3 * rng.standard_normal(1500)
    y = np.digitize(z, [-0.5, 0.5]).astype(float) if task is CLASSES else z
    model = LightGBM(lookback=2, n_estimators=20).fit(Windows(table, np.arange(1, 1500), 2), y[1:], task=task)
    told = model.explain(Windows(table, np.arange(1, 5), 2))["importance"]
    assert list(told) == (list(task.outputs) if task is QUANTILES else ["gain"])
    np.testing.assert_allclose(told.sum(), 1.0)
    assert (told.idxmax() == "feature 2").all() and (told.max() > 0.8).all()


def test_no_tree_has_no_importance():
    table = np.ones((100, 2), dtype=np.float32)
    model = LightGBM(n_estimators=3).fit(Windows(table, np.arange(100)), np.arange(100.0), task=NUMBER)
    assert (model.explain(Windows(table, np.arange(3)))["importance"] == 0).all(axis=None)
