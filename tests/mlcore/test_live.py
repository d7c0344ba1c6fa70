"""What is forecast bar by bar is what the walk-forward would have forecast at once."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarsError, BarwiseError, LookAheadError
from mlcore.features import feature_table, table_for
from mlcore.folds import WalkForward
from mlcore.labels import direction, forward_return
from mlcore.live import LiveForecaster
from mlcore.models import make_model
from mlcore.store import forecast_from_store, load_fold
from mlcore.walkforward import walk_forward
from tests.conftest import random_bars

N, K = 900, 600  # bars; of them known when the model went live
FEATURES = ["log_return", "rsi", "volatility", "bollinger_width", "time_of_day"]
BARS = random_bars(N, seed=11).drop(random_bars(N, seed=11).index[700:712]).iloc[: N - 20]  # a gap of 12 bars


def stored(folder, model, label=direction, features=FEATURES, **options):
    """One fitted fold, and what the store forecasts with it at once from bar K on."""
    past = BARS.iloc[: K + 1]
    table = table_for(model, BARS, features)
    walk_forward(
        past, model, label=label(past, 3), features=table_for(model, past, features),
        folds=WalkForward(train=200, test=1000), store=folder / "store", **options,
    )  # fmt: skip
    (path,) = (folder / "store").glob("fold-*")
    return load_fold(path), forecast_from_store(path, BARS, table, start=BARS.index[K])


def bars_of(row):
    return BARS.index[row], BARS.iloc[row].to_dict()


CASES = {
    "tcn": {"levels": 2, "width": 8, "epochs": 1},
    "lstm": {"width": 8, "epochs": 1},
    "transformer": {"width": 8, "layers": 1, "epochs": 1},
    "bilstm": {"width": 8, "epochs": 1},
    "multiscale_lstm_cnn": {"lookback": 60, "convolutions": 1, "width": 8, "epochs": 1},
    "linear": {},
    "lightgbm": {"n_estimators": 10},
    "naive": {"rule": "reversal", "column": "log_return"},
}


@pytest.mark.parametrize("label", [direction, forward_return], ids=["classes", "return"])
@pytest.mark.parametrize("name", CASES)
def test_bar_by_bar_and_all_at_once_agree(tmp_path, name, label):
    given = {"lookback": 20} | CASES[name] if name != "naive" else CASES[name]
    fold, at_once = stored(tmp_path, make_model(name, **given), label)
    live = LiveForecaster(fold, BARS.iloc[:K], FEATURES)
    rows = range(K, K + 60) if "multiscale" in name else range(K, len(BARS))
    said = [live.step(*bars_of(row)) for row in rows]
    wanted = at_once.iloc[: len(said)]
    found = np.array([(one.signal, one.confidence) for one in said])
    np.testing.assert_allclose(found, wanted[["signal", "confidence"]], atol=2e-5)
    np.testing.assert_allclose([one.outputs for one in said], wanted[list(fold.task.outputs)], rtol=1e-4, atol=2e-5)
    assert [one.stamp for one in said] == list(wanted.index)
    assert {one.trained_through for one in said} == set(wanted["trained_through"])
    if "multiscale" not in name and name != "naive":  # the gap silences as many bars as the walk-forward says
        assert 10 < np.isnan(found[:, 0]).sum() < 100


def test_a_long_gap_before_it_goes_live_is_waited_out_too(tmp_path):
    fold, at_once = stored(tmp_path, make_model("linear", lookback=20))
    start = 705  # five bars after the gap
    live = LiveForecaster(fold, BARS.iloc[:start], FEATURES)
    found = [live.step(*bars_of(row)).signal for row in range(start, start + 60)]
    np.testing.assert_allclose(found, at_once["signal"].iloc[start - K :][:60], atol=2e-5)
    assert np.isnan(found).any() and np.isfinite(found).any()


@pytest.mark.parametrize("gap", [3, 4])
@pytest.mark.parametrize("start", [K, 640])
def test_a_gap_as_long_as_is_allowed_silences_nothing_and_one_longer_does(tmp_path, monkeypatch, gap, start):
    holes = random_bars(N, seed=11)
    monkeypatch.setattr(f"{__name__}.BARS", holes.drop(holes.index[632 : 632 + gap]))  # before, or after it goes live
    fold, at_once = stored(tmp_path, make_model("linear", lookback=20))
    assert fold.record["max_gap"] == 3
    live = LiveForecaster(fold, BARS.iloc[:start], FEATURES)
    found = [live.step(*bars_of(row)).signal for row in range(start, 720)]
    np.testing.assert_allclose(found, at_once["signal"].iloc[start - K :][: 720 - start], atol=2e-5)
    assert np.isnan(found).any() == (gap > 3)


def test_a_confidence_rule_of_the_run_holds_here_too(tmp_path):
    fold, at_once = stored(tmp_path, make_model("linear", lookback=4), confidence="entropy")
    live = LiveForecaster(fold, BARS.iloc[:K], FEATURES)
    found = [live.step(*bars_of(row)).confidence for row in range(K, K + 40)]
    np.testing.assert_allclose(found, at_once["confidence"].iloc[:40], atol=1e-6)


def live_linear(tmp_path):
    return LiveForecaster(stored(tmp_path, make_model("linear", lookback=4))[0], BARS.iloc[:K], FEATURES)


def test_bars_the_model_was_trained_through_are_refused(tmp_path):
    fold, _ = stored(tmp_path, make_model("linear", lookback=4))
    through = BARS.index.get_loc(pd.Timestamp(fold.record["trained_through"]))
    live = LiveForecaster(fold, BARS.iloc[:through], FEATURES)
    with pytest.raises(LookAheadError, match="trained through"):
        live.step(*bars_of(through))


@pytest.mark.parametrize(
    ("stamp", "change", "said"),
    [
        (K - 1, {}, "not later than the last bar"),
        (K, {"high": 1.0}, "high"),
        (K, {"close": np.nan}, "close"),
        (K, {"volume": -1.0}, "volume"),
    ],
)
def test_what_is_no_next_bar_is_refused_and_leaves_no_trace(tmp_path, stamp, change, said):
    live, other = live_linear(tmp_path), live_linear(tmp_path / "other")
    _, bar = bars_of(K)
    with pytest.raises(BarsError, match=said):
        live.step(BARS.index[stamp], bar | change)
    assert live.step(*bars_of(K)).signal == other.step(*bars_of(K)).signal


def test_stamps_without_zone_and_bars_without_a_column_are_refused(tmp_path):
    live = live_linear(tmp_path)
    stamp, bar = bars_of(K)
    with pytest.raises(BarsError, match="no time zone"):
        live.step(stamp.tz_localize(None), bar)
    with pytest.raises(BarsError, match="lacks volume"):
        live.step(stamp, {name: value for name, value in bar.items() if name != "volume"})


def test_other_features_than_the_fold_s_are_refused(tmp_path):
    fold, _ = stored(tmp_path, make_model("linear", lookback=4))
    with pytest.raises(BarwiseError, match="same recipes"):
        LiveForecaster(fold, BARS.iloc[:K], FEATURES[::-1])
    with pytest.raises(BarwiseError, match="lookback"):
        LiveForecaster(dataclasses.replace(fold, model=fold.model.set_params(lookback=10_000)), BARS.iloc[:K], FEATURES)


def test_bars_of_another_interval_are_refused(tmp_path):
    fold, _ = stored(tmp_path, make_model("linear", lookback=4))
    with pytest.raises(BarwiseError, match="was fitted on bars 0 days 01:00:00 apart"):
        LiveForecaster(fold, random_bars(N, seed=11, interval="2h"), FEATURES)


def test_the_past_before_it_goes_live_is_not_changed(tmp_path):
    fold, _ = stored(tmp_path, make_model("linear", lookback=4))
    past = BARS.iloc[:K].copy()
    live = LiveForecaster(fold, past, FEATURES)
    live.step(*bars_of(K))
    pd.testing.assert_frame_equal(past, BARS.iloc[:K])
    assert list(feature_table(past, FEATURES).columns) == list(fold.record["features"])


def test_slow_clocks_are_given_as_many_more_bars(tmp_path, monkeypatch):
    monkeypatch.setattr("mlcore.live.KEEP", 40)
    model = make_model("multiscale_lstm_cnn", lookback=60, convolutions=1, width=8, epochs=1)
    fold, at_once = stored(tmp_path, model)
    live = LiveForecaster(fold, BARS.iloc[:K], FEATURES)
    found = [live.step(*bars_of(row)).signal for row in range(K, K + 30)]
    np.testing.assert_allclose(found, at_once["signal"].iloc[:30], atol=2e-3)  # an RSI begun 40 long bars ago
    with pytest.raises(BarwiseError, match="too few for the feature '"):
        LiveForecaster(fold, BARS.iloc[K - 100 : K], FEATURES)


def test_an_own_feature_that_is_spelled_otherwise_is_one_feature(tmp_path):
    features = [("log_return", {}), "rsi"]
    fold, at_once = stored(tmp_path, make_model("garch_lstm", lookback=12, width=8, epochs=1), features=features)
    live = LiveForecaster(fold, BARS.iloc[:K], features)
    assert live.step(*bars_of(K)).signal == pytest.approx(at_once["signal"].iloc[0], abs=2e-5)


def test_stamps_off_the_grid_texts_and_paths_are_refused(tmp_path):
    live = live_linear(tmp_path)
    stamp, bar = bars_of(K)
    with pytest.raises(BarsError, match="off the grid"):
        live.step(stamp + pd.Timedelta("7min"), bar)
    with pytest.raises(BarsError, match="text where a number belongs"):
        live.step(stamp, bar | {"close": "101.5"})
    with pytest.raises(BarwiseError, match="load_fold"):
        LiveForecaster(tmp_path, BARS.iloc[:K], FEATURES)
    assert live.step(str(stamp), bar).stamp == stamp
