from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from mlcore.errors import BarwiseError
from mlcore.features import feature_table
from mlcore.folds import WalkForward
from mlcore.forecasts import check_forecasts
from mlcore.labels import direction, forward_return
from mlcore.models.lightgbm import LightGBM
from mlcore.models.linear import Linear
from mlcore.models.naive import Naive
from mlcore.models.tcn import TCN
from mlcore.refit import curve_of
from mlcore.walkforward import walk_forward
from tests.conftest import random_bars

BARS = random_bars(700, seed=3)
FEATURES = feature_table(BARS, ["close_pct_change", ("volatility", {"window": 10}), "rsi"])
LABEL = direction(BARS, horizon=2, threshold=0.005)
FOLDS = WalkForward(train=300, test=60)


def walked(model=None, **options):
    options = {"label": LABEL, "features": FEATURES, "folds": FOLDS} | options
    return walk_forward(options.pop("bars", BARS), model or Linear(), **options)


@pytest.mark.parametrize("label", [LABEL, forward_return(BARS, 2)], ids=["classes", "returns"])
@pytest.mark.parametrize("model", [Linear(lookback=3), LightGBM(n_estimators=8)], ids=["linear", "lightgbm"])
def test_one_job_and_two_give_the_same_bytes(model, label, tmp_path):
    for jobs in (1, 2):
        walked(model, label=label, n_jobs=jobs, seed=11).forecasts.to_parquet(tmp_path / f"{jobs}.parquet")
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


def test_every_bar_from_the_first_test_on_has_one_row_and_is_later_than_its_training():
    run = walked()
    assert run.forecasts.index.equals(BARS.index[BARS.index >= run.folds[0]["test_start"]])
    check_forecasts(run.forecasts, BARS)
    assert run.forecasts["fold"].is_monotonic_increasing
    assert list(run.forecasts)[2:5] == list(LABEL.task.outputs)
    assert run.forecasts["signal"].notna().all()  # also the first bars of a block: their past is there
    assert run.notes == ()


def test_a_fold_says_what_it_was():
    run = walked()
    first = run.folds[0]
    start = BARS.index.get_loc(first["test_start"])
    assert BARS.index.get_loc(first["trained_through"]) == start - 1  # purged by the span, not by a bar more
    assert first["n_train"] == 300
    assert first["n_validation"] == 45
    assert (first["n_test"], first["n_forecasts"], first["note"]) == (60, 60, None)
    assert first["test_end"] == BARS.index[start + 59]
    assert first["seconds"] > 0
    assert [fold["fold"] for fold in run.folds] == list(range(len(run.folds)))
    assert sum(fold["n_test"] for fold in run.folds) == len(run.forecasts)
    assert walked(LightGBM(n_estimators=5)).folds[0]["best_epoch"][0] <= 5


def test_against_a_slow_clear_reference():
    """All over again for one test block, with nothing but sklearn and the law."""
    run, table, span = walked(), FEATURES.to_numpy(), LABEL.span
    for number in (0, 3):
        test = np.flatnonzero(BARS.index.isin(run.forecasts.index[run.forecasts["fold"] == number]))
        legal = [i for i in range(len(BARS)) if np.isfinite(table[i]).all() and i + span < test[0]][-300:]
        held_out = legal[-45:]
        train = [i for i in legal[:-45] if i + span < held_out[0]]
        mean, deviation = table[train].mean(axis=0), table[train].std(axis=0)
        scaled = ((table - mean) / deviation).astype(np.float32).astype(np.float64)
        model = LogisticRegression(C=1 / (0.01 * len(train)), max_iter=300).fit(scaled[train], LABEL.values[train])
        expected = model.predict_proba(scaled[test])
        found = run.forecasts.loc[BARS.index[test], list(LABEL.task.outputs)]
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_returns_scale_comes_from_the_rows_held_out():
    label = forward_return(BARS, 2)
    run = walked(label=label)
    prediction = run.forecasts["expected_return"]
    scale = prediction / np.arctanh(run.forecasts["signal"])
    assert (scale.groupby(run.forecasts["fold"]).std() < 1e-9).all()  # one scale a fold, from before its block
    assert scale.groupby(run.forecasts["fold"]).mean().nunique() == len(run.folds)


