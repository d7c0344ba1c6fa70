"""Several horizons at once: what one alone would have said, the lead in charge, and no longer label leaking."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcore.checks import BrokenLawError, forecasts_are_blind_to_later_bars
from mlcore.errors import BarwiseError
from mlcore.features import feature_table
from mlcore.folds import WalkForward
from mlcore.labels import direction, five_class, forward_return
from mlcore.models.lightgbm import LightGBM
from mlcore.models.linear import Linear
from mlcore.models.lstm import LSTM
from mlcore.models.naive import Naive
from mlcore.store import forecast_from_store
from mlcore.tasks import Task
from mlcore.walkforward import walk_forward
from mlcore.windows import Windows
from tests.conftest import random_bars

BARS = random_bars(500, seed=3)
RECIPES = ["close_pct_change", ("volatility", {"window": 10}), "rsi"]
FEATURES = feature_table(BARS, RECIPES)
FOLDS = WalkForward(train=300, test=90)
NUMBER = Task("regression", ("expected_return",))
CLASSES = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
MODELS = [Linear(), LightGBM(n_estimators=8), LSTM(lookback=4, width=4, epochs=1), Naive("last_return")]


def walked(model, label, **options):
    return walk_forward(BARS, model, label=label, features=FEATURES, folds=FOLDS, seed=11, **options)


@pytest.mark.parametrize("name", ["classes", "returns", "quantiles"])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_one_horizon_in_a_tuple_is_that_horizon_bit_for_bit(model, name):
    make = {
        "classes": lambda horizon: direction(BARS, horizon, 0.005),
        "returns": lambda horizon: forward_return(BARS, horizon),
        "quantiles": lambda horizon: forward_return(BARS, horizon, quantiles=(0.1, 0.5, 0.9)),
    }[name]
    one, other = (walked(model, make(horizon)).forecasts for horizon in (2, (2,)))
    assert one.equals(other)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("task", [NUMBER, CLASSES], ids=["returns", "classes"])
def test_outputs_stand_in_the_order_of_the_task_and_each_horizon_is_its_own(model, task):
    """The second horizon's answer stands in another column than the first one's; swapped, they swap."""
    table = FEATURES.to_numpy()[40:440].astype(np.float32)
    table = (table - table.mean(axis=0)) / table.std(axis=0)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, (400, 2)).astype(float) if task is CLASSES else rng.normal(0, [0.01, 0.05], (400, 2))
    windows = Windows(table, np.arange(10, 300), model.lookback)
    judge, judged = Windows(table, np.arange(300, 400), model.lookback), y[300:]
    names = dict.fromkeys(["feature_names_in_"], ("close_pct_change", "volatility", "rsi"))
    made = []
    for columns in ([0, 1], [1, 0]):
        fresh = type(model)(**model.get_params())
        fresh.__dict__ |= names
        fresh.fit(windows, y[10:300, columns], task=task.over((5, 15)), validation=(judge, judged[:, columns]))
        made.append(fresh.predict(windows))
    k = task.n_outputs
    assert made[0].shape == (290, 2 * k)
    if not isinstance(model, LSTM):  # a network shares its body between the horizons
        np.testing.assert_array_equal(made[0], np.roll(made[1], k, axis=1))
        fresh = type(model)(**model.get_params())
        fresh.__dict__ |= names
        alone = [
            fresh.fit(windows, y[10:300, i], task=task, validation=(judge, judged[:, i])).predict(windows)
            for i in (0, 1)
        ]
        np.testing.assert_array_equal(made[0], np.hstack(alone))
    if task is NUMBER:
        assert made[0][:, 1].std() > made[0][:, 0].std() or isinstance(model, LSTM)


@pytest.mark.parametrize("horizons", [(2, 9), (9, 2)])
def test_the_lead_makes_signal_and_confidence(horizons):
    label = forward_return(BARS, horizons)
    forecasts = walked(Linear(), label).forecasts
    assert list(forecasts)[:5] == [
        "signal", "confidence", "expected_return", f"expected_return_h{horizons[1]}", "disagreement",
    ]  # fmt: skip
    lead, later = forecasts["expected_return"], forecasts[f"expected_return_h{horizons[1]}"]
    scale = (lead / np.arctanh(forecasts["signal"])).groupby(forecasts["fold"])
    assert (scale.std() < 1e-9).all()
    assert not ((later / np.arctanh(forecasts["signal"])).groupby(forecasts["fold"]).std() < 1e-9).any()
    # On the same rows (the longest horizon's), the lead alone says the same.
    alone = replace(label, values=label.values[:, 0], task=label.task.lead, horizon_returns=None)
    for name in ("signal", "confidence", "expected_return"):
        assert forecasts[name].equals(walked(Linear(), alone).forecasts[name])


def test_classes_of_several_horizons_speak_by_the_lead():
    forecasts = walked(LightGBM(n_estimators=8), five_class(BARS, (2, 9), (0.002, 0.01))).forecasts
    p = forecasts[["p_strong_down", "p_down", "p_flat", "p_up", "p_strong_up"]]
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    np.testing.assert_allclose(forecasts["signal"], p @ [-1, -0.5, 0, 0.5, 1], atol=1e-12)
    np.testing.assert_allclose(forecasts.filter(like="_h9").sum(axis=1), 1.0)


@settings(max_examples=6, deadline=None)
@given(horizons=st.lists(st.integers(1, 15), min_size=2, max_size=3, unique=True).map(tuple))
def test_the_purge_is_that_of_the_longest_horizon(horizons):
    """Training rows are those whose longest label had ended; later bars, when changed, change no forecast."""
    label = forward_return(BARS, horizons)
    run = walked(Linear(), label)
    longest = walked(Linear(), forward_return(BARS, max(horizons)))
    assert [fold["trained_through"] for fold in run.folds] == [fold["trained_through"] for fold in longest.folds]
    assert [fold["train_start"] for fold in run.folds] == [fold["train_start"] for fold in longest.folds]
    start = BARS.index.get_loc(run.folds[0]["test_start"])
    blind(lambda bars: forward_return(bars, horizons), (start + 1, start + 30))


def blind(label, cuts):
    forecasts_are_blind_to_later_bars(
        Linear(), BARS, features=lambda bars: feature_table(bars, RECIPES), label=label, folds=FOLDS, cuts=cuts
    )


def test_a_purge_of_the_lead_alone_would_leak_and_is_caught():
    """The negative control: with the lead's ends, the longer horizon's labels reach into the test block."""

    def leaky(bars):
        label, lead = forward_return(bars, (2, 90)), forward_return(bars, 2)
        values = np.where(np.isnan(label.values) & np.isfinite(lead.values)[:, None], 0.0, label.values)
        return replace(label, values=values, ends=lead.ends, span=lead.span)

    start = BARS.index.get_loc(walked(Linear(), leaky(BARS)).folds[0]["test_start"])
    with pytest.raises(BrokenLawError, match="change forecasts before them"):
        blind(leaky, (start + 1,))


@pytest.mark.parametrize("model", MODELS[:3], ids=lambda model: type(model).__name__)
def test_a_stored_run_of_several_horizons_forecasts_again_bit_for_bit(model, tmp_path):
    label = direction(BARS, (2, 9), 0.005)
    run = walked(model, label, store=tmp_path / "store")
    again = forecast_from_store(tmp_path / "store", BARS, FEATURES)
    assert run.forecasts.equals(again)
    assert "p_up_h9" in again


def test_rows_of_labels_stay_together_when_they_are_shuffled():
    label = forward_return(BARS, (2, 9))

    class Spy(Linear):
        def fit(self, windows, y, *, task, validation=None):
            if task.n_horizons > 1:
                type(self).seen = y
            return super().fit(windows, y, task=task, validation=validation)

    walked(Spy(), label, shuffle_labels=True)
    pairs = {tuple(row) for row in label.values}
    assert all(tuple(row) in pairs for row in Spy.seen)
    order = [np.flatnonzero((label.values == row).all(axis=1))[0] for row in Spy.seen]
    assert (np.diff(order) < 0).any()


def test_each_horizon_needs_two_classes_and_labels_need_every_horizon():
    windows = Windows(FEATURES.to_numpy()[40:140], np.arange(100))
    y = np.column_stack([np.arange(100) % 3, np.ones(100)])
    with pytest.raises(BarwiseError, match="one class only .p_flat_h15"):
        Linear().fit(windows, y, task=CLASSES.over((5, 15)))
    with pytest.raises(BarwiseError, match=r"`y` has shape \(100,\); it must be \(100, 2\)"):
        Linear().fit(windows, y[:, 0], task=CLASSES.over((5, 15)))
    with pytest.raises(BarwiseError, match=r"`y` has shape \(100, 2\); it must be \(100,\)"):
        Linear().fit(windows, y, task=CLASSES)


@pytest.mark.parametrize("model", MODELS[:2], ids=lambda model: type(model).__name__)
def test_the_lead_explains_itself(model):
    run = walked(model, forward_return(BARS, (2, 9)))
    alone = replace(forward_return(BARS, (2, 9)), horizon_returns=None)
    alone = replace(alone, values=alone.values[:, 0], task=alone.task.lead)
    told, one = run.explanation, walked(model, alone).explanation
    assert told
    assert all(table.equals(one[name]) for name, table in told.items())


def test_boosters_of_all_horizons_tell_their_best_round():
    run = walked(LightGBM(n_estimators=8), forward_return(BARS, (2, 9), quantiles=(0.1, 0.5, 0.9)))
    assert len(run.folds[0]["best_epoch"]) == 6
