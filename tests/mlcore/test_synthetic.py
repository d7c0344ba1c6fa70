"""Made markets: the edge has the size asked for, the oracle is right and knows no future, and none means none."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from mlcore.bars import check_bars
from mlcore.errors import BarwiseError
from mlcore.features import feature_table
from mlcore.labels import forward_return
from mlcore.synthetic import oracle_rank_ic, planted_market, random_market

SEEDS = range(6)


def known(market, horizon=None) -> tuple[np.ndarray, np.ndarray]:
    label = forward_return(market.bars, horizon or market.horizon).values
    rows = ~np.isnan(label)
    return market.oracle.to_numpy()[rows], label[rows]


@pytest.mark.parametrize("kind", ["linear", "nonlinear"])
def test_the_bars_pass_the_door_without_a_word(kind):
    market = planted_market(5000, edge=0.3, kind=kind, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pd.testing.assert_frame_equal(check_bars(market.bars), market.bars, check_freq=False)
    assert market.oracle.index.equals(market.bars.index)


@pytest.mark.parametrize("kind", ["linear", "nonlinear"])
@pytest.mark.parametrize(("edge", "horizon"), [(0.1, 5), (0.3, 5), (0.2, 1), (0.2, 20), (-0.2, 5)])
def test_the_edge_has_the_size_asked_for(kind, edge, horizon):
    markets = [planted_market(20_000, edge=edge, kind=kind, horizon=horizon, seed=seed) for seed in SEEDS]
    found = [np.corrcoef(*known(market))[0, 1] for market in markets]
    error = 4 * np.sqrt(2 * horizon / (20_000 * len(markets)))
    assert np.mean(found) == pytest.approx(abs(edge), abs=error)


@pytest.mark.parametrize("kind", ["linear", "nonlinear"])
def test_the_oracle_is_in_units_of_the_label(kind):
    """Regressing the label on the oracle gives slope 1."""
    slopes = [np.polyfit(*known(planted_market(20_000, edge=0.3, kind=kind, seed=seed)), 1)[0] for seed in SEEDS]
    assert np.mean(slopes) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("kind", ["linear", "nonlinear"])
def test_a_shorter_market_is_the_beginning_of_a_longer_one(kind):
    """So neither bars nor oracle know what comes later."""
    short, long = (planted_market(n, kind=kind, seed=3) for n in (400, 900))
    pd.testing.assert_frame_equal(short.bars, long.bars.iloc[:400], check_freq=False)
    pd.testing.assert_series_equal(short.oracle, long.oracle.iloc[:400], check_freq=False)


def test_the_default_features_show_the_edge():
    market = planted_market(10_000, edge=0.3)
    table = feature_table(market.bars)
    assert table["high_low_range"].rank().corr(market.oracle.rank()) > 0.9
    other = planted_market(10_000, edge=0.3, kind="nonlinear")
    wicks = feature_table(other.bars)["high_low_range"]
    assert abs(wicks.corr(other.oracle)) < 0.15
    assert (wicks - wicks.median()).abs().rank().corr(other.oracle.rank()) > 0.7


def test_without_an_edge_nothing_foretells():
    """No feature, no bounce from close to open, no drift: all within four standard errors over the seeds."""
    n = 10_000
    correlations, bounces, means = [], [], []
    for seed in SEEDS:
        market = random_market(n, seed=seed)
        assert (market.oracle == 0).all()
        bars = market.bars
        label = pd.Series(forward_return(bars, 1).values, index=bars.index)
        correlations.append(feature_table(bars).rank().corrwith(label.rank()))
        step = np.diff(np.log(bars["open"]))
        bounces.append(np.corrcoef(step[1:], step[:-1])[0, 1])
        means.append(label.mean() / label.std())
    error = 4 / np.sqrt(n * len(SEEDS))
    assert (np.abs(np.mean(correlations, axis=0)) < error).all()
    assert abs(np.mean(bounces)) < error
    assert abs(np.mean(means)) < error


def test_a_jump_stays():
    """What a bar opens away from the close before is not given back inside the bar."""
    bars = random_market(20_000, seed=5).bars
    jump = np.log(bars["open"].to_numpy()[1:] / bars["close"].to_numpy()[:-1])
    body = np.log(bars["close"] / bars["open"]).to_numpy()[1:]
    assert abs(np.corrcoef(jump, body)[0, 1]) < 4 / np.sqrt(20_000)
    assert jump.std() == pytest.approx(0.0005, rel=0.05)


def test_the_seed_makes_the_market():
    pd.testing.assert_frame_equal(planted_market(300, seed=4).bars, planted_market(300, seed=4).bars)
    assert not planted_market(300, seed=4).bars.equals(planted_market(300, seed=5).bars)


def test_the_oracle_s_rank_ic():
    assert oracle_rank_ic(planted_market(20_000, edge=0.3)) == pytest.approx(0.29, abs=0.03)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"edge": 1.0}, "`edge` is 1.0"),
        ({"edge": 0.99, "horizon": 20, "persistence": 0.0}, "`edge` is 0.99; over 20 bars"),
        ({"kind": "lineer"}, "Did you mean 'linear'"),
        ({"n": 1}, "`n` is 1"),
        ({"persistence": 1.0}, "`persistence` is 1.0"),
        ({"volatility": 0.0}, "`volatility` is 0.0"),
    ],
)
def test_what_cannot_be_made_is_refused(arguments, said):
    with pytest.raises(BarwiseError, match=said):
        planted_market(**{"n": 100, **arguments})
