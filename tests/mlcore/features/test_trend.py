"""Averages and bands against reference values; a market that stands still is defined."""

from __future__ import annotations

import numpy as np
import pytest

from mlcore.features.trend import bollinger_position, bollinger_width, ema_distance
from tests.mlcore.features.reference import closed_form_bars, spreadsheet_bars


def upper_band(bars):
    """Recover the upper band from the two features."""
    width = bollinger_width(bars)
    middle = bars["close"] / (1 + (bollinger_position(bars) - 0.5) * width)
    return middle * (1 + width / 2)


def test_closed_form_bands():
    np.testing.assert_allclose(upper_band(closed_form_bars()).iloc[[40, 59]], [109.43667003, 111.59288786])


@pytest.mark.bars
def test_spreadsheet_values(bars_folder):
    bars = spreadsheet_bars(bars_folder)
    assert bollinger_width(bars).iloc[501] == pytest.approx((273.7004 - 230.0196) / 251.86, abs=1e-6)
    assert upper_band(bars).iloc[501] == pytest.approx(273.7004, abs=6e-5)
    average = bars["close"] / (1 + ema_distance(bars, window=20))
    np.testing.assert_allclose(average.iloc[[29, 249, 501]], [216.6228, 255.3873, 249.3519], atol=6e-5)
    assert average.iloc[19] == pytest.approx(214.525)
    assert average.isna().sum() == 19


def test_bands_by_their_formula(bars):
    mean = bars["close"].rolling(20).mean()
    deviation = bars["close"].rolling(20).std(ddof=0)
    np.testing.assert_allclose(bollinger_width(bars)[19:], (4 * deviation / mean)[19:], rtol=1e-6)
    wanted = (bars["close"] - mean + 2 * deviation) / (4 * deviation)
    np.testing.assert_allclose(bollinger_position(bars)[19:], wanted[19:], rtol=1e-6, atol=1e-9)


def test_a_price_that_stands_still_lies_in_the_middle(bars):
    bars.iloc[100:200, :4] = bars["close"].iloc[99]
    assert (bollinger_position(bars).iloc[120:200] == 0.5).all()
    assert (bollinger_width(bars).iloc[120:200] < 1e-9).all()
