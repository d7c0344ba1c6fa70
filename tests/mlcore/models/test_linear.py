import numpy as np
import pytest

from mlcore.models.linear import Linear
from mlcore.tasks import Task
from mlcore.windows import Windows

CLASSES = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
NUMBER = Task("regression", ("expected_return",))
QUANTILES = Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9))


def market(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((n, 4)).astype(np.float32)
    return table, 0.8 * table[:, 1] - 0.4 * table[:, 2] + rng.standard_normal(n)


def fitted(task, y, table, **options):
    model = Linear(**options)
    return model.fit(Windows(table, np.arange(model.lookback - 1, len(table)), model.lookback), y, task=task)


def test_returns_are_ridge_regression_shrunk_per_row():
    table, y = market()
    model = fitted(NUMBER, y, table, shrinkage=0.01)
    x = np.c_[table.astype(float) - table.mean(axis=0, dtype=float)]
    expected = np.linalg.solve(x.T @ x + 0.01 * len(y) * np.eye(4), x.T @ (y - y.mean()))
    np.testing.assert_allclose(model.estimators_[0].coef_, expected, rtol=1e-9)


def test_the_shrinkage_means_the_same_on_few_rows_and_on_many():
    table, z = market(2000)
    y = np.digitize(z, [-0.5, 0.5]).astype(float)
    once = fitted(CLASSES, y, table).estimators_[0].coef_
    thrice = fitted(CLASSES, np.tile(y, 3), np.tile(table, (3, 1))).estimators_[0].coef_
    np.testing.assert_allclose(once, thrice, atol=1e-3)


def test_a_class_missing_from_the_training_rows_gets_probability_zero():
    table, z = market()
    model = fitted(CLASSES, np.where(z > 0, 2.0, 0.0), table)
    p = model.predict(Windows(table, np.arange(9)))
    assert (p[:, 1] == 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert np.corrcoef(model.predict(Windows(table, np.arange(len(table))))[:, 2], z)[0, 1] > 0.6


@pytest.mark.parametrize("unit", [1.0, 1e-4])
def test_quantiles_cover_what_they_say_in_any_unit_and_do_not_cross(unit):
    table, y = market(1500)
    model = fitted(QUANTILES, y * unit, table, quantile_rows=1000)
    q = model.predict(Windows(table, np.arange(len(table))))
    np.testing.assert_allclose((y[:, None] * unit <= q).mean(axis=0), [0.1, 0.5, 0.9], atol=0.04)
    assert (np.diff(q, axis=1) >= 0).all()


def test_a_lookback_lays_the_bars_side_by_side():
    table, _ = market()
    y = table[:-1, 3].astype(float)  # the row before the newest one says it all
    model = fitted(NUMBER, y, table, lookback=2, shrinkage=1e-9)
    np.testing.assert_allclose(model.estimators_[0].coef_, [0, 0, 0, 1, 0, 0, 0, 0], atol=1e-6)


def test_a_long_block_is_predicted_in_parts_to_the_same_numbers(monkeypatch):
    table, y = market()
    model = fitted(NUMBER, y, table)
    rows = Windows(table, np.arange(1000))
    whole = model.predict(rows)
    monkeypatch.setattr("mlcore.models.inputs.PART", 1200)
    np.testing.assert_allclose(model.predict(rows), whole, rtol=1e-12)
    assert model.predict(rows.take(slice(0, 0))).shape == (0, 1)


@pytest.mark.parametrize("task", [CLASSES, NUMBER, QUANTILES], ids=lambda task: task.kind)
def test_coefficients_tell_how_far_an_output_moves_with_a_feature(task):
    """One more of a feature in a window moves the raw output by what its row says."""
    table, z = market(900)
    y = np.digitize(z, [-0.5, 0.5]).astype(float) if task is CLASSES else z
    model = fitted(task, y[1:], table, lookback=2)
    told = model.explain(Windows(table, np.arange(1, 9), 2))["coefficients"]
    assert list(told) == list(task.outputs)
    moved = table.copy()
    moved[499, 1] += 0.001  # one bar back of row 500
    before, after = (model.predict(Windows(rows, np.array([500]), 2))[0] for rows in (table, moved))
    step = told.loc["feature 1, 1 back"] * 0.001
    if task is CLASSES:  # log-odds: up to what all classes share
        before, after, step = np.log(before), np.log(after), step - step.iloc[0]
        before, after = before - before[0], after - after[0]
    np.testing.assert_allclose(after - before, step, rtol=2e-3, atol=1e-9)


def test_two_classes_have_one_column():
    table, z = market(500)
    two = Task("classes", ("p_down", "p_up"), scores=(-1.0, 1.0))
    told = fitted(two, (z > 0).astype(float), table).explain(Windows(table, np.arange(3)))["coefficients"]
    assert list(told) == ["p_up"]
    assert told["p_up"].idxmax() == "feature 1" and told["p_up"].idxmin() == "feature 2"
