import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import spearmanr

from mlcore import metrics
from mlcore.errors import BarwiseError
from mlcore.forecasts import ReturnScale, make_forecasts
from mlcore.tasks import Label, Task

NAN = np.nan
TASK = Task("classes", ("p_down", "p_up"), scores=(-1.0, 1.0))


def test_hit_rate_counts_calls_only_and_a_return_of_zero_is_a_miss():
    signal = np.array([0.2, -0.2, 0.3, 0.0, NAN, 0.5])
    returns = np.array([1.0, 1.0, 0.0, 1.0, 1.0, NAN])
    assert metrics.hit_rate(signal, returns) == pytest.approx(1 / 3)


@given(hnp.arrays(np.float64, 30, elements=st.integers(-3, 3)), hnp.arrays(np.float64, 30, elements=st.integers(-3, 3)))
def test_rank_ic_is_spearmans(a, b):
    found = metrics.rank_ic(a, b)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


def test_log_loss_of_a_class_forecast_with_probability_zero_is_large_and_finite():
    assert metrics.log_loss(np.array([[1.0, 0.0]]), np.array([1.0])) == pytest.approx(-np.log(1e-15))


def test_losses_leave_unknown_rows_out():
    assert metrics.log_loss(np.array([[0.5, 0.5], [NAN, NAN], [0.9, 0.1]]), np.array([0.0, 0.0, NAN])) == np.log(2)
    assert metrics.rmse(np.array([1.0, NAN]), np.array([3.0, 1.0])) == 2.0
    assert metrics.pinball_loss(np.array([[1.0], [NAN]]), np.array([2.5, 1.0]), (0.1,)) == pytest.approx(0.15)


def test_precision_at_k_takes_the_most_confident_of_each_day_and_pools_them():
    signal = np.array([0.1, 0.1, -0.1, -0.1, 0.0])
    returns = np.array([1.0, -1.0, 1.0, -1.0, 1.0])
    confidence = np.array([0.9, 0.8, 0.1, 0.2, 0.99])
    days = np.array([0, 0, 1, 1, 1])
    assert metrics.precision_at_k(signal, confidence, returns, 1, days) == 1.0  # rows 0 and 3
    assert metrics.precision_at_k(signal, confidence, returns, 1) == 1.0  # row 0
    assert metrics.precision_at_k(signal, confidence, returns, 3) == pytest.approx(2 / 3)  # rows 0, 1, 3
    assert metrics.precision_at_k(signal, confidence, returns, 50, days) == metrics.hit_rate(signal, returns) == 0.5


def test_precision_at_k_breaks_a_tie_of_confidence_by_the_stronger_signal():
    signal, returns = np.array([0.1, -0.3, 0.2]), np.array([-1.0, -1.0, -1.0])
    assert metrics.precision_at_k(signal, np.zeros(3), returns, 1) == 1.0  # row 1, not row 0


def test_quality_counts_days_of_utc():
    n = 48
    index = pd.date_range("2024-01-01", periods=n, freq="h", tz="UTC")
    p_up = np.linspace(0.51, 0.99, n)  # ever surer, so the last ten hours of each day are its ten best
    best = (np.arange(n) >= 14) & (np.arange(n) < 24)  # and only those of the first day were right
    label = Label(np.ones(n), np.where(best, 1.0, -1.0), np.arange(n) + 1, 1, TASK)
    forecasts = make_forecasts(np.c_[1 - p_up, p_up], TASK, index=index, fold=0, trained_through=index[0])
    found = metrics.forecast_quality(forecasts, label, index)
    assert found["precision_at_k"] == {10: 0.5, 20: 0.25, 50: pytest.approx(10 / 48)}
    assert found["precision_at_k_overall"] == {10: 0.0, 20: 0.0, 50: pytest.approx(10 / 48)}


def test_precision_at_k_prefers_the_earlier_of_equals():
    same = np.ones(3)
    assert metrics.precision_at_k(same, same, np.array([1.0, -1.0, -1.0]), 1) == 1.0


