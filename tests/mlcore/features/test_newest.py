import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from mlcore.features import DEFAULT_FEATURES, feature, feature_table
from mlcore.features.newest import NewestBars, NewestRow
from mlcore.plugins import FEATURES
from tests.conftest import random_bars

BARS = random_bars(900, seed=4)


def columns(bars):
    return {name: bars[name].to_numpy() for name in bars.columns}


def fed(bars, row):
    bars.append(BARS.index[row].value, BARS.iloc[row].to_dict())


@pytest.fixture
def entered():
    """Enter features for the length of a test."""
    names = []

    def enter(function, **options):
        feature(function, **options)
        names.append(function.__name__)
        return function.__name__

    yield enter
    for name in names:
        del FEATURES._entries[name]


def test_every_bar_s_row_is_the_table_s_last_row():
    table = feature_table(BARS).to_numpy()
    bars = NewestBars(BARS.iloc[:400])
    newest = NewestRow(bars, DEFAULT_FEATURES)
    assert newest.names == list(feature_table(BARS).columns)
    assert all(part.plain for part in newest.parts)
    for row in range(400, 900):
        fed(bars, row)
        np.testing.assert_allclose(newest.update(bars), table[row], rtol=1e-7, atol=1e-9)


def test_only_the_newest_bars_are_kept_and_finite_features_do_not_mind():
    names = ["volatility", "rsi", "high_low_range", "time_of_day"]
    bars = NewestBars(BARS.iloc[:300], keep=120)
    newest, table = NewestRow(bars, names), feature_table(BARS, names).to_numpy()
    rows = []
    for row in range(300, 900):
        fed(bars, row)
        rows.append(newest.update(bars).copy())
    assert len(bars.tail(10_000)) == 120
    rows = np.array(rows)
    np.testing.assert_allclose(np.delete(rows, 1, axis=1), np.delete(table[300:], 1, axis=1), rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(rows[:, 1], table[300:, 1], atol=0.5)  # an RSI begun 120 bars ago
    assert not np.allclose(rows[:, 1], table[300:, 1], atol=1e-9)


def test_a_finite_feature_is_run_over_its_own_memory_only(entered):
    seen = []

    def mean_of_five(bars) -> np.ndarray:
        """Mean."""
        close = np.asarray(bars["close"])
        seen.append(len(close))
        return pd.Series(close).rolling(5).mean().to_numpy()

    bars = NewestBars(BARS.iloc[:100])
    newest = NewestRow(bars, [entered(mean_of_five)])
    seen.clear()
    fed(bars, 100)
    assert newest.update(bars)[0] == pytest.approx(BARS["close"].iloc[96:101].mean())
    assert seen == [5]


def test_a_feature_that_wants_a_dataframe_gets_one(entered):
    def of_a_frame(bars) -> pd.Series:
        """Only pandas can do this."""
        return bars["close"].rolling(3).max() / bars["open"] * bars.index.hour

    bars = NewestBars(BARS.iloc[:100])
    newest = NewestRow(bars, [entered(of_a_frame)])
    assert not newest.parts[0].plain
    fed(bars, 100)
    assert newest.update(bars)[0] == pytest.approx(FEATURES["of_a_frame"](BARS.iloc[:101]).iloc[-1])


def test_a_feature_that_says_another_thing_of_plain_arrays_is_not_asked_so(entered):
    def two_faced(bars) -> np.ndarray:
        """Half of the truth without pandas."""
        return np.asarray(bars["close"]) * (1.0 if isinstance(bars, pd.DataFrame) else 0.5)

    bars = NewestBars(BARS.iloc[:100])
    assert not NewestRow(bars, [entered(two_faced)]).parts[0].plain


def test_too_short_a_past_is_refused():
    with pytest.raises(BarwiseError, match="too few for the feature 'ema_distance_window200'"):
        NewestRow(NewestBars(BARS.iloc[:150]), ["ema_distance_window200"])