def test_a_window_across_a_gap_is_not_traded_and_a_label_across_it_not_trained_on():
    hole = 480  # five bars are missing before this row
    stamps = BARS.index + pd.to_timedelta(np.where(np.arange(len(BARS)) >= hole, 5, 0), unit="h")
    bars = BARS.set_axis(stamps)
    features = FEATURES.set_axis(stamps)
    features.attrs["memory"] = 10
    lookback = 4
    run = walked(Linear(lookback=lookback), bars=bars, features=features)
    silent = np.flatnonzero(bars.index.isin(run.forecasts.index[run.forecasts["signal"].isna()]))
    assert silent.tolist() == list(range(hole, hole + lookback + 10 - 1))
    allowed = walked(Linear(lookback=lookback), bars=bars, features=features, max_gap=5)
    assert allowed.forecasts["signal"].notna().all()
    across = LABEL.span + lookback + 10 - 1  # labels that reach over the hole, windows that look back over it
    after = next(fold for fold in run.folds if fold["test_start"] > stamps[hole + 20])
    usual = next(fold for fold in allowed.folds if fold["test_start"] > stamps[hole + 20])
    rows = [bars.index.get_loc(fold["train_start"]) for fold in (after, usual)]
    starts = [bars.index.get_loc(fold["test_start"]) for fold in (after, usual)]
    assert (starts[0] - rows[0]) - (starts[1] - rows[1]) == across


def test_a_table_that_lost_its_memory_on_the_way_is_silent_after_a_gap_all_the_same():
    hole = 480
    stamps = BARS.index + pd.to_timedelta(np.where(np.arange(len(BARS)) >= hole, 5, 0), unit="h")
    bars = BARS.set_axis(stamps)
    first, second = (feature_table(bars, [name]) for name in ("close_pct_change", ("volatility", {"window": 10})))
    lost = pd.concat([first, second], axis=1)
    assert "memory" not in lost.attrs
    whole = feature_table(bars, ["close_pct_change", ("volatility", {"window": 10})])
    silent = [walked(bars=bars, features=table).forecasts["signal"].isna() for table in (whole, lost)]
    assert silent[0].sum() == whole.attrs["memory"] > 1
    pd.testing.assert_series_equal(*silent)
    slow = pd.concat([first, feature_table(bars, ["rsi"])], axis=1)  # recursive: its warm-up counts, to be safe
    warm_up = int(slow["rsi"].isna().sum())
    assert walked(bars=bars, features=slow).forecasts["signal"].isna().sum() == warm_up > first.attrs["memory"]


def test_the_first_rows_have_no_whole_window_though_their_features_are_known():
    features = feature_table(BARS, ["time_of_day", "high_low_range"])
    run = walked(Linear(lookback=5), features=features)
    assert run.notes == ()
    assert run.folds[0]["train_start"] == BARS.index[4]


def test_progress_is_told_of_every_fold():
    told = []
    run = walked(progress=lambda *args: told.append(args))
    n = len(run.folds)
    assert [done for done, _, _ in told] == list(range(1, n + 1))
    assert {total for _, total, _ in told} == {n}
    assert all(seconds > 0 for _, _, seconds in told)


def test_another_seed_gives_other_forecasts_where_a_model_draws():
    forecasts = [walked(LightGBM(n_estimators=8), seed=seed).forecasts["signal"] for seed in (1, 1, 2)]
    assert forecasts[0].equals(forecasts[1])
    assert not forecasts[0].equals(forecasts[2])


def test_shuffled_labels_are_the_same_labels_in_another_order():
    plain, shuffled = walked(Naive()), walked(Naive(), shuffle_labels=True)
    again, other = walked(shuffle_labels=True), walked(shuffle_labels=True, seed=1)
    assert not walked().forecasts.equals(again.forecasts)
    assert again.forecasts.equals(walked(shuffle_labels=True).forecasts)
    assert not again.forecasts.equals(other.forecasts)
    # The prior of all rows is kept; inner training and validation rows trade places.
    assert np.abs(plain.forecasts["p_up"] - shuffled.forecasts["p_up"]).max() < 0.06
    assert plain.forecasts["trained_through"].equals(shuffled.forecasts["trained_through"])


def test_a_model_may_be_named():
    assert walked("linear").forecasts.equals(walked(Linear()).forecasts)


def test_a_rule_finds_the_return_by_the_features_name():
    run = walked(Naive("last_return"))
    moves = FEATURES["close_pct_change"].loc[run.forecasts.index]
    assert (np.sign(run.forecasts["signal"]) == np.sign(moves)).mean() > 0.99


