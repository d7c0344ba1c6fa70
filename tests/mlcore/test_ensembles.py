from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mlcore.calibration import calibrate
from mlcore.checks.laws import changed
from mlcore.combiners import Stack, combine, efficiency_ratio
from mlcore.ensembles import combine_tracks
from mlcore.errors import BarwiseError, LookAheadError
from mlcore.features import feature_table
from mlcore.folds import WalkForward
from mlcore.forecasts import ReturnScale, check_forecasts
from mlcore.labels import direction, forward_return
from mlcore.models.linear import Linear
from mlcore.models.naive import Naive
from mlcore.walkforward import walk_forward
from tests.conftest import random_bars

N = 560
FOLDS = WalkForward(train=200, test=60, latency=2)  # the models know less than the rule that combines them
RECIPES = ["close_pct_change", ("volatility", {"window": 10}), "rsi", "log_return"]
LABELS = {
    "classes": lambda bars: direction(bars, 2, 0.005),
    "returns": lambda bars: forward_return(bars, 2),
    "two horizons": lambda bars: forward_return(bars, (2, 4), quantiles=(0.1, 0.5, 0.9)),
}
MODELS = {"linear": Linear(), "naive": Naive("last_return"), "slow": Linear(lookback=4, shrinkage=1.0)}
RULES = {"average": {}, "vote": {}, "stack": {}, "meta": {"steps": 20}, "regime_stack": {"sideways": ("naive", "slow")}}


def world(bars, kind):
    """Label, features and the tracks of three models, whose folds lie apart: their lookbacks differ."""
    label, features = LABELS[kind](bars), feature_table(bars, RECIPES)
    runs = {
        name: walk_forward(bars, model, label=label, features=features, folds=FOLDS) for name, model in MODELS.items()
    }
    return label, features, {name: run.forecasts for name, run in runs.items()}


@pytest.fixture(scope="module", params=sorted(LABELS))
def made(request):
    bars = random_bars(N, seed=7)
    return bars, request.param, *world(bars, request.param)


def combined(bars, label, features, tracks, rule, **options):
    return combine_tracks(
        tracks, label, bars.index, rule=rule, features=features, fewest_rows=40, **RULES[rule] | options
    )


@pytest.mark.parametrize("rule", sorted(RULES))
def test_other_bars_after_a_cut_change_nothing_before_it(made, rule):
    bars, kind, label, features, tracks = made
    whole = combined(bars, label, features, tracks, rule)
    check_forecasts(whole, bars)
    assert whole["signal"].notna().all()
    assert whole["disagreement"].between(0, 1).all()
    for cut in (bars.index.get_loc(whole.index[0]) + 75, 480, N - 1):
        other_bars = changed(bars, slice(cut, None), 2.0)
        other = combined(other_bars, *world(other_bars, kind), rule)
        before = whole.index < bars.index[cut]
        assert before.sum() > 60
        pd.testing.assert_frame_equal(whole[before], other[before], check_exact=True)


def test_a_rule_is_fitted_on_earlier_folds_whose_labels_had_ended_and_says_so(made, monkeypatch):
    bars, _, label, features, tracks = made
    seen = []
    real = Stack.fit

    def fit(self, raw, y, task, market, split=None):
        seen.append((raw, y, split))
        return real(self, raw, y, task, market, split)

    monkeypatch.setattr(Stack, "fit", fit)
    others = np.zeros(2, dtype=int)
    for latency in (0, 3):
        seen.clear()
        whole = combined(bars, label, features, tracks, "stack", latency=latency)
        folds = [part for _, part in whole.groupby("fold")]
        assert len(seen) == len(folds) - 1  # the first one has no past
        common = [track.loc[whole.index] for track in tracks.values()]
        raw = np.stack([track[list(label.task.outputs)].to_numpy() for track in common], axis=1)
        rows = bars.index.get_indexer(whole.index)
        for part, (told, y, split) in zip(folds[1:], seen, strict=True):
            first = bars.index.get_loc(part.index[0])
            past = label.ends[rows] + latency < first
            np.testing.assert_array_equal(told, raw[past])
            np.testing.assert_array_equal(y, label.values[rows[past]])
            older, newer = split
            assert label.ends[rows[past]][older].max() < rows[past][newer[0]]
            through = bars.index[label.ends[rows[past]].max()]
            models = pd.concat([track.loc[part.index, "trained_through"] for track in common], axis=1).max(axis=1)
            assert part["trained_through"].eq(models.where(models > through, through)).all()
            others += np.array([(models < through).sum(), (models > through).sum()])
            assert (part["trained_through"] < part.index).all()
    assert (others > 0).all()  # the case tells the rule's fit from the models'


def test_the_outputs_are_the_tracks_in_the_weights_of_the_past(made):
    bars, _, label, features, tracks = made
    whole = combined(bars, label, features, tracks, "stack", shrinkage=1.0)
    rows, outputs = bars.index.get_indexer(whole.index), list(label.task.outputs)
    raw = np.stack([track.loc[whole.index, outputs].to_numpy() for track in tracks.values()], axis=1)
    last = (whole["fold"] == whole["fold"].max()).to_numpy()
    past = label.ends[rows] < rows[last][0]
    rule = Stack(1.0)
    rule.fit(raw[past], label.values[rows[past]], label.task, np.empty((past.sum(), 0)))
    assert np.ptp(rule.weights_M) > 0.05
    weights = rule.weights(raw, label.task, np.empty((len(raw), 0)))
    expected = combine(raw, weights, label.task)
    np.testing.assert_allclose(whole.loc[last, outputs], expected[last])
    if label.task.kind != "classes":
        middle = expected[:, 1 if label.task.quantiles else 0]  # of the leading horizon
        scale = ReturnScale.of(middle[past], label.parts()[0].values[rows[past]])
        np.testing.assert_allclose(whole.loc[last, "signal"], np.tanh(middle[last] / scale.spread))
    first = (whole["fold"] == whole["fold"].min()).to_numpy()
    np.testing.assert_allclose(whole.loc[first, outputs], raw[first].mean(axis=1))
    signals = np.stack([track.loc[whole.index, "signal"] for track in tracks.values()], axis=1)
    np.testing.assert_allclose(whole["disagreement"], signals.std(axis=1))
    np.testing.assert_allclose(whole.loc[first, "signal"], signals[first].mean(axis=1))


