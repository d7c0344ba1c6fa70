"""Updates between refits: due when they should be, learning from what had ended by then and from nothing else."""

import functools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcore.checks.laws import changed
from mlcore.errors import BarwiseError
from mlcore.features import feature_table
from mlcore.folds import Fold, WalkForward
from mlcore.forecasts import check_forecasts
from mlcore.incremental import Updates, cuts_of
from mlcore.labels import direction, forward_return
from mlcore.models import make_model
from mlcore.models.linear import Linear
from mlcore.models.tcn import TCN
from mlcore.walkforward import walk_forward
from tests.conftest import random_bars

BARS = random_bars(460, seed=3)
FOLDS = WalkForward(train=250, test=60)
LABEL = functools.partial(direction, horizon=3, threshold=0.005)
TABLE = ("close_pct_change", "high_low_range", ("volatility", {"window": 10}))


class Learner(Linear):
    """Keeps, for one test to look at, the rows that it was fitted on and those of every update."""

    scaled = False
    seen: list = []

    def fit(self, windows, y, *, task, validation=None):
        rows = np.concatenate([windows.last[:, -1], validation[0].last[:, -1]]).astype(int)
        type(self).seen.append((rows, []))
        return super().fit(windows, y, task=task, validation=validation)

    def update(self, windows, y):
        assert windows.table[:, -1].max() == windows.last[-1, -1]  # nothing later is in the table
        type(self).seen[-1][1].append((windows.last[:, -1].astype(int), y))
        return self


def walked(model, bars=BARS, label=LABEL, features=None, folds=FOLDS, **options):
    features = feature_table(bars, TABLE) if features is None else features
    return walk_forward(bars, model, label=label(bars), features=features, folds=folds, **options)


def numbered(bars=BARS):
    """A table whose last column says which row it is."""
    table = feature_table(bars, TABLE)
    table["row"] = np.arange(len(bars), dtype=float)
    return table


@given(
    n=st.integers(30, 90),
    start=st.integers(5, 20),
    every=st.integers(1, 40),
    minutes=st.integers(1, 600),
    holes=st.sets(st.integers(0, 200), max_size=40),
)
def test_cuts_lie_inside_the_block_and_are_the_first_bar_of_their_time(n, start, every, minutes, holes):
    clock = pd.date_range("2024-01-01", periods=n + len(holes), freq="15min", tz="UTC").delete(
        [hole for hole in holes if hole < n]
    )
    block = np.arange(start, len(clock) - 3)
    fold = Fold(0, np.arange(start - 2), block, start - 2, clock[start])
    by_count = cuts_of(clock, np.arange(len(clock)), fold, every)
    assert by_count.tolist() == list(range(start + every, int(block[-1]) + 1, every))
    delta = pd.Timedelta(minutes=minutes)
    wanted = set()
    for step in range(1, 20_000):
        due = clock[start] + step * delta
        if due > clock[block[-1]]:
            break
        wanted.add(int(np.argmax(clock >= due)))
    assert cuts_of(clock, np.arange(len(clock)), fold, delta).tolist() == sorted(wanted - {start})


@given(
    spans=st.lists(st.integers(0, 9), min_size=40, max_size=40),
    latency=st.integers(0, 4),
    cuts=st.sets(st.integers(10, 39), min_size=1, max_size=6),
    unknown=st.sets(st.integers(0, 39)),
)
@settings(max_examples=200)
def test_every_row_is_learned_once_and_not_before_its_label_ended(spans, latency, cuts, unknown):
    ends = np.arange(40) + np.array(spans)
    known = ~np.isin(np.arange(40), list(unknown))
    updates = Updates((), known, ends, latency)
    learned: list[int] = []
    for since, cut in zip([8, *sorted(cuts)], sorted(cuts), strict=False):
        rows = updates.rows(since, cut)
        assert (ends[rows] + latency < cut).all()
        learned += rows.tolist()
    fit = np.flatnonzero(known & (ends + latency < 8))
    last = np.flatnonzero(known & (ends + latency < max(cuts)))
    assert sorted([*fit, *learned]) == last.tolist()  # with those of the fit: all that had ended, each once


@pytest.mark.parametrize("latency", [0, 2])
def test_a_model_learns_what_ended_since_it_last_learned(latency):
    Learner.seen = []
    label = LABEL(BARS)
    run = walked(Learner(), features=numbered(), incremental=25, folds=WalkForward(250, 60, latency=latency))
    assert [fold["n_updates"] for fold in run.folds[:-1]] == [2] * (len(run.folds) - 1)
    for fold, (fitted, updates) in zip(run.folds, Learner.seen, strict=True):
        start = BARS.index.get_loc(fold["test_start"])
        newest = fitted.max()
        for number, (rows, y) in enumerate(updates, start=1):
            cut = start + 25 * number
            assert rows.tolist() == list(range(newest + 1, cut - latency - label.span))
            np.testing.assert_array_equal(y, label.values[rows])
            newest = rows.max()
            told = run.forecasts["trained_through"].iloc[cut - BARS.index.get_loc(run.forecasts.index[0])]
            assert told == BARS.index[newest + label.span]
    check_forecasts(run.forecasts, BARS)


