import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import log_loss

from mlcore.errors import BarwiseError
from mlcore.heads import HorizonsHead, head_of, head_values, make_head
from mlcore.losses import choose_loss
from mlcore.tasks import Task

CLASSES = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
NUMBER = Task("regression", ("expected_return",))
QUANTILES = Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9))


def raw(n, k, seed=0):
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed))


def test_class_loss_is_the_log_loss_of_the_forecast():
    y = np.random.default_rng(0).integers(0, 3, 50).astype(float)
    head, x = make_head(CLASSES, y), raw(50, 3)
    p = head.forecast(x)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    assert float(head.loss(x, head.target(y)).mean()) == pytest.approx(log_loss(y, p), rel=1e-5)


def test_without_features_classes_start_at_their_shares():
    head = make_head(CLASSES, np.repeat([0.0, 1.0, 2.0], [1, 3, 4]))
    np.testing.assert_allclose(head.forecast(head.start()[None]), [[1 / 8, 3 / 8, 4 / 8]], rtol=1e-6)


def test_a_class_never_seen_gets_next_to_nothing_and_a_finite_loss():
    head = make_head(CLASSES, np.array([0.0, 2.0] * 10))
    x = raw(4, 3)
    assert head.forecast(x)[:, 1].max() < 1e-9
    assert torch.isfinite(head.loss(x, head.target(np.ones(4)))).all()


def test_regression_learns_in_deviations_and_forecasts_in_the_labels_units():
    y = np.random.default_rng(1).normal(0.002, 0.01, 400)
    head = make_head(NUMBER, y)
    target = head.target(y)
    assert float(target.mean()) == pytest.approx(0, abs=1e-6)
    assert float(target.std(correction=0)) == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(head.forecast(target[:, None])[:, 0], y, rtol=1e-5, atol=1e-8)
    assert float(head.loss(head.start().expand(400, 1), target).mean()) == pytest.approx(1, rel=1e-5)


def test_pinball_loss_by_hand():
    """METHODS.md 5.3: y 2.5, quantiles .1 .5 .9 forecast as 1 2 3 cost .15 .25 .05."""
    y = np.random.default_rng(2).normal(size=100)
    head = make_head(QUANTILES, y)
    wanted = (np.array([1.0, 2.0, 3.0]) - head.centre) / head.scale
    x = torch.tensor(np.r_[wanted[0], np.log(np.expm1(np.diff(wanted)))][None], dtype=torch.float64)
    np.testing.assert_allclose(head.forecast(x), [[1, 2, 3]], rtol=1e-9)
    loss = float(head.loss(x, head.target(np.array([2.5])))[0]) * head.scale
    assert loss == pytest.approx((0.15 + 0.25 + 0.05) / 3, rel=1e-6)


def test_quantiles_never_cross_and_start_at_those_of_the_labels():
    y = np.random.default_rng(3).normal(0.001, 0.02, 2000)
    head = make_head(QUANTILES, y)
    assert (np.diff(head.forecast(raw(500, 3) * 20), axis=1) >= 0).all()
    np.testing.assert_allclose(head.forecast(head.start()[None])[0], np.quantile(y, [0.1, 0.5, 0.9]), rtol=1e-5)