def test_precision_at_zero_is_refused():
    with pytest.raises(BarwiseError, match="`k` is 0"):
        metrics.precision_at_k(np.ones(1), np.ones(1), np.ones(1), 0)


def quality(raw, values, returns, task=TASK):
    index = pd.date_range("2024-01-01", periods=len(raw) + 5, freq="6h", tz="UTC", name="timestamp").as_unit("ns")
    pad = np.full(5, NAN)
    label = Label(np.r_[pad, values], np.r_[pad, returns], np.arange(len(index)) + 1, 1, task)
    forecasts = make_forecasts(
        raw, task, index=index[5:], fold=0, trained_through=index[0], scale=ReturnScale(1.0, 1.0)
    )
    return metrics.forecast_quality(forecasts, label, index)


def test_quality_looks_labels_up_by_stamp_not_by_position():
    raw = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [NAN, NAN]])
    found = quality(raw, np.array([0.0, 1.0, 0.0, 1.0]), np.array([-0.1, 0.1, -0.2, 0.3]))
    assert found["n"] == 3
    assert found["hit_rate"] == pytest.approx(2 / 3)
    assert found["rank_ic"] == pytest.approx(0.5)
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.4]).mean())
    assert found["precision_at_k"][10] == pytest.approx(2 / 3)
    assert found["notes"] == []


@pytest.mark.parametrize(
    "raw", [np.full((4, 2), NAN), np.full((4, 2), 0.5)], ids=["no forecast at all", "never a side"]
)
def test_what_is_not_defined_is_none_and_said(raw):
    found = quality(raw, np.full(4, NAN), np.full(4, NAN))
    assert found["n"] == 0
    numbers = [found["hit_rate"], found["rank_ic"], found["log_loss"], *found["precision_at_k"].values()]
    assert numbers == [None] * 6
    assert len(found["notes"]) == 3


@pytest.mark.parametrize(
    ("task", "name"),
    [
        (Task("regression", ("expected_return",)), "rmse"),
        (Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9)), "pinball_loss"),
    ],
)
def test_the_loss_fits_the_task(task, name):
    raw = np.linspace(-1, 1, 4 * task.n_outputs).reshape(4, -1)
    found = quality(raw, np.zeros(4), np.zeros(4), task)
    assert found[name] > 0


def test_forecasts_of_other_bars_are_refused():
    index = pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC")
    forecasts = make_forecasts(np.full((3, 2), 0.5), TASK, index=index, fold=0, trained_through=index[0])
    label = Label(np.zeros(3), np.zeros(3), np.arange(3), 0, TASK)
    with pytest.raises(BarwiseError, match="is no bar"):
        metrics.forecast_quality(forecasts, label, index + pd.Timedelta("1min"))


def test_quality_of_every_horizon_is_against_its_own_returns():
    index = pd.date_range("2024-01-01", periods=4, freq="h", tz="UTC")
    task = TASK.over((5, 15))
    returns = np.array([[0.1, -0.1], [0.2, 0.3], [-0.1, 0.1], [0.3, -0.2]])
    label = Label((returns > 0).astype(float), returns[:, 0], np.arange(4) + 1, 1, task, horizon_returns=returns)
    p = np.array([[0.9, 0.2], [0.8, 0.6], [0.3, 0.7], [0.6, 0.9]])
    raw = np.column_stack([1 - p[:, 0], p[:, 0], 1 - p[:, 1], p[:, 1]])
    forecasts = make_forecasts(raw, task, index=index, fold=0, trained_through=index[0])
    found = metrics.forecast_quality(forecasts, label, index)
    lead = Label(label.values[:, 0], returns[:, 0], label.ends, 1, TASK)
    alone = metrics.forecast_quality(forecasts, lead, index)
    horizons = found.pop("horizons")
    assert found == alone
    assert list(horizons) == [15]
    assert horizons[15] == {
        "n": 4,
        "hit_rate": 0.75,
        "rank_ic": pytest.approx(spearmanr(p[:, 1], returns[:, 1]).statistic),
        "log_loss": pytest.approx(-np.log([0.8, 0.6, 0.7, 0.1]).mean()),
    }
    assert "horizons" not in alone