def calm_until(row):
    """Bars that do not move before `row`: all labels there are flat."""
    bars = BARS.copy()
    for name in ("open", "high", "low", "close"):
        bars[name] = bars[name].where(np.arange(len(bars)) >= row, 100.0)
    return bars


def test_a_fold_that_cannot_be_fitted_is_flat_and_a_note_says_why():
    label = direction(calm_until(320), horizon=2, threshold=0.005)
    run = walked(label=label)
    first = run.folds[0]
    assert "one class only (p_flat" in first["note"]
    assert first["n_forecasts"] == 0
    silent = run.forecasts["signal"].isna()
    assert silent[run.forecasts["fold"] == 0].all()
    assert not silent[run.forecasts["fold"] > 1].any()
    assert run.notes[0].startswith(f"Fold 0 (test {first['test_start']} to {first['test_end']}) forecasts nothing:")
    check_forecasts(run.forecasts, BARS)


def test_no_fold_that_can_be_fitted_is_an_error():
    with pytest.raises(BarwiseError, match="No fold could be fitted. Fold 0 .*one class only"):
        walked(label=direction(BARS, horizon=2, threshold=0.9))
    with pytest.raises(BarwiseError, match="leaves 14 rows to fit on; at least 30"):
        walked(folds=WalkForward(train=20, test=60))


def test_tables_that_do_not_belong_together_are_refused():
    with pytest.raises(BarwiseError, match="not on the index"):
        walked(features=FEATURES.iloc[1:])
    with pytest.raises(BarwiseError, match="no column"):
        walked(features=FEATURES[[]])
    with pytest.raises(BarwiseError, match="`label` has 699 rows"):
        walked(label=direction(BARS.iloc[1:]))
    with pytest.raises(BarwiseError, match="Did you mean .linear."):
        walked("linaer")


def test_trained_through_is_the_latest_end_of_a_training_label():
    """With labels of many lengths: neither the last training row, nor that row's own end."""
    n = len(BARS)
    ends = np.arange(n) + np.random.default_rng(0).integers(1, 9, n)
    values = np.where(ends < n, LABEL.values, np.nan)
    run = walked(label=replace(LABEL, values=values, ends=ends, span=8))
    stamps, others = [], {"last row": 0, "its end": 0}
    for number, fold in enumerate(run.folds):
        start = BARS.index.get_loc(fold["test_start"])
        known = np.isfinite(FEATURES.to_numpy()).all(axis=1) & np.isfinite(values)
        train = np.flatnonzero(known & (ends < start))[-300:]
        through = BARS.index[ends[train].max()]
        stamps.append(through)
        assert (fold["trained_through"], fold["train_start"]) == (through, BARS.index[train[0]])
        told = run.forecasts.loc[run.forecasts["fold"] == number, "trained_through"]
        assert (told == through).all()
        assert len(told) == fold["n_test"]
        others["last row"] += through != BARS.index[train[-1]]
        others["its end"] += through != BARS.index[ends[train[-1]]]
    assert len(set(stamps)) == len(run.folds)
    assert min(others.values()) > 0  # the case tells them apart


def test_thirty_rows_to_fit_on_are_enough_and_29_are_not():
    """Of 39 rows 6 are held out and 3 purged (span 3); of 38 likewise."""
    label = forward_return(BARS, 2)
    run = walked(label=label, folds=WalkForward(train=39, test=300))
    assert run.notes == ()
    assert run.forecasts["signal"].notna().all()
    with pytest.raises(BarwiseError, match="leaves 29 rows to fit on; at least 30"):
        walked(label=label, folds=WalkForward(train=38, test=300))


class Counting(Linear):
    """Remembers which rows it was fitted on, and how many were held out."""

    seen: list = []

    def fit(self, windows, y, *, task, validation=None):
        Counting.seen.append((windows.rows.copy(), y.copy(), len(validation[0])))
        return super().fit(windows, y, task=task, validation=validation)


def test_a_stride_thins_the_inner_training_rows_and_nothing_else():
    Counting.seen = []
    runs = [walked(Counting(), stride=stride) for stride in (1, 4)]
    whole, thin = Counting.seen[: len(runs[0].folds)], Counting.seen[len(runs[0].folds) :]
    for (rows, y, held_out), (fewer, y_fewer, still) in zip(whole, thin, strict=True):
        local = rows - rows[-1]  # rows count from each fold's first: compare from the newest
        np.testing.assert_array_equal((fewer - fewer[-1])[::-1], local[::-1][::4])
        np.testing.assert_array_equal(y_fewer[::-1], y[::-1][::4])
        assert held_out == still
    assert runs[0].forecasts.index.equals(runs[1].forecasts.index)
    assert [fold["n_validation"] for fold in runs[0].folds] == [fold["n_validation"] for fold in runs[1].folds]
    assert not runs[0].forecasts["signal"].equals(runs[1].forecasts["signal"])


