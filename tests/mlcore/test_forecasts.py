import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from mlcore.confidence import centre
from mlcore.errors import BarwiseError, LookAheadError
from mlcore.forecasts import ReturnScale, check_forecasts, check_trained_through, make_forecasts
from mlcore.tasks import Task

FIVE = Task("classes", ("a", "b", "c", "d", "e"), scores=(-1.0, -0.5, 0.0, 0.5, 1.0))
NUMBER = Task("regression", ("expected_return",))
QUANTILES = Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9))
INDEX = pd.date_range("2024-01-01", periods=10, freq="h", tz="UTC", name="timestamp").as_unit("ns")
BARS = pd.DataFrame({"close": np.arange(10.0)}, INDEX)


def made(raw, task, **options):
    raw = np.atleast_2d(np.asarray(raw, dtype=float))
    return make_forecasts(raw, task, index=INDEX[5 : 5 + len(raw)], fold=3, trained_through=INDEX[3], **options)


def test_classes_signal_is_the_expected_score_and_confidence_the_top_two_gap():
    row = made([0.1, 0.1, 0.2, 0.5, 0.1], FIVE).iloc[0]
    assert row["signal"] == pytest.approx(-0.1 - 0.05 + 0.25 + 0.1)
    assert row["confidence"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    "raw",
    [
        [0.02, 0.01, 0.9, 0.05, 0.02],  # surely flat, leaning up by a hair
        [0.3, 0.0, 0.0, 0.26, 0.44],  # likeliest up, and the signal is up: sided
        [0.4, 0.0, 0.0, 0.3, 0.3],  # likeliest down, while the signal leans up
    ],
)
def test_confidence_is_that_of_the_side_the_signal_calls(raw):
    frame = made(raw, FIVE)
    assert frame["signal"].iloc[0] > 0
    assert frame["confidence"].iloc[0] == pytest.approx(0.14 if raw[-1] == 0.44 else 0.0)


def test_columns_types_and_names_are_those_of_the_contract():
    frame = made([0.1, 0.1, 0.2, 0.5, 0.1], FIVE)
    assert list(frame) == ["signal", "confidence", "a", "b", "c", "d", "e", "disagreement", "fold", "trained_through"]
    assert frame.index.name == "timestamp"
    assert frame["fold"].dtype == np.int64
    assert str(frame["trained_through"].dtype) == "datetime64[ns, UTC]"
    assert frame["trained_through"].iloc[0] == INDEX[3]
    assert frame["disagreement"].isna().all()


def test_a_returns_signal_and_confidence_are_measured_by_past_deviations():
    row = made([0.02], NUMBER, scale=ReturnScale(spread=0.01, residual=0.04)).iloc[0]
    assert row["signal"] == pytest.approx(np.tanh(2.0))
    assert row["confidence"] == pytest.approx(2 * norm.cdf(0.5) - 1)


def test_quantiles_speak_by_their_median_and_width():
    width = 0.02 * (norm.ppf(0.9) - norm.ppf(0.1))
    row = made([0.01 - width / 2, 0.01, 0.01 + width / 2], QUANTILES, scale=ReturnScale(0.01, 9.0)).iloc[0]
    assert row["signal"] == pytest.approx(np.tanh(1.0))
    assert row["confidence"] == pytest.approx(2 * norm.cdf(0.5) - 1)


def test_no_spread_means_no_signal_and_no_width_means_certainty():
    frame = made([[0.02], [0.0]], NUMBER, scale=ReturnScale(0.0, 0.0))
    assert frame["signal"].tolist() == [0.0, 0.0]
    assert frame["confidence"].tolist() == [1.0, 0.0]


def test_predictions_that_are_one_number_have_no_spread_however_they_round():
    assert ReturnScale.of(np.full(7, 0.1) + np.array([0, 1e-17, 0, 0, 0, 0, 0]), np.zeros(7)).spread == 0.0
    scale = ReturnScale.of(np.array([1.0, 3.0]), np.array([0.0, 0.0]))
    assert (scale.spread, scale.residual) == (1.0, pytest.approx(np.sqrt(5.0)))


def test_a_row_that_may_not_be_traded_has_no_signal():
    frame = made([[0.02], [np.nan]], NUMBER, scale=ReturnScale(0.01, 0.04))
    assert np.isnan(frame["signal"].iloc[1])
    assert np.isnan(frame["confidence"].iloc[1])


def test_returns_without_a_scale_and_wrong_shapes_are_refused():
    with pytest.raises(BarwiseError, match="`scale` is missing"):
        made([0.02], NUMBER)
    with pytest.raises(BarwiseError, match=r"\(1, 2\); it must be \(1, 1\)"):
        made([0.02, 0.03], NUMBER, scale=ReturnScale(1.0, 1.0))


def good(n=4):
    return made(np.full((n, 1), 0.02), NUMBER, scale=ReturnScale(0.01, 0.04))


def test_good_forecasts_pass():
    check_forecasts(good(), BARS)


@pytest.mark.parametrize("late", [0, 1])
def test_a_row_trained_through_its_own_bar_or_later_is_refused(late):
    frame = good()
    frame.loc[INDEX[7], "trained_through"] = INDEX[7 + late]
    with pytest.raises(LookAheadError, match=r"row 2, stamped 2024-01-01 07:00:00\+00:00, was trained through"):
        check_forecasts(frame, BARS)
    check_forecasts(frame, BARS, in_sample=True)


