"""Negative controls: features that leak must be caught."""

import numpy as np
import pandas as pd
import pytest

from mlcore.checks import BrokenLawError, check_feature, sample_bars
from mlcore.checks import features as laws

BARS = sample_bars()


def moving_average(bars):
    return bars["close"].rolling(20).mean()


LEAKS = {
    "tomorrow's close": lambda bars: bars["close"].shift(-1).ffill(),
    "centred mean": lambda bars: bars["close"].rolling(21, center=True, min_periods=1).mean(),
    "warm-up filled backwards": lambda bars: bars["close"].rolling(20).mean().bfill(),
    "z-score of the whole sample": lambda bars: (bars["close"] - bars["close"].mean()) / bars["close"].std(),
    "min-max of the whole sample": lambda bars: bars["close"] / bars["close"].max(),
    "rank in the whole sample": lambda bars: bars["close"].rank(),
    "the day's last close": lambda bars: bars.groupby(bars.index.floor("D"))["close"].transform("last"),
    "interpolated": lambda bars: bars["close"].where(np.arange(len(bars)) % 7 == 0).interpolate().bfill(),
}


def test_an_honest_feature_passes():
    check_feature(moving_average)


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_truncation_catches_a_leak(leak):
    with pytest.raises(BrokenLawError, match="first in row|shapes"):
        laws.feature_is_blind_to_later_bars(leak, BARS)


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_another_future_catches_a_leak(leak):
    with pytest.raises(BrokenLawError, match="other bars from"):
        laws.feature_is_blind_to_other_futures(leak, BARS)


def spoils_its_input(bars):
    bars["close"] = bars["close"].shift(1)
    return bars["close"]


def drawn(bars):
    return pd.Series(np.random.default_rng().standard_normal(len(bars)), index=bars.index)


BROKEN = {
    "spoils its input": (laws.feature_is_pure, spoils_its_input),
    "drawn by lot": (laws.feature_is_pure, drawn),
    "an array": (laws.feature_gives_one_row_a_bar, lambda bars: bars["close"].to_numpy()),
    "fewer rows": (laws.feature_gives_one_row_a_bar, lambda bars: bars["close"].diff().dropna()),
    "text": (laws.feature_gives_one_row_a_bar, lambda bars: bars["close"].astype(str)),
    "a hole": (
        laws.feature_is_nan_only_in_its_warm_up,
        lambda bars: bars["close"].where(bars["close"] != bars["close"].iloc[99]),
    ),
    "inf on top": (laws.feature_is_nan_only_in_its_warm_up, lambda bars: bars["close"].diff().fillna(np.inf)),
    "never a number": (laws.feature_is_nan_only_in_its_warm_up, lambda bars: bars["close"].rolling(5000).mean()),
}


@pytest.mark.parametrize(("check", "feature"), BROKEN.values(), ids=BROKEN)
def test_a_broken_feature_is_caught(check, feature):
    check(moving_average, BARS.copy())
    with pytest.raises(BrokenLawError):
        check(feature, BARS.copy())
