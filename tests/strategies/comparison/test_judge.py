import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from mlcore.forecasts import make_forecasts
from mlcore.labels import direction
from strategies.comparison.judge import judge
from tests.conftest import random_bars

BARS = random_bars(1200, seed=1)
LABEL = direction(BARS, 2, 0.0)
INDEX = pd.DatetimeIndex(BARS.index)


def told(p_up: np.ndarray, first: int = 0) -> pd.DataFrame:
    raw = np.c_[1 - p_up, p_up]
    before = INDEX[0] - pd.Timedelta("1D")
    return make_forecasts(raw, LABEL.task, index=INDEX, fold=0, trained_through=before).iloc[first:]


def skilled(skill: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).random(1200)
    return 0.5 + 0.2 * np.where(noise < skill, 1, -1) * np.where(np.nan_to_num(LABEL.values) == 1, 1, -1)


def judged(forecasts, **more):
    return judge(forecasts, LABEL, INDEX, baselines=("naive", "linear"), resamples=200, **more)


FORECASTS = {
    "naive": told(np.full(1200, 0.5)),
    "linear": told(skilled(0.5, 1)),
    "good": told(skilled(0.75, 2)),
    "noise": told(skilled(0.5, 3)),
}


def test_only_what_the_corrected_test_finds_is_better():
    found = judged(FORECASTS)
    assert found.superiority["naive"].better == ("good",)
    assert "good" in found.superiority["linear"].better
    assert "noise" not in found.superiority["linear"].better
    assert list(found.metrics) == list(FORECASTS)
    less = found.differences["good"]["naive"]["log_loss"]
    assert less.high < 0 and less.value == pytest.approx(
        found.metrics["good"]["log_loss"].value - found.metrics["naive"]["log_loss"].value
    )
    assert found.differences["naive"]["naive"]["log_loss"].low == 0
    assert found.n == 1197 and found.days == 50 and found.block >= LABEL.span


def test_shuffled_labels_are_a_rival_and_no_candidate():
    shuffled = told(skilled(0.9, 7))
    found = judge(
        FORECASTS | {"shuffled_label": shuffled}, LABEL, INDEX, baselines=("naive", "shuffled_label"), resamples=200
    )
    assert "shuffled_label" not in found.superiority["naive"].better
    assert found.superiority["shuffled_label"].better == ()


def test_all_are_judged_on_the_rows_that_all_forecast():
    late = told(skilled(0.75, 2), first=40)
    found = judged(FORECASTS | {"late": late})
    assert found.n == 1157 and found.left_out == {}
    assert found.metrics["late"]["log_loss"].value == found.metrics["good"]["log_loss"].value


def test_a_model_that_forecasts_few_bars_is_left_out_and_said_so():
    found = judged(FORECASTS | {"late": told(skilled(0.75, 2), first=400)})
    assert found.n == 1197 and "late" not in found.metrics
    assert "797" in found.left_out["late"] and "1,197" in found.left_out["late"]


def test_jobs_change_nothing():
    assert judged(FORECASTS, n_jobs=2) == judged(FORECASTS)


def test_nothing_to_judge_is_refused():
    silent = told(np.full(1200, np.nan))
    with pytest.raises(BarwiseError, match="nothing to judge"):
        judged({"a": silent})
    with pytest.raises(BarwiseError, match="nothing to judge"):
        judged({})
