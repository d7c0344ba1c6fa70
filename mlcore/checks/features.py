"""The laws of a feature: a pure function of past bars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mlcore.checks.laws import CUTS, changed, first_difference, require, same

Feature = Callable[..., Any]


def feature_is_pure(feature: Feature, bars: pd.DataFrame) -> None:
    """A feature leaves the bars as they were and gives the same answer twice."""
    before = bars.copy(deep=True)
    once, twice = feature(bars), feature(bars)
    require(bars.equals(before) and list(bars) == list(before), feature, "it changed the bars it was given.")
    require(same(once, twice), feature, f"two calls differ, {first_difference(once, twice)}.")


def feature_gives_one_row_a_bar(feature: Feature, bars: pd.DataFrame) -> None:
    """A feature is a Series or DataFrame of numbers on the index of the bars."""
    made = feature(bars)
    require(isinstance(made, pd.Series | pd.DataFrame), feature, f"it gave a {type(made).__name__}, not a Series.")
    require(made.index.equals(bars.index), feature, "its index is not the index of the bars.")
    require(np.issubdtype(np.asarray(made).dtype, np.number), feature, "its values are no numbers.")


def feature_is_nan_only_in_its_warm_up(feature: Feature, bars: pd.DataFrame) -> None:
    """A feature is NaN on the first rows only, inf nowhere, and speaks before the sample ends."""
    made = pd.DataFrame(feature(bars))
    for column in made:
        values = made[column].to_numpy(np.float64)
        finite = np.isfinite(values)
        require(finite.any(), feature, f"column {column!r} is never a number in {len(bars)} bars.")
        warm_up = int(finite.argmax())
        require(
            finite[warm_up:].all(), feature, f"column {column!r} is NaN or inf after its warm-up of {warm_up} rows."
        )
        require(np.isnan(values[:warm_up]).all(), feature, f"column {column!r} is inf in its warm-up.")


def feature_is_blind_to_later_bars(feature: Feature, bars: pd.DataFrame) -> None:
    """A feature up to row t is bit for bit the same when the bars after t are cut off, wherever the cut."""
    whole = feature(bars)
    for cut in CUTS:
        prefix = feature(bars.iloc[:cut])
        told = first_difference(prefix, whole.iloc[:cut])
        require(same(prefix, whole.iloc[:cut]), feature, f"cut to {cut} bars it differs, {told}.")


def feature_is_blind_to_other_futures(feature: Feature, bars: pd.DataFrame) -> None:
    """A feature up to row t is bit for bit the same when the bars after t are other bars."""
    whole = feature(bars)
    for cut in CUTS:
        for factor in (0.1, 10.0):
            other = feature(changed(bars, slice(cut, None), factor))
            told = first_difference(other.iloc[:cut], whole.iloc[:cut])
            require(same(other.iloc[:cut], whole.iloc[:cut]), feature, f"other bars from {cut} on change it, {told}.")


FEATURE_CHECKS: tuple[Callable[[Feature, pd.DataFrame], None], ...] = (
    feature_is_pure,
    feature_gives_one_row_a_bar,
    feature_is_nan_only_in_its_warm_up,
    feature_is_blind_to_later_bars,
    feature_is_blind_to_other_futures,
)
