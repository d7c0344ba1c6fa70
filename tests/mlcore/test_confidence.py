import numpy as np
import pytest
from scipy.stats import norm

from mlcore.confidence import PASSES, Views, ask, check_confidence, confidence_rule
from mlcore.errors import BarwiseError
from mlcore.features import feature_table
from mlcore.folds import WalkForward
from mlcore.forecasts import ReturnScale, make_forecasts, signal_of
from mlcore.labels import direction, forward_return
from mlcore.models.linear import Linear
from mlcore.models.lstm import LSTM
from mlcore.models.tcn import TCN
from mlcore.plugins import CONFIDENCES
from mlcore.store import forecast_from_store
from mlcore.tasks import Task
from mlcore.walkforward import walk_forward
from tests.conftest import random_bars

THREE = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
NUMBER = Task("regression", ("expected_return",))
QUANTILES = Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9))
BARS = random_bars(420, seed=5)
FEATURES = feature_table(BARS, ["close_pct_change", ("volatility", {"window": 10}), "rsi"])
FOLDS = WalkForward(train=260, test=70)
NETWORK = TCN(lookback=9, width=8, epochs=1, dropout=0.2)


def sure(name, raw, task=THREE, **more):
    raw = np.atleast_2d(np.asarray(raw, dtype=float))
    return confidence_rule(name, task)(Views(raw, task, signal_of(raw, task, 0.01), 0.01, **more))


def test_entropy_is_one_less_the_share_of_the_highest_entropy():
    p = [0.1, 0.2, 0.7]
    expected = 1 + sum(q * np.log(q) for q in p) / np.log(3)
    assert sure("entropy", [p, [0.0, 0.0, 1.0], [0.1, 0.7, 0.2]]).tolist() == pytest.approx([expected, 1.0, 0.0])


def test_the_spread_of_passes_is_the_unit_of_the_centre():
    raw, spread = [[0.1, 0.2, 0.7], [0.02], [0.01, 0.02, 0.05]], np.array([0.3])
    for row, task in zip(raw, (THREE, NUMBER, QUANTILES), strict=True):
        middle = 0.6 if task is THREE else 0.02
        found = sure("monte_carlo_dropout", row, task, spread=spread)
        assert found == pytest.approx(2 * norm.cdf(middle / 0.3) - 1)


def test_the_disagreement_of_members_is_the_unit_of_the_signal():
    found = sure("ensemble_agreement", [0.02], NUMBER, disagreement=np.array([0.5]))
    assert found == pytest.approx(2 * norm.cdf(np.tanh(2.0) / 0.5) - 1)
    with pytest.raises(BarwiseError, match="`disagreement` is missing"):
        sure("ensemble_agreement", [0.02], NUMBER)


def test_each_kind_of_output_has_a_rule_of_its_own_by_default():
    assert confidence_rule(None, THREE) is CONFIDENCES["top_two_gap"]
    assert confidence_rule(None, NUMBER) is CONFIDENCES["past_error"]
    assert confidence_rule(None, QUANTILES) is CONFIDENCES["quantile_width"]


def test_a_gain_raises_confidence_and_never_beyond_one():
    index = BARS.index[5:7]
    raw = np.array([[0.1, 0.2, 0.7], [0.0, 0.02, 0.98]])
    made = make_forecasts(raw, THREE, index=index, fold=0, trained_through=BARS.index[0], gain=np.array([1.1, 1.1]))
    assert made["confidence"].tolist() == pytest.approx([0.55, 1.0])


@pytest.mark.parametrize(
    ("name", "task", "model", "said"),
    [
        (
            "entropy",
            NUMBER,
            Linear(),
            "a rule for classes; the label is of kind 'regression': use ensemble_agreement, ",
        ),
        ("quantile_width", THREE, Linear(), "monte_carlo_dropout or top_two_gap"),
        ("entrpy", THREE, Linear(), "Did you mean 'entropy'"),
        ("ensemble_agreement", THREE, Linear(), "Linear is one model: use an ensemble"),
        ("monte_carlo_dropout", THREE, Linear(), "needs a network with `dropout` above 0; Linear is none: take one"),
        ("monte_carlo_dropout", THREE, TCN(), "TCN has 0: set it"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused_before_anything_is_fitted(name, task, model, said):
    with pytest.raises(BarwiseError, match=said):
        check_confidence(name, task, model)
    label = direction(BARS) if task is THREE else forward_return(BARS)
    with pytest.raises(BarwiseError, match=said):
        walk_forward(BARS, model, label=label, features=FEATURES, folds=FOLDS, confidence=name)


def test_a_network_that_drops_nothing_says_so():
    with pytest.raises(BarwiseError, match=r"No fold could be fitted.*drops no unit \(a stack of one layer"):
        walk_forward(
            BARS, LSTM(lookback=9, width=4, epochs=1, dropout=0.3), label=direction(BARS), features=FEATURES,
            folds=FOLDS, confidence="monte_carlo_dropout",
        )  # fmt: skip


@pytest.mark.parametrize("name", ["entropy", "monte_carlo_dropout"])
def test_the_walk_forward_speaks_by_the_rule_and_the_store_after_it(name, tmp_path):
    features, label = FEATURES.copy(), direction(BARS, 3, 0.004)
    features.iloc[300, 0] = np.nan  # a few rows may not be traded
    run = walk_forward(
        BARS, NETWORK, label=label, features=features, folds=FOLDS, confidence=name, store=tmp_path / "store"
    )
    plain = walk_forward(BARS, NETWORK, label=label, features=features, folds=FOLDS)
    same = [column for column in plain.forecasts if column != "confidence"]
    assert run.forecasts[same].equals(plain.forecasts[same])
    found = run.forecasts["confidence"]
    assert found.isna().sum() == plain.forecasts["signal"].isna().sum() > 0
    assert found.between(0, 1).sum() == found.notna().sum()
    assert (found > 0).any()
    assert not found.equals(plain.forecasts["confidence"])
    again = forecast_from_store(tmp_path / "store", BARS, features)
    assert again["confidence"].equals(found)


def test_asking_for_passes_gives_their_spread_and_for_no_rows_nothing():
    from mlcore.checks.models import Case

    case = Case(NETWORK, NUMBER)
    raw, more = ask(case.fitted, case.windows(), NUMBER, "monte_carlo_dropout")
    passes = case.fitted.predict_passes(case.windows(), PASSES)
    np.testing.assert_array_equal(raw, case.forecast)
    np.testing.assert_allclose(more["spread"], passes[:, :, 0].std(axis=0))
    assert ask(case.fitted, case.windows(), NUMBER)[1] == {}
    assert ask(case.fitted, case.windows(0, 0), NUMBER, "monte_carlo_dropout")[1] == {}


def test_a_calibrated_forecast_is_as_sure_as_the_rule_says():
    from mlcore.calibration import calibrate

    label = direction(BARS, 3, 0.004)
    run = walk_forward(BARS, Linear(), label=label, features=FEATURES, folds=WalkForward(200, 40), confidence="entropy")
    made = calibrate(run.forecasts, label, BARS.index, fewest_rows=40, confidence="entropy")
    corrected = made.forecasts[made.forecasts["fold"] > 1]
    raw = corrected[list(label.task.outputs)].to_numpy()
    expected = confidence_rule("entropy", label.task)(Views(raw, label.task, corrected["signal"].to_numpy()))
    np.testing.assert_allclose(corrected["confidence"], expected)
    scale = ReturnScale(0.01, 0.01)
    assert scale.residual == 0.01
