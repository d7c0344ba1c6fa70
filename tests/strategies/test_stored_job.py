"""The recipe of a stored label is read, never run."""

from dataclasses import fields

import numpy as np
import pytest

from mlcore.errors import BarwiseError
from mlcore.labels import direction, down_move, five_class, forward_return, up_move
from mlcore.store import StoreError
from strategies.config import StoredConfig, StudyConfig
from strategies.stored_job import label_of
from tests.conftest import random_bars

BARS = random_bars(200)


@pytest.mark.parametrize(
    "label",
    [
        direction(BARS, horizon=3, threshold=0.004),
        direction(BARS, horizon=3, threshold=0.0, entry="close"),
        five_class(BARS, horizon=2, edges=(0.001, 0.003)),
        up_move(BARS, 4, 0.003),
        down_move(BARS, 4, 0.003),
        forward_return(BARS, 7),
        forward_return(BARS, (7, 3), quantiles=(0.1, 0.5, 0.9)),
    ],
    ids=lambda label: label.recipe,
)
def test_a_label_comes_back_from_its_recipe(label):
    made, asked = label_of(label.recipe, BARS)
    np.testing.assert_array_equal(made.values, label.values)
    assert (made.recipe, made.task, made.span) == (label.recipe, label.task, label.span)
    assert {"label", "horizon", "label_entry"} <= set(asked)


def test_no_recipe_is_no_label():
    assert label_of("", BARS) == (None, {})


@pytest.mark.parametrize(
    "recipe",
    [
        "__import__('os').system('true')",
        "direction(horizon=__import__('os').getpid())",
        "direction(5)",
        "direction",
        "direction(horizon=5",
        "direction(moon=3)",
        "classes(horizon=3)",
    ],
)
def test_what_is_no_recipe_is_refused_and_never_run(recipe, monkeypatch):
    import os

    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("it ran"))
    monkeypatch.setattr(os, "getpid", lambda *_: pytest.fail("it ran"))
    with pytest.raises(StoreError, match="which is no recipe of a label"):
        label_of(recipe, BARS)


def test_an_unknown_label_is_refused_with_the_nearest_word():
    with pytest.raises(BarwiseError, match="direction"):
        label_of("directoin(horizon=5)", BARS)


def test_flags_that_both_jobs_have_are_the_same():
    study = {flag.name: flag for flag in fields(StudyConfig)}
    own = (
        "store",
        "bars",
        "out",
        "symbol",
        "latency",
        "start",
    )  # one symbol, the latency of a correction, first forecast
    shared = [flag for flag in fields(StoredConfig) if flag.name in study and flag.name not in own]
    assert len(shared) > 15
    for flag in shared:
        twin = study[flag.name]
        assert (flag.default, flag.metadata, flag.type) == (twin.default, twin.metadata, twin.type), flag.name
