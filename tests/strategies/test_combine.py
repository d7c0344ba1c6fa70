"""Rule strategies and what they say together with a model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from mlcore.features.momentum import rsi
from strategies.combine import SIDES, combine, wave_trend
from tests.conftest import random_bars


@pytest.mark.parametrize("name", sorted(SIDES))
def test_a_side_is_one_of_three_and_knows_nothing_later(name):
    bars = random_bars(300)
    whole = SIDES[name](bars)
    assert set(whole) == {-1.0, 0.0, 1.0} and whole.index.equals(bars.index)
    for cut in (1, 3, 15, 51, 120, 299):
        np.testing.assert_array_equal(SIDES[name](bars.iloc[:cut]), whole.iloc[:cut])
        later = bars.copy()
        later.iloc[cut:] *= 3.0
        np.testing.assert_array_equal(SIDES[name](later).iloc[:cut], whole.iloc[:cut])


def test_averages_and_macd_take_the_side_of_the_trend():
    index = pd.date_range("2024", periods=200, freq="1h", tz="UTC")
    close = pd.Series(np.r_[np.linspace(100, 200, 100), np.linspace(200, 100, 100)] ** 1.5, index)
    bars = pd.DataFrame({"open": close, "high": close, "low": close, "close": close})
    cross = SIDES["ma_cross"](bars, fast=5, slow=10)
    assert (cross.iloc[:9] == 0).all() and (cross.iloc[9:99] == 1).all() and (cross.iloc[120:] == -1).all()
    assert SIDES["wave_trend"](bars).iloc[103] == -1 and SIDES["macd"](bars).iloc[105] == -1
    with pytest.raises(BarwiseError, match="`fast` and `slow` are 5 and 5"):
        SIDES["ma_cross"](bars, 5, 5)


def test_the_rsi_side_lasts_from_the_extreme_to_the_middle():
    bars = random_bars(600, volatility=0.02)
    index, side = rsi(bars, window=14), SIDES["rsi"](bars)
    held = 0.0
    for row, value in enumerate(np.asarray(index)):
        if value <= 30:
            held = 1.0
        elif value >= 70:
            held = -1.0
        elif (held > 0 and value >= 50) or (held < 0 and value <= 50):
            held = 0.0
        assert side.iloc[row] == held, row
    with pytest.raises(BarwiseError, match="`low` and `high`"):
        SIDES["rsi"](bars, low=60.0)


def test_the_wave_trend_of_the_closed_form_series():
    # METHODS 4.3: LazyBear's formula, worked out by hand on the 60-bar series of 4.2.
    t = np.arange(60)
    close = 100 + 5 * np.sin(0.3 * t) + 0.1 * t
    opened = np.r_[close[0], close[:-1]]
    high = np.maximum(opened, close) + 0.5 + 0.2 * np.cos(t)
    low = np.minimum(opened, close) - 0.5 - 0.2 * np.sin(1.7 * t) ** 2
    first, second = wave_trend(pd.DataFrame({"open": opened, "high": high, "low": low, "close": close}))
    np.testing.assert_allclose(first.iloc[[20, 40, 59]], [-8.39037866, -18.71021806, -20.98612660], rtol=1e-8)
    np.testing.assert_allclose(second.iloc[[20, 40, 59]], [-12.96019232, -19.21731874, -14.57430894], rtol=1e-8)


INDEX = pd.date_range("2024", periods=9, freq="1h", tz="UTC")


def test_agreement_adds_a_sure_model_overrides_and_conflict_holds():
    side = pd.Series([0, 1, -1, -1, 1, 1, 0, 1, 1], INDEX, dtype=float)
    signal = [0.3, 0.3, 0.3, 0.3, 0.0, np.nan, 0.0, -0.3, -0.3]
    sure = [0.5, 0.5, 0.5, 0.9, 0.1, np.nan, 0.1, 0.2, 0.85]
    made = combine(side, pd.DataFrame({"signal": signal, "confidence": sure}, INDEX), size=0.4)
    #        model  both  held  sure  rule  gap  nothing  held(flat)  sure
    assert made.fillna(0).tolist() == pytest.approx([0.4, 0.6, 0.6, 0.4, 0.4, 0, 0, 0, -0.4])


def test_the_rule_may_be_warm_before_the_forecasts_and_a_weight_is_at_most_one():
    side = pd.Series(1.0, INDEX)
    forecasts = pd.DataFrame({"signal": 0.3, "confidence": 0.7}, INDEX[4:])
    made = combine(side, forecasts, size=0.9)
    assert made.index.equals(INDEX[4:]) and (made == 1.0).all()
    assert (combine(side, forecasts, size=0.4, entry=0.5) == 0.4).all()
    for wrong, said in (({"size": 0.0}, "`size` is 0.0"), ({"override": 2.0}, "`bonus`, `entry` and `override`")):
        with pytest.raises(BarwiseError, match=said):
            combine(side, forecasts, **wrong)
