"""What every library of boosted trees must do alike; `tests/mlcore/models/test_lightgbm.py` has the rest."""

import json

import numpy as np
import pytest

from mlcore.errors import BarwiseError
from mlcore.features import feature_table
from mlcore.folds import WalkForward
from mlcore.labels import direction
from mlcore.models.lightgbm import LightGBM
from mlcore.models.xgboost import XGBoost
from mlcore.store.state import ModelState, StoreError
from mlcore.tasks import Task
from mlcore.walkforward import walk_forward
from mlcore.windows import Windows
from tests.conftest import random_bars

pytest.importorskip("xgboost", reason="the extra `xgboost` is not installed: XGBoost was NOT tested")

CLASSES = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
NUMBER = Task("regression", ("expected_return",))
QUANTILES = Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9))
KINDS = [LightGBM, XGBoost]
N, K, L = 3000, 2400, 11
TABLE = np.random.default_rng(0).standard_normal((N, 4)).astype(np.float32)
NOISE = np.random.default_rng(1).standard_normal(N)
ROWS, LATER = np.arange(L - 1, K), np.arange(K, N)


def fitted(kind, task, y, table=TABLE, **options):
    model = kind(**options)
    model.feature_names_in_ = ("a", "b", "c", "d")
    train, held_out = Windows(table, ROWS, model.lookback), Windows(table, LATER, model.lookback)
    return model.fit(train, y[ROWS], task=task, validation=(held_out, y[LATER]))


