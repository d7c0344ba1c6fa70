"""Momentum features against values that other libraries and hand-worked spreadsheets give."""

from __future__ import annotations

import numpy as np
import pytest
import talib

from mlcore.features.momentum import cci, macd_signal, momentum, roc, rsi, stochastic_d, stochastic_k
from tests.mlcore.features.reference import closed_form_bars, spreadsheet_bars


def test_closed_form_values():
    bars = closed_form_bars()
    at = [40, 59]
    np.testing.assert_allclose(rsi(bars).iloc[at], [49.42801373, 39.31258135])
    difference = (macd_signal(bars) * bars["close"]).iloc[at]
    np.testing.assert_allclose(difference, [-0.79616455 + 0.53356070, -0.57481591 - 0.24079006], rtol=1e-7)
    np.testing.assert_allclose(cci(bars).iloc[at], [-53.30960680, -90.06661455])
    np.testing.assert_allclose(stochastic_k(bars).iloc[at], [21.78921758, 8.31726524])
    np.testing.assert_allclose(roc(bars).iloc[59] * 100, -7.13986693)
    close = bars["close"].to_numpy()
    np.testing.assert_allclose(momentum(bars).iloc[at], 1 - close[[10, 29]] / close[at])


@pytest.mark.bars
def test_spreadsheet_values(bars_folder):
    bars = spreadsheet_bars(bars_folder)
    np.testing.assert_allclose(rsi(bars).iloc[[14, 249, 501]], [62.0541, 70.9368, 42.0773], atol=5e-5)
    difference = macd_signal(bars) * bars["close"]
    np.testing.assert_allclose(difference.iloc[[249, 501]], [-0.0789, -0.3629], atol=6e-5)
    np.testing.assert_allclose(cci(bars).iloc[501], -52.9946, atol=5e-5)
    np.testing.assert_allclose(stochastic_k(bars).iloc[[17, 249, 501]], [92.1307, 83.2020, 43.1353], atol=5e-5)
    np.testing.assert_allclose(stochastic_d(bars).iloc[[17, 249, 501]], [88.4995, 83.0813, 35.5674], atol=5e-5)


def test_warm_ups_are_as_short_as_the_convention_allows(bars):
    for made, wanted in [
        (rsi(bars), 14),
        (macd_signal(bars), 33),
        (momentum(bars), 30),
        (roc(bars), 10),
        (stochastic_k(bars), 15),
        (stochastic_d(bars), 17),
        (cci(bars), 19),
    ]:
        assert made.isna().sum() == wanted


def test_d_is_the_mean_of_k(bars):
    np.testing.assert_allclose(stochastic_d(bars)[17:], stochastic_k(bars).rolling(3).mean()[17:])


def test_k_by_its_formula(bars):
    low, high = bars["low"].rolling(14).min(), bars["high"].rolling(14).max()
    raw = 100 * (bars["close"] - low) / (high - low)
    np.testing.assert_allclose(stochastic_k(bars)[15:], raw.rolling(3).mean()[15:])


def test_the_talib_trap_that_checked_bars_avoid(bars):
    """One NaN turns TA-Lib's RSI into 0.0 for ever: the feature table refuses such bars."""
    close = bars["close"].to_numpy().copy()
    close[100] = np.nan
    after = talib.RSI(close, 14)[101:]
    assert (after == 0).all()
