"""A walk-forward whose folds are fitted as one batch."""

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from mlcore.features import feature_table
from mlcore.folds import WalkForward
from mlcore.labels import direction, forward_return
from mlcore.models.linear import Linear
from mlcore.models.tcn import TCN
from mlcore.walkforward import walk_forward, walk_forward_seeds
from tests.conftest import random_bars

BARS = random_bars(520, seed=3)
FEATURES = feature_table(BARS, ["close_pct_change", ("volatility", {"window": 10}), "rsi"])
LABEL = direction(BARS, horizon=2, threshold=0.005)
MODEL = TCN(lookback=9, width=8, epochs=3, precision="double")


def walked(model=MODEL, **options):
    options = {"label": LABEL, "features": FEATURES, "folds": WalkForward(train=250, test=60)} | options
    return walk_forward(BARS, model, **options)


def numbers(run):
    return run.forecasts.select_dtypes("number")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"folds": WalkForward(train=200, test=70, expanding=True)},
        {"label": forward_return(BARS, 2)},
        {"shuffle_labels": True, "seed": 5},
        {"incremental": 25},
    ],
    ids=lambda options: next(iter(options), "plain"),
)
def test_a_batched_walk_forward_forecasts_what_one_fold_after_another_does(options):
    one, batched = walked(**options), walked(batched=True, **options)
    np.testing.assert_allclose(numbers(batched), numbers(one), atol=1e-6)
    pd.testing.assert_series_equal(one.forecasts["trained_through"], batched.forecasts["trained_through"])
    for fold, other in zip(one.folds, batched.folds, strict=True):
        same = set(fold) - {"seconds", "curve"}
        assert {name: fold[name] for name in same} == {name: other[name] for name in same}
        assert other["seconds"] > 0
        curves = [[point["validation"] for point in which["curve"]] for which in (fold, other)]
        np.testing.assert_allclose(*curves, rtol=1e-6)


def test_all_seeds_in_one_batch_are_the_runs_of_each():
    options = {"label": LABEL, "features": FEATURES, "folds": WalkForward(train=250, test=60)}
    runs = walk_forward_seeds(BARS, MODEL, seeds=(0, 7), **options)
    assert not runs[0].forecasts["signal"].equals(runs[1].forecasts["signal"])
    for run, seed in zip(runs, (0, 7), strict=True):
        np.testing.assert_allclose(numbers(run), numbers(walked(seed=seed)), atol=1e-6)


def test_a_fold_that_cannot_be_fitted_leaves_the_batch():
    calm = BARS.copy()
    for name in ("open", "high", "low", "close"):
        calm[name] = calm[name].where(np.arange(len(calm)) >= 262, 100.0)
    options = {"label": direction(calm, horizon=2, threshold=0.005)}
    one, batched = walked(**options), walked(batched=True, **options)
    assert "one class only" in batched.folds[0]["note"]
    assert [fold["note"] for fold in one.folds] == [fold["note"] for fold in batched.folds]
    np.testing.assert_allclose(numbers(batched), numbers(one), atol=1e-6)
    with pytest.raises(BarwiseError, match="No fold could be fitted"):
        walked(batched=True, label=direction(BARS, horizon=2, threshold=0.9))


def test_dropout_in_a_batch_is_told():
    run = walked(TCN(lookback=9, width=8, epochs=1, dropout=0.2), batched=True)
    assert any("Dropout in a batch draws other numbers" in note for note in run.notes)
    assert walked(batched=True).notes == ()


def test_a_batch_goes_into_the_store_like_one_by_one(tmp_path):
    from mlcore.store import forecast_from_store

    run = walked(batched=True, store=tmp_path / "store")
    again = forecast_from_store(tmp_path / "store", BARS, FEATURES)
    np.testing.assert_array_equal(again.loc[run.forecasts.index, "signal"], run.forecasts["signal"])


def test_what_cannot_be_batched_is_refused_before_anything_is_fitted():
    with pytest.raises(BarwiseError, match="`batched` is for networks .* Linear is none"):
        walked(Linear(), batched=True)
    with pytest.raises(BarwiseError, match="each waits for the one before"):
        walked(batched=True, warm_start=True)
    with pytest.raises(BarwiseError, match="Linear is none"):
        walk_forward_seeds(BARS, Linear(), seeds=(0,), label=LABEL, features=FEATURES, folds=WalkForward(250, 60))
