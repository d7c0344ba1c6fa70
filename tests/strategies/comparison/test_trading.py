import math

import numpy as np
import pandas as pd
import pytest

from mlcore.stats import Moments, deflated_sharpe, sharpe_difference
from strategies.comparison.trading import HELD, compare_accounts
from strategies.result import BacktestResult
from strategies.sharpe import daily_returns

DAYS = 300
STAMPS = pd.date_range("2024-01-01", periods=24 * DAYS, freq="h", tz="UTC", name="timestamp")


def account(mean: float, seed: int) -> BacktestResult:
    steps = np.random.default_rng(seed).normal(mean, 0.004, len(STAMPS))
    steps[0] = 0.0
    equity = pd.Series(10_000 * np.cumprod(1 + steps), STAMPS)
    return BacktestResult("vectorbt", equity, equity, pd.DataFrame(), pd.DataFrame(), {})


RESULTS = {HELD: account(0.0, 0), "naive": account(0.0, 1), "good": account(0.0005, 2), "bad": account(-0.0005, 3)}


def compared(results=RESULTS, tried=3):
    return compare_accounts(results, tried=tried, days_per_year=365, baselines=(HELD, "naive"), resamples=300)


def test_daily_returns_start_from_the_cash_and_compound_to_the_whole():
    daily = daily_returns(RESULTS["good"])
    equity = RESULTS["good"].equity
    assert len(daily) == DAYS
    assert np.prod(1 + daily) == pytest.approx(equity.iloc[-1] / equity.iloc[0], rel=1e-12)


def test_every_number_is_that_of_the_formulas():
    found = compared()
    daily = {name: daily_returns(result).to_numpy() for name, result in RESULTS.items()}
    moments = {name: Moments.of(returns) for name, returns in daily.items()}
    assert found["good"].sharpe.value == pytest.approx(
        daily["good"].mean() / daily["good"].std(ddof=1) * math.sqrt(365), rel=1e-12
    )
    variance = np.var([moments[name].sharpe for name in ("naive", "good", "bad")], ddof=1)
    assert found["good"].dsr == pytest.approx(deflated_sharpe(moments["good"], variance, 3))
    p = {name: sharpe_difference(daily[name], daily[HELD]).p_value for name in ("naive", "good", "bad")}
    assert found["bad"].p_held == pytest.approx(p["bad"])
    assert found["good"].p_held_corrected >= found["good"].p_held
    assert min(one.p_held_corrected for name, one in found.items() if name != HELD) == pytest.approx(
        min(1, 3 * min(p.values()))
    )
    assert found[HELD].p_held is None


def test_intervals_hold_their_number_and_differences_are_paired():
    found = compared()
    for one in found.values():
        assert one.sharpe.low < one.sharpe.value < one.sharpe.high
    less = found["good"].versus[HELD]
    assert less.value == pytest.approx(found["good"].sharpe.value - found[HELD].sharpe.value)
    assert less.low < less.value < less.high
    assert found["naive"].versus["naive"].low == found["naive"].versus["naive"].high == 0


def test_more_trials_deflate_more():
    assert compared(tried=50)["good"].dsr < compared(tried=3)["good"].dsr


def test_shuffled_labels_are_no_trial_and_their_ratio_widens_nothing():
    with_shuffled = compared(RESULTS | {"shuffled_label": account(0.01, 9)})
    assert with_shuffled["good"].dsr == pytest.approx(compared()["good"].dsr)
    assert with_shuffled["shuffled_label"].sharpe.value > 20  # counted, it would widen them a great deal


def test_one_account_that_lives_of_several_tried_cannot_be_deflated():
    alone = {name: RESULTS[name] for name in (HELD, "good")}
    assert compared(alone, tried=20)["good"].dsr is None
    one = compared(alone, tried=1)["good"]
    assert one.dsr == pytest.approx(one.psr)


def test_a_lost_account_has_no_ratio_and_still_counts():
    lost = account(0.0, 5)
    lost.equity.iloc[-1] = 0.0
    idle = BacktestResult("vectorbt", lost.equity * 0 + 1e4, lost.equity, pd.DataFrame(), pd.DataFrame(), {})
    found = compared(RESULTS | {"lost": lost, "idle": idle})
    for name in ("lost", "idle"):
        one = found[name]
        assert (one.sharpe.value, one.psr, one.dsr, one.p_held) == (None, None, None, None)
    assert found["good"].p_held_corrected >= compared()["good"].p_held_corrected
