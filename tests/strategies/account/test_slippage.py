import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from strategies.account.slippage import atr_slippage, volume_slippage
from strategies.portfolio import backtest_portfolio
from tests.conftest import random_bars


@pytest.mark.parametrize("slip", [lambda bars: atr_slippage(bars), lambda bars: volume_slippage(bars, 500.0)])
def test_slippage_is_known_before_its_bar(slip):
    bars = random_bars(100)
    whole = slip(bars)
    for cut in (1, 13, 14, 15, 25, 60):
        later = bars.copy()
        later.iloc[cut:] *= 7.0
        pd.testing.assert_series_equal(slip(later).iloc[: cut + 1], whole.iloc[: cut + 1], check_exact=True)
        pd.testing.assert_series_equal(slip(bars.iloc[:cut]), whole.iloc[:cut], check_exact=True)


def test_the_share_of_the_range_by_hand():
    index = pd.date_range("2024", periods=4, freq="1h", tz="UTC")
    bars = pd.DataFrame({"open": 100.0, "high": 102.0, "low": 98.0, "close": 100.0, "volume": 10.0}, index)
    assert atr_slippage(bars, 0.1, window=2).tolist() == pytest.approx([0, 0, 0, 0.004])
    assert volume_slippage(bars, 500.0, impact=0.02, window=2).tolist() == pytest.approx([0.05, 0.05, 0.01, 0.01])
    assert volume_slippage(bars, 500.0, impact=0.5, window=2).tolist() == pytest.approx([0.05] * 4)  # at most


def test_both_engines_fill_at_it():
    bars = random_bars(80)
    slip = atr_slippage(bars, 0.5)
    weights = pd.Series(np.repeat([0.5, -0.5], 40), bars.index)
    results, _ = backtest_portfolio({"A": bars}, weights.to_frame("A"), slippage=slip.to_frame("A"))
    for result in results.values():
        order = result.orders.iloc[1]
        assert order["price"] == pytest.approx(bars["open"].iloc[41] * (1 - slip.iloc[41]))
        assert result.metrics["slippage_paid"] > 0


@pytest.mark.parametrize("wrong", [{"share": -1.0}, {"window": 0}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(BarwiseError, match=next(iter(wrong))):
        atr_slippage(random_bars(20), **wrong)


def test_bars_without_a_slippage_are_refused_and_rows_without_a_bar_need_none():
    bars = {"A": random_bars(30), "B": random_bars(30, seed=1).drop(random_bars(30).index[7:9])}
    weights = pd.DataFrame(0.1, bars["A"].index, ["A", "B"])
    slip = pd.DataFrame({name: atr_slippage(frame) for name, frame in bars.items()})
    assert slip["B"].isna().sum() == 2
    backtest_portfolio(bars, weights, slippage=slip, engine="vectorbt")
    late = slip.set_axis(slip.index + pd.Timedelta("30min"))  # stamps of no bar: all fills would be free
    for wrong, at in ((late, bars["A"].index[0]), (slip.drop(slip.index[12]), bars["A"].index[12])):
        with pytest.raises(BarwiseError, match=f"`slippage` of 'A' has no number at {at:%Y-%m-%d %H:%M}"):
            backtest_portfolio(bars, weights, slippage=wrong, engine="vectorbt")
