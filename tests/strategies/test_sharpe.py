"""Sharpe ratios of accounts: the engines' own number, an interval that holds, differences that are paired."""

import math

import numpy as np
import pandas as pd
import pytest

from mlcore.bootstrap import Resamples
from strategies.costs import Costs
from strategies.result import BacktestResult
from strategies.sharpe import daily_returns, sharpe_ratios
from strategies.vbt.run import run_vectorbt
from tests.conftest import random_bars

STAMPS = pd.date_range("2024-01-01", periods=200, freq="D", tz="UTC")


def account(returns: np.ndarray) -> BacktestResult:
    equity = pd.Series(100 * np.cumprod(1 + np.r_[0.0, returns[1:]]), STAMPS[: len(returns)])
    return BacktestResult("vectorbt", equity, equity, pd.DataFrame(), pd.DataFrame(), {})


def noise(seed: int, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.01, 200)


def test_the_ratio_is_the_engines_own() -> None:
    bars = random_bars(24 * 40, seed=3, volatility=0.01)
    weights = pd.Series(np.where(np.arange(len(bars)) % 50 < 25, 1.0, -0.5), bars.index)
    result = run_vectorbt(bars, weights, costs=Costs(), days_per_year=252.0)
    found = sharpe_ratios({"mine": result}, 252.0)
    assert found.ratios["mine"].value == pytest.approx(result.metrics["sharpe"], rel=1e-9)
    assert found.days == 41 or found.days == 40


def test_the_interval_is_that_of_days_drawn_in_blocks() -> None:
    results = {"mine": account(noise(1, 0.001)), "held": account(noise(2))}
    found = sharpe_ratios(results, 365.0, resamples=200, seed=5)
    daily = {name: daily_returns(result).to_numpy() for name, result in results.items()}  # type: ignore[union-attr]
    drawn: dict[str, list[float]] = {"mine": [], "held": []}
    for counts in Resamples(1, 200, 1.0, found.block, n=200, seed=5).days():
        for row in counts.astype(int):
            for name in drawn:
                again = np.repeat(daily[name], row)
                drawn[name].append(again.mean() / again.std(ddof=1) * math.sqrt(365))
    mine = found.ratios["mine"]
    assert (mine.low, mine.high) == pytest.approx(tuple(np.quantile(drawn["mine"], [0.025, 0.975])))
    apart = np.subtract(drawn["mine"], drawn["held"])
    less = found.less["held"]
    assert (less.low, less.high) == pytest.approx(tuple(np.quantile(apart, [0.025, 0.975])))
    assert less.value == pytest.approx(mine.value - found.ratios["held"].value)  # type: ignore[operator]
    assert mine.low < mine.value < mine.high  # type: ignore[operator]


def test_days_are_those_of_the_first_account() -> None:
    """A rival that traded longer is cut, one that traded less has no ratio: the model's own number is untouched."""
    mine, longer = account(noise(1)[:150]), account(noise(2))
    found = sharpe_ratios({"mine": mine, "longer": longer}, 365.0)
    alone = sharpe_ratios({"mine": mine}, 365.0)
    assert found.days == 150 and found.ratios["mine"].value == pytest.approx(alone.ratios["mine"].value)
    daily = daily_returns(longer).iloc[:150]  # type: ignore[union-attr]
    assert found.ratios["longer"].value == pytest.approx(daily.mean() / daily.std(ddof=1) * math.sqrt(365))
    turned = sharpe_ratios({"longer": longer, "mine": mine}, 365.0)
    assert turned.ratios["mine"].value is None and turned.ratios["longer"].low is not None


def test_accounts_that_say_nothing_have_no_interval() -> None:
    gone = account(np.r_[0.0, -1.0, np.zeros(198)])
    found = sharpe_ratios({"mine": account(noise(1)), "still": account(np.zeros(200)), "gone": gone}, 365.0)
    assert (found.ratios["still"].value, found.ratios["still"].low) == (0.0, None)
    mine, above = found.ratios["mine"], found.less["still"]  # what is above an account of nothing is all of it
    assert (above.value, above.low, above.high) == (mine.value, mine.low, mine.high)
    assert found.ratios["gone"].value is None and "gone" not in found.less
    few = sharpe_ratios({"mine": account(noise(1)[:19])}, 365.0)
    assert few.ratios["mine"].value is not None and few.ratios["mine"].low is None and few.less == {}
    assert sharpe_ratios({"mine": account(noise(1)[:1])}, 365.0).ratios["mine"].value is None
    assert sharpe_ratios({"gone": gone}, 365.0).ratios["gone"].value is None