def test_the_stamps_are_those_that_all_tracks_have_and_silence_is_kept(made):
    bars, _, label, features, tracks = made
    assert len({track.index[0] for track in tracks.values()}) > 1
    tracks = {name: track.copy() for name, track in tracks.items()}
    gone = tracks["naive"].index[100]
    tracks["naive"].loc[gone, [*label.task.outputs, "signal", "confidence"]] = np.nan
    whole = combined(bars, label, features, tracks, "vote")
    assert whole.index[0] == max(track.index[0] for track in tracks.values())
    assert whole.index[-1] == bars.index[-1]
    silent = whole["signal"].isna()
    assert whole.index[silent].tolist() == [gone]
    assert whole.loc[gone, ["confidence", "disagreement", label.task.outputs[0]]].isna().all()


def test_the_regime_is_that_of_the_market(made):
    bars, _, label, features, tracks = made
    whole = combined(bars, label, features, tracks, "regime_stack", regime_window=12, trend=0.3)
    moves = features["close_pct_change"].to_numpy()
    rows = bars.index.get_indexer(whole.index)
    ratio = efficiency_ratio(np.stack([moves[row - 11 : row + 1] for row in rows]))
    output = label.task.outputs[-1]
    said = {name: track.loc[whole.index, output].to_numpy() for name, track in tracks.items()}
    expected = np.where(np.abs(ratio) >= 0.3, said["linear"], 0.5 * (said["naive"] + said["slow"]))
    assert 0.05 < (np.abs(ratio) >= 0.3).mean() < 0.95
    np.testing.assert_allclose(whole[output], expected)


def test_a_vote_of_one_mind_is_a_tenth_surer(made):
    bars, kind, label, features, tracks = made
    if kind == "classes":
        plain, surer = (combined(bars, label, features, tracks, "vote", bonus=bonus) for bonus in (0.0, 0.1))
        ratio = (surer["confidence"] / plain["confidence"]).dropna()
        assert set(ratio.round(9)) == {1.0, 1.1}
        calibrate(surer, label, bars.index, fewest_rows=50)  # forecasts like any other


def test_agreement_may_be_the_rule_of_confidence(made):
    bars, kind, label, features, tracks = made
    whole = combined(bars, label, features, tracks, "average", confidence="ensemble_agreement")
    assert not whole["confidence"].equals(combined(bars, label, features, tracks, "average")["confidence"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rule": "linear"}, "`rule` is 'linear', which is one model; ensembles are average, meta, regime_stack"),
        ({"rule": "stakc"}, "Did you mean 'stack'"),
        ({"rule": "stack", "shrinkag": 1.0}, "Did you mean 'shrinkage'"),
        ({"rule": "stack", "members": ("a",)}, "the members are the tracks"),
        ({"rule": "average", "weights": (1.0,)}, "3 numbers, one a member"),
        ({"rule": "average", "sideways": ("naive",)}, "has no members for sideways"),
        ({"rule": "regime_stack"}, "name some of the tracks"),
        ({"rule": "regime_stack", "sideways": ("naiv",)}, "`sideways` names 'naiv', which is no track"),
        ({"rule": "meta"}, "`features` are missing: Meta looks at the market"),
        ({"confidence": "monte_carlo_dropout"}, "needs a network"),
    ],
)
def test_what_cannot_be_is_refused(made, options, said):
    bars, _, label, _, tracks = made
    with pytest.raises(BarwiseError, match=said):
        combine_tracks(tracks, label, bars.index, **options)


def test_tracks_that_are_no_forecasts_of_this_label_are_refused(made):
    bars, _, label, features, tracks = made
    good = tracks["linear"]
    cases = [
        ({}, "`tracks` is empty"),
        ({"a": good, "b": good.drop(columns=label.task.outputs[0])}, "'b' lacks"),
        ({"a": good.iloc[::-1]}, "'a' is not in time"),
        ({"a": good.iloc[:50], "b": good.iloc[60:]}, "no stamp in common"),
        ({"a": good.set_axis(good.index + pd.Timedelta("1min"))}, "no bars of `index`"),
    ]
    for wrong, said in cases:
        with pytest.raises(BarwiseError, match=said):
            combine_tracks(wrong, label, bars.index)
    with pytest.raises(LookAheadError):
        combine_tracks({"a": good.assign(trained_through=good.index)}, label, bars.index)
    with pytest.raises(BarwiseError, match="not on `index`"):
        combine_tracks(tracks, label, bars.index, rule="meta", features=features.iloc[1:])
    with pytest.raises(BarwiseError, match="`features` are not known at"):
        combine_tracks(tracks, label, bars.index, rule="meta", features=features * np.nan)


def test_a_past_row_without_a_label_teaches_nothing(made):
    bars, _, label, features, tracks = made
    values = label.values.copy()
    values[bars.index.get_indexer(tracks["slow"].index)[20:30]] = np.nan
    for rule in ("stack", "meta"):
        whole = combined(bars, replace(label, values=values), features, tracks, rule)
        assert whole["signal"].notna().all()
        assert not whole.equals(combined(bars, label, features, tracks, rule))
