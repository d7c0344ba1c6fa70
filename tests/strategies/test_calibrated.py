"""What is traded: forecasts as they are, or corrected; both judged over the same rows."""

import numpy as np
import pandas as pd
import pytest

from mlcore.calibration import calibrate
from mlcore.errors import BarwiseError
from mlcore.forecasts import ReturnScale, make_forecasts
from mlcore.tasks import Label, Task
from mlcore.walkforward import WalkForwardRun
from strategies.calibrated import Calibration

N, BLOCK = 1200, 300
INDEX = pd.date_range("2024-01-01", periods=N, freq="h", tz="UTC", name="timestamp").as_unit("ns")
CLASSES = Task("classes", ("p_down", "p_up"), scores=(-1.0, 1.0))
NUMBER = Task("regression", ("expected_return",))
QUANTILES = Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9))
FOLD = np.arange(N) // BLOCK


def run_of(task, raw, values):
    scale = None if task is CLASSES else ReturnScale(0.01, 0.005)
    through = INDEX[np.maximum(BLOCK * FOLD - 1, 0)]
    forecasts = make_forecasts(raw, task, index=INDEX, fold=FOLD, trained_through=through, scale=scale).iloc[1:]
    folds = [{"fold": k, "residual": None if scale is None else scale.residual} for k in range(N // BLOCK)]
    return WalkForwardRun(forecasts, folds, ("first",)), Label(values, values, np.arange(N) + 1, 1, task)


def sure(seed=0):
    """Up or down at even odds, forecast with 0.95."""
    rng = np.random.default_rng(seed)
    p = np.where(rng.random(N) < 0.5, 0.95, 0.05)
    came = (rng.random(N) < 0.5 + 0.2 * np.sign(p - 0.5)).astype(float)
    return run_of(CLASSES, np.column_stack([1 - p, p]), came)


def test_nothing_asked_for_is_nothing_done():
    run, label = sure()
    made = Calibration()
    assert made.of(run, label, INDEX) is run
    told = made.reliability(run, run, label, INDEX)
    assert (told["method"], told["after"], told["before"]["n"]) == (None, None, N - 1)


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_probabilities_are_corrected_fold_by_fold_and_judged_over_the_folds_that_were(method):
    run, label = sure()
    made = Calibration(method)
    corrected = made.of(run, label, INDEX)
    pd.testing.assert_frame_equal(corrected.forecasts, calibrate(run.forecasts, label, INDEX, method=method).forecasts)
    assert [fold["n_calibration"] for fold in corrected.folds] == [0, 298, 598, 898]
    assert corrected.folds[0]["calibrated_through"] is None
    assert corrected.folds[2]["calibrated_through"] == INDEX[2 * BLOCK - 1]
    assert corrected.notes[0] == "first" and "left as forecast" in corrected.notes[1]
    told = made.reliability(run, corrected, label, INDEX)
    assert told["method"] == method
    assert told["before"]["n"] == told["after"]["n"] == N - BLOCK
    assert told["after"]["brier_score"] < 0.85 * told["before"]["brier_score"]
    assert told["after"]["calibration_error"] < 0.3 * told["before"]["calibration_error"]
    assert run.folds[1] == {"fold": 1, "residual": None}  # what was given stays


def test_the_latency_of_a_fit_keeps_newer_forecasts_out():
    run, label = sure()
    assert Calibration("platt", latency=50).of(run, label, INDEX).folds[1]["n_calibration"] == 248


def test_intervals_hold_what_they_promise_after_and_not_before():
    rng = np.random.default_rng(0)
    center = rng.normal(0, 0.01, N)
    run, label = run_of(NUMBER, center[:, None], center + rng.normal(0, 0.02, N))  # its residual says 0.005
    made = Calibration(interval=0.9)
    corrected = made.of(run, label, INDEX)
    told = made.reliability(run, corrected, label, INDEX)
    assert (told["method"], told["before"]["promised"]) == ("conformal", 0.9)
    assert told["before"]["coverage"] < 0.4 and told["after"]["coverage"] == pytest.approx(0.9, abs=0.03)
    assert corrected.forecasts["low"].isna().sum() == BLOCK - 1
    assert Calibration().reliability(run, run, label, INDEX)["before"]["promised"] == 0.8


def test_a_run_too_short_to_be_corrected_says_so():
    run, label = sure()
    short = WalkForwardRun(run.forecasts.iloc[:100], run.folds[:1])
    corrected = Calibration("platt").of(short, label, INDEX)
    told = Calibration("platt").reliability(short, corrected, label, INDEX)
    assert told["after"] is None and told["before"]["n"] == 100
    assert "left as forecast" in corrected.notes[0]


@pytest.mark.parametrize(
    ("made", "task", "said"),
    [
        (Calibration("platt"), NUMBER, "--interval 0.8"),
        (Calibration("platt"), QUANTILES, "--interval 0.8"),
        (Calibration(interval=0.8), CLASSES, "--calibration temperature"),
        (Calibration(interval=0.9), QUANTILES, "hold 0.8: say that"),
    ],
)
def test_what_the_label_has_no_use_for_is_refused(made, task, said):
    with pytest.raises(BarwiseError, match=said):
        made.check(task)


def test_what_the_label_has_use_for_passes():
    for made, task in (
        (Calibration(), CLASSES), (Calibration(), NUMBER), (Calibration("isotonic"), CLASSES),
        (Calibration(interval=0.8), NUMBER), (Calibration(interval=0.8), QUANTILES),
    ):  # fmt: skip
        made.check(task)


def test_a_confidence_that_asks_the_model_itself_is_refused_and_another_rule_is_kept():
    with pytest.raises(BarwiseError, match="`confidence` is 'monte_carlo_dropout'"):
        Calibration("platt", confidence="monte_carlo_dropout").check(CLASSES)
    Calibration(confidence="monte_carlo_dropout").check(CLASSES)
    run, label = sure()
    gap, entropy = (Calibration("platt", confidence=rule).of(run, label, INDEX).forecasts for rule in (None, "entropy"))
    late = gap["fold"] > 0
    pd.testing.assert_series_equal(gap["signal"], entropy["signal"])
    assert (gap["confidence"] != entropy["confidence"])[late].all()
