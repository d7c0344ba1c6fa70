import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcore.calibration import METHODS, calibrate, conformal_intervals
from mlcore.errors import BarwiseError
from mlcore.forecasts import ReturnScale, check_forecasts, make_forecasts
from mlcore.metrics import log_loss
from mlcore.reliability import brier_score, calibration_error, interval_coverage, reliability_table
from mlcore.tasks import Label, Task

N, FIRST, BLOCK, SPAN = 3_000, 200, 400, 6
INDEX = pd.date_range("2024-01-01", periods=N, freq="h", tz="UTC", name="timestamp").as_unit("ns")
CLASSES = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
NUMBER = Task("regression", ("expected_return",))
QUANTILES = Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9))
ENDS = np.arange(N) + SPAN
FOLD = (np.arange(N) - FIRST) // BLOCK


def label_of(values, task):
    values = np.where(ENDS < N, values, np.nan)
    return Label(values, np.zeros(N), ENDS, SPAN, task)


def forecasts_of(raw, task, rows=slice(FIRST, None)):
    """As a walk-forward leaves them: folds of `BLOCK` bars, trained through the bar before the block."""
    through = INDEX[FIRST + BLOCK * FOLD[rows] - 1]
    index, fold = INDEX[rows], FOLD[rows]
    return make_forecasts(
        raw[rows], task, index=index, fold=fold, trained_through=through, scale=ReturnScale(0.01, 0.01)
    )


