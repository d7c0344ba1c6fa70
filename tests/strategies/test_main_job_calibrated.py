"""Calibrated forecasts in the main job: what is traded, what is kept, and what was known when."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from strategies import main_job
from strategies.config import StudyConfig
from strategies.output import result_json
from strategies.policy import target_weights
from tests.conftest import random_bars


@pytest.fixture(scope="module")
def bars_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("bars") / "bars.parquet"
    random_bars(1500, seed=3).to_parquet(path)
    return path


def real(bars_file, **settings: Any) -> Any:
    settings = {"train": "600", "test": "200", "n_jobs": 1, "engine": "vectorbt", **settings}
    return main_job.run_study(StudyConfig(bars=str(bars_file), out="o", **settings))


@pytest.mark.parametrize(
    ("flags", "measure"),
    [({"calibration": "platt"}, "brier_score"), ({"label": "return", "interval": 0.7}, "coverage")],
)
def test_calibrated_forecasts_are_traded_and_the_raw_ones_kept(bars_file, flags, measure):
    without = {"label": flags.get("label", "direction")}
    plain_study, study = (real(bars_file, sizer="confidence", **given) for given in (without, flags))
    pd.testing.assert_frame_equal(study.raw, plain_study.forecasts, check_exact=True)
    assert plain_study.raw is None and plain_study.reliability["after"] is None
    again = target_weights(study.forecasts, random_bars(1500, seed=3), sizer="confidence")
    pd.testing.assert_series_equal(study.results["vectorbt"].weights, again, check_names=False, check_freq=False)
    assert not again.equals(plain_study.results["vectorbt"].weights)
    assert (study.forecasts["trained_through"] < study.forecasts.index).all()
    told = study.reliability
    assert told["method"] == flags.get("calibration", "conformal")
    assert told["before"]["n"] == told["after"]["n"] < plain_study.reliability["before"]["n"]
    assert told["before"][measure] != told["after"][measure]
    assert study.folds[0]["n_calibration"] == 0 and study.folds[0]["calibrated_through"] is None
    assert any("left as forecast" in note for note in study.notes)
    assert json.loads(json.dumps(result_json(study)))["reliability"]["after"]["n"] == told["after"]["n"]


def test_calibrated_rows_know_the_bars_their_correction_was_fitted_on(bars_file, monkeypatch):
    """The last bar that a past label touched: span 6, latency 3; the model itself is made to know none of them."""
    study = real(bars_file, calibration="temperature", latency=3)
    index = random_bars(1500, seed=3).index
    for fold in study.folds:
        rows = study.forecasts[study.forecasts["fold"] == fold["fold"]]
        first = index.get_loc(rows.index[0])
        through = index[first - 1 - 3]  # of the model and of the correction: a label that ended there may be learned
        assert set(rows["trained_through"]) == {through}
        assert fold["trained_through"] == through
        past = study.raw.loc[: index[first - 1 - 3 - 6], "signal"].notna().sum()  # rows whose label had ended
        assert fold["n_calibration"] == (past if past >= 200 else 0)
        assert fold["calibrated_through"] == (through if past >= 200 else None)


def test_no_calibrated_forecast_knows_a_later_bar(tmp_path):
    """Bars from a cut on are changed: nothing before it moves, bit for bit."""
    bars = random_bars(1500, seed=3)
    cut = 1290
    other = bars.copy()
    other.iloc[cut:, :4] *= np.linspace(1.5, 3.0, 1500 - cut)[:, None]
    studies = []
    for number, one in enumerate((bars, other)):
        one.to_parquet(tmp_path / f"{number}.parquet")
        studies.append(real(tmp_path / f"{number}.parquet", calibration="isotonic"))
    before, after = (study.forecasts.loc[: bars.index[cut - 1]] for study in studies)
    assert studies[0].folds[2]["n_calibration"] > 0 and studies[0].folds[2]["test_start"] < bars.index[cut]
    pd.testing.assert_frame_equal(before, after, check_exact=True)
    assert not studies[0].forecasts.equals(studies[1].forecasts)


@pytest.mark.parametrize("flags", [{"calibration": "platt", "label": "return"}, {"interval": 0.8}])
def test_a_calibration_that_the_label_has_no_use_for_is_refused_before_the_training(bars_file, monkeypatch, flags):
    monkeypatch.setattr(main_job, "walk_forward", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(BarwiseError, match="`(calibration|interval)` is"):
        real(bars_file, **flags)
