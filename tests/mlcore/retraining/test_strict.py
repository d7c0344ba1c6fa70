"""Bar by bar from what was shown: the same models, the same forecasts, and the same again after a stop."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from mlcore.features import feature, feature_table
from mlcore.folds import WalkForward
from mlcore.forecasts import check_forecasts
from mlcore.labels import direction, forward_return, triple_barrier
from mlcore.models import make_model
from mlcore.plugins import FEATURES
from mlcore.retraining import Decayed, Drifted, RetrainedWalk, StrictWalk
from mlcore.store import StoreError
from mlcore.store.state import pack
from tests.conftest import random_bars

FEATURES_HERE = ["log_return", "rsi", "volatility"]
BARS = random_bars(420, seed=6).drop(random_bars(420, seed=6).index[300:306])
MODELS = {
    "linear": make_model("linear", lookback=3),
    "lightgbm": make_model("lightgbm", lookback=2, n_estimators=5),
    "tcn": make_model("tcn", lookback=13, levels=2, width=4, epochs=1),
}
FOLDS = WalkForward(train=120, test=70, latency=2)
LABEL = partial(direction, horizon=3)


def old(now):
    return "30 bars old" if now.bars_live >= 30 else None


def strict(model="linear", folds=FOLDS, label=LABEL, **options):
    return StrictWalk(MODELS[model], label=label, features=FEATURES_HERE, folds=folds, **options)


def shown(one, bars=BARS, first=0):
    return [one.show(bars.index[row], bars.iloc[row].to_dict()) for row in range(first, len(bars))]


def batched(model="linear", folds=FOLDS, label=LABEL, **options):
    table = feature_table(BARS, FEATURES_HERE)
    one = RetrainedWalk(BARS, MODELS[model], label=label(BARS), features=table, folds=folds, **options)
    return one, [one.step(row) for row in range(len(BARS))]


def events(one):
    return [replace(retrain, seconds=0.0) for retrain in one.retrains]


CALENDARS = [FOLDS, WalkForward(train="5D", test="3D", latency=1), WalkForward(train=100, test=90, expanding=True)]


CASES = [*zip(["linear", "lightgbm", "tcn"], CALENDARS, strict=True), ("linear", CALENDARS[1]), ("tcn", FOLDS)]


@pytest.mark.parametrize(("model", "folds"), CASES)
def test_it_says_what_the_batched_walk_says_and_fits_when_it_does(model, folds):
    label = partial(forward_return, horizon=3) if model == "lightgbm" else LABEL
    one, (other, wanted) = strict(model, folds, label, rules=old), batched(model, folds, label, rules=old)
    said = shown(one)
    assert events(one) == events(other) and len(one.retrains) > 5
    assert [each and each.fold for each in said] == [each and each.fold for each in wanted]
    pairs = [(each[:2], each_wanted[:2]) for each, each_wanted in zip(said, wanted, strict=True) if each]
    found, wanted_numbers = np.array(pairs).transpose(1, 0, 2)
    np.testing.assert_allclose(found, wanted_numbers, atol=2e-5)
    assert np.isnan(found[:, 0]).any() and np.isfinite(found[:, 0]).sum() > 200


EARLY = partial(triple_barrier, horizon=8, profit=0.01, stop=0.01)  # one bar settles the labels of many
SOON = partial(direction, horizon=1, entry="close")


@pytest.mark.parametrize("label", [EARLY, SOON], ids=["early", "soon"])
@pytest.mark.parametrize("folds", [WalkForward(100, 60), FOLDS, WalkForward("4D", 70, latency=1)], ids=repr)
def test_blocks_open_and_forecasts_settle_when_those_of_the_batched_walk_do(label, folds):
    heard = {"strict": [], "batched": []}
    one = strict(label=label, folds=folds, rules=lambda now: heard["strict"].append(now.hits.tolist()))
    shown(one)
    other, _ = batched(label=label, folds=folds, rules=lambda now: heard["batched"].append(now.hits.tolist()))
    assert events(one) == events(other) and len(one.retrains) > 3
    assert heard["strict"] == heard["batched"] and max(map(len, heard["strict"])) > 30


@pytest.mark.parametrize("folds", CALENDARS, ids=repr)
def test_whether_a_block_opens_is_asked_where_one_may(folds, monkeypatch):
    asked, openings = [], WalkForward.openings
    monkeypatch.setattr(WalkForward, "openings", lambda *given: [asked.append(1), openings(*given)][1])
    one = strict(folds=folds)
    shown(one)
    assert len(asked) <= len(one.retrains) + LABEL(BARS).span + 1  # of 414 bars


def spied(monkeypatch, what):
    """What of every fit, in strict mode and batched, is to be the same."""
    from mlcore import refit

    seen = {"strict": [], "walk": []}
    for where, kept in seen.items():

        def fitted(shared, fold, start=None, kept=kept):
            rows, made = refit.fitted(shared, fold, start)
            kept.append(what(rows, made, start))
            return rows, made

        monkeypatch.setattr(f"mlcore.retraining.{where}.fitted", fitted)
    return seen


def rows_of(rows, *_):
    return rows.windows.table.tobytes(), rows.y.tobytes()


def test_models_are_fitted_on_the_same_rows_bit_for_bit(monkeypatch):
    seen = spied(monkeypatch, rows_of)
    shown(strict())
    batched()
    assert seen["strict"] == seen["walk"] and len(seen["strict"]) > 3


WARM = {
    "lightgbm": make_model("lightgbm", lookback=2, n_estimators=60, patience=5),
    "tcn": MODELS["tcn"],
}


@pytest.mark.parametrize("model", WARM)
@pytest.mark.parametrize("stored", [False, True])
def test_warm_starts_fit_the_same_models_bit_for_bit(model, stored, monkeypatch, tmp_path):
    seen = spied(monkeypatch, lambda rows, made, start: (start is not None, pack(made.get_state())))
    monkeypatch.setitem(MODELS, model, WARM[model])
    one = strict(model, rules=old, warm_start=True, store=tmp_path if stored else None)
    said = shown(one)
    other, wanted = batched(model, rules=old, warm_start=True)
    assert seen["strict"] == seen["walk"]
    assert [begun for begun, _ in seen["strict"]] == [False] + [True] * (len(one.retrains) - 1)
    assert events(one) == events(other) and len(one.retrains) > 5
    pairs = [(each[:2], each_wanted[:2]) for each, each_wanted in zip(said, wanted, strict=True) if each]
    np.testing.assert_allclose(*np.array(pairs).transpose(1, 0, 2), atol=2e-5)
    cold = shown(strict(model, rules=old))
    assert repr(cold) != repr(said)


class Resumed:
    """A run that stops after bar `k`, and is taken up again from its state as JSON."""

    def __init__(self, folder, k, bars=BARS, **options):
        before = strict(store=folder, **options)
        self.said = shown(before, bars.iloc[:k])
        state = json.loads(json.dumps(before.state(), allow_nan=False))
        self.after = strict(store=folder, **options)
        self.after.resume(state)
        replayed = shown(self.after, bars.iloc[:k])
        live = before._live_row
        if live is not None:
            assert repr(replayed[live:]) == repr(self.said[live:])
        assert all(each is None for each in replayed[: k if live is None else live])
        self.said += [self.after.show(bars.index[row], bars.iloc[row].to_dict()) for row in range(k, len(bars))]


BOTH = {"rules": [old, Decayed(newest=5, before=12)]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    whole = strict(store=folder, **BOTH)
    return folder, whole, shown(whole)


@pytest.mark.parametrize("k", [1, 60, 172, 173, 304, 410])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(undisturbed, tmp_path, k):
    folder, whole, said = undisturbed
    stopped = Resumed(tmp_path, k, **BOTH)
    assert repr(stopped.said) == repr(said)  # to the bit
    assert events(stopped.after) == events(whole)
    names = [sorted(path.name for path in where.glob("fold-*")) for where in (folder, tmp_path)]
    assert names[0] == names[1]
    pd.testing.assert_frame_equal(stopped.after.forecasts, whole.forecasts, check_exact=True)


def test_a_stop_while_a_new_model_is_trained_loses_nothing(tmp_path):
    whole = strict(store=tmp_path / "whole", rules=old, folds=WalkForward(train=120, test=1000, latency=9))
    said = shown(whole)
    decided = BARS.index.get_loc(whole.retrains[1].decided)
    for k in (decided + 1, decided + 5, decided + 10, decided + 11):
        again = Resumed(tmp_path / str(k), k, rules=old, folds=WalkForward(train=120, test=1000, latency=9))
        assert repr(again.said) == repr(said) and events(again.after) == events(whole)


def test_a_rule_that_remembers_is_shown_again_what_came_since_the_model_went_live(tmp_path):
    pytest.importorskip("river")
    options = {"rules": Drifted(share=0.0), "folds": WalkForward(train=120, test=1000)}
    whole = strict(store=tmp_path / "whole", **options)
    said = shown(whole)
    asked = [retrain for retrain in whole.retrains if "drift" in retrain.reason]
    assert asked
    k = BARS.index.get_loc(asked[0].decided) - 3
    again = Resumed(tmp_path / "again", k, **options)
    assert repr(again.said) == repr(said) and events(again.after) == events(whole)


def test_a_warm_started_run_goes_on_from_the_weights_it_had(tmp_path, monkeypatch):
    from mlcore import refit

    def failing(shared, fold, start=None):
        if fold.number == 2:
            raise BarwiseError("too little came")  # the next one starts from the one before
        return refit.fitted(shared, fold, start)

    monkeypatch.setattr("mlcore.retraining.strict.fitted", failing)
    options = {"model": "tcn", "warm_start": True}
    whole = strict(store=tmp_path / "whole", **options)
    said = shown(whole)
    failed = BARS.index.get_loc(whole.retrains[2].live)
    assert len(whole.retrains) > 3 and whole.retrains[2].note
    for k in (125, failed - 20, failed + 20):
        again = Resumed(tmp_path / str(k), k, **options)
        assert repr(again.said) == repr(said) and events(again.after) == events(whole)


EXTRA = BARS.assign(mood=np.random.default_rng(5).normal(size=len(BARS)), rate=np.arange(len(BARS)) % 8 / 1e4)


@pytest.fixture
def mood():
    """A feature that reads columns of its own."""

    def mood(bars, window=3):
        told = np.asarray(bars["mood"]) + np.asarray(bars["rate"])
        sums = np.convolve(told, np.ones(window))[: len(told)]
        return pd.Series(np.where(np.arange(len(told)) < window - 1, np.nan, sums), bars.index)

    FEATURES.register("mood", feature(mood))
    yield
    FEATURES._entries.pop("mood")


def test_columns_besides_prices_and_volume_are_read(mood, tmp_path, monkeypatch):
    recipes = [*FEATURES_HERE, "mood_window4"]
    seen = spied(monkeypatch, rows_of)
    one = StrictWalk(MODELS["linear"], label=LABEL, features=recipes, folds=FOLDS, rules=old)
    said = shown(one, EXTRA)
    table = feature_table(EXTRA, recipes)
    other = RetrainedWalk(EXTRA, MODELS["linear"], label=LABEL(EXTRA), features=table, folds=FOLDS, rules=old)
    wanted = [other.step(row) for row in range(len(EXTRA))]
    assert seen["strict"] == seen["walk"] and events(one) == events(other) and len(one.retrains) > 3
    pairs = [(each[:2], each_wanted[:2]) for each, each_wanted in zip(said, wanted, strict=True) if each]
    np.testing.assert_allclose(*np.array(pairs).transpose(1, 0, 2), atol=2e-5)
    monkeypatch.setattr(f"{__name__}.FEATURES_HERE", recipes)
    assert repr(Resumed(tmp_path, 222, bars=EXTRA, rules=old).said) == repr(said)
    with pytest.raises(BarwiseError, match="lacks mood"):
        one.show(BARS.index[-1] + pd.Timedelta("1h"), BARS.iloc[-1].to_dict() | {"rate": 0.0})


class Asks:
    """Asks once, as the calendar is about to; remembers when it was asked."""

    def __init__(self):
        self.rows = []

    def __call__(self, now):
        self.rows.append(now.row)
        return "65 bars old" if now.bars_live == 65 else None


@pytest.mark.parametrize("after", [67, 72])  # bars since the first model: the calendar opens a block after 70
def test_rules_are_asked_again_of_the_bars_that_they_were_asked_of(tmp_path, after):
    options = {"rules": Asks(), "folds": replace(FOLDS, latency=9)}
    first = strict(store=tmp_path / "first", **options)
    shown(first, BARS.iloc[:160])
    k = BARS.index.get_loc(first.retrains[0].live) + after + 1
    before = strict(store=tmp_path / "again", **options)
    shown(before, BARS.iloc[:k])
    assert before._pending is not None and len(before.retrains) == 1 + (after > 70)
    again = strict(store=tmp_path / "again", **options)
    again.resume(before.state())
    shown(again, BARS.iloc[:k])
    assert again.rules[0].rows == [row for row in before.rules[0].rows if row >= before._live_row]


def test_a_fold_that_fails_is_silent_and_stays_so_after_a_stop(tmp_path, monkeypatch):
    from mlcore import refit

    def failing(shared, fold, start=None):
        if fold.number == 1:
            raise BarwiseError("too little came")
        return refit.fitted(shared, fold, start)

    monkeypatch.setattr("mlcore.retraining.strict.fitted", failing)
    monkeypatch.setattr("mlcore.retraining.walk.fitted", failing)
    one = strict(store=tmp_path / "whole")
    said, (other, _) = shown(one), batched()
    assert events(one) == events(other) and one.retrains[1].note == "too little came"
    silent = [each for each in said if each is not None and each.fold == 1]
    assert len(silent) == 70 and all(np.isnan(each.signal) for each in silent)
    k = BARS.index.get_loc(one.retrains[1].live) + 5
    assert repr(Resumed(tmp_path / "again", k).said) == repr(said)


def test_its_forecasts_pass_the_guard():
    one = strict()
    shown(one)
    check_forecasts(one.forecasts, BARS)
    assert list(one.forecasts.columns) == ["signal", "confidence", "p_down", "p_flat", "p_up", "disagreement", "fold",
                                           "trained_through"]  # fmt: skip
    assert strict().forecasts.empty


def test_what_cannot_go_on_is_refused(tmp_path):
    one = strict(store=tmp_path)
    shown(one, BARS.iloc[:200])
    state = one.state()
    with pytest.raises(BarwiseError, match="not later than the last bar"):
        one.show(BARS.index[199], BARS.iloc[199].to_dict())
    with pytest.raises(BarwiseError, match="no bar was shown"):
        one.resume(state)
    with pytest.raises(BarwiseError, match="`warm_start` is asked for and Linear cannot"):
        strict(warm_start=True)
    for walk in (strict, batched):
        with pytest.raises(BarwiseError, match="`incremental` is '1D': under a clock"):
            walk(incremental="1D")
    with pytest.raises(BarwiseError, match="`store` is not given"):
        strict().state()
    with pytest.raises(StoreError, match="`options` is .* before the stop"):
        strict(store=tmp_path, seed=7).resume(state)
    with pytest.raises(StoreError, match="`folds` is .* before the stop"):
        strict(store=tmp_path, folds=WalkForward(train=120, test=71)).resume(state)
    other = strict(store=tmp_path)
    other.resume(state)
    changed = BARS.copy()
    changed.iloc[3, 3] *= 1.0001
    with pytest.raises(StoreError, match="not those shown before the stop"):
        shown(other, changed.iloc[:200])


def test_a_run_is_not_taken_up_over_other_values_of_further_columns(tmp_path):
    bars = BARS.head(130).assign(funding_rate=0.0001)
    folds = WalkForward(train=60, test=30)
    one = strict(folds=folds, store=tmp_path)
    shown(one, bars)
    state = json.loads(json.dumps(one.state()))
    for rate, same in ((0.0001, True), (0.0002, False)):
        again = strict(folds=folds, store=tmp_path)
        again.resume(state)
        other = bars.assign(funding_rate=np.r_[[0.0001] * 129, rate])
        if same:
            shown(again, other)
        else:
            with pytest.raises(StoreError, match="are not those shown before the stop"):
                shown(again, other)
