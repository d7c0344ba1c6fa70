import numpy as np
import pandas as pd
import pytest

from mlcore.checks import TASKS
from mlcore.errors import BarwiseError
from mlcore.models.hybrid import Hybrid, smoothing_weights, trend_weights
from mlcore.store.state import in_and_out
from mlcore.windows import Windows
from tests.mlcore.models.sight import bars_that_matter

CLASSES, NUMBER, QUANTILES = TASKS
NAMES = ("rsi", "log_return")
LOOKBACK = 20


def fitted(returns, y, task=NUMBER, **options):
    """Fit on the first three quarters; return the model and the windows of the rest."""
    table = np.stack([np.zeros(len(returns)), returns], axis=1)
    rows, cut = np.arange(LOOKBACK - 1, len(returns)), len(returns) * 3 // 4
    model = Hybrid(lookback=LOOKBACK, **options)
    model.feature_names_in_ = NAMES
    train = rows[rows < cut]
    return model.fit(Windows(table, train, LOOKBACK), y[train], task=task), Windows(table, rows[rows >= cut], LOOKBACK)


def noise(n=6_000, seed=0):
    return 0.01 * np.random.default_rng(seed).standard_normal(n)


def test_the_trend_is_a_line_by_least_squares():
    returns = noise(LOOKBACK)
    path = np.r_[0.0, np.cumsum(returns)]
    slope, start = np.polyfit(np.arange(LOOKBACK + 1), path, 1)
    np.testing.assert_allclose(returns @ trend_weights(LOOKBACK), [start + slope * LOOKBACK - path[-1], slope])


@pytest.mark.parametrize(("level", "slope"), [(0.3, 0.2), (1.0, 1.0), (0.05, 0.9)])
def test_smoothing_is_holts_recursion(level, slope):
    returns = noise(LOOKBACK)
    path = np.r_[0.0, np.cumsum(returns)]
    height, rise = path[0], 0.0
    for price in path[1:]:
        new = level * price + (1 - level) * (height + rise)
        height, rise = new, slope * (new - height) + (1 - slope) * rise
    np.testing.assert_allclose(
        returns @ smoothing_weights(LOOKBACK, level, slope), [height - path[-1], rise], atol=1e-15
    )


def test_without_a_slope_it_is_simple_smoothing():
    """The same as pandas' exponentially weighted mean of the path."""
    returns = noise(LOOKBACK)
    path = pd.Series(np.r_[0.0, np.cumsum(returns)])
    smooth = path.ewm(alpha=0.3, adjust=False).mean().iloc[-1]
    found = returns @ smoothing_weights(LOOKBACK, 0.3, 0.0)
    np.testing.assert_allclose(found, [smooth - path.iloc[-1], 0.0], atol=1e-15)


@pytest.mark.parametrize("pair", [(0.1, 0.0), (0.4, 0.3), (1.0, 1.0)])
def test_the_smoothing_that_made_the_labels_is_chosen(pair):
    returns = noise()
    extrapolated = np.convolve(returns, smoothing_weights(LOOKBACK, *pair).sum(axis=1)[::-1])[: len(returns)]
    y = 5 * extrapolated + 0.1 * extrapolated.std() * np.random.default_rng(1).standard_normal(len(returns))
    assert fitted(returns, y)[0].smoothing_ == pair


def test_in_a_sideways_market_the_price_is_pulled_back():
    """A price around a level that 20 bars tell roughly: the forecast is the way back."""
    rng = np.random.default_rng(2)
    gap = np.zeros(6_001)
    for t in range(1, len(gap)):
        gap[t] = 0.8 * gap[t - 1] + 0.01 * rng.standard_normal()
    y = np.r_[gap[2:] - gap[1:-1], 0.0]  # the move after each return
    model, later = fitted(np.diff(gap), y)
    told = model.predict(later)[:, 0]
    most = np.corrcoef(-gap[1:][later.rows], y[later.rows])[0, 1]  # to somebody who knows the level
    assert np.corrcoef(told, y[later.rows])[0, 1] > 0.7 * most > 0.2


def test_in_a_trend_the_slope_goes_on():
    rng = np.random.default_rng(3)
    drift = 0.003 * np.repeat(rng.choice([-1.0, 1.0], 100), 60)
    returns = drift + 0.005 * rng.standard_normal(6_000)
    y = np.r_[returns[1:], 0.0]
    model, later = fitted(returns, y)
    told = model.predict(later)[:, 0]
    assert np.corrcoef(told, drift[later.rows])[0, 1] > 0.7


def test_it_speaks_classes_and_quantiles():
    returns = noise()
    move = np.r_[returns[1:], 0.0] + 2 * returns
    model, later = fitted(returns, np.digitize(move, [-0.01, 0.01]).astype(float), CLASSES)
    p = model.predict(later)
    assert np.corrcoef(p[:, 2] - p[:, 0], move[later.rows])[0, 1] > 0.8
    model, later = fitted(returns, move, QUANTILES)
    low, middle, high = model.predict(later).T
    assert (np.diff(model.predict(later)) > 0).all()
    assert np.mean(move[later.rows] < low) == pytest.approx(0.1, abs=0.03)
    assert np.mean(move[later.rows] > high) == pytest.approx(0.1, abs=0.03)
    assert np.corrcoef(middle, move[later.rows])[0, 1] > 0.8


def test_the_level_of_prices_and_the_scale_of_the_column_do_not_matter():
    """Scaled or not, the same forecasts (to the penalty): a mean taken off is a trend that all windows share."""
    returns = noise()
    y = np.r_[returns[1:], 0.0] + returns
    model, later = fitted(returns, y)
    other, rest = fitted((returns - 0.0005) / 0.013, y)
    assert other.smoothing_ == model.smoothing_
    np.testing.assert_allclose(other.predict(rest), model.predict(later), rtol=1e-3, atol=1e-5)


def test_a_forecast_sees_its_lookback_and_not_one_bar_more():
    model = Hybrid(lookback=8, levels=(0.3,), slopes=(0.1,))
    model.feature_names_in_ = NAMES
    assert bars_that_matter(model) == list(range(8))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.kind)
def test_the_state_is_all_there_is(task):
    returns = noise(500)
    y = np.digitize(returns, [-0.005, 0.005]).astype(float) if task.kind == "classes" else returns
    model, later = fitted(returns, y, task)
    again = Hybrid(lookback=LOOKBACK).set_state(in_and_out(model.get_state()))
    np.testing.assert_array_equal(again.predict(later), model.predict(later))
    assert again.smoothing_ == model.smoothing_


@pytest.mark.parametrize(
    ("options", "said"),
    [({"levels": ()}, "`levels`"), ({"levels": (0.0,)}, "`levels`"), ({"slopes": (1.2,)}, "`slopes`")],
)
def test_smoothing_that_cannot_be_is_refused(options, said):
    with pytest.raises(BarwiseError, match=said):
        fitted(noise(100), noise(100), **options)


def test_too_few_returns_and_a_table_without_them_are_refused():
    table = np.zeros((50, 2))
    model = Hybrid(lookback=2)
    with pytest.raises(BarwiseError, match="`lookback` is 2"):
        model.fit(Windows(table, np.arange(2, 50), 2), np.ones(48), task=NUMBER)
    model = Hybrid(lookback=5)
    model.feature_names_in_ = ("rsi", "roc")
    with pytest.raises(BarwiseError, match="no column 'log_return'"):
        model.fit(Windows(table, np.arange(4, 50), 5), np.ones(46), task=NUMBER)
