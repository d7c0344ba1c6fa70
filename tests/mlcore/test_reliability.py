import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from mlcore.errors import BarwiseError
from mlcore.reliability import brier_score, calibration_error, interval_coverage, reliability_table

RNG = np.random.default_rng(0)
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
