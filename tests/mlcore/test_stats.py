"""Reference numbers are of the papers' authors or of codings nobody here wrote (METHODS 1.1 to 1.7)."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from mlcore import stats
from mlcore.errors import BarwiseError
from mlcore.stats import Moments

SKEWED = {"skewness": -2.448, "kurtosis": 10.164}
ratios = st.floats(-0.5, 0.5)
DAILY = Moments(2.5 / math.sqrt(250), 1250, -3.0, 10.0)


@pytest.mark.parametrize(
    ("moments", "value"),
    [
        (Moments(0.458, 24), 0.98167),
        (Moments(0.458, 24, **SKEWED), 0.913),
        (Moments(1.585 / math.sqrt(12), 24, **SKEWED), 0.9132343068848602),
    ],
)
def test_psr_of_the_paper(moments, value):
    digits = 1e-12 if value > 0.9132 and value < 0.914 else 5e-4
    assert stats.probabilistic_sharpe(moments) == pytest.approx(value, abs=digits)


@pytest.mark.parametrize(
    ("moments", "value"),
    [(Moments(0.7079, 134, -0.2250, 2.9570), 0.1028), (Moments(0.8183, 134, -1.4455, 7.0497), 0.1550)],
)
def test_the_error_of_a_ratio_in_the_paper(moments, value):
    assert stats.sharpe_error(moments) == pytest.approx(value, abs=5e-5)


def test_psr_and_moments_of_a_fixed_series():
    returns = np.random.default_rng(3).normal(0.0005, 0.01, (500, 10))
    moments = Moments.of(returns[:, 8])
    assert moments.sharpe == pytest.approx(0.1211661732, abs=1e-10)
    assert stats.probabilistic_sharpe(moments) == pytest.approx(0.9967586739541054, rel=1e-12)
    spread = np.var([Moments.of(column).sharpe for column in returns.T], ddof=1)
    assert stats.deflated_sharpe(moments, float(spread), 10) == pytest.approx(0.8207388299, abs=1e-10)


@given(ratios, st.integers(10, 5000), st.floats(-2, 2), st.floats(5.1, 20))
def test_identities_of_psr(sharpe, n, skewness, kurtosis):
    moments = Moments(sharpe, n, skewness, kurtosis)
    assert stats.probabilistic_sharpe(moments, sharpe) == 0.5
    at = [stats.probabilistic_sharpe(moments, b) for b in (sharpe - 0.1, sharpe, sharpe + 0.1)]
    assert at[0] > at[1] > at[2] or at[0] == 1.0 or at[2] == 0.0
    longer = stats.probabilistic_sharpe(Moments(sharpe, n + 50, skewness, kurtosis), sharpe - 0.02)
    assert longer >= stats.probabilistic_sharpe(moments, sharpe - 0.02)


@pytest.mark.parametrize(
    ("moments", "above", "years", "value"),
    [
        (Moments(0.7079, 134, -0.2250, 2.9570), 0.0, 12, 0.7152),
        (Moments(0.8183, 134, -1.4455, 7.0497), 0.0, 12, 1.1593),
        (Moments(2 / math.sqrt(250), 10), 1 / math.sqrt(250), 250, 2.7311878017281761),
        (Moments(2 / math.sqrt(52), 10), 1 / math.sqrt(52), 52, 2.8288335869452368),
        (Moments(3 / math.sqrt(12), 10, -0.72, 5.78), 2.5 / math.sqrt(12), 12, 27.352920196040301),
    ],
)
def test_the_shortest_track_record_of_the_paper(moments, above, years, value):
    found = stats.shortest_track_record(moments, above) / years
    assert found == pytest.approx(value, rel=1e-4 if value < 2 else 1e-12)


@given(st.floats(0.01, 0.5), st.floats(-1, 1), st.floats(3, 10))
def test_psr_at_the_shortest_track_record_is_the_confidence(sharpe, skewness, kurtosis):
    length = stats.shortest_track_record(Moments(sharpe, 10, skewness, kurtosis))
    found = stats.probabilistic_sharpe(Moments(sharpe, length, skewness, kurtosis))
    assert found == pytest.approx(0.95, abs=1e-9)


def test_no_length_proves_a_ratio_that_is_not_above_the_benchmark():
    assert stats.shortest_track_record(Moments(0.1, 500), 0.1) == math.inf
    assert stats.shortest_track_record(Moments(-0.1, 500)) == math.inf


@pytest.mark.parametrize(
    ("moments", "n", "value"),
    [
        (DAILY, 100, 0.90039683444939034),
        (DAILY, 46, 0.95050170687558),
        (Moments(DAILY.sharpe, 1250), 88, 0.95049081667601),
        (Moments(DAILY.sharpe, 1250), 100, 0.94277058595653),
    ],
)
def test_the_deflated_sharpe_of_the_paper(moments, n, value):
    assert stats.deflated_sharpe(moments, 0.5 / 250, n) == pytest.approx(value, rel=1e-9)


def test_one_trial_is_not_deflated_and_none_is_refused():
    assert stats.deflated_sharpe(DAILY, 0.5 / 250, 1) == stats.probabilistic_sharpe(DAILY)
    with pytest.raises(BarwiseError, match="`n_trials` is 0"):
        stats.deflated_sharpe(DAILY, 0.5 / 250, 0)
    with pytest.raises(BarwiseError, match="`variance` is nan"):
        stats.deflated_sharpe(DAILY, math.nan, 2)


def test_the_best_of_trials_without_skill_rarely_passes():
    rng, passed = np.random.default_rng(5), 0
    for _ in range(200):
        trials = [Moments.of(column) for column in rng.normal(0, 0.01, (250, 10)).T]
        best = max(trials, key=lambda trial: trial.sharpe)
        passed += stats.deflated_sharpe(best, float(np.var([t.sharpe for t in trials], ddof=1)), 10) > 0.95
    assert passed / 200 <= 0.06


def test_moments_of_what_does_not_vary_or_is_too_short_are_none():
    assert Moments.of(np.full(50, 0.001)) is None
    assert Moments.of(np.zeros(50)) is None
    assert Moments.of(np.arange(9.0)) is None
    assert Moments.of(np.r_[np.arange(20.0), np.nan]) is None


T = np.arange(1, 121)
SYNTHETIC = (
    0.010 + 0.04 * np.sin(1.7 * T) + 0.02 * np.cos(0.31 * T**1.3),
    0.006 + 0.03 * np.sin(1.1 * T + 1) + 0.02 * np.cos(0.17 * T**1.2),
)


def test_ledoit_wolf_on_the_closed_form_series():
    found = stats.sharpe_difference(*SYNTHETIC)
    assert found.difference == pytest.approx(0.0810564638809897, rel=1e-12)
    assert found.error == pytest.approx(0.0700632925886296, rel=1e-10)
    assert found.p_value == pytest.approx(0.247311815070263, rel=1e-10)


@pytest.mark.parametrize(
    ("name", "difference", "error", "p"),
    [
        ("ret_agg", 0.0967062980329066, 0.05255349853854, 0.0657462806013688),
        ("ret_hedge", -0.446318346646347, 0.3176271465086, 0.159972408874018),
    ],
)
def test_ledoit_wolf_gives_what_the_authors_own_functions_print(name, difference, error, p, bars_folder: Path):
    returns = pd.read_csv(bars_folder / "reference" / f"{name}.csv")
    found = stats.sharpe_difference(returns["V1"].to_numpy(), returns["V2"].to_numpy())
    assert found.difference == pytest.approx(difference, rel=1e-12)
    assert found.error == pytest.approx(error, rel=1e-10)
    assert found.p_value == pytest.approx(p, rel=1e-10)


def test_the_difference_turns_its_sign_with_the_order_and_is_none_where_one_side_stands_still():
    there, back = stats.sharpe_difference(*SYNTHETIC), stats.sharpe_difference(*SYNTHETIC[::-1])
    assert there.difference == -back.difference and there.p_value == pytest.approx(back.p_value, rel=1e-12)
    assert stats.sharpe_difference(SYNTHETIC[0], np.zeros(120)) is None
    same = stats.sharpe_difference(SYNTHETIC[0], SYNTHETIC[0])
    assert same.difference == 0 and same.p_value == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels(p):
    assert stats.holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)


def test_holm_counts_a_test_whose_p_is_not_known():
    assert stats.holm([0.01, math.nan]) == pytest.approx([0.02, math.nan], nan_ok=True)