@pytest.mark.parametrize(
    ("task", "y", "said"),
    [
        (CLASSES, np.ones(40), "is class 'p_flat' on all 40"),
        (CLASSES, np.array([0.0, 3.0]), "whole numbers 0..2"),
        (CLASSES, np.array([0.0, 0.5]), "whole numbers 0..2"),
        (CLASSES, np.array([0.0, np.nan]), "`y` is nan at row 1"),
        (NUMBER, np.full(40, 0.25), "nothing to learn"),
        (Task("quantiles", ("a", "b"), quantiles=(0.5, 0.1)), np.arange(9.0), "must rise"),
        (Task("quantiles", ("a", "b"), quantiles=(0.0, 0.1)), np.arange(9.0), "must rise"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(task, y, said):
    with pytest.raises(BarwiseError, match=said):
        make_head(task, y)


def costs(head, x, y):
    """Loss of each row, and the slope of its sum at the raw outputs."""
    x = x.clone().requires_grad_()
    loss = head.loss(x, head.target(y))
    loss.sum().backward()
    return loss.detach().numpy(), x.grad.numpy()


def of_class(p, y):
    return np.take_along_axis(p, y.astype(int)[:, None], axis=1)[:, 0]


Y3 = np.random.default_rng(0).integers(0, 3, 60).astype(float)


@pytest.mark.parametrize("weights", [None, "balanced", (1.0, 2.0, 5.0)])
@pytest.mark.parametrize("gamma", [None, 0.0, 0.5, 2.0])
def test_class_losses_by_hand(gamma, weights):
    name = "cross_entropy" if gamma is None else "focal"
    head = make_head(CLASSES, Y3, choose_loss(CLASSES, name, None if gamma is None else {"gamma": gamma}, weights))
    x = 3 * raw(60, 3).double()
    p = of_class(torch.softmax(x, dim=1).numpy(), Y3)
    w = np.ones(60) if weights is None else np.asarray(head.weights)[Y3.astype(int)]
    loss, slope = costs(head, x, Y3)
    np.testing.assert_allclose(loss, -w * (1 - p) ** (gamma or 0.0) * np.log(p), rtol=1e-6)
    assert w.mean() == pytest.approx(1.0)
    assert (of_class(slope, Y3) < 0).all()  # more of the class that came makes it cheaper
    assert (np.delete(slope.ravel(), np.arange(60) * 3 + Y3.astype(int)) > 0).all()


def test_no_focus_is_cross_entropy():
    x = raw(60, 3)
    one, other = (make_head(CLASSES, Y3, choose_loss(CLASSES, *loss)) for loss in (("focal", {"gamma": 0.0}), ()))
    np.testing.assert_allclose(costs(one, x, Y3)[0], costs(other, x, Y3)[0], rtol=1e-5)
    np.testing.assert_allclose(one.forecast(x), other.forecast(x), rtol=1e-9)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_the_focal_loss_of_the_surest_row_has_a_finite_slope(gamma):
    head = make_head(CLASSES, Y3, choose_loss(CLASSES, "focal", {"gamma": gamma}))
    loss, slope = costs(head, torch.tensor([[200.0, 0.0, 0.0], [200.0, 0.0, 0.0]]), np.array([0.0, 1.0]))
    assert np.isfinite(slope).all()
    np.testing.assert_allclose(loss, [0.0, 200.0])


def test_weighted_classes_start_at_their_shares_all_the_same():
    y = np.repeat([0.0, 1.0, 2.0], [1, 3, 4])
    head = make_head(CLASSES, y, choose_loss(CLASSES, class_weights="balanced"))
    np.testing.assert_allclose(head.forecast(head.start()[None]), [[1 / 8, 3 / 8, 4 / 8]], rtol=1e-6)
    np.testing.assert_allclose(torch.softmax(head.start(), dim=0), 1 / 3, rtol=1e-6)  # the network's own are balanced


@pytest.mark.parametrize("loss", ["squared", "huber", "weighted_squared"])
def test_regression_losses_by_hand(loss):
    y = np.random.default_rng(1).normal(0.001, 0.02, 80)
    numbers = {"squared": {}, "huber": {"delta": 0.7}, "weighted_squared": {"threshold": 0.03, "factor": 4.0}}[loss]
    head = make_head(NUMBER, y, choose_loss(NUMBER, loss, numbers))
    x = raw(80, 1, seed=4).double()
    error = x.numpy()[:, 0] - (y - y.mean()) / y.std()
    near = np.abs(error) <= 0.7
    by_hand = {
        "squared": error**2,
        "huber": np.where(near, error**2 / 2, 0.7 * (np.abs(error) - 0.35)),
        "weighted_squared": error**2 * np.where(np.abs(y) > 0.03, 4.0, 1.0),
    }[loss]
    found, slope = costs(head, x, y)
    np.testing.assert_allclose(found, by_hand, rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(np.sign(slope[:, 0]), np.sign(error))  # downhill is towards the label
    assert near.any()
    assert (np.abs(y) > 0.03).any()


def test_moves_beyond_two_percent_count_five_times_by_default_in_the_labels_own_units():
    y = np.array([0.019, 0.021, -0.019, -0.021, 0.0, 0.0])
    plain, weighted = (make_head(NUMBER, y, choose_loss(NUMBER, name)) for name in ("squared", "weighted_squared"))
    x = raw(6, 1)
    np.testing.assert_allclose(costs(weighted, x, y)[0] / costs(plain, x, y)[0], [1, 5, 1, 5, 1, 1], rtol=1e-6)


def test_a_step_downhill_raises_a_quantile_that_lies_too_low():
    y = np.random.default_rng(2).normal(size=100)
    head = make_head(QUANTILES, y)
    x = head.start()[None].double()
    above, below = (costs(head, x, np.array([value]))[1][0, 0] for value in (50.0, -50.0))
    assert above < 0 < below


@settings(max_examples=60)
@given(hnp.arrays(np.float64, (6, 3), elements=st.floats(-1e30, 1e30)))
def test_quantiles_do_not_cross_whatever_the_network_says(x):
    head = make_head(QUANTILES, np.random.default_rng(3).normal(0.001, 0.02, 200))
    made = head.forecast(torch.from_numpy(x))
    assert np.isfinite(made).all()
    assert (np.diff(made, axis=1) >= 0).all()


@pytest.mark.parametrize("task", [CLASSES, NUMBER, QUANTILES], ids=lambda task: task.kind)
def test_a_head_of_several_horizons_is_single_ones_and_its_loss_their_mean(task):
    rng = np.random.default_rng(5)
    y = rng.integers(0, 3, (50, 2)).astype(float) if task is CLASSES else rng.normal(0, [0.01, 0.03], (50, 2))
    head = make_head(task.over((5, 15)), y)
    singles = [make_head(task, y[:, i]) for i in (0, 1)]
    x = raw(50, head.n_raw)
    parts = x.split(singles[0].n_raw, dim=1)
    assert isinstance(head, HorizonsHead)
    pairs = list(zip(singles, parts, y.T, strict=True))
    np.testing.assert_allclose(
        costs(head, x, y)[0], np.mean([costs(one, part, column)[0] for one, part, column in pairs], axis=0), rtol=1e-6
    )
    np.testing.assert_array_equal(head.forecast(x), np.hstack([one.forecast(part) for one, part, _ in pairs]))
    np.testing.assert_array_equal(head.start(), torch.cat([one.start() for one in singles]))
    assert singles[0] != singles[1]


@pytest.mark.parametrize(
    ("task", "loss"), [(CLASSES, ("focal", {"gamma": 1.5}, "balanced")), (NUMBER, ("huber",)), (QUANTILES, ())]
)
@pytest.mark.parametrize("horizons", [(5,), (5, 15)])
def test_a_head_comes_back_from_its_values(task, loss, horizons):
    task = task.over(horizons)
    y = np.random.default_rng(6).integers(0, 3, (40, len(horizons))).astype(float)
    head = make_head(task, y if len(horizons) > 1 else y[:, 0], choose_loss(task, *loss))
    assert head_of(head_values(head)) == head


def test_each_horizon_needs_two_classes():
    y = np.column_stack([Y3, np.ones(60)])
    with pytest.raises(BarwiseError, match="is class 'p_flat_h15' on all 60"):
        make_head(CLASSES.over((5, 15)), y)
