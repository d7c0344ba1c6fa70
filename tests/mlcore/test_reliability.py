import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss

from mlcore.errors import BarwiseError
from mlcore.reliability import (
    brier_score,
    calibration_error,
    forecast_reliability,
    interval_coverage,
    reliability_table,
)
from mlcore.tasks import Label, Task

RNG = np.random.default_rng(0)
CLASSES = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
P = RNG.random(5_000)
BOTH, CAME = np.column_stack([1 - P, P]), (RNG.random(5_000) < P).astype(float)


def test_for_two_classes_it_is_twice_what_sklearn_says():
    assert brier_score(BOTH, CAME) == pytest.approx(2 * brier_score_loss(CAME, P), rel=1e-12)


def test_rows_that_are_not_known_do_not_count():
    p, codes = BOTH.copy(), CAME.copy()
    p[0], codes[1] = np.nan, np.nan
    assert brier_score(p, codes) == pytest.approx(brier_score(BOTH[2:], CAME[2:]), rel=1e-12)
    assert reliability_table(p, codes, ("a", "b"))["n"].sum() == 2 * 4_998
    assert brier_score(p[:1], codes[:1]) is None
    assert calibration_error(reliability_table(p[:1], codes[:1], ("a", "b"))) is None
    assert interval_coverage(np.array([np.nan]), np.ones(1), np.ones(1)) is None


def test_forecasts_that_mean_what_they_say_lie_on_the_diagonal_and_others_do_not():
    honest = reliability_table(BOTH, CAME, ("a", "b"))
    assert len(honest) == 20
    assert (honest["n"].groupby(honest["output"]).sum() == 5_000).all()
    assert calibration_error(honest) < 0.02
    sure = np.clip(3 * (P - 0.5) + 0.5, 0, 1)
    assert calibration_error(reliability_table(np.column_stack([1 - sure, sure]), CAME, ("a", "b"))) > 0.1


def test_certainty_has_its_bin_and_edges_belong_to_the_interval():
    table = reliability_table(np.array([[0.0, 1.0]]), np.array([1.0]), ("a", "b"), bins=4)
    assert table[["low", "high"]].to_numpy().tolist() == [[0.0, 0.25], [0.75, 1.0]]
    assert interval_coverage(np.zeros(3), np.ones(3), np.array([0.0, 1.0, 1.1])) == pytest.approx(2 / 3)
    with pytest.raises(BarwiseError, match="`bins` is 0"):
        reliability_table(BOTH, CAME, ("a", "b"), bins=0)


def test_a_perfect_forecaster_of_classes_is_told_as_one():
    codes = np.array([0.0, 1.0, 2.0, 1.0, np.nan])
    index = pd.date_range("2024", periods=5, freq="h", tz="UTC")
    label = Label(codes, codes, np.arange(5), 1, CLASSES)
    frame = pd.DataFrame(np.eye(3)[[0, 1, 2, 1, 1]], index, CLASSES.outputs).assign(fold=[0, 0, 1, 1, 1])
    told = forecast_reliability(frame, label, index)
    assert (told["n"], told["brier_score"], told["log_loss"], told["calibration_error"]) == (4, 0.0, 0.0, 0.0)
    assert [fold["n"] for fold in told["folds"]] == [2, 2]
    frame.loc[index[0], list(CLASSES.outputs)] = [0.0, 0.5, 0.5]
    told = forecast_reliability(frame, label, index)
    assert told["brier_score"] == 1.5 / 4
    assert told["brier_of_shares"] == pytest.approx(brier_score(np.tile([0.25, 0.5, 0.25], (4, 1)), codes[:4]))
    assert [fold["brier_score"] for fold in told["folds"]] == [0.75, 0.0]
    assert {row["output"] for row in told["curve"]} == set(CLASSES.outputs)


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_the_interval_of_a_number_is_that_of_its_residual_until_a_calibration_made_one(coverage):
    rng, n = np.random.default_rng(0), 20_000
    index = pd.date_range("2024", periods=n, freq="min", tz="UTC")
    fold = np.arange(n) // (n // 2)
    center, deviation = rng.normal(0, 0.01, n), np.array([0.01, 0.03])[fold]
    values = center + rng.normal(0, 1, n) * deviation
    label = Label(values, values, np.arange(n), 1, Task("regression", ("expected_return",)))
    frame = pd.DataFrame({"expected_return": center, "fold": fold}, index)
    told = forecast_reliability(frame, label, index, coverage=coverage, residuals={0: 0.01, 1: 0.03})
    assert (told["kind"], told["promised"], told["n"]) == ("interval", coverage, n)
    assert told["coverage"] == pytest.approx(coverage, abs=0.01)
    assert [one["coverage"] for one in told["folds"]] == pytest.approx([coverage] * 2, abs=0.015)
    assert told["folds"][1]["width"] == pytest.approx(3 * told["folds"][0]["width"])
    silent = forecast_reliability(frame, label, index, coverage=coverage)
    assert (silent["n"], silent["coverage"], silent["width"]) == (0, None, None)
    made = forecast_reliability(frame.assign(low=values - 1, high=values + 1), label, index, residuals={0: 1, 1: 1})
    assert (made["coverage"], made["width"]) == (1.0, pytest.approx(2.0))


def test_quantiles_promise_what_lies_between_the_outermost():
    rng, n = np.random.default_rng(0), 10_000
    index = pd.date_range("2024", periods=n, freq="min", tz="UTC")
    values = rng.random(n)
    task = Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9))
    frame = pd.DataFrame({"q10": 0.2, "q50": 0.5, "q90": 0.9, "fold": 0}, index)
    told = forecast_reliability(frame, Label(values, values, np.arange(n), 1, task), index, coverage=0.3)
    assert (told["promised"], told["n"]) == (0.8, n)
    assert told["coverage"] == pytest.approx(0.7, abs=0.01)
    assert [row["forecast"] for row in told["curve"]] == [0.1, 0.5, 0.9]
    assert [row["frequency"] for row in told["curve"]] == pytest.approx([0.2, 0.5, 0.9], abs=0.01)


def test_of_several_horizons_the_lead_is_judged():
    rng, n = np.random.default_rng(0), 400
    index = pd.date_range("2024", periods=n, freq="min", tz="UTC")
    codes = rng.integers(0, 3, (n, 2)).astype(float)
    task = CLASSES.over((5, 15))
    raw = rng.dirichlet(np.ones(3), (n, 2)).reshape(n, 6)
    frame = pd.DataFrame(raw, index, list(task.outputs)).assign(fold=0)
    told = forecast_reliability(frame, Label(codes, codes[:, 0], np.arange(n), 1, task), index)
    assert told["brier_score"] == brier_score(raw[:, :3], codes[:, 0])
    assert {row["output"] for row in told["curve"]} == set(CLASSES.outputs)
