"""Volatility against reference values and pandas."""

from __future__ import annotations

import numpy as np
import pytest

from mlcore.features.volatility import atr_normalized, volatility, volatility_ratio
from tests.mlcore.features.reference import closed_form_bars, spreadsheet_bars


def test_closed_form_average_true_range():
    bars = closed_form_bars()
    np.testing.assert_allclose((atr_normalized(bars) * bars["close"]).iloc[[40, 59]], [1.98776591, 1.95241505])
    assert atr_normalized(bars).iloc[59] * 100 == pytest.approx(1.92665400)


@pytest.mark.bars
def test_spreadsheet_values(bars_folder):
    bars = spreadsheet_bars(bars_folder)
    average = atr_normalized(bars) * bars["close"]
    np.testing.assert_allclose(average.iloc[[14, 24, 249, 501]], [1.3364, 1.3034, 1.3381, 6.1497], atol=6e-5)


def test_the_deviation_is_that_of_the_population(bars):
    returns = np.log(bars["close"]).diff()
    np.testing.assert_allclose(volatility(bars)[14:], returns.rolling(14).std(ddof=0)[14:], rtol=1e-6)
    assert volatility(bars).isna().sum() == 14
    wanted = returns.rolling(14).std(ddof=0) / returns.rolling(50).std(ddof=0)
    np.testing.assert_allclose(volatility_ratio(bars)[50:], wanted[50:], rtol=1e-6)


def test_a_price_that_stands_still(bars):
    bars.iloc[100:200, :4] = bars["close"].iloc[99]
    assert (volatility(bars).iloc[120:200] < 1e-9).all()
    assert (volatility_ratio(bars).iloc[160:200] == 1).all()


def test_quiet_bars_are_not_taken_for_flat(bars):
    """Older TA-Lib set variances below 1e-14 to zero."""
    quiet = bars.copy()
    quiet[["open", "high", "low", "close"]] = 100 * (bars[["open", "high", "low", "close"]] / 100) ** 1e-6
    np.testing.assert_allclose(volatility(quiet)[14:], 1e-6 * volatility(bars)[14:], rtol=1e-3)
