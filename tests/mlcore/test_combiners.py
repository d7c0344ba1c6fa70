import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcore.combiners import Average, Regime, Stack, Vote, combine, efficiency_ratio, ridge_weights
from mlcore.errors import BarwiseError
from mlcore.gating import Gate
from mlcore.tasks import Task

THREE = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
NUMBER = Task("regression", ("expected_return",))
QUANTILES = Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9))
TASKS = (THREE, NUMBER, QUANTILES)
NOTHING = np.empty((0, 0))


def said(task, n=400, members=3, seed=0):
    """Raw outputs of members, ``(N, M, K)``, the first of them right and the others noise; labels; market."""
    rng = np.random.default_rng(seed)
    move = rng.standard_normal(n)
    told = np.stack([move + 0.5 * rng.standard_normal(n), *rng.standard_normal((members - 1, n))], axis=1)
    market = rng.standard_normal((n, 2))
    if task.kind == "classes":
        odds = np.exp(np.stack([-1.5 * told, np.zeros_like(told), 1.5 * told], axis=2))
        return odds / odds.sum(axis=2, keepdims=True), np.digitize(move, [-0.4, 0.4]).astype(float), market
    if task.kind == "regression":
        return told[:, :, None] * 0.01, move * 0.01, market
    return (told[:, :, None] + np.array([-0.6, 0.0, 0.6])) * 0.01, move * 0.01, market


def split(n=400):
    return np.arange(0, n - 110), np.arange(n - 100, n)


def combiners():
    return Average(), Average((3.0, 1.0, 0.0)), Vote(), Stack(), Regime((False, False, True)), Gate(steps=60)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
@pytest.mark.parametrize("which", range(6))
def test_weights_are_shares_of_one_and_what_is_combined_is_a_forecast(which, task):
    combiner, again = combiners()[which], combiners()[which]
    raw, y, market = said(task)
    for fitted in (False, True):
        if fitted:
            combiner.fit(raw, y, task, market, split())
        weights = combiner.weights(raw, task, market)
        assert weights.shape == raw.shape[:2]
        assert weights.min() >= 0
        np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-12)
        made = combine(raw, weights, task)
        assert (made >= raw.min(axis=1) - 1e-12).all()  # never outside what the members say
        assert (made <= raw.max(axis=1) + 1e-12).all()
        if task.kind == "classes":
            np.testing.assert_allclose(made.sum(axis=1), 1.0, atol=1e-12)
        if task.kind == "quantiles":
            assert (np.diff(made, axis=1) >= 0).all()
        alone = combiner.weights(raw[5:6], task, market[5:6])
        np.testing.assert_allclose(alone[0], weights[5], atol=1e-12)  # a row's weights are its own
        again.restore(combiner.state())
        np.testing.assert_array_equal(again.weights(raw, task, market), weights)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
@pytest.mark.parametrize("kind", [Stack, Gate])
def test_those_that_learn_find_the_member_that_is_right(kind, task):
    combiner, (raw, y, market) = kind(), said(task)
    combiner.fit(raw, y, task, market, split())
    fresh, _, market = said(task, seed=1)
    weights = combiner.weights(fresh, task, market).mean(axis=0)
    assert weights[0] > 0.6
    assert weights[1:].max() < 0.3


def test_the_gate_hears_another_member_in_another_market():
    raw, y, market = said(NUMBER, members=2)
    other, other_y, _ = said(NUMBER, members=2, seed=3)
    raw[200:], y[200:] = other[200:, ::-1], other_y[200:]
    market[:200, 0], market[200:, 0] = -1.0, 1.0
    order = np.random.default_rng(0).permutation(400)
    gate = Gate()
    gate.fit(raw[order], y[order], NUMBER, market[order], split())
    weights = gate.weights(raw, NUMBER, market)
    assert weights[:200, 0].mean() > 0.7
    assert weights[200:, 1].mean() > 0.7


def test_the_gate_stays_with_equal_weights_where_newer_rows_say_so():
    raw, y, market = said(NUMBER)
    y[300:] = combine(raw, np.full((400, 3), 1 / 3), NUMBER)[300:, 0]  # what was learnt before no longer holds
    gate = Gate()
    gate.fit(raw, y, NUMBER, market, split())
    np.testing.assert_allclose(gate.weights(raw, NUMBER, market), 1 / 3, atol=1e-12)
    for nothing in (None, (np.arange(0), np.arange(9)), (np.arange(9), np.arange(0))):
        idle = Gate()
        idle.fit(raw, y, NUMBER, market, nothing)
        assert idle.learnt == {}


def test_the_gate_stops_by_the_newer_rows_and_learns_from_none_of_them():
    raw, y, market = said(NUMBER)
    y[290:] = raw[290:, 1, 0]  # the newer rows say the second member, the older ones the first
    gate = Gate()
    gate.fit(raw, y, NUMBER, market, split())
    assert gate.weights(raw, NUMBER, market)[:, 1].mean() < 0.4


def test_the_gate_has_a_seed_and_leaves_the_random_state_alone():
    import torch

    raw, y, market = said(THREE)
    torch.manual_seed(4)
    before = torch.random.get_rng_state()
    made = []
    for seed in (1, 1, 2):
        gate = Gate(steps=20, seed=seed)
        gate.fit(raw, y, THREE, market, split())
        made.append(gate.weights(raw, THREE, market))
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])
    assert torch.equal(torch.random.get_rng_state(), before)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 1.0, 30.0]))
