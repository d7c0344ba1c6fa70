"""Volume features against TA-Lib's own chain; no volume at all is defined."""

from __future__ import annotations

import numpy as np
import talib

from mlcore.features.volume import obv_slope, volume_ma_ratio
from tests.mlcore.features.reference import closed_form_bars


def test_on_balance_volume_of_the_reference_bars():
    """The signed volumes behind the slope sum to the published OBV (which starts at the first volume)."""
    bars = closed_form_bars()
    np.testing.assert_allclose(
        talib.OBV(bars["close"].to_numpy(), bars["volume"].to_numpy())[[40, 59]], [1449.50119294, 238.39822673]
    )


def test_the_slope_is_the_least_squares_slope_of_obv(bars):
    close, volume = bars["close"].to_numpy(), bars["volume"].to_numpy()
    for window in (2, 5, 9):
        slope = talib.LINEARREG_SLOPE(talib.OBV(close, volume), window) / talib.SMA(volume, window)
        np.testing.assert_allclose(obv_slope(bars, window=window)[window - 1 :], slope[window - 1 :], atol=1e-9)
        assert obv_slope(bars, window=window).isna().sum() == window - 1


def test_volume_over_its_mean(bars):
    wanted = bars["volume"] / bars["volume"].rolling(20).mean()
    np.testing.assert_allclose(volume_ma_ratio(bars)[19:], wanted[19:])


def test_volume_in_other_units_reads_the_same(bars):
    millions = bars.assign(volume=bars["volume"] * 2.0**20)
    np.testing.assert_array_equal(obv_slope(millions), obv_slope(bars))
    np.testing.assert_array_equal(volume_ma_ratio(millions), volume_ma_ratio(bars))


def test_no_volume_reads_as_zero(bars):
    bars.iloc[:, 4] = 0.0
    assert (obv_slope(bars)[4:] == 0).all()
    assert (volume_ma_ratio(bars)[19:] == 0).all()