def softmax(x):
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def market(seed=0, sureness=4.0):
    """True probabilities, labels drawn from them, and a forecaster that is `sureness` times too sure."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 0.6, (N, 3))
    codes = (softmax(logits).cumsum(axis=1) < rng.random(N)[:, None]).sum(axis=1).clip(0, 2).astype(float)
    return softmax(sureness * logits), codes


def returns_market(seed=0, width=0.4):
    """A forecaster of returns whose 80 % interval is `width` times as wide as it should be."""
    rng = np.random.default_rng(seed)
    center = rng.normal(0, 0.005, N)
    values = center + rng.normal(0, 0.01, N)
    half = 1.2816 * 0.01 * width
    return center, np.column_stack([center - half, center, center + half]), values


RAW, CODES = market()
LABEL, FORECASTS = label_of(CODES, CLASSES), forecasts_of(RAW, CLASSES)
CENTER, LEVELS, VALUES = returns_market()


def before_and_after(calibrated, measure):
    late = calibrated.forecasts["fold"].to_numpy() >= 1
    rows = np.arange(FIRST, N)[late]
    columns = list(CLASSES.outputs)
    return [measure(f[columns].to_numpy()[late], LABEL.values[rows]) for f in (FORECASTS, calibrated.forecasts)]


def error(probabilities, codes):
    return calibration_error(reliability_table(probabilities, codes, CLASSES.outputs))


@pytest.mark.parametrize("method", METHODS)
def test_forecasts_that_are_too_sure_get_better_by_every_measure(method):
    calibrated = calibrate(FORECASTS, LABEL, INDEX, method=method)
    for measure, gain in ((brier_score, 0.9), (log_loss, 0.8), (error, 0.4)):
        before, after = before_and_after(calibrated, measure)
        assert after < gain * before, (measure.__name__, before, after)


def test_the_temperature_is_the_one_that_undoes_what_was_done():
    calibrated = calibrate(FORECASTS, LABEL, INDEX)
    last = calibrated.forecasts["fold"] == 6
    rows = np.flatnonzero(INDEX.isin(FORECASTS.index[last]))
    ratio = np.log(RAW[rows, 2] / RAW[rows, 0]) / np.log(
        calibrated.forecasts.loc[last, "p_up"] / calibrated.forecasts.loc[last, "p_down"]
    )
    assert np.ptp(ratio) < 1e-6  # one number for the fold
    assert abs(ratio.iloc[0] - 4.0) < 0.6


@pytest.mark.parametrize("method", METHODS)
def test_calibrated_forecasts_keep_the_contract(method):
    raw = RAW.copy()
    raw[777] = np.nan
    raw[:, 1], raw[1_500:, 0] = 0.0, 0.0  # classes that are ruled out
    raw /= raw.sum(axis=1, keepdims=True)
    bars = pd.DataFrame(index=INDEX)
    made = calibrate(forecasts_of(raw, CLASSES), LABEL, INDEX, method=method).forecasts
    check_forecasts(made, bars)
    assert list(made) == list(FORECASTS)
    assert made.index.equals(FORECASTS.index)
    assert made.dtypes.equals(FORECASTS.dtypes)
    spoken = made["signal"].notna()
    assert (~spoken).sum() == 1
    p = made.loc[spoken, list(CLASSES.outputs)]
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-12)
    assert (p.to_numpy() >= 0).all()
    assert (p["p_flat"] == 0).all()
    np.testing.assert_allclose(made.loc[spoken, "signal"], p["p_up"] - p["p_down"], atol=1e-12)


def test_the_first_fold_is_left_as_it_is_and_said_so():
    calibrated = calibrate(FORECASTS, LABEL, INDEX)
    first = calibrated.forecasts["fold"] == 0
    pd.testing.assert_frame_equal(calibrated.forecasts[first], FORECASTS[first], check_exact=True)
    assert [fold["fitted"] for fold in calibrated.folds] == [False] + [True] * 6
    assert calibrated.notes == (
        "Fold 0 is left as forecast, not calibrated: fewer than 200 earlier forecasts had a known label.",
    )
    more = calibrate(FORECASTS, LABEL, INDEX, fewest_rows=500)
    assert "Folds 0, 1 are left" in more.notes[0]


@pytest.mark.parametrize("latency", [0, 9])
def test_only_labels_that_had_ended_are_learnt_from(latency):
    calibrated = calibrate(FORECASTS, LABEL, INDEX, latency=latency)
    assert [fold["n_past"] for fold in calibrated.folds] == [0] + [BLOCK * k - SPAN - latency for k in range(1, 7)]
    made = calibrated.forecasts[calibrated.forecasts["fold"] == 2]
    through = INDEX[FIRST + 2 * BLOCK - 1]  # the model's own: later than the labels where there is latency
    assert (made["trained_through"] == through).all()


def test_trained_through_tells_of_the_labels_that_the_correction_saw():
    early = FORECASTS.assign(trained_through=INDEX[10])
    made = calibrate(early, LABEL, INDEX).forecasts
    assert (made.loc[made["fold"] == 0, "trained_through"] == INDEX[10]).all()
    assert (made.loc[made["fold"] == 3, "trained_through"] == INDEX[FIRST + 3 * BLOCK - 1]).all()
    check_forecasts(made, pd.DataFrame(index=INDEX))


CALLS = {
    **{name: (calibrate, RAW, CODES, CLASSES, {"method": name}) for name in METHODS},
    "regression": (conformal_intervals, CENTER[:, None], VALUES, NUMBER, {}),
    "quantiles": (conformal_intervals, LEVELS, VALUES, QUANTILES, {}),
}


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=12)
@given(cut=st.integers(FIRST + 1, N - 1), seed=st.integers(0, 99))
def test_what_comes_after_a_cut_changes_nothing_before_it(name, cut, seed):
    function, raw, values, task, options = CALLS[name]
    rng = np.random.default_rng(seed)
    whole = function(forecasts_of(raw, task), label_of(values, task), INDEX, **options).forecasts
    other_raw, other_values = raw.copy(), values.copy()
    other_raw[cut:] = rng.permutation(raw)[cut:]
    unknown = cut <= ENDS  # a label is known when its end is
    other_values[unknown] = rng.permutation(values)[unknown]
    other = function(forecasts_of(other_raw, task), label_of(other_values, task), INDEX, **options).forecasts
    truncated = function(
        forecasts_of(raw, task, slice(FIRST, cut)),
        label_of(np.where(unknown, np.nan, values), task),
        INDEX,
        **options,
    ).forecasts
    before = whole.index < INDEX[cut]
    pd.testing.assert_frame_equal(other[before], whole[before], check_exact=True)
    pd.testing.assert_frame_equal(truncated, whole[before], check_exact=True, check_freq=False)


def late_coverage(forecasts, low, high, values=VALUES):
    late = forecasts["fold"].to_numpy() >= 1
    return interval_coverage(*(forecasts[name].to_numpy()[late] for name in (low, high)), values[FIRST:][late])


def test_quantiles_that_are_too_narrow_cover_what_they_promise_afterwards():
    given_ = forecasts_of(LEVELS, QUANTILES)
    made = conformal_intervals(given_, label_of(VALUES, QUANTILES), INDEX).forecasts
    assert late_coverage(given_, "q10", "q90") < 0.5
    assert abs(late_coverage(made, "q10", "q90") - 0.8) < 0.03
    late = made["fold"] >= 1
    assert (made.loc[late, "confidence"] < given_.loc[late, "confidence"]).all()  # wider: less sure
    assert (made["q50"] == given_["q50"]).all()


def test_quantiles_that_are_too_wide_come_together_and_never_cross():
    _, levels, values = returns_market(width=3.0)
    made = conformal_intervals(forecasts_of(levels, QUANTILES), label_of(values, QUANTILES), INDEX).forecasts
    assert abs(late_coverage(made, "q10", "q90", values) - 0.8) < 0.03
    lopsided = levels.copy()
    lopsided[:, 1] = levels[:, 2] - 1e-4
    made = conformal_intervals(forecasts_of(lopsided, QUANTILES), label_of(values, QUANTILES), INDEX).forecasts
    assert (np.diff(made[["q10", "q50", "q90"]], axis=1) >= 0).all()


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_returns_get_an_interval_that_covers_what_it_promises(coverage):
    label = label_of(VALUES, NUMBER)
    made = conformal_intervals(forecasts_of(CENTER[:, None], NUMBER), label, INDEX, coverage=coverage).forecasts
    assert made.loc[made["fold"] == 0, ["low", "high"]].isna().all(axis=None)
    assert abs(late_coverage(made, "low", "high") - coverage) < 0.03
    check_forecasts(made, pd.DataFrame(index=INDEX))


def test_the_rank_is_the_conformal_one():
    """Against the definition, on the few rows of one fold."""
    label = label_of(VALUES, NUMBER)
    made = conformal_intervals(forecasts_of(CENTER[:, None], NUMBER), label, INDEX, coverage=0.9).forecasts
    errors = np.sort(np.abs(VALUES - CENTER)[FIRST : FIRST + BLOCK - SPAN])
    radius = errors[int(np.ceil((len(errors) + 1) * 0.9)) - 1]
    fold = made[made["fold"] == 1]
    np.testing.assert_allclose((fold["high"] - fold["low"]) / 2, radius, rtol=1e-9)


def test_what_cannot_be_calibrated_is_refused():
    with pytest.raises(BarwiseError, match="Did you mean 'platt'"):
        calibrate(FORECASTS, LABEL, INDEX, method="plat")
    with pytest.raises(BarwiseError, match="use `conformal_intervals`"):
        calibrate(FORECASTS, label_of(VALUES, NUMBER), INDEX)
    with pytest.raises(BarwiseError, match="use `calibrate`"):
        conformal_intervals(FORECASTS, LABEL, INDEX)
    with pytest.raises(BarwiseError, match="`coverage` is 80"):
        conformal_intervals(forecasts_of(LEVELS, QUANTILES), label_of(VALUES, QUANTILES), INDEX, coverage=80)
    with pytest.raises(BarwiseError, match="not in time"):
        calibrate(FORECASTS[::-1], LABEL, INDEX)
    with pytest.raises(BarwiseError, match="in-sample"):
        calibrate(FORECASTS.assign(trained_through=INDEX[-1]), LABEL, INDEX)
    with pytest.raises(BarwiseError, match="is no bar"):
        calibrate(FORECASTS, LABEL, INDEX + pd.Timedelta("1min"))
    with pytest.raises(BarwiseError, match="no row"):
        calibrate(FORECASTS[:0], LABEL, INDEX)


@pytest.mark.parametrize("method", METHODS)
def test_a_class_that_never_came_is_no_crash(method):
    values = np.where(CODES == 1, 2.0, CODES)
    made = calibrate(FORECASTS, label_of(values, CLASSES), INDEX, method=method).forecasts
    assert made["signal"].notna().all()
    only = calibrate(FORECASTS, label_of(np.ones(N), CLASSES), INDEX, method=method).forecasts
    assert only["signal"].notna().all()


def test_intervals_that_no_fold_has_are_columns_all_the_same():
    made = conformal_intervals(forecasts_of(CENTER[:, None], NUMBER), label_of(VALUES, NUMBER), INDEX, fewest_rows=N)
    assert made.forecasts[["low", "high"]].isna().all(axis=None)
    assert not any(fold["fitted"] for fold in made.folds)


def test_a_row_that_every_curve_rules_out_is_left_as_it_was():
    codes = np.arange(N) % 3
    raw = np.array([[0.6, 0.4, 0.0], [0.0, 0.6, 0.4], [0.4, 0.0, 0.6]])[codes]  # 0.4 and less never came
    raw[2_500] = [0.30, 0.35, 0.35]
    made = calibrate(forecasts_of(raw, CLASSES), label_of(codes * 1.0, CLASSES), INDEX, method="isotonic").forecasts
    assert made.loc[INDEX[2_500], list(CLASSES.outputs)].tolist() == [0.30, 0.35, 0.35]
    assert np.isfinite(made["signal"]).all()


def twice(first, second, task):
    """Two horizons side by side: labels, and forecasts of raw outputs."""
    values = np.column_stack([label_of(part, task).values for part in (first[1], second[1])])
    label = Label(values, np.zeros(N), ENDS, SPAN, task.over((3, 5)))
    return label, forecasts_of(np.hstack([first[0], second[0]]), task.over((3, 5)))


@pytest.mark.parametrize("method", sorted(METHODS))
def test_each_horizon_is_calibrated_as_it_would_be_alone(method):
    markets = market(0), market(1, sureness=0.3)
    found = calibrate(*reversed(twice(*markets, CLASSES)), INDEX, method=method).forecasts
    for (raw, codes), names in zip(markets, np.split(np.array(CLASSES.over((3, 5)).outputs), 2), strict=True):
        alone = calibrate(forecasts_of(raw, CLASSES), label_of(codes, CLASSES), INDEX, method=method).forecasts
        np.testing.assert_array_equal(found[list(names)], alone[list(CLASSES.outputs)])
        assert names[0] != "p_down" or found["signal"].equals(alone["signal"])


def test_each_horizon_has_an_interval_of_its_own():
    center, _, values = returns_market(0)
    other, _, wide = returns_market(1)
    label, forecasts = twice((center[:, None], values), (other[:, None], 3 * wide), NUMBER)
    found = conformal_intervals(forecasts, label, INDEX, coverage=0.8).forecasts
    alone = conformal_intervals(forecasts_of(center[:, None], NUMBER), label_of(values, NUMBER), INDEX).forecasts
    for name in ("low", "high", "signal", "confidence"):
        np.testing.assert_array_equal(found[name], alone[name])
    later = found["fold"] > 0
    covered = interval_coverage(
        found["low_h5"][later].to_numpy(), found["high_h5"][later].to_numpy(), label.values[FIRST:, 1][later]
    )
    assert covered == pytest.approx(0.8, abs=0.04)
    assert list(found)[-4:] == ["low", "high", "low_h5", "high_h5"]


def test_the_scale_of_corrected_quantiles_is_that_of_past_medians():
    center, _, values = returns_market(0)
    half = np.abs(np.random.default_rng(2).normal(0, 0.01, N))
    raw = np.column_stack([center - half, center, center + half])
    found = conformal_intervals(forecasts_of(raw, QUANTILES), label_of(values, QUANTILES), INDEX).forecasts
    start = FIRST + BLOCK  # the second fold, corrected by the first
    past = np.arange(FIRST, start - SPAN)
    rows = slice(start, start + BLOCK)
    wanted = np.tanh(center[rows] / np.std(center[past]))
    np.testing.assert_allclose(found["signal"].to_numpy()[BLOCK : 2 * BLOCK], wanted, rtol=1e-9)
