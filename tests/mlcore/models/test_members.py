import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlcore.errors import BarwiseError
from mlcore.folds import newest_split
from mlcore.models.linear import Linear
from mlcore.models.lstm import LSTM
from mlcore.models.members import FEWEST_ROWS, inner_split, make_members, member_names, purge_of
from mlcore.windows import Windows


def windows(rows, lookback=5, n=2_000):
    return Windows(np.zeros((n, 1)), np.asarray(rows), lookback)


def split_of(rows, held_out, lookback=5):
    made = inner_split(windows(rows, lookback), (windows(held_out, lookback), np.zeros(len(held_out))))
    return None if made is None else (np.asarray(rows)[made[0]], np.asarray(rows)[made[1]])


def test_members_are_names_with_presets_or_models_that_are_cloned():
    own = Linear(lookback=3)
    made = make_members(["lstm:light", "linear", own])
    assert [type(member) for member in made] == [LSTM, Linear, Linear]
    assert (made[0].lookback, made[2].lookback) == (20, 3)
    assert made[2] is not own
    assert [type(member) for member in make_members(" lstm , linear,")] == [LSTM, Linear]
    assert member_names(("lstm:light", own)) == ("lstm:light", "Linear")
    assert member_names("lstm, linear") == ("lstm", "linear")


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ((), "`members` is \\(\\)"),
        ("", "`members` is"),
        (None, "`members` is None"),
        (("lsmt",), "Did you mean 'lstm'"),
        (("lstm:lihgt",), "`preset` is 'lihgt'"),
        ((7,), "`members` holds 7"),
        ((object(),), "a member is a model"),
        ("linear,lstm, linear", "`members` names 'linear' twice"),
    ],
)
def test_what_is_no_member_is_refused(members, said):
    with pytest.raises(BarwiseError, match=said):
        make_members(members)


@given(st.integers(120, 400), st.integers(1, 12), st.floats(0.1, 0.4))
def test_the_inner_split_is_purged_as_the_outer_one_was(n, span, share):
    ends = np.arange(n) + span
    train, held_out = newest_split(np.arange(20, n), ends, share)
    assume(len(train) >= FEWEST_ROWS + 40)
    learn, stop = split_of(train, held_out)
    assert purge_of(train, held_out) == span
    assert set(learn) | set(stop) <= set(train)
    assert stop[-1] == train[-1]  # the newest ones
    assert ends[learn].max() < stop[0]
    assert stop[0] - learn[-1] == span + 1  # and not a row more


@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_labels_of_many_lengths_are_purged_by_more_than_the_last_one_tells(seed, most):
    rng = np.random.default_rng(seed)
    n = 600
    ends = np.arange(n) + rng.integers(1, most + 1, n)
    train, held_out = newest_split(np.arange(10, n), ends, 0.2)
    learn, stop = split_of(train, held_out)
    leaky = (ends[learn] >= stop[0]).sum()
    assert leaky <= 8  # of hundreds; the gap alone lets up to 21 through


def test_where_the_rows_touch_the_span_is_unknown_and_a_window_is_left_out():
    learn, stop = split_of(np.arange(100, 300), np.arange(300, 340), lookback=9)
    assert stop[0] - learn[-1] == 10
    assert purge_of(np.arange(100, 300), np.arange(300, 340)) == 0
    assert purge_of(np.arange(300, 310), np.arange(300, 340)) == 0


def test_a_hole_in_the_bars_or_thinned_rows_are_no_sign_of_longer_labels():
    rows = np.r_[0:100, 160:395]
    assert purge_of(rows, np.arange(400, 450)) == 5
    assert purge_of(np.arange(0, 395, 3), np.arange(400, 450)) == 400 - 393 - 1


@given(st.lists(st.tuples(st.integers(0, 250), st.integers(150, 300)), min_size=2, max_size=4), st.integers(1, 9))
def test_symbols_that_stand_one_below_the_other_are_cut_at_one_moment(lives, span):
    """Ragged lives: what members stop by is newer than every label they learned from, whichever symbol's it is."""
    moments = np.concatenate([np.arange(born, min(born + long, 300)) for born, long in lives])
    rows, first_held = np.arange(5, 5 + len(moments)), 260
    train, held_out = moments + span < first_held, moments >= first_held
    assume(train.sum() >= 3 * FEWEST_ROWS and held_out.any() and moments[train].max() == first_held - 1 - span)
    made = [Windows(np.zeros((2_000, 1)), rows[some], 5, moments[some]) for some in (train, held_out)]
    learn, stop = inner_split(made[0], (made[1], np.zeros(int(held_out.sum()))))
    told = made[0].moments
    assert (told[learn] + span).max() < told[stop].min()
    assert set(np.flatnonzero(told >= told[stop].min())) == set(stop)  # every symbol's newest rows, none left over
    assert len(stop) >= 0.15 * len(told) - 1


@pytest.mark.parametrize("every", [2, 5])
def test_a_symbol_of_fewer_bars_is_purged_by_its_own_bars(every):
    """The labels of both touch 6 of their own bars; those of the second one last `every` times as long."""
    n, span = 1_200, 6
    moments = np.r_[0:n, 0:n:every]
    ends = moments + span * np.r_[np.ones(n, np.int64), np.full(len(moments) - n, every)]
    rows = np.flatnonzero((ends < n) & (np.arange(len(ends)) >= 4))
    train, held_out = newest_split(rows, ends, 0.2, moments)
    made = [Windows(np.zeros((len(moments), 1)), part, 5, moments[part]) for part in (train, held_out)]
    learn, stop = inner_split(made[0], (made[1], np.zeros(len(held_out))))
    begin = moments[train[stop]].min()
    assert ends[train[learn]].max() < begin and moments[train[learn]].max() < begin
    dense = train[learn][train[learn] < n]
    assert begin - dense.max() == span + 1  # and not a row more
    assert set(np.concatenate([learn, stop])) <= set(range(len(train)))


def test_too_few_rows_are_not_split():
    assert split_of(np.arange(10, 10 + FEWEST_ROWS), np.arange(60, 70)) is None
    assert split_of(np.arange(10, 80), np.arange(84, 95)) is not None


def test_the_order_of_the_rows_does_not_matter():
    rows, held_out = np.arange(20, 300), np.arange(304, 340)
    shuffled = np.random.default_rng(0).permutation(rows)
    for one, other in zip(split_of(rows, held_out), split_of(shuffled, held_out[::-1]), strict=True):
        assert set(one) == set(other)
