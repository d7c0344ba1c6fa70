"""Negative controls: labels that say less than they look ahead, or more, must be caught."""

import dataclasses

import numpy as np
import pytest

from mlcore.checks import BrokenLawError, check_label, sample_bars
from mlcore.checks import labels as laws
from mlcore.labels import direction, forward_return

BARS = sample_bars()


def altered(**changes):
    def label(bars):
        made = forward_return(bars, 5)
        return dataclasses.replace(made, **{name: change(made, bars) for name, change in changes.items()})

    return label


BROKEN = {
    "ends too early": (laws.label_sees_nothing_after_its_end, altered(ends=lambda made, _: made.ends - 1)),
    "scaled over the sample": (
        laws.label_sees_nothing_after_its_end,
        altered(values=lambda made, bars: made.values / bars["close"].std()),
    ),
    "ends too late": (laws.label_reaches_its_end, altered(ends=lambda made, _: made.ends + 1)),
    "span too short": (laws.label_declares_its_span, altered(span=lambda made, _: made.span - 1)),
    "ends on its own bar": (
        laws.label_declares_its_span,
        altered(ends=lambda made, _: made.ends - made.span, span=lambda *_: 0),
    ),
    "filled at the end": (
        laws.label_is_nan_only_where_its_end_is_not_there,
        altered(values=lambda made, _: np.nan_to_num(made.values)),
    ),
    "a hole": (
        laws.label_is_nan_only_where_its_end_is_not_there,
        altered(returns=lambda made, _: np.where(np.arange(len(made.ends)) == 7, np.nan, made.returns)),
    ),
    "one row short": (laws.label_has_the_shape_of_its_task, altered(values=lambda made, _: made.values[1:])),
    "a code too many": (
        laws.label_has_the_shape_of_its_task,
        altered(task=lambda *_: direction(BARS, threshold=0.0).task),
    ),
    "drawn by lot": (
        laws.label_is_pure,
        altered(values=lambda made, _: np.random.default_rng().standard_normal(len(made.values))),
    ),
}


@pytest.mark.parametrize("label", [forward_return, direction, lambda bars: forward_return(bars, 3, entry="close")])
def test_an_honest_label_passes(label):
    check_label(label)


@pytest.mark.parametrize(("check", "label"), BROKEN.values(), ids=BROKEN)
def test_a_broken_label_is_caught(check, label):
    check(lambda bars: forward_return(bars, 5), BARS)
    with pytest.raises(BrokenLawError):
        check(label, BARS)