@pytest.mark.parametrize("stride", [0, 1.5, True])
def test_a_stride_that_is_no_count_is_refused(stride):
    with pytest.raises(BarwiseError, match="`stride` is"):
        walked(stride=stride)


class Heir(Linear):
    """Counts the fits behind it, and the updates; `heard` holds what every fit was started from."""

    heard: list = []

    def warm_start_from(self, other):
        self.before_ = (other.fits_, other.updates_)
        return self

    def fit(self, windows, y, *, task, validation=None):
        type(self).heard.append(getattr(self, "before_", None))
        self.fits_, self.updates_ = getattr(self, "before_", (0, 0))[0] + 1, 0
        return super().fit(windows, y, task=task, validation=validation)

    def update(self, windows, y):
        self.updates_ += 1
        return self


@pytest.mark.parametrize("options", [{}, {"n_jobs": 2}, {"incremental": 20}], ids=str)
def test_with_a_warm_start_each_fold_starts_from_the_fit_before_it(options):
    Heir.heard = []
    run = walked(Heir(), warm_start=True, **options)
    assert Heir.heard == [None, *((number, 0) for number in range(1, len(run.folds)))]
    assert [fold["fold"] for fold in run.folds] == list(range(len(run.folds)))
    Heir.heard = []
    walked(Heir())
    assert Heir.heard == [None] * len(run.folds)


def test_a_warm_start_steps_over_a_fold_that_could_not_be_fitted():
    Heir.heard = []
    run = walked(Heir(), warm_start=True, label=direction(calm_until(320), horizon=2, threshold=0.005))
    fitted = [fold["note"] is None for fold in run.folds]
    assert (fitted[0], fitted[1:]) == (False, [True] * (len(fitted) - 1))
    assert Heir.heard == [None, None, *((number, 0) for number in range(1, sum(fitted)))]


def test_training_curves_are_plain_numbers_fold_by_fold():
    run = walked(TCN(lookback=9, width=8, epochs=3, patience=3))
    for fold in run.folds:
        assert [point["epoch"] for point in fold["curve"]] == [1.0, 2.0, 3.0]
        assert {type(value) for point in fold["curve"] for value in point.values()} == {float}
        assert set(fold["curve"][0]) == {"epoch", "loss", "validation"}
        best = int(np.argmin([point["validation"] for point in fold["curve"]]))
        assert best == fold["best_epoch"]
    assert all(fold["curve"] == [] for fold in walked().folds)


def test_a_long_curve_is_thinned_and_keeps_its_ends_and_its_best():
    losses = np.r_[np.linspace(2.0, 1.0, 357), 0.5, np.linspace(1.0, 3.0, 642)]
    history = [{"epoch": i + 1, "loss": 0.1, "validation": loss, "seconds": 3.0} for i, loss in enumerate(losses)]
    curve = curve_of(SimpleNamespace(history_=history))
    assert 50 <= len(curve) <= 51
    assert [curve[0]["epoch"], curve[-1]["epoch"]] == [1.0, 1000.0]
    assert min(point["validation"] for point in curve) == 0.5
    assert curve_of(SimpleNamespace(history_=history[:7])) == [
        {"epoch": i + 1.0, "loss": 0.1, "validation": losses[i]} for i in range(7)
    ]
    without = [{"epoch": i + 1, "loss": 0.1, "validation": np.nan} for i in range(80)]
    assert len(curve_of(SimpleNamespace(history_=without))) == 50


class Breaks(Linear):
    """A library that refuses a parameter in its own words."""

    def fit(self, windows, y, *, task, validation=None):
        raise ValueError("hidden_size must be greater than zero\nand more lines")


def test_what_a_library_refuses_is_one_line_with_its_cause():
    with pytest.raises(BarwiseError, match=r"Breaks\(.*cannot be fitted: ValueError: hidden_size must be") as caught:
        walked(Breaks())
    assert "more lines" not in str(caught.value)


def test_arguments_that_cannot_be_are_refused_before_the_first_fold():
    with pytest.raises(BarwiseError, match="`epochs` is -1"):
        walked(TCN(epochs=-1))