def before(bars):
    """Feature `a`, so many bars before each row."""
    return np.concatenate([np.zeros(bars), TABLE[: N - bars, 0]]).astype(np.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_two_bars_old_is_found_with_lags_and_not_without(kind):
    y = np.sign(before(2)) + 0.5 * NOISE
    found = [
        np.corrcoef(fitted(kind, NUMBER, y, **given).predict(Windows(TABLE, LATER, L))[:, 0], y[LATER])[0, 1]
        for given in ({}, {"lags": (), "rolling": (), "momentum": ()})
    ]
    assert found[0] > 0.7
    assert abs(found[1]) < 0.15


@pytest.mark.parametrize("kind", KINDS)
def test_an_interaction_is_found_in_a_tiny_unit(kind):
    y = 1e-4 * (np.where(TABLE[:, 0] * TABLE[:, 1] > 0, 1.0, -1.0) + NOISE)
    prediction = fitted(kind, NUMBER, y, lookback=1).predict(Windows(TABLE, LATER))[:, 0]
    assert np.corrcoef(prediction, y[LATER])[0, 1] > 0.6
    assert 0.5 < prediction.std() / 1e-4 < 1.1


@pytest.mark.parametrize("kind", KINDS)
def test_boosting_stops_early_and_keeps_the_best_round(kind):
    (rounds,) = fitted(kind, NUMBER, NOISE, lookback=1).best_epoch_
    assert 1 <= rounds < 60
    model = fitted(kind, CLASSES, np.digitize(TABLE[:, 0] + NOISE, [-1, 1]).astype(float), lookback=1)
    p = model.predict(Windows(TABLE, LATER))
    more = fitted(
        kind, CLASSES, np.digitize(TABLE[:, 0] + NOISE, [-1, 1]).astype(float), lookback=1,
        n_estimators=model.best_epoch_[0], patience=10_000,
    )  # fmt: skip
    np.testing.assert_allclose(more.predict(Windows(TABLE, LATER)), p, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_without_validation_all_rounds_are_made(kind):
    model = kind(lookback=1, n_estimators=7).fit(Windows(TABLE, ROWS), NOISE[ROWS], task=NUMBER)
    assert model.best_epoch_ == (7,)


@pytest.mark.parametrize("kind", KINDS)
def test_quantiles_cover_what_they_say(kind):
    y = 1e-3 * (TABLE[:, 0] + NOISE)
    q = fitted(kind, QUANTILES, y, lookback=1).predict(Windows(TABLE, LATER))
    np.testing.assert_allclose((y[LATER, None] <= q).mean(axis=0), [0.1, 0.5, 0.9], atol=0.06)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", [CLASSES, NUMBER, QUANTILES], ids=lambda task: task.kind)
def test_explanations_name_what_counts(kind, task):
    move = before(2) + 0.3 * NOISE
    model = fitted(kind, task, np.digitize(move, [-0.5, 0.5]).astype(float) if task is CLASSES else move)
    told = model.explain(Windows(TABLE, LATER[:200], L))
    assert set(told) == {"importance", "shap"}
    for table in told.values():
        assert table.iloc[:, 0].idxmax() == "a_lag2"
        assert len(table) == 4 * (1 + 2 + 2 + 1)
    assert told["importance"]["share of gain"].sum() == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", [CLASSES, NUMBER], ids=lambda task: task.kind)
def test_shap_values_sum_to_the_raw_output_and_are_those_of_the_shap_library(kind, task):
    shap = pytest.importorskip("shap", reason="the extra `explain` is not installed: SHAP values were NOT compared")
    move = TABLE[:, 0] * TABLE[:, 1] + 0.3 * NOISE
    y = np.digitize(move, [-0.5, 0.5]).astype(float) if task is CLASSES else move
    model = fitted(kind, task, y, lookback=1, n_estimators=20)
    (booster,), x = model.boosters_, TABLE[LATER[:50]]
    ours = model._contributions(booster, x)
    if task is NUMBER:
        np.testing.assert_allclose(ours.sum(axis=2)[:, 0], model._raw(booster, x), atol=1e-4)
    theirs = np.asarray(shap.TreeExplainer(booster).shap_values(x)).reshape(50, 4, -1)
    np.testing.assert_allclose(ours[:, :, :-1].transpose(0, 2, 1), theirs, atol=1e-4)


def test_a_booster_of_xgboost_that_is_cut_or_foreign_is_refused():
    model = fitted(XGBoost, NUMBER, TABLE[:, 0] + NOISE, lookback=1, n_estimators=3)
    state = model.get_state()
    text = state.texts["booster-0"]
    foreign = [text[: len(text) // 2], "", "{}", "[1]", json.dumps({"learner": {}, "version": [3, 2, 0]})]
    for wrong in foreign:
        with pytest.raises(StoreError, match="no XGBoost model"):
            XGBoost(lookback=1).set_state(ModelState(texts={"booster-0": wrong}, values=state.values))


def test_without_xgboost_the_way_to_get_it_is_said(monkeypatch):
    import sys

    from mlcore.errors import BarwiseError

    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(BarwiseError, match=r"pip install barwise\[xgboost\]"):
        fitted(XGBoost, NUMBER, NOISE)


@pytest.mark.parametrize("task", [CLASSES, NUMBER, QUANTILES], ids=lambda task: task.kind)
@pytest.mark.parametrize("kind", KINDS)
def test_an_update_adds_trees_of_the_newer_rows(kind, task):
    move = TABLE[:, 0] + 0.5 * NOISE
    y = np.digitize(move, [-0.4, 0.4]).astype(float) if task.kind == "classes" else 0.01 * move
    model = fitted(kind, task, y, n_estimators=20)
    newer, ahead = Windows(TABLE, np.arange(K, K + 300), L), Windows(TABLE, np.arange(K + 300, N), L)
    said, kept = model.predict(ahead), list(model.boosters_)
    turned = (2.0 - y if task.kind == "classes" else -y)[newer.rows]  # what went up goes down now
    assert model.update(newer, turned) is model
    assert np.corrcoef((model.predict(ahead) - said)[:, -1], TABLE[ahead.rows, 0])[0, 1] < -0.3
    assert all(one is not other for one, other in zip(model.boosters_, kept, strict=True))  # the fit's are left alone
    now = model.predict(ahead)
    model.update(newer.take(np.arange(4)), turned[:4])  # too few for a leaf each
    np.testing.assert_array_equal(model.predict(ahead), now)
    with pytest.raises(BarwiseError, match="must be finite labels of the 300 windows"):
        model.update(newer, turned[:5])


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (LightGBM(num_leaves=-5), r"`num_leaves` is -5; it must be in \[2, 131072\]"),
        (LightGBM(feature_fraction=0), r"`feature_fraction` is 0; it must be in \(0, 1\]"),
        (LightGBM(l2=-1.0), "`l2` is -1.0"),
        (LightGBM(n_estimators=0), "`n_estimators` is 0"),
        (XGBoost(learning_rate=0.0), "`learning_rate` is 0.0"),
        (XGBoost(max_leaves=-1), "`max_leaves` is -1"),
        (XGBoost(subsample=1.5), "`subsample` is 1.5"),
    ],
)
def test_parameters_that_would_fail_in_every_fold_are_refused_before_the_first(model, told):
    bars = random_bars()
    with pytest.raises(BarwiseError, match=f"^{told}"):  # what a fold says stands behind how many folds failed
        walk_forward(
            bars, model, label=direction(bars), features=feature_table(bars, ["rsi"]), folds=WalkForward(200, 50)
        )
