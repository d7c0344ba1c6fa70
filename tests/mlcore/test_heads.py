import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from mlcore.errors import BarwiseError
from mlcore.heads import make_head
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