def test_a_row_before_the_first_update_carries_the_fold_s_own_end_of_training():
    run, plain = walked(Learner(), features=numbered(), incremental=25), walked(Linear(), features=numbered())
    assert run.forecasts["trained_through"].nunique() > plain.forecasts["trained_through"].nunique()
    for fold in run.folds:
        first = run.forecasts.loc[fold["test_start"] :].iloc[:25]
        assert (first["trained_through"] == fold["trained_through"]).all()
    assert [fold["trained_through"] for fold in run.folds] == [fold["trained_through"] for fold in plain.folds]


def test_shuffled_labels_are_shuffled_in_updates_too():
    Learner.seen = []
    walked(Learner(), features=numbered(), incremental=30, shuffle_labels=True, label=forward_of)
    values = forward_of(BARS).values
    mixed = [(rows, y) for _, updates in Learner.seen for rows, y in updates]
    assert all(sorted(y) == sorted(values[rows]) for rows, y in mixed)
    assert sum((y != values[rows]).any() for rows, y in mixed) == len(mixed) > 0


def forward_of(bars):
    return forward_return(bars, 3)


@pytest.mark.parametrize(
    "options", [{"incremental": 20}, {"warm_start": True}, {"incremental": "20h", "warm_start": True}], ids=str
)
def test_other_bars_or_none_after_a_cut_change_no_forecast_before_it(options):
    """Cuts in the features' warm-up, in the first training span, just after an update, within a label of one."""
    model = TCN(lookback=9, width=8, epochs=2)
    whole = walked(model, **options).forecasts
    first = BARS.index.get_loc(whole.index[0])
    assert not whole["signal"].equals(walked(model).forecasts["signal"])
    for cut in (4, 120, first + 1, first + 21, first + 23, first + 61, 459):
        for bars in (changed(BARS, slice(cut, None), 1.7), BARS.iloc[:cut]):
            if len(bars) <= first:
                continue
            other = walked(model, bars=bars, **options).forecasts
            before = whole.index < BARS.index[cut]
            pd.testing.assert_frame_equal(whole[before], other[other.index < BARS.index[cut]], check_exact=True)


def test_one_job_and_two_give_the_same_updates():
    model = TCN(lookback=9, width=8, epochs=2)
    one, two = (walked(model, incremental=30, n_jobs=jobs, seed=5).forecasts for jobs in (1, 2))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


@pytest.mark.parametrize("path", ["xgboost", "sklearn.linear_model.SGDClassifier"])
def test_libraries_that_can_learn_on_are_updated_and_say_so(path):
    if path == "xgboost":
        pytest.importorskip("xgboost", reason="the extra `xgboost` is not installed")
    given = {"n_estimators": 5} if path == "xgboost" else {"loss": "log_loss"}
    plain, updated = (walked(make_model(path, **given), **options) for options in ({}, {"incremental": 20}))
    assert sum(fold["n_updates"] for fold in updated.folds) > 0 == sum(fold["n_updates"] for fold in plain.folds)
    assert not updated.forecasts["signal"].equals(plain.forecasts["signal"])
    assert (updated.forecasts["trained_through"] > plain.forecasts["trained_through"]).any()


def test_a_model_that_cannot_is_refused():
    with pytest.raises(BarwiseError, match="`incremental` is '1D' and Linear cannot be updated"):
        walked(Linear(), incremental="1D")
    with pytest.raises(BarwiseError, match="Linear cannot start from another model"):
        walked(Linear(), warm_start=True)
    with pytest.raises(BarwiseError, match="`incremental` is 'often'; it is a count of bars"):
        walked(TCN(), incremental="often")


def test_a_store_holds_no_updated_models(tmp_path):
    with pytest.raises(BarwiseError, match="`incremental` and `store` do not go together"):
        walked(TCN(), incremental=20, store=tmp_path / "store")
    assert not list(tmp_path.iterdir())


def test_an_update_learns_from_no_window_across_a_gap():
    bars = BARS.drop(BARS.index[330:342])
    Learner.seen = []
    model = Learner(lookback=4)
    run = walked(model, bars=bars, features=numbered(bars), incremental=10)
    learned = np.concatenate([rows for _, updates in Learner.seen for rows, _ in updates])
    reach = 4 + numbered(bars).attrs["memory"] if "memory" in numbered(bars).attrs else 4 + 10
    assert run.forecasts["signal"].isna().any()
    assert not np.isin(np.arange(330, 330 + reach - 1), learned).any()
    assert np.isin(np.arange(300, 320), learned).any()


class Heir(Learner):
    """Tells what the model before it had gone through when the next fit began with it."""

    before: list = []

    def warm_start_from(self, other):
        type(self).before.append(getattr(other, "updates_", 0))
        return self

    def update(self, windows, y):
        self.updates_ = getattr(self, "updates_", 0) + 1
        return self


def test_the_next_fold_starts_from_the_weights_before_any_update():
    Heir.before = []
    run = walked(Heir(), features=numbered(), incremental=20, warm_start=True)
    assert sum(fold["n_updates"] for fold in run.folds) > 2
    assert Heir.before == [0] * (len(run.folds) - 1)