def test_a_signal_whose_training_span_is_unknown_is_refused():
    frame = good()
    frame.loc[INDEX[6], "trained_through"] = pd.NaT
    with pytest.raises(LookAheadError, match="row 1"):
        check_forecasts(frame, BARS)


def test_forecasts_that_do_not_say_what_they_were_trained_through_are_refused():
    check_trained_through(good())
    with pytest.raises(LookAheadError, match="lack trained_through"):
        check_trained_through(good().drop(columns="trained_through"))
    for nothing in (pd.NaT, None):
        unknown = good().assign(trained_through=nothing)
        with pytest.raises(LookAheadError, match="row 0"):
            check_trained_through(unknown)
        check_trained_through(unknown.assign(signal=np.nan))
    check_trained_through(good().iloc[:0])


def test_stamps_without_a_time_zone_are_refused_in_words():
    with pytest.raises(BarwiseError, match="UTC stamps"):
        check_trained_through(good().tz_localize(None))
    for strange in (good()["trained_through"].dt.tz_localize(None), "yesterday", 17):
        with pytest.raises(BarwiseError, match="`trained_through` of the forecasts is of type"):
            check_trained_through(good().assign(trained_through=strange))


@pytest.mark.parametrize(("column", "value"), [("signal", 1.01), ("signal", -np.inf), ("confidence", -0.01)])
def test_values_outside_their_range_are_refused(column, value):
    frame = good()
    frame.loc[INDEX[6], column] = value
    with pytest.raises(BarwiseError, match=f"`{column}` is"):
        check_forecasts(frame, BARS)


def test_frames_that_are_no_forecasts_of_these_bars_are_refused():
    with pytest.raises(BarwiseError, match="lack trained_through"):
        check_forecasts(good().drop(columns="trained_through"), BARS)
    with pytest.raises(BarwiseError, match="row 3 is stamped .* which is no bar"):
        check_forecasts(good(), BARS.iloc[:8])
    with pytest.raises(BarwiseError, match="not increasing"):
        check_forecasts(good().iloc[::-1], BARS)
    with pytest.raises(BarwiseError, match="UTC stamps"):
        check_forecasts(good().reset_index(drop=True), BARS)


SKEWED = Task("quantiles", ("q10", "q30", "q80"), quantiles=(0.1, 0.3, 0.8))


def test_a_median_that_is_not_among_the_quantiles_lies_between_its_neighbours():
    raw = norm.ppf([0.1, 0.3, 0.8])[None] * 0.02 + 0.005  # a normal law with a median of 0.005
    np.testing.assert_allclose(centre(raw, SKEWED), 0.005, atol=1e-12)
    np.testing.assert_array_equal(centre(np.array([[1.0, 2.0, 3.0]]), QUANTILES), [2.0])
    wide = Task("quantiles", ("q10", "q90"), quantiles=(0.1, 0.9))
    np.testing.assert_allclose(centre(np.array([[1.0, 4.0]]), wide), 2.5)
    row = made(raw, SKEWED, scale=ReturnScale(0.01, 9.0)).iloc[0]
    assert row["signal"] == pytest.approx(np.tanh(0.5))
    assert row["confidence"] == pytest.approx(2 * norm.cdf(0.25) - 1)


def test_of_several_horizons_the_first_one_speaks_and_a_missing_one_silences():
    task = FIVE.over((5, 15))
    lead, later = [0.1, 0.1, 0.2, 0.5, 0.1], [0.9, 0.1, 0.0, 0.0, 0.0]
    frame, alone = made([lead + later, lead + [np.nan] * 5], task), made([lead], FIVE)
    for name in ("signal", "confidence"):
        assert frame[name].iloc[0] == alone[name].iloc[0]
        assert np.isnan(frame[name].iloc[1])
    assert list(frame)[2:12] == list(task.outputs)
    assert frame["a_h15"].iloc[0] == 0.9


def test_what_raw_outputs_lean_to_is_the_score_or_the_return():
    np.testing.assert_allclose(centre(np.array([[0.5, 0.0, 0.0, 0.5, 0.0]]), FIVE), [-0.25])
    np.testing.assert_allclose(centre(np.array([[0.02]]), NUMBER), [0.02])


def test_forecasts_of_longer_bars_are_known_too_late_and_are_refused():
    """A 1h forecast stamped 07:00 is known at 08:00; on 15m bars it would be traded at 07:15."""
    stamps = pd.date_range(INDEX[0], periods=40, freq="15min", tz="UTC").as_unit("ns")
    with pytest.raises(LookAheadError, match="apart"):
        check_forecasts(good(), pd.DataFrame({"close": np.arange(40.0)}, stamps))
    check_forecasts(good(5).drop(index=INDEX[6]), BARS)  # a row that is missing makes no longer bars


def test_forecasts_of_another_market_than_the_bars_are_refused_before_anything_is_traded():
    forecasts, bars = made([0.1, 0.1, 0.2, 0.5, 0.1], FIVE), BARS.copy()
    for frame, symbol in ((forecasts, "BTC/USDT"), (bars, "BTCUSDT")):
        frame.attrs["symbol"] = symbol
    check_forecasts(forecasts, bars)
    bars.attrs["symbol"] = "ETHUSDT"
    with pytest.raises(BarwiseError, match="`forecasts` are of BTC/USDT and `bars` of ETHUSDT"):
        check_forecasts(forecasts, bars)
