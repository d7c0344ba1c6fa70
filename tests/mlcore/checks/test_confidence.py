"""Negative controls: confidence rules that break a law must be caught."""

import numpy as np
import pytest

from mlcore.checks import BrokenLawError, check_confidence
from mlcore.checks import confidence as laws
from mlcore.confidence import top_two_gap
from mlcore.plugins import CONFIDENCES


def rule(function):
    function.kinds, function.needs = ("classes",), None
    return function


@rule
def twice(views):
    return 2.0 * top_two_gap(views)


@rule
def unsure(views):
    return np.where(views.signal == 0, 0.0, 1.0 - top_two_gap(views))


@rule
def whatever_the_side(views):
    top = np.sort(views.raw, axis=1)
    return top[:, -1] - top[:, -2]


@rule
def of_the_batch(views):
    sure = top_two_gap(views)
    return sure / sure.max(initial=1e-9)


@rule
def long_only(views):
    return np.where(views.signal > 0, top_two_gap(views), 0.5 * top_two_gap(views))


CONTROLS = [
    (twice, laws.confidence_lies_in_zero_to_one),
    (unsure, laws.confidence_grows_with_sureness),
    (whatever_the_side, laws.confidence_is_of_the_side_that_the_signal_calls),
    (of_the_batch, laws.confidence_looks_at_its_own_row_only),
    (long_only, laws.confidence_is_the_same_for_long_and_short),
]


@pytest.mark.parametrize(("broken", "check"), CONTROLS, ids=lambda x: x.__name__)
def test_a_broken_rule_is_caught(broken, check):
    with pytest.raises(BrokenLawError):
        check(broken)


def test_a_rule_that_speaks_of_silent_rows_is_caught(monkeypatch):
    real = laws.make_forecasts
    monkeypatch.setattr(laws, "make_forecasts", lambda *args, **options: real(*args, **options).fillna(0.0))
    with pytest.raises(BrokenLawError, match="not silent"):
        laws.confidence_is_silent_where_the_forecast_is(top_two_gap)


@pytest.mark.parametrize("name", sorted(CONFIDENCES))
def test_honest_rules_pass(name):
    check_confidence(CONFIDENCES[name])
