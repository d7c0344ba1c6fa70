"""Negative controls of the whole chain: a leak anywhere in it must be caught."""

import functools

import numpy as np
import pytest

from mlcore.checks import BrokenLawError, forecasts_are_blind_to_later_bars, sample_bars
from mlcore.features import feature_table
from mlcore.folds import WalkForward
from mlcore.labels import direction, forward_return
from mlcore.models.linear import Linear
from mlcore.scaling import Scaler

BARS = sample_bars(420)
RETURN = functools.partial(forward_return, horizon=2)  # its scale comes from the newest rows, the ones to purge
LABEL = functools.partial(direction, horizon=2, threshold=0.005)


def honest(bars):
    return feature_table(bars, ["close_pct_change", "rsi"])


def leaky(bars):
    table = honest(bars)
    return table.assign(next_close=bars["close"].pct_change().shift(-1).fillna(0.0))


def ranked_over_all(bars):
    return honest(bars).rank(pct=True)


class PeeksAtTheNextRow(Linear):
    def predict(self, windows):
        raw = super().predict(windows)
        after = np.minimum(windows.rows + 1, len(windows.table) - 1)
        raw[:, -1] += 1e-3 * windows.table[after, 0]
        return raw


def held(model=None, features=honest, label=LABEL, cuts=(300, 330)):
    forecasts_are_blind_to_later_bars(
        model or Linear(), BARS, features=features, label=label, folds=WalkForward(250, 60), cuts=cuts
    )


def test_an_honest_chain_passes():
    held(cuts=(5, 300, 419))
    held(label=RETURN, cuts=(265, 266))


@pytest.mark.parametrize("features", [leaky, ranked_over_all])
def test_a_leaky_feature_is_caught(features):
    with pytest.raises(BrokenLawError, match="change forecasts before them"):
        held(features=features)


def test_a_leaky_model_is_caught():
    with pytest.raises(BrokenLawError, match="change forecasts before them"):
        held(PeeksAtTheNextRow())


def test_a_scaler_fitted_on_test_rows_is_caught(monkeypatch):
    monkeypatch.setattr("mlcore.refit._scalers", scaled_over_the_block)
    with pytest.raises(BrokenLawError, match="change forecasts before them"):
        held()


def scaled_over_the_block(shared, fold, train):
    return {0: Scaler().fit(shared.table[train[0] : fold.test[-1] + 1])}


def test_a_purge_that_is_too_short_is_caught(monkeypatch):
    """Labels that had not ended are trained on: a change after the cut reaches the model that forecasts before it."""

    def split_without_purge(self, index, ends, rows=None, moments=None):
        return unpurged(self, index, moments, rows, moments)

    unpurged = WalkForward.split
    monkeypatch.setattr(WalkForward, "split", split_without_purge)
    with pytest.raises(BrokenLawError):
        held(label=RETURN, cuts=(265, 266))


def silent(bars):
    table = honest(bars)
    table.iloc[266:] = np.nan  # just enough to train on
    return table


def test_nothing_to_compare_is_no_pass():
    with pytest.raises(BrokenLawError, match="no signal"):
        held(features=silent)
