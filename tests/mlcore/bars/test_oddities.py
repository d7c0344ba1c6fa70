"""What is odd is counted and said, once a kind; ordinary bars say nothing."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from mlcore.bars import check_bars, spikes
from mlcore.errors import BarwiseWarning


def told(bars) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_bars(bars)
    assert all(issubclass(warning.category, BarwiseWarning) for warning in caught)
    return [str(warning.message) for warning in caught]


def test_ordinary_bars_say_nothing(bars):
    assert told(bars) == []


def test_missing_bars_are_counted(bars):
    (message,) = told(bars.drop(bars.index[[5, 6, 7, 100]]))
    assert "4 bars are missing in 2 gaps (the longest 3 bars, before 2024-01-01 08:00:00" in message
    assert "the interval is 1 hour." in message


def test_zero_volume_is_counted(bars):
    bars.iloc[[10, 20, 30], 4] = 0
    (message,) = told(bars)
    assert "3 of 600 bars have zero volume (the first 2024-01-01 10:00:00" in message


@pytest.mark.parametrize("column", ["high", "low"])
def test_a_spike_that_reverts_is_counted_and_a_jump_that_stays_is_none(bars, column):
    bars.iloc[300:, :4] *= 2.0  # a jump
    factor = 1.6 if column == "high" else 0.6
    bars.iloc[50, bars.columns.get_loc(column)] *= factor
    bars.iloc[70, bars.columns.get_loc(column)] *= factor
    bars.iloc[70, 3] = bars[column].iloc[70]  # the close goes with it
    np.testing.assert_array_equal(np.flatnonzero(spikes(bars)), [50, 70])
    (message,) = told(bars)
    assert "2 spikes revert in one bar (the first 2024-01-03 02:00:00" in message


def test_bars_of_two_intervals_are_told(bars):
    extra = bars.iloc[[10]].shift(freq="15min")
    mixed = pd.concat([bars.iloc[:11], extra, bars.iloc[11:]])
    (message,) = told(mixed)
    assert "2 steps are shorter than the interval 1 hour (the first before 2024-01-01 10:15:00" in message


def test_one_of_a_kind_is_told_as_one(bars):
    assert "1 bar is missing in 1 gap (the longest 1 bar, before" in told(bars.drop(bars.index[5]))[0]
    idle, spiked = bars.copy(), bars.copy()
    idle.iloc[10, 4] = 0
    spiked.iloc[50, 1] *= 1.6
    assert "1 of 600 bars has zero volume" in told(idle)[0]
    assert "1 spike reverts in one bar (the first" in told(spiked)[0]
    assert "a real print or a bad tick" in told(spiked)[0]


def test_nothing_is_filled(bars):
    holed = bars.drop(bars.index[[5, 6, 7]])
    with pytest.warns(BarwiseWarning):
        assert len(check_bars(holed)) == len(holed)


def test_a_price_that_never_moves_has_no_spikes(bars):
    bars.iloc[:, :4] = 5.0
    assert not spikes(bars).any()
    assert not spikes(bars.iloc[:2]).any()
