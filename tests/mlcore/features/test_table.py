"""The feature table: causal bit for bit, free of the price's level, honest about its memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from mlcore.features import DEFAULT_FEATURES, feature_table
from mlcore.plugins import FEATURES
from tests.conftest import random_bars

CUTS = (1, 2, 5, 14, 20, 21, 33, 50, 199, 200, 201, 317)


@pytest.fixture
def entered():
    """Enter a feature for one test."""
    names: list[str] = []

    def enter(function):
        names.append(function.__name__)
        return FEATURES.add(function)

    yield enter
    for name in names:
        FEATURES._entries.pop(name)


def test_the_default_table_is_the_study_and_the_calendar(bars):
    table = feature_table(bars)
    assert table.shape == (600, 24)
    assert {"rsi", "macd_signal", "ema_distance_window200", "time_of_day_sine", "day_of_week_cosine"} <= set(table)
    assert (table.dtypes == np.float64).all()
    assert table.index is bars.index or table.index.equals(bars.index)
    assert table.notna().all(axis=1).to_numpy()[199:].all()


@pytest.mark.parametrize("volume_holes", [False, True])
def test_later_bars_change_nothing_bit_for_bit(volume_holes):
    """Every row of a prefix's table equals the row of the whole table, cuts inside the warm-up included."""
    bars = random_bars(400, seed=3)
    if volume_holes:
        bars.loc[bars.index[20:60], "volume"] = 0.0
        bars.iloc[100:180, :4] = bars["close"].iloc[99]
    whole = feature_table(bars)
    for cut in CUTS:
        pd.testing.assert_frame_equal(
            feature_table(bars.iloc[:cut]), whole.iloc[:cut], check_exact=True, check_freq=False
        )


def test_a_perturbed_future_changes_nothing_bit_for_bit():
    bars = random_bars(400, seed=4)
    whole = feature_table(bars)
    for cut in CUTS:
        changed = bars.copy()
        changed.iloc[cut:, :4] *= 3.7
        changed.iloc[cut:, 4] = 0.0
        pd.testing.assert_frame_equal(feature_table(changed).iloc[:cut], whole.iloc[:cut], check_exact=True)


def test_the_price_level_does_not_matter():
    """A coin at 1e-6 reads as one at 100 (older TA-Lib took its moves for zero)."""
    bars = random_bars(400, seed=5)
    tiny = bars.copy()
    tiny.iloc[:, :4] *= 2.0**-30
    pd.testing.assert_frame_equal(feature_table(tiny), feature_table(bars), rtol=1e-9)


def test_memory_is_what_the_windows_reach():
    """Beyond its memory no finite-window feature sees a bar; recursive ones are not counted."""
    bars = random_bars(400, seed=6)
    finite = [recipe for recipe in DEFAULT_FEATURES if isinstance(recipe, str) and not FEATURES[recipe].recursive]
    table = feature_table(bars, finite)
    memory = table.attrs["memory"]
    assert memory == feature_table(bars).attrs["memory"] == 50
    later = feature_table(bars.iloc[200:], finite)
    pd.testing.assert_frame_equal(
        later.iloc[memory:], table.iloc[200 + memory :], rtol=1e-6, atol=1e-9, check_freq=False
    )


def test_the_bars_are_left_alone(bars):
    before = bars.copy()
    feature_table(bars)
    pd.testing.assert_frame_equal(bars, before)


def test_recipes_and_column_names_choose_the_features(bars):
    table = feature_table(bars, ["rsi_window7", ("ema_distance", {"window": 50}), "cci"])
    assert list(table) == ["rsi_window7", "ema_distance_window50", "cci"]


def test_unchecked_bars_are_refused(bars):
    bars.iloc[300, 3] = np.nan
    with pytest.raises(BarwiseError, match="'close' holds NaN or inf; run `check_bars`"):
        feature_table(bars)


def test_a_feature_with_nan_after_its_warm_up_is_refused(bars, entered):
    @entered
    def patchy(bars):
        return bars["close"].where(np.arange(len(bars)) != 77)

    with pytest.raises(BarwiseError, match="'patchy' is nan in row 77"):
        feature_table(bars, ["patchy"])


def test_a_feature_with_inf_is_refused(bars, entered):
    @entered
    def endless(bars):
        return bars["close"] / np.arange(len(bars))

    with pytest.raises(BarwiseError, match="'endless' is inf in row 0"):
        feature_table(bars, ["endless"])


def test_a_feature_of_another_length_is_refused(bars, entered):
    @entered
    def short(bars):
        return bars["close"].dropna().iloc[1:]

    with pytest.raises(BarwiseError, match="599 rows for 600 bars"):
        feature_table(bars, ["short"])


def test_a_missing_extra_column_is_named(bars, entered):
    @entered
    def carry(bars):
        return bars["funding_rate"]

    with pytest.raises(BarwiseError, match="'carry' needs the column 'funding_rate'"):
        feature_table(bars, ["carry"])


def test_no_feature_and_the_same_feature_twice_are_refused(bars):
    with pytest.raises(BarwiseError, match="empty"):
        feature_table(bars, [])
    with pytest.raises(BarwiseError, match="'rsi' twice"):
        feature_table(bars, ["rsi", ("rsi", {"window": 14})])
