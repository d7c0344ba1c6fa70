"""What a feature table costs beside the bare TA-Lib calls in it, and beside its own size in memory."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import talib

from mlcore.features import feature_table
from tests.conftest import random_bars

N = 1_000_000


@pytest.fixture(scope="module")
def million() -> pd.DataFrame:
    return random_bars(N, interval="1min", volatility=0.0005)


def bare_talib(bars: pd.DataFrame) -> list:
    """The TA-Lib calls that the default features make, one for one, on ready arrays."""
    high, low, close, volume = (bars[name].to_numpy() for name in ("high", "low", "close", "volume"))
    returns = np.r_[np.nan, np.log(close[1:] / close[:-1])]
    started = time.perf_counter()
    made = [
        talib.ROCP(close, 1),  # close_pct_change
        talib.SMA(volume, 20),  # volume_ma_ratio
        talib.RSI(close, 14),  # rsi
        talib.MACD(close, 12, 26, 9),  # macd_signal
        talib.BBANDS(close, 20, 2.0, 2.0),  # bollinger_position
        talib.ATR(high, low, close, 14),  # atr_normalized
        talib.SMA(volume, 5),  # obv_slope
        talib.STDDEV(returns, 14),  # volatility
        talib.STDDEV(returns, 14),  # volatility_ratio
        talib.STDDEV(returns, 50),
        talib.BBANDS(close, 20, 2.0, 2.0),  # bollinger_width
        talib.MOM(close, 30),  # momentum
        talib.ROCP(close, 10),  # roc
        talib.STOCH(high, low, close, 14, 3, 0, 3, 0),  # stochastic_k
        talib.STOCH(high, low, close, 14, 3, 0, 3, 0),  # stochastic_d
        talib.CCI(high, low, close, 20),  # cci
        *(talib.EMA(close, window) for window in (10, 30, 200)),  # ema_distance
    ]
    return [time.perf_counter() - started, made]


@pytest.mark.benchmark(group="features", min_rounds=5)
def test_features_cost_at_most_four_times_their_talib_calls(benchmark, million):
    bare = min(bare_talib(million)[0] for _ in range(5))
    benchmark.pedantic(feature_table, args=(million,), rounds=5, warmup_rounds=1)
    ratio = benchmark.stats.stats.min / bare
    benchmark.extra_info.update(
        compared=f"feature table of {N:,} bars / the bare TA-Lib calls in it", ratio=ratio, limit=4.0
    )
    assert ratio <= 4


@pytest.mark.benchmark(group="features")
def test_memory_stays_under_three_feature_tables(benchmark, million):
    """Peak of what Python and numpy allocate while the table is made, over the table's own size."""

    def peak() -> float:
        tracemalloc.start()
        table = feature_table(million)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most / table.to_numpy().nbytes

    ratio = benchmark.pedantic(peak, rounds=1)
    benchmark.extra_info.update(compared=f"peak memory of {N:,} bars' features / the table", ratio=ratio, limit=3.0)
    assert ratio < 3
