"""The arithmetic of folds: properties first, then reference values of other libraries."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mlcore.errors import BarwiseError
from mlcore.folds import WalkForward, newest_split, parse_length


def stamps(n: int, freq: str = "1h", start: str = "2024-01-01") -> pd.DatetimeIndex:
    return pd.date_range(start, periods=n, freq=freq, tz="UTC", name="timestamp").as_unit("ns")


def fixed_ends(n: int, span: int) -> np.ndarray:
    return np.arange(n, dtype=np.int64) + span


def pairs(folds) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    return [((int(f.train[0]), int(f.train[-1])), (int(f.test[0]), int(f.test[-1]))) for f in folds]


@st.composite
def cases(draw, variable=None):
    """A walk-forward over bars with random holes, in rows or durations, with fixed or variable label ends."""
    n = draw(st.integers(60, 300))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    index = stamps(n + 40)
    if draw(st.booleans()):  # missing bars
        index = index[np.sort(rng.choice(n + 40, n, replace=False))]
    index = index[:n]
    span = draw(st.integers(1, 8))
    if draw(st.booleans()) if variable is None else variable:
        ends = np.arange(n) + rng.integers(1, span + 1, n)
    else:
        ends = fixed_ends(n, span)
    train = draw(st.sampled_from([20, 33, "30h", pd.Timedelta("25h")]))
    test = draw(st.sampled_from([1, 7, 10, "9h", pd.DateOffset(hours=6)]))
    splitter = WalkForward(train, test, expanding=draw(st.booleans()), latency=draw(st.integers(0, 4)))
    rows = None
    if draw(st.booleans()):
        rows = rng.random(n) > 0.15
        rows[:2] = False
    return index, ends, rows, splitter


@settings(max_examples=150)
@given(cases())
def test_no_training_label_ends_after_its_cut(case):
    """Every label of a training row has ended `latency` bars or more before the first test bar opens."""
    index, ends, rows, splitter = case
    for fold in splitter.split(index, ends, rows):
        assert len(fold.train) > 0
        assert ends[fold.train].max() + splitter.latency < fold.test[0]
        assert fold.trained_through == ends[fold.train].max()
        assert index[fold.trained_through] < index[fold.test[0]]


@settings(max_examples=150)
@given(cases())
def test_tests_tile_time(case):
    """Tests follow each other without a hole or an overlap, to the last bar; masked rows stay in them."""
    index, ends, rows, splitter = case
    folds = splitter.split(index, ends, rows)
    tested = np.concatenate([fold.test for fold in folds])
    np.testing.assert_array_equal(tested, np.arange(tested[0], len(index)))
    assert [fold.number for fold in folds] == list(range(len(folds)))
    if isinstance(splitter.test, int):
        assert all(len(fold.test) == splitter.test for fold in folds[:-1])
        assert 1 <= len(folds[-1].test) <= splitter.test


@settings(max_examples=150)
@given(cases(), st.integers(1, 300))
def test_when_a_block_opens_depends_on_no_later_bar(case, k):
    """Of fewer bars the same blocks open, the last one cut short; so their folds are those of all bars."""
    index, ends, rows, splitter = case
    k = min(k, len(index))
    all_rows = splitter.usable(index, ends, rows)
    first_rows = splitter.usable(index[:k], ends[:k], None if rows is None else rows[:k])
    blocks = [block._replace(stop=min(block.stop, k)) for block in splitter.openings(index, all_rows)]
    assert splitter.openings(index[:k], first_rows) == [block for block in blocks if block.start < k]
    for number, block in enumerate(splitter.openings(index[:k], first_rows)):
        fold, whole = splitter.fold(index[:k], first_rows, number, block), splitter.fold(index, all_rows, number, block)
        np.testing.assert_array_equal(fold.train, whole.train)
        np.testing.assert_array_equal(fold.test, whole.test)
        assert fold.trained_through == whole.trained_through < block.start and fold.opened == whole.opened


@settings(max_examples=150)
@given(cases(variable=False))
@example((stamps(60), fixed_ends(60, 6), None, WalkForward(20, 10, latency=3)))
def test_gap_equals_purge(case):
    """With a fixed span the rows left out before a test are exactly span + latency, in every mode."""
    index, ends, _, splitter = case
    purge = int(ends[0]) + splitter.latency
    for fold in splitter.split(index, ends):
        assert fold.test[0] - fold.train[-1] - 1 == purge
        np.testing.assert_array_equal(fold.train, np.arange(fold.train[0], fold.train[-1] + 1))


@settings(max_examples=150)
@given(cases())
def test_train_rows_are_all_the_legal_ones_of_their_window(case):
    """Against the definition by brute force: legal, usable, and in the window (newest n rows, or the duration)."""
    index, ends, rows, splitter = case
    usable = np.ones(len(index), bool) if rows is None else rows
    for fold in splitter.split(index, ends, rows):
        start = fold.test[0]
        legal = [i for i in range(start) if usable[i] and ends[i] + splitter.latency < start]
        if isinstance(splitter.train, int):
            wanted = legal if splitter.expanding else legal[-splitter.train :]
            assert len(fold.train) >= splitter.train
        elif splitter.expanding:
            wanted = legal
        else:
            wanted = [i for i in legal if index[i] >= fold.opened - splitter.train]
        np.testing.assert_array_equal(fold.train, wanted)
        assert fold.train.dtype == fold.test.dtype == np.int64


@settings(max_examples=100)
@given(cases(), st.integers(1, 30))
def test_folds_do_not_know_what_comes_later(case, dropped):
    """Cutting bars off the end leaves the folds before the cut as they were."""
    index, ends, rows, splitter = case
    full = splitter.split(index, ends, rows)
    cut = len(index) - dropped
    before = [fold for fold in full if fold.test[-1] < cut]
    if not before:
        return
    again = splitter.split(index[:cut], ends[:cut], None if rows is None else rows[:cut])
    assert pairs(again)[: len(before)] == pairs(before)


@settings(max_examples=200)
@given(cases(), st.floats(0.05, 0.3))
def test_the_inner_split_purges_too_and_validates_on_the_newest(case, share):
    index, ends, rows, splitter = case
    fold = splitter.split(index, ends, rows)[-1]
    assume((ends[fold.train] < fold.train[-max(1, round(share * len(fold.train)))]).any())  # else it is refused
    train, validation = newest_split(fold.train, ends, share)
    np.testing.assert_array_equal(validation, fold.train[len(fold.train) - len(validation) :])
    wanted = [i for i in fold.train if i < validation[0] and ends[i] < validation[0]]
    np.testing.assert_array_equal(train, wanted)


# --- reference values: skfolio 1.12.2 ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("purge", "expanding", "wanted"),
    [
        (0, False, [((0, 3), (4, 5)), ((2, 5), (6, 7)), ((4, 7), (8, 9)), ((6, 9), (10, 11))]),
        (1, False, [((0, 3), (5, 6)), ((2, 5), (7, 8)), ((4, 7), (9, 10))]),
        (2, True, [((0, 3), (6, 7)), ((0, 5), (8, 9)), ((0, 7), (10, 11))]),
    ],
)
def test_row_mode_shifts_the_test_and_keeps_the_train_size(purge, expanding, wanted):
    folds = WalkForward(4, 2, expanding=expanding).split(stamps(12), fixed_ends(12, purge))
    assert pairs(folds)[: len(wanted)] == wanted


@pytest.mark.parametrize(
    ("purge", "wanted"),
    [
        (0, [((0, 30), (31, 59)), ((31, 59), (60, 90))]),
        (1, [((0, 29), (31, 59)), ((31, 58), (60, 90))]),
        (3, [((0, 27), (31, 59)), ((31, 56), (60, 90))]),
    ],
)
def test_durations_shorten_the_train_and_keep_the_tests(purge, wanted):
    month = pd.DateOffset(months=1)
    folds = WalkForward(month, month).split(stamps(120, "1D"), fixed_ends(120, purge))
    assert pairs(folds)[:2] == wanted


def test_months_do_not_drift_from_the_first_day():
    folds = WalkForward("2 months", "1 month").split(stamps(400, "1D", "2024-01-31"), fixed_ends(400, 1))
    assert [f.opened.strftime("%m-%d") for f in folds[:5]] == ["03-31", "04-30", "05-31", "06-30", "07-31"]


def test_latency_and_span_add_up_by_hand():
    """20 rows, span 6, 2 bars of latency: rows 0-19 end at 25, so row 28 is the first that may be traded."""
    fold = WalkForward(20, 5, latency=2).split(stamps(60), fixed_ends(60, 6))[0]
    assert (fold.train[-1], fold.trained_through, fold.test[0]) == (19, 25, 28)


def test_an_empty_block_makes_no_fold():
    index = stamps(200).delete(np.arange(100, 130))
    folds = WalkForward("40h", "10h", expanding=True).split(index, fixed_ends(170, 1))
    assert all(len(fold.test) for fold in folds)
    assert np.concatenate([f.test for f in folds])[-1] == 169


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("splitter", "n", "said"),
    [
        (WalkForward(100, 10), 80, ["`train`", "107", "80"]),
        (WalkForward("60D", "7D"), 80, ["`train`", "60 days", "3 days"]),
        (WalkForward("5h", "7h"), 80, ["`train`", "5 bars", "6 bars", "purge"]),
    ],
)
def test_too_few_bars_names_both_numbers(splitter, n, said):
    with pytest.raises(BarwiseError) as error:
        splitter.split(stamps(n), fixed_ends(n, 6))
    for word in said:
        assert word in str(error.value)


def test_a_hole_longer_than_the_train_window_is_named():
    index = stamps(200).delete(np.arange(80, 150))
    with pytest.raises(BarwiseError, match="no training row.*2024-01-0.* 0 bars, of which 0 can be trained on"):
        WalkForward("40h", "10h").split(index, fixed_ends(130, 1))


def test_a_stretch_that_may_not_be_trained_on_is_named():
    rows = np.ones(200, bool)
    rows[60:120] = False
    with pytest.raises(BarwiseError, match="holds 40 bars, of which 0 can be trained on.* purge takes 1 bars"):
        WalkForward("40h", "10h").split(stamps(200), fixed_ends(200, 1), rows)


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        (500, 500),
        ("500", 500),
        (np.int64(7), 7),
        ("60D", pd.Timedelta(days=60)),
        ("60d", pd.Timedelta(days=60)),
        ("2 w", pd.Timedelta(weeks=2)),
        ("8h", pd.Timedelta(hours=8)),
        ("3 months", pd.DateOffset(months=3)),
        ("1y", pd.DateOffset(years=1)),
        (pd.Timedelta("7D").to_pytimedelta(), pd.Timedelta(days=7)),
        (pd.DateOffset(months=2), pd.DateOffset(months=2)),
    ],
)
def test_lengths_are_parsed_in_one_place(given_, wanted):
    parsed = parse_length(given_, "train")
    assert parsed == wanted
    assert type(parsed) is type(wanted)


@pytest.mark.parametrize("wrong", [0, -5, "0", "-7D", "abc", 1.5, True, None, "", "NaT", "5M"])
def test_lengths_that_mean_nothing_are_refused(wrong):
    with pytest.raises(BarwiseError, match="`train`"):
        parse_length(wrong, "train")


@pytest.mark.parametrize("latency", [-1, 1.5, "2", True])
def test_latency_is_a_count_of_bars(latency):
    with pytest.raises(BarwiseError, match="`latency`"):
        WalkForward(10, 5, latency=latency)


def test_ends_must_fit_the_bars():
    with pytest.raises(BarwiseError, match="`ends`"):
        WalkForward(10, 5).split(stamps(40), fixed_ends(39, 1))
    with pytest.raises(BarwiseError, match="`ends`"):
        WalkForward(10, 5).split(stamps(40), fixed_ends(40, -1))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_inner_share_is_a_fraction(share):
    with pytest.raises(BarwiseError, match="`share`"):
        newest_split(np.arange(10), fixed_ends(10, 1), share)


def test_inner_split_that_leaves_nothing_is_refused():
    with pytest.raises(BarwiseError, match="10 rows"):
        newest_split(np.arange(10), fixed_ends(10, 9), 0.5)


@pytest.mark.parametrize(("share", "n_validation"), [(0.2, 7), (0.15, 5), (0.1, 3), (0.001, 1)])
def test_the_share_of_33_rows_is_rounded_to_the_nearest(share, n_validation):
    train, validation = newest_split(np.arange(33), fixed_ends(33, 1), share)
    assert validation.tolist() == list(range(33 - n_validation, 33))
    assert train.tolist() == list(range(33 - n_validation - 1))  # one row is purged


def test_a_fifth_is_held_out_by_default():
    assert len(newest_split(np.arange(33), fixed_ends(33, 1))[1]) == 7
