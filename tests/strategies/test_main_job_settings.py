"""Settings that make the label, the model and the trading: what each knows, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlcore.errors import BarwiseError
from mlcore.labels import five_class, forward_return
from strategies import main_job
from strategies.config import StoredConfig, StudyConfig
from strategies.main_job import threshold_notes
from tests.strategies.test_main_job import BARS, only


def test_only_parameters_that_a_label_or_a_model_knows_are_passed(monkeypatch):
    config = StudyConfig(bars="b", out="o", label="return", horizon=4, label_entry="close", seed=3)
    label = main_job.make_label(BARS, config)
    np.testing.assert_array_equal(label.values, forward_return(BARS, 4, entry="close").values)
    only(monkeypatch, {"plain": lambda: "made", "seeded": lambda lookback=9, seed=0: (lookback, seed)})
    assert main_job.make_model("plain", config) == "made"
    assert main_job.make_model("seeded", config) == (9, 3)  # without a `lookback` the model keeps its own


@pytest.mark.parametrize(
    ("model", "settings", "said"),
    [
        ("linear", {"members": "lstm,tcn"}, "'linear' is one model; ensembles are .*average.*meta"),
        ("stack", {"members": "a", "set": {"members": "b"}}, "`set` holds `members`"),
        ("stack", {"members": " , "}, "name at least one model"),
        ("stack", {"lookback": 30}, "`lookback` is each member's own"),
        ("stack", {"members": "lstm,tcn", "lookback": 30}, "`lookback` is each member's own"),
    ],
)
def test_members_are_for_ensembles(model, settings, said):
    with pytest.raises(BarwiseError, match=said):
        main_job.make_model(model, StudyConfig(bars="b", out="o", model=model, **settings))


def test_an_ensemble_is_made_of_the_members_named():
    config = StudyConfig(bars="b", out="o", model="stack", members="linear, tcn:light", set={"shrinkage": 2.0}, seed=4)
    made = main_job.make_model("stack", config)
    assert (made.members, made.shrinkage, made.seed) == (("linear", "tcn:light"), 2.0, 4)
    assert [type(member).__name__ for member in made.member_models()] == ["Linear", "TCN"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"label": "return", "threshold": 0.5}, "`threshold` is 0.5, and the label 'return' has none: leave it out."),
        ({"label": "five_class", "threshold": 0.0}, "`threshold` is 0.0, and the label 'five_class'"),
        ({"quantiles": (0.1, 0.9)}, r"`quantiles` is \(0.1, 0.9\), and the label 'direction'"),
        ({"edges": (0.1, 0.9)}, "`edges` is"),
        ({"label": "plain", "label_entry": "close"}, "`label_entry` is 'close', and the label 'plain'"),
        ({"label": "plain", "horizon": 7}, "`horizon` is 7, and the label 'plain'"),
        ({"label": "direktion"}, "`label` is 'direktion', which is not known. Did you mean 'direction'"),
    ],
)
def test_a_setting_that_the_label_does_not_know_is_refused(monkeypatch, settings, said):
    monkeypatch.setitem(main_job.LABELS._entries, "plain", lambda bars: forward_return(bars, 2))
    with pytest.raises(BarwiseError, match=said):
        main_job.make_label(BARS, StudyConfig(bars="b", out="o", **settings))
    left_alone = StudyConfig(bars="b", out="o", label="plain")
    assert main_job.make_label(BARS, left_alone).span == 3


def test_labels_of_every_kind_can_be_asked_for():
    def label(**settings: Any) -> Any:
        return main_job.make_label(BARS, StudyConfig(bars="b", out="o", **settings))

    assert label(threshold=0.0).task.outputs == ("p_down", "p_up")
    assert label(label="five_class", edges=(0.01, 0.02)).recipe == five_class(BARS, 5, (0.01, 0.02)).recipe
    quantiles = label(label="return", quantiles=(0.25, 0.5, 0.75), horizon=(3, 9)).task
    assert quantiles.outputs == ("q25", "q50", "q75", "q25_h9", "q50_h9", "q75_h9")
    assert label(horizon=(4, 2)).span == 5


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lookback": 30}, "`lookback` is 30, and the model 'plain' has none: leave it out."),
        ({"loss": "focal"}, "`loss` is 'focal', and the model 'plain' has none"),
        ({"class_weights": "balanced"}, "`class_weights` is 'balanced', and"),
        ({"set": {"loss": "focal"}}, "`set` holds `loss`, which has a flag of its own: say `--loss focal`"),
        ({"set": {"class_weights": "balanced"}}, "say `--class-weights balanced`"),
    ],
)
def test_a_flag_that_the_model_does_not_know_is_refused(monkeypatch, settings, said):
    only(monkeypatch, {"plain": lambda seed=0: seed})
    with pytest.raises(BarwiseError, match=said):
        main_job.make_model("plain", StudyConfig(bars="b", out="o", **settings))
    assert main_job.make_model("plain", StudyConfig(bars="b", out="o", seed=4)) == 4


@pytest.mark.parametrize("name", ["commission", "slippage"])
def test_costs_lie_in_zero_to_one(name):
    assert getattr(StudyConfig(bars="b", out="o", **{name: 0.0}), name) == 0.0
    for wrong in (-0.1, -1e-9, 1.0):
        with pytest.raises(BarwiseError, match=rf"`{name}` is {wrong}; it must be a fraction in \[0, 1\)"):
            StudyConfig(bars="b", out="o", **{name: wrong})


@pytest.mark.parametrize("store", ["o", "o/models", "./o/a/b"])
def test_a_store_inside_the_folder_that_is_made_anew_is_refused(store):
    with pytest.raises(BarwiseError, match="`store` is .* inside `out`"):
        StudyConfig(bars="b", out="o", store=store)
    assert StudyConfig(bars="b", out="o/p", store="o/q").store == "o/q"


@pytest.mark.parametrize("wrong", [0.0, 1.0, -0.1, 80])
def test_an_interval_is_a_share(wrong):
    with pytest.raises(BarwiseError, match="`interval` is .* share of the labels between 0 and 1"):
        StudyConfig(bars="b", out="o", interval=wrong)


def test_thresholds_that_calibrated_signals_are_held_against_are_told():
    settings = {"bars": "x", "out": "y"}
    assert threshold_notes(StudyConfig(**settings, entry=0.1)) == []
    assert threshold_notes(StudyConfig(**settings, calibration="platt")) == []
    (said,) = threshold_notes(StudyConfig(**settings, calibration="platt", entry=0.1))
    assert "`entry` 0.1" in said and "calibrated" in said
    assert threshold_notes(StoredConfig(store="s", **settings, interval=0.8, exit=-0.1))
