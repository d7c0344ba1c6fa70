"""Losses by name: what is refused, what rows and classes weigh, and that weighting is undone in a forecast."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from mlcore.errors import BarwiseError
from mlcore.heads import ClassHead, FocalHead
from mlcore.losses import LOSSES, Loss, choose_loss, class_weights_of, row_weights, without_focus, without_weights
from mlcore.tasks import Task

CLASSES = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
NUMBER = Task("regression", ("expected_return",))
QUANTILES = Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9))
CODES = np.repeat([0.0, 1.0, 2.0], [2, 5, 3])


@pytest.mark.parametrize(
    ("task", "name"),
    [(CLASSES, "cross_entropy"), (NUMBER, "squared"), (QUANTILES, "pinball")],
    ids=lambda x: str(x)[:9],
)
def test_every_task_has_a_loss_of_its_own(task, name):
    assert choose_loss(task) == Loss(name, {})


def test_numbers_of_a_loss_have_defaults_and_can_be_given():
    assert choose_loss(CLASSES, "focal").numbers == {"gamma": 2.0}
    assert choose_loss(CLASSES, "focal", {"gamma": 0}).numbers == {"gamma": 0.0}
    assert choose_loss(NUMBER, "weighted_squared", {"factor": 3}).numbers == {"threshold": 0.02, "factor": 3.0}
    assert LOSSES["regression"]["weighted_squared"]["factor"] == 5.0  # the table itself is left alone


@pytest.mark.parametrize(
    ("task", "arguments", "said"),
    [
        (CLASSES, {"loss": "focl"}, "`loss` is 'focl', which is not known. Did you mean 'focal'"),
        (CLASSES, {"loss": "huber"}, "not for a label of kind 'classes'. There are: cross_entropy, focal"),
        (NUMBER, {"loss": "focal"}, "not for a label of kind 'regression'. There are: squared, huber, weighted"),
        (QUANTILES, {"loss": "squared"}, "There is: pinball"),
        (CLASSES, {"loss": "focal", "known": ("cross_entropy",)}, "cannot be trained by. There is: cross_entropy"),
        (CLASSES, {"loss": "focal", "loss_params": {"gama": 1}}, "`gama`, no number of 'focal'; it has: gamma. Did"),
        (CLASSES, {"loss_params": {"gamma": 1}}, "no number of 'cross_entropy'; it has none"),
        (CLASSES, {"loss": "focal", "loss_params": {"gamma": -1}}, "gamma = -1; it must be a number 0 or more"),
        (NUMBER, {"loss": "huber", "loss_params": {"delta": 0}}, "delta = 0; it must be a number above 0"),
        (NUMBER, {"loss": "huber", "loss_params": {"delta": "wide"}}, "delta = 'wide'"),
        (NUMBER, {"class_weights": "balanced"}, "a label of kind 'regression' has no classes"),
        (CLASSES, {"class_weights": "balancd"}, "Did you mean 'balanced'"),
        (CLASSES, {"class_weights": (1.0, 2.0)}, "one number above 0 for each of p_down, p_flat, p_up"),
        (CLASSES, {"class_weights": (1.0, 2.0, 0.0)}, "one number above 0"),
        (CLASSES.over((5, 15)), {"class_weights": (1.0,) * 6}, "each of p_down, p_flat, p_up."),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(task, arguments, said):
    with pytest.raises(BarwiseError, match=said):
        choose_loss(task, **arguments)


def test_balanced_weights_are_scikit_learns_and_given_ones_keep_their_ratio():
    balanced = class_weights_of(CODES, 3, "balanced")
    np.testing.assert_allclose(balanced, compute_class_weight("balanced", classes=np.arange(3), y=CODES))
    given_ones = np.array(class_weights_of(CODES, 3, (1.0, 2.0, 4.0)))
    np.testing.assert_allclose(given_ones / given_ones[0], [1, 2, 4])
    for weights in (balanced, given_ones):
        assert np.mean(np.asarray(weights)[CODES.astype(int)]) == pytest.approx(1.0)
    assert class_weights_of(CODES, 3, None) is None


def test_a_class_that_is_not_there_takes_no_part_in_the_balance():
    np.testing.assert_allclose(class_weights_of(np.array([0.0, 0.0, 2.0]), 3, "balanced"), [0.75, 1.0, 1.5])


def test_rows_weigh_as_their_class_or_their_size():
    assert row_weights(choose_loss(CLASSES), CODES, None) is None
    np.testing.assert_array_equal(row_weights(Loss("cross_entropy"), CODES[[0, 2, 9]], (3.0, 1.0, 2.0)), [3, 1, 2])
    sizes = row_weights(choose_loss(NUMBER, "weighted_squared"), np.array([0.01, -0.03, 0.021, -0.019]), None)
    np.testing.assert_array_equal(sizes, [1, 5, 5, 1])


def least(head, shares):
    """Raw outputs at which the expected loss of a market with these class frequencies is least."""
    raw = torch.zeros((1, len(shares)), dtype=torch.float64, requires_grad=True)
    p = torch.tensor(shares, dtype=torch.float64)
    optimiser = torch.optim.LBFGS([raw], max_iter=500, tolerance_grad=1e-13, tolerance_change=1e-15)

    def expected():
        optimiser.zero_grad()
        codes = torch.arange(len(shares))
        loss = (head.loss(raw.expand(len(shares), -1), codes) * p).sum()
        loss.backward()
        return loss

    optimiser.step(expected)
    return raw.detach()


def frequencies(draw):
    raw = np.array(draw)
    return raw / raw.sum()


@settings(max_examples=25, deadline=None)
@given(
    shares=st.lists(st.floats(0.05, 1.0), min_size=2, max_size=5).map(frequencies),
    gamma=st.floats(0.0, 3.0),
    weigh=st.booleans(),
)
def test_a_forecast_is_the_frequency_for_which_the_loss_is_least(shares, gamma, weigh):
    """What weights and focus do to a network's own probabilities is undone: what is forecast is what comes."""
    k = len(shares)
    weights = tuple(np.linspace(0.5, 3.0, k)) if weigh else None
    for head in (ClassHead((1 / k,) * k, weights), FocalHead((1 / k,) * k, weights, gamma)):
        np.testing.assert_allclose(head.forecast(least(head, shares))[0], shares, atol=2e-4)


def test_without_the_step_the_probabilities_would_be_off():
    """The negative control: weights and focus do bend them."""
    shares = np.array([0.1, 0.2, 0.7])
    for head in (ClassHead((1 / 3,) * 3, (7.0, 3.0, 1.0)), FocalHead((1 / 3,) * 3, None, 2.0)):
        bent = torch.softmax(least(head, shares), dim=1).numpy()[0]
        assert np.abs(bent - shares).max() > 0.05


def test_no_focus_and_no_weights_change_nothing():
    p = np.random.default_rng(0).dirichlet([1, 1, 1], 40)
    np.testing.assert_allclose(without_focus(np.log(p), 0.0), p, rtol=1e-12)
    assert without_weights(p, None) is p


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_the_surest_logits_still_give_probabilities(gamma):
    raw = torch.tensor([[0.0, 60.0, -60.0], [1e4, 0.0, -1e4], [0.0, 0.0, 0.0], [12.0, 0.0, 0.0]], dtype=torch.float64)
    p = without_focus(torch.log_softmax(raw, dim=1).numpy(), gamma)
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert (np.argmax(p, axis=1) == np.argmax(raw.numpy(), axis=1)).all()
    np.testing.assert_allclose(p[2], 1 / 3)
