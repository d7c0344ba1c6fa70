"""Drift of the inputs: river's detectors, shown the training rows first."""

import copy
import sys

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from mlcore.retraining import Drifted, Standing

drift = pytest.importorskip("river.drift")


def standing(row, inputs, trained_on, fold=0):
    stamp = pd.Timestamp("2024-01-01", tz="UTC") + pd.Timedelta(hours=row)
    names = tuple(f"x{i}" for i in range(len(inputs)))
    return Standing(stamp, row, fold, row + 1, 0.1, 0.5, inputs, names, lambda: np.array([]), lambda: trained_on)


def first_alarm(rule, values, trained_on, fold=0):
    said = (rule(standing(row, inputs, trained_on, fold)) for row, inputs in enumerate(values))
    return next(((row, text) for row, text in enumerate(said) if text), (None, None))


RNG = np.random.default_rng(2)
TRAINED = RNG.normal(size=(800, 4))


def test_nothing_is_said_while_the_inputs_are_as_in_training_and_a_shift_is_told_soon():
    same, moved = RNG.normal(size=(400, 4)), RNG.normal(size=(400, 4)) + [0, 3, 3, 0]
    assert first_alarm(Drifted(), same, TRAINED) == (None, None)
    row, said = first_alarm(Drifted(), np.r_[same, moved], TRAINED)
    assert 400 < row < 500
    assert said == "drift in 2 of 4 inputs: x1, x2"


def test_a_shift_between_training_and_first_bar_is_a_drift():
    assert first_alarm(Drifted(), RNG.normal(size=(300, 4)) + 3, TRAINED)[0] < 100


def test_share_and_columns_say_how_many_and_which():
    moved = RNG.normal(size=(400, 4)) + [0, 3, 0, 0]
    assert first_alarm(Drifted(), moved, TRAINED)[0] is None  # one of four is not more than a quarter
    assert first_alarm(Drifted(share=0.0), moved, TRAINED)[0] is not None
    assert first_alarm(Drifted(columns=["x1"]), moved, TRAINED)[0] is not None
    assert first_alarm(Drifted(columns=["x0", "x3"], share=0.0), moved, TRAINED)[0] is None


@pytest.mark.parametrize("detector", [drift.KSWIN(alpha=1e-5, seed=1), drift.PageHinkley(threshold=100)])
def test_any_detector_of_river_will_do(detector):
    before = copy.deepcopy(detector)
    row, _ = first_alarm(Drifted(detector), np.r_[RNG.normal(size=(200, 4)), RNG.normal(size=(400, 4)) + 3], TRAINED)
    assert 200 < row < 400
    assert detector.drift_detected == before.drift_detected is False  # the one that was given is never shown anything


def test_the_detectors_begin_anew_with_every_model():
    rule, moved = Drifted(), RNG.normal(size=(300, 4)) + 3
    assert first_alarm(rule, moved, TRAINED)[0] is not None
    assert first_alarm(rule, moved, TRAINED + 3, fold=1) == (None, None)


def test_missing_values_are_passed_over():
    values = np.where(RNG.random((300, 4)) < 0.2, np.nan, RNG.normal(size=(300, 4)))
    assert first_alarm(Drifted(), values, np.where(TRAINED > 2, np.nan, TRAINED))[0] is None


def test_what_cannot_be_is_refused(monkeypatch):
    for given, said in [({"share": 1.0}, "`share`"), ({"columns": []}, "`columns`"), ({"columns": "x1"}, "`columns`"),
                        ({"detector": 5}, "`detector`")]:  # fmt: skip
        with pytest.raises(BarwiseError, match=said):
            Drifted(**given)
    with pytest.raises(BarwiseError, match="did you mean 'x1'|x1"):
        first_alarm(Drifted(columns=["x11"]), TRAINED[:2], TRAINED)
    monkeypatch.setitem(sys.modules, "river.drift", None)
    with pytest.raises(BarwiseError, match=r"barwise\[drift\]"):
        Drifted()
