import numpy as np
import pandas as pd
import pytest

from strategies.bt import ForecastIndicator, build_cerebro, run_backtrader
from tests.conftest import random_bars


def test_a_result_has_one_row_a_bar_and_its_own_engine_on_every_order():
    bars = random_bars(100)
    weights = pd.Series(np.repeat([0.5, -0.5], 50), bars.index)
    result = run_backtrader(bars, weights, symbol="BTCUSDT")
    assert result.equity.index.equals(bars.index) and result.weights.equals(weights.rename("weight"))
    assert set(result.orders["engine"]) == {"backtrader"} and set(result.orders["symbol"]) == {"BTCUSDT"}
    assert result.metrics["n_orders"] == 2 and len(result.trades) == 1


def test_cash_scales_everything_but_shares():
    bars = random_bars(100)
    weights = pd.Series(np.repeat([0.5, -0.5], 50), bars.index)
    small, large = (run_backtrader(bars, weights, cash=cash).metrics for cash in (1_000.0, 1_000_000.0))
    assert large["final_value"] == pytest.approx(1000 * small["final_value"])
    for name in ("sharpe", "turnover", "max_drawdown", "total_return"):
        assert large[name] == pytest.approx(small[name])


def test_a_cerebro_with_forecasts_carries_them_for_the_plot():
    bars = random_bars(50)
    through = bars.index - pd.Timedelta(hours=1)
    forecasts = pd.DataFrame({"signal": 0.5, "confidence": 0.5, "fold": 0, "trained_through": through}, bars.index)
    strategy = build_cerebro(bars, pd.Series(0.5, bars.index), forecasts=forecasts).run()[0]
    assert isinstance(strategy.getindicators()[0], ForecastIndicator)