def test_ridge_weights_are_the_best_on_the_simplex(seed, shrinkage):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((40, 3)), rng.standard_normal(40)
    found = ridge_weights(x, y, shrinkage)
    penalty = shrinkage * np.mean((y - x.mean(axis=1)) ** 2)

    def loss(w):
        return ((y - x @ w) ** 2).sum() + penalty * ((w - 1 / 3) ** 2).sum()

    grid = [(a / 40, b / 40) for a, b in itertools.product(range(41), repeat=2) if a + b <= 40]
    best = min(loss(np.array([a, b, 1 - a - b])) for a, b in grid)
    assert loss(found) <= best + 1e-3 * abs(best)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_ridge_weights_do_not_depend_on_the_unit_of_the_label(unit):
    raw, y, _ = said(NUMBER)
    found = ridge_weights(raw[:, :, 0] * unit, y * unit, 10.0)
    np.testing.assert_allclose(found, ridge_weights(raw[:, :, 0], y, 10.0), atol=1e-9)


def test_members_that_are_one_are_weighed_alike_and_much_shrinkage_weighs_all_alike():
    x = np.random.default_rng(0).standard_normal((50, 1)) * np.ones((1, 4))
    np.testing.assert_allclose(ridge_weights(x, x[:, 0], 0.0), 0.25, atol=1e-3)
    raw, y, _ = said(NUMBER)
    np.testing.assert_allclose(ridge_weights(raw[:, :, 0], y, 1e9), 1 / 3, atol=1e-3)
    np.testing.assert_allclose(ridge_weights(np.zeros((9, 2)), np.zeros(9), 1.0), 0.5)


def test_given_weights_are_divided_by_their_sum_and_what_is_no_weight_is_refused():
    raw, _, market = said(NUMBER)
    np.testing.assert_allclose(Average((2, 1, 1)).weights(raw, NUMBER, market)[0], [0.5, 0.25, 0.25])
    for wrong in ((1, 2), (1, -1, 1), (0, 0, 0), (1, np.nan, 1), "abc", 3):
        with pytest.raises(BarwiseError, match="`weights` is .* 3 numbers, one a member"):
            Average(wrong).weights(raw, NUMBER, market)


def test_the_majority_speaks_and_unanimity_is_told():
    raw = np.array(
        [
            [[0.1, 0.2, 0.7], [0.2, 0.2, 0.6], [0.8, 0.1, 0.1]],  # two up, one down
            [[0.1, 0.2, 0.7], [0.2, 0.2, 0.6], [0.1, 0.4, 0.5]],  # all up
            [[0.9, 0.0, 0.1], [0.1, 0.7, 0.2], [0.3, 0.3, 0.4]],  # one each: the loudest camp is down
        ]
    )
    vote = Vote(bonus=0.1)
    weights = vote.weights(raw, THREE, NOTHING)
    np.testing.assert_allclose(weights, [[0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3], [1.0, 0.0, 0.0]])
    assert vote.gain(raw, THREE).tolist() == [1.0, 1.1, 1.0]


def test_returns_vote_by_their_sign():
    raw = np.array([[[0.01], [0.02], [-0.5]], [[0.01], [0.02], [0.03]], [[0.0], [0.0], [0.0]], [[-1.0], [0.0], [1.1]]])
    vote = Vote()
    expected = [[0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3], [1 / 3, 1 / 3, 1 / 3], [0.0, 0.0, 1.0]]
    np.testing.assert_allclose(vote.weights(raw, NUMBER, NOTHING), expected)
    assert vote.gain(raw, NUMBER).tolist() == [1.0, 1.1, 1.1, 1.0]
    wide = raw + np.array([-5.0, 0.0, 5.0])
    np.testing.assert_allclose(vote.weights(wide, QUANTILES, NOTHING), expected)


def test_a_regime_hands_over_at_its_threshold():
    regime = Regime((False, True, True), trend=0.25)
    raw = np.zeros((4, 3, 1))
    weights = regime.weights(raw, NUMBER, np.array([[0.25], [-0.9], [0.24], [0.0]]))
    np.testing.assert_allclose(weights, [[1, 0, 0], [1, 0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]])
    for wrong in (0.0, 1.0, np.nan):
        with pytest.raises(BarwiseError, match="`trend` is"):
            Regime((False, True), trend=wrong)


def test_a_random_walk_of_thirty_bars_trends_about_a_quarter_of_the_time():
    moves = np.random.default_rng(0).standard_normal((20_000, 30))
    assert (np.abs(efficiency_ratio(moves)) >= 0.25).mean() == pytest.approx(0.27, abs=0.03)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Stack(-1.0), "`shrinkage` is -1.0"),
        (lambda: Gate(width=0), "`width` is 0"),
        (lambda: Gate(steps=2.5), "`steps` is 2.5"),
        (lambda: Gate(patience=0), "`patience` is 0"),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(BarwiseError, match=said):
        make()


def test_quantiles_of_each_horizon_are_kept_in_order_on_their_own():
    raw = np.array([[[1.0, 2.0, 3.0, -9.0, -8.0, -7.0]]])
    assert combine(raw, np.ones((1, 1)), QUANTILES).tolist() == [[1.0, 2.0, 3.0, -9.0, -8.0, -7.0]]
