"""What ensembles share: who is fitted on which rows, what the combiner may learn from, and what forecasts tell."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone

from mlcore.checks.models import TASKS, Case
from mlcore.combiners import Stack as StackRule
from mlcore.combiners import ridge_weights
from mlcore.confidence import Views, confidence_rule
from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.features import feature_table, table_for
from mlcore.folds import WalkForward
from mlcore.labels import direction, forward_return
from mlcore.models.average import Average
from mlcore.models.linear import Linear
from mlcore.models.meta import Meta
from mlcore.models.naive import Naive
from mlcore.models.regime_stack import RegimeStack
from mlcore.models.stack import Stack
from mlcore.models.vote import Vote
from mlcore.store import forecast_from_store, load_fold
from mlcore.store.state import StoreError, in_and_out
from mlcore.walkforward import walk_forward
from mlcore.windows import Windows
from tests.conftest import random_bars

CLASSES, NUMBER, QUANTILES = TASKS
SPAN = 4
TABLE = np.random.default_rng(0).standard_normal((600, 2)).astype(np.float32)
MOVE = 0.01 * TABLE[:, 0].astype(np.float64) + 0.01 * np.random.default_rng(1).standard_normal(600)
TRAIN, HELD = np.arange(20, 400), np.arange(400 + SPAN, 480)
BARS = random_bars(520, seed=5)
RECIPES = ["close_pct_change", ("volatility", {"window": 10}), "rsi", "log_return"]
FEATURES = feature_table(BARS, RECIPES)
FOLDS = WalkForward(train=300, test=90)
ENSEMBLES = [Average, Vote, Stack, RegimeStack, Meta]


class Says(BaseEstimator):
    """Says one column of the newest bar, times `factor`, and remembers what it was fitted on."""

    fits: dict = {}

    def __init__(self, column=0, factor=0.01, lookback=1, seed=0):
        self.column, self.factor, self.lookback, self.seed = column, factor, lookback, seed

    def fit(self, windows, y, *, task, validation=None):
        type(self).fits[self.column] = {
            "rows": windows.rows, "y": y, "validation": validation, "lookback": windows.lookback, "seed": self.seed,
            "names": getattr(self, "feature_names_in_", None), "table": windows.table, "windows": windows,
        }  # fmt: skip
        return self

    def predict(self, windows):
        assert windows.lookback == self.lookback
        return self.factor * windows.last[:, [self.column]].astype(np.float64)


class Asks(Says):
    own_features = ("rsi",)
    clocks = ("5x",)


class AsksMore(Says):
    own_features = ("rsi", "macd_signal")
    clocks = ("1h", "5x")


class Unstorable(Says):
    """Has no `get_state`."""


def windows(rows, lookback):
    return Windows(TABLE, rows, lookback)


def fitted(model, task=NUMBER, y=MOVE, held=HELD):
    lookback = model.lookback
    return model.fit(
        windows(TRAIN, lookback), y[TRAIN], task=task, validation=(windows(held, lookback), y[held])
    )  # fmt: skip


def test_members_learn_from_older_rows_and_stop_by_newer_ones_all_before_those_the_combiner_learns_from():
    fitted(Stack(members=(Says(0, lookback=3), Says(1, lookback=7))))
    for column, lookback in ((0, 3), (1, 7)):
        seen = Says.fits[column]
        stop, y_stop = seen["validation"]
        assert seen["lookback"] == stop.lookback == lookback
        assert stop.rows.tolist() == TRAIN[-57:].tolist()
        assert seen["rows"].tolist() == TRAIN[stop.rows[0] > TRAIN + SPAN].tolist()
        np.testing.assert_array_equal(seen["y"], MOVE[seen["rows"]])
        np.testing.assert_array_equal(y_stop, MOVE[stop.rows])


def test_members_are_told_when_each_row_is(monkeypatch):
    """Two symbols one below the other, each with 300 rows: members see the clock, in fit, in stopping and after."""
    seen = []
    real = Says.predict
    monkeypatch.setattr(Says, "predict", lambda self, made: [seen.append(made), real(self, made)][1])
    clock = np.arange(600) % 300
    rows, held = (np.flatnonzero((clock >= a) & (clock < b)) for a, b in ((20, 200), (200 + SPAN, 240)))
    made, judged = (Windows(TABLE, each, 3, clock[each]) for each in (rows, held))
    Stack(members=(Says(0, lookback=3), Says(1))).fit(made, MOVE[rows], task=NUMBER, validation=(judged, MOVE[held]))
    for column in (0, 1):
        fit, (stop, _) = Says.fits[column], Says.fits[column]["validation"]
        for told in (fit["windows"], stop, *seen):
            np.testing.assert_array_equal(told.moments, clock[told.rows])
        assert fit["windows"].moments.max() < stop.moments.min() and len(stop) > 50
    assert len(seen) == 2


def test_the_window_is_the_longest_members():
    model = Average(members=(Says(0, lookback=3), Says(1, lookback=7)))
    assert model.lookback == 7
    assert RegimeStack(members=(Says(0),), sideways=Says(1), regime_window=11).lookback == 11
    assert Average(("lstm:light", "linear")).lookback == 20


def test_weights_are_those_of_the_held_out_rows_and_of_no_other():
    model = fitted(Stack(members=(Says(0), Says(1)), shrinkage=1.0))
    x = 0.01 * TABLE[HELD].astype(np.float64)
    expected = ridge_weights(x, MOVE[HELD], 1.0)
    assert expected[0] > 0.7
    np.testing.assert_allclose(model.combiner_.weights_M, expected)
    other = MOVE.copy()
    other[TRAIN] = -MOVE[TRAIN][::-1]  # these members learn nothing: the weights must be the same
    np.testing.assert_array_equal(fitted(clone(model), y=other).combiner_.weights_M, model.combiner_.weights_M)
    rows = np.arange(500, 600)
    np.testing.assert_allclose(model.predict(windows(rows, 1))[:, 0], 0.01 * TABLE[rows].astype(np.float64) @ expected)


@pytest.mark.parametrize("kind", ENSEMBLES)
def test_without_held_out_rows_members_count_alike_and_those_that_would_learn_say_so_once(kind):
    model = kind(members=(Linear(), Linear(shrinkage=1.0)))
    if kind is RegimeStack:
        model.set_params(column=0, sideways="linear")
    made = windows(TRAIN[30:], model.lookback)
    for nothing in (None, (windows(HELD[:0], model.lookback), MOVE[HELD[:0]])):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(made, MOVE[made.rows], task=NUMBER, validation=nothing)
        said = [str(w.message) for w in caught if issubclass(w.category, BarwiseWarning)]
        assert len(said) == (kind in (Stack, Meta))
        assert all("weighs its members alike" in text for text in said)
    if kind in (Stack, Meta, Average):
        mean = np.mean([member.predict(made) for member in model.members_], axis=0)
        np.testing.assert_allclose(model.predict(made), mean)


def test_held_out_rows_in_any_order_give_the_same_ensemble():
    for kind in (Stack, Meta):
        one = fitted(kind(members=(Says(0), Says(1))))
        other = fitted(kind(members=(Says(0), Says(1))), held=HELD[::-1])
        rows = windows(np.arange(500, 600), 1)
        np.testing.assert_allclose(one.predict(rows), other.predict(rows), atol=1e-12)


def test_the_gate_stops_by_the_newest_held_out_rows_purged(monkeypatch):
    seen = {}

    def fit(self, raw, y, task, market, split=None):
        seen.update(raw=raw, y=y, market=market, split=split)

    monkeypatch.setattr("mlcore.gating.Gate.fit", fit)
    fitted(Meta(members=(Says(0), Says(1))))
    older, newer = seen["split"]
    n = len(HELD)
    assert newer.tolist() == list(range(n - round(0.3 * n), n))
    assert older.tolist() == list(range(newer[0] - SPAN))
    np.testing.assert_array_equal(seen["y"], MOVE[HELD])
    np.testing.assert_array_equal(seen["market"], TABLE[HELD])
    np.testing.assert_allclose(seen["raw"][:, :, 0], 0.01 * TABLE[HELD], rtol=1e-6)


def test_disagreement_is_the_deviation_of_the_members_own_signals():
    model = fitted(Average(members=(Says(0), Says(1, factor=0.03))))
    rows = np.arange(500, 600)
    raw, disagreement = model.predict_with_disagreement(windows(rows, 1))
    factor = np.array([0.01, 0.03])
    spread = (TABLE[HELD] * factor).astype(np.float64).std(axis=0)
    signals = np.tanh(TABLE[rows] * factor / spread)
    np.testing.assert_allclose(disagreement, signals.std(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(raw, model.predict(windows(rows, 1)))
    empty = model.predict_with_disagreement(windows(rows[:0], 1))
    assert [part.shape for part in empty] == [(0, 1), (0,)]


def test_disagreement_of_classes_is_the_deviation_of_expected_scores():
    case = Case(Average(members=(Linear(), Linear(lookback=4))), CLASSES)
    raw = [member.predict(Windows(case.table, case.windows().rows, member.lookback)) for member in case.fitted.members_]
    scores = np.stack([each @ np.array(CLASSES.scores) for each in raw], axis=1)
    np.testing.assert_allclose(case.fitted.predict_with_disagreement(case.windows())[1], scores.std(axis=1))


def test_what_the_walk_forward_tells_reaches_the_members_and_each_has_a_seed_of_its_own():
    seeds = []
    for seed in (3, 3, 4):
        model = Average(members=(Says(0), Says(1)), seed=seed)
        model.feature_names_in_ = ("a", "b")
        fitted(model)
        assert Says.fits[0]["names"] == ("a", "b")
        seeds.append((Says.fits[0]["seed"], Says.fits[1]["seed"]))
    assert seeds[0] == seeds[1]
    assert len({*seeds[0], *seeds[2]}) == 4


def test_an_ensemble_asks_for_what_its_members_ask_for():
    model = Average(members=(Asks(0), AsksMore(1), Linear()))
    assert model.own_features == ("rsi", "macd_signal")
    assert model.clocks == ("5x", "1h")
    assert Average(members=(Linear(),)).own_features == Average(members=(Linear(),)).clocks == ()
    assert RegimeStack(members=(Asks(0),), sideways="linear").own_features == ("close_pct_change", "rsi")
    assert "close_pct_change" in table_for(RegimeStack(), BARS, ("log_return",))


MIXED = (Naive("last_return", column=0), Linear())


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_members_that_want_raw_rows_stand_beside_members_that_want_scaled_ones(task):
    assert Average(members=MIXED[:1]).scaled is False
    assert Average(members=MIXED[1:]).scaled is True
    case = Case(Average(members=MIXED), task)
    case.table[:] = 5.0 + 3.0 * case.table
    assert case.model.scaled is False
    naive, linear = case.fitted.members_
    mean, deviation = case.table[: 700 - 140].mean(axis=0), case.table[: 700 - 140].std(axis=0)
    scaled = Windows(((case.table - mean) / deviation).astype(np.float32), case.windows().rows, 1)
    expected = 0.5 * naive.predict(case.windows()) + 0.5 * linear.predict(scaled)
    np.testing.assert_allclose(case.forecast, expected, atol=1e-4 * np.abs(expected).max())
    for again in (
        pickle.loads(pickle.dumps(case.fitted)),
        case.fresh(case.fitted).set_state(in_and_out(case.fitted.get_state())),
    ):
        np.testing.assert_array_equal(again.predict(case.windows()), case.forecast)


def walked(model, label=None, **options):
    label = forward_return(BARS, 2) if label is None else label
    return walk_forward(BARS, model, label=label, features=FEATURES, folds=FOLDS, **options)


NESTED = Stack(members=(Average(members=(Linear(), "naive")), Vote(members=("linear", Linear(shrinkage=1.0)))))


@pytest.mark.parametrize("label", [forward_return(BARS, 2), direction(BARS, 2, 0.005)], ids=["returns", "classes"])
@pytest.mark.parametrize("model", [NESTED, Average(members=MIXED)], ids=["nested", "mixed"])
def test_forecasts_tell_disagreement_and_come_again_from_the_store(model, label, tmp_path):
    run = walked(model, label, store=tmp_path / "store", confidence="ensemble_agreement")
    frame = run.forecasts
    assert frame["disagreement"].between(0, 1).all()
    assert frame["disagreement"].max() > 0
    raw = frame[list(label.task.outputs)].to_numpy()
    more = {"disagreement": frame["disagreement"].to_numpy()}
    views = Views(raw, label.task, frame["signal"].to_numpy(), **more)
    np.testing.assert_allclose(frame["confidence"], confidence_rule("ensemble_agreement", label.task)(views))
    again = forecast_from_store(tmp_path / "store", BARS, FEATURES)
    pd.testing.assert_frame_equal(again, frame, check_exact=True, check_freq=False)
    loaded = load_fold(tmp_path / "store" / run.folds[0]["stored"]).model
    assert [type(member) for member in loaded.member_models()] == [type(member) for member in model.member_models()]


def test_a_row_that_may_not_be_traded_has_no_disagreement():
    features = FEATURES.copy()
    features.iloc[400, 0] = np.nan
    run = walk_forward(
        BARS, Average(members=("linear", "naive")), label=forward_return(BARS, 2), features=features, folds=FOLDS
    )
    silent = run.forecasts["signal"].isna()
    assert silent.sum() == 1
    assert run.forecasts["disagreement"].isna().equals(silent)


def test_a_member_that_cannot_be_stored_is_refused_before_anything_is_fitted(tmp_path):
    with pytest.raises(StoreError, match="Unstorable cannot be stored"):
        walked(Average(members=("linear", Unstorable())), store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_vote_is_a_tenth_surer_where_all_agree():
    label = direction(BARS, 2, 0.005)
    members = (Linear(), Linear(shrinkage=1.0), "naive")
    plain, vote = (walked(Vote(members=members, bonus=bonus), label).forecasts for bonus in (0.0, 0.1))
    ratio = (vote["confidence"] / plain["confidence"]).dropna()
    assert set(ratio.round(9)) == {1.0, 1.1}
    same = [column for column in plain if column != "confidence"]
    assert plain[same].equals(vote[same])


def test_the_regime_says_who_speaks():
    table = TABLE.copy()
    table[500:520, 0] = np.where(np.arange(20) < 10, 1.0, (-1.0) ** np.arange(20))
    model = RegimeStack(members=(Says(0),), sideways=(Says(1), Says(1, 0.03)), regime_window=5, column=0)
    model = fitted(model)
    made = Windows(table, np.array([508, 519]), 5)
    raw = model.predict(made)[:, 0]
    np.testing.assert_allclose(raw, [0.01 * table[508, 0], 0.02 * table[519, 1]], rtol=1e-6)
    named = RegimeStack(members=(Says(0),), sideways=Says(1), regime_window=5, column="move")
    named.feature_names_in_ = ("other", "move")
    assert named.market(made).tolist() == model.set_params(column=1).market(made).tolist()


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            RegimeStack(members=(Says(0),), sideways=Says(1), column="mvoe", regime_window=5),
            "`column` is 'mvoe'.*Did you mean 'move'",
        ),
        (RegimeStack(members=(Says(0),), sideways=Says(1), column=7, regime_window=5), "number 0..1"),
        (RegimeStack(members=(Says(0),), sideways=Says(1), column=0, regime_window=1), "`regime_window` is 1"),
        (Average(members=(Says(0), Says(1)), weights=(1.0,)), "must be 2 numbers, one a member"),
        (Vote(members=(Says(0), Says(1)), bonus=-0.1), "`bonus` is -0.1"),
        (Stack(members=()), "`members` is"),
    ],
)
def test_what_cannot_be_is_refused(model, said):
    Says.fits.clear()
    with pytest.raises(BarwiseError, match=said):
        model.feature_names_in_ = ("other", "move")
        fitted(model)
    assert Says.fits == {}  # before any member is fitted


def test_a_name_that_speaks_in_both_regimes_is_refused_and_one_member_alone_is_told():
    with pytest.raises(BarwiseError, match="names 'hybrid' twice"):
        RegimeStack(members=("tcn", "hybrid")).member_models()
    Average(members=(Linear(seed=1), Linear(seed=2))).check_task(NUMBER)  # models may be alike
    with pytest.warns(BarwiseWarning, match="`members` names one model, 'linear'"):
        Vote(members="linear").check_task(NUMBER)


def test_an_ensemble_explains_itself_by_the_weights_of_its_members():
    told = fitted(Average(members=(Says(0), Says(1)), weights=(3, 1))).explain(windows(HELD, 1))["member_weights"]
    assert told.index.tolist() == ["Says (1)", "Says (2)"] and told.columns.tolist() == ["mean"]
    assert told["mean"].tolist() == [0.75, 0.25]
    model = fitted(RegimeStack(members=(Says(0),), sideways=Linear(), column=0, regime_window=5))
    told = model.explain(windows(HELD, 5))["member_weights"]
    assert told.columns.tolist() == ["mean", "least", "most"] and told.index.tolist() == ["Says", "Linear"]
    assert told[["least", "most"]].to_numpy().tolist() == [[0, 1], [0, 1]] and told["mean"].sum() == pytest.approx(1)


def test_weights_given_are_used():
    model = fitted(Average(members=(Says(0), Says(1)), weights=(3, 1)))
    rows = np.arange(500, 600)
    expected = 0.01 * TABLE[rows].astype(np.float64) @ np.array([0.75, 0.25])
    np.testing.assert_allclose(model.predict(windows(rows, 1))[:, 0], expected)


def test_what_a_combiner_is_fitted_on_was_known_before_the_block(monkeypatch):
    """In the walk-forward: every label that weights were learnt from had ended before the fold's first bar."""
    told = []
    real = StackRule.fit

    def fit(self, raw, y, *args, **options):
        told.append(y)
        return real(self, raw, y, *args, **options)

    monkeypatch.setattr(StackRule, "fit", fit)
    label = forward_return(BARS, 2)
    run = walked(Stack(members=("linear", "naive")), label)
    assert len(told) == len(run.folds)
    for y, fold in zip(told, run.folds, strict=True):
        rows = np.flatnonzero(np.isin(label.values, y))
        assert len(rows) == len(y) == fold["n_validation"]
        assert BARS.index[label.ends[rows].max()] <= fold["trained_through"] < fold["test_start"]


@pytest.mark.parametrize("label", [forward_return(BARS, 2), direction(BARS, 2, 0.005)], ids=["returns", "classes"])
def test_a_hybrid_speaks_in_sideways_markets(label, tmp_path):
    model = RegimeStack(members=("linear",), sideways="hybrid", regime_window=12)
    features = table_for(model, BARS, ("rsi", "high_low_range"))
    assert {"close_pct_change", "log_return"} <= set(features)
    run = walk_forward(BARS, model, label=label, features=features, folds=FOLDS, store=tmp_path / "store")
    assert run.forecasts["signal"].notna().all()
    again = forecast_from_store(tmp_path / "store", BARS, features)
    pd.testing.assert_frame_equal(again, run.forecasts, check_exact=True, check_freq=False)
