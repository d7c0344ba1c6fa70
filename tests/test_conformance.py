"""Every plugin against every law of its kind. Nothing is listed here: a plugin is tested because it has a name."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from sklearn.base import clone

import strategies.sizers  # noqa: F401  (enters the sizers)
from mlcore import checks
from mlcore.checks.models import Case, shrink
from mlcore.features import table_for
from mlcore.folds import WalkForward
from mlcore.labels import direction
from mlcore.models import MODELS
from mlcore.plugins import CONFIDENCES, FEATURES, LABELS, SIZERS

TASKS = {task.kind: task for task in checks.TASKS}
LABELS_TWICE = {name: functools.partial(LABELS[name], horizon=(2, 7)) for name in ("return", "direction", "five_class")}
FOLDS = WalkForward(train=250, test=60)
SMALL_TABLE = ("close_pct_change", "rsi", ("volatility", {"window": 10}), "time_of_day")


@functools.cache
def case_of(name: str, kind: str) -> Case:
    """One fitted model a task, shared by the checks: they look, they do not touch."""
    return Case(MODELS[name](), (TASKS | checks.MORE_TASKS)[kind])


def chain_model(name: str) -> Any:
    """The model, shrunk as for the other checks, and trained shortly: it is to be blind, not good."""
    model = shrink(clone(MODELS[name]()))
    return model.set_params(epochs=2) if "epochs" in model.get_params() else model


def excepted(plugin: Any, check: Any) -> bool:
    return check.__name__ in getattr(plugin, "law_exceptions", {})


def check_name(check: Any) -> str:
    return check.__name__


@pytest.mark.parametrize("check", checks.FEATURE_CHECKS, ids=check_name)
@pytest.mark.parametrize("name", sorted(FEATURES))
def test_feature(name, check):
    check(FEATURES[name], checks.sample_bars())


@pytest.mark.parametrize("check", checks.LABEL_CHECKS, ids=check_name)
@pytest.mark.parametrize("name", sorted(LABELS))
def test_label(name, check):
    check(LABELS[name], checks.sample_bars())


@pytest.mark.parametrize("check", checks.MODEL_CHECKS, ids=check_name)
@pytest.mark.parametrize("kind", sorted(TASKS))
@pytest.mark.parametrize("name", sorted(MODELS))
def test_model(name, kind, check):
    if excepted(MODELS[name], check):
        pytest.skip(MODELS[name].law_exceptions[check.__name__])
    check(case_of(name, kind))


@pytest.mark.parametrize("check", checks.LABEL_CHECKS, ids=check_name)
@pytest.mark.parametrize("name", sorted(LABELS_TWICE))
def test_label_of_two_horizons(name, check):
    check(LABELS_TWICE[name], checks.sample_bars())


@pytest.mark.parametrize("check", checks.SPOKEN_CHECKS, ids=check_name)
@pytest.mark.parametrize("kind", sorted(checks.MORE_TASKS))
@pytest.mark.parametrize("name", sorted(MODELS))
def test_model_speaks(name, kind, check):
    if excepted(MODELS[name], check):
        pytest.skip(MODELS[name].law_exceptions[check.__name__])
    check(case_of(name, kind))


@pytest.mark.parametrize("check", checks.SIZER_CHECKS, ids=check_name)
@pytest.mark.parametrize("name", sorted(SIZERS))
def test_sizer(name, check):
    check(SIZERS[name])


@pytest.mark.parametrize("check", checks.CONFIDENCE_CHECKS, ids=check_name)
@pytest.mark.parametrize("name", sorted(CONFIDENCES))
def test_confidence(name, check):
    check(CONFIDENCES[name])


@pytest.mark.parametrize("name", sorted(MODELS))
def test_model_in_the_chain(name):
    model = chain_model(name)
    checks.forecasts_are_blind_to_later_bars(
        model,
        checks.sample_bars(420, interval="15min"),
        features=lambda bars: table_for(model, bars, SMALL_TABLE),
        label=functools.partial(direction, horizon=2, threshold=0.005),
        folds=FOLDS,
        cuts=(5, 300, 330, 419),
    )


def test_every_table_has_the_plugins_that_the_kit_names():
    assert {"naive", "linear", "lightgbm", "lstm", "tcn"} <= set(MODELS)
    assert {"gru", "bilstm", "attention_lstm", "cnn_lstm", "tcn_attention", "transformer"} <= set(MODELS)
    assert {"multiscale_lstm_cnn", "dual_stream", "garch_lstm", "hybrid"} <= set(MODELS)
    assert {"tft", "informer", "autoformer"} <= set(MODELS)
    assert {"direction", "five_class", "return"} <= set(LABELS)
    assert {"top_two_gap", "entropy", "quantile_width", "monte_carlo_dropout", "ensemble_agreement"} <= set(CONFIDENCES)
    assert {"fixed", "confidence", "volatility_target", "study_rule"} <= set(SIZERS)
    assert len(FEATURES) >= 20
