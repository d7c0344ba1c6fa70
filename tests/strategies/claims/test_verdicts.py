import numpy as np
import pandas as pd
import pytest

from mlcore.bootstrap import Estimate
from mlcore.quality import Rows, metrics_of, value_of
from strategies.claims.verdicts import above, below, corrected, daily_counts, in_words, median_of, pooled
from tests.mlcore.test_quality import TASKS, made


@pytest.mark.parametrize(
    ("low", "high", "is_above", "is_below"),
    [
        (0.56, 0.6, "holds", "does not hold"),
        (0.5, 0.54, "does not hold", "holds"),
        (0.5, 0.6, "undecided", "undecided"),
        (0.55, 0.6, "holds", "does not hold"),
        (None, None, "not tested", "not tested"),
    ],
)
def test_a_claim_holds_only_where_the_whole_interval_says_so(low, high, is_above, is_below):
    one = Estimate(0.57, low, high)
    assert (above(one, 0.55), below(one, 0.55)) == (is_above, is_below)


def test_the_interval_of_a_median_covers_it_as_often_as_it_says():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):
        found = median_of(rng.exponential(1.0, 60))
        covered += found.low <= np.log(2) <= found.high
    assert 0.93 <= covered / 400 <= 0.99
    assert median_of(np.arange(5.0)) == Estimate(2.0) and median_of(np.array([])) == Estimate(None)


def test_pooled_days_give_the_metric_of_all_rows():
    rows = Rows.of(*made(TASKS["event"], seed=4, digits=2))
    days = daily_counts(rows, (10,))
    metrics = metrics_of(rows)
    assert len(days) == 5 and days["n"].sum() == len(rows)
    ones = np.ones((1, 5))
    assert pooled(days, "hits_10", "calls_10").of(ones)[0] == value_of(metrics["precision_at_10_day"], rows)
    assert pooled(days, "loss", "n").of(ones)[0] == pytest.approx(value_of(metrics["log_loss"], rows))
    assert pooled(days, "came", "n").of(ones)[0] == pytest.approx((rows.values == 1).mean())
    twice = pooled(days, "came", "n").of(np.array([[2.0, 0, 0, 0, 0]]))[0]
    assert twice == pytest.approx((rows.values == 1)[rows.day == 0].mean())


def test_days_may_be_other_groups():
    rows = Rows.of(*made(TASKS["event"], seed=4))
    counted = daily_counts(rows, (3,), np.arange(len(rows)) // 30 * 7)
    assert counted.index.tolist() == [0, 7] and counted["n"].tolist() == [30, 30]
    assert counted["calls_3"].tolist() == [3, 3]


def test_the_interval_for_many_is_wider_than_for_one():
    drawn = np.random.default_rng(0).normal(0.5, 0.1, 4000)
    one, five = corrected(drawn, 0.5, 1), corrected(drawn, 0.5, 5)
    assert five.low < one.low < 0.5 < one.high < five.high
    assert five.high == pytest.approx(0.5 + 0.1 * 2.576, abs=0.03)  # 99%
    assert corrected(np.full(10, np.nan), 0.5, 2) == Estimate(0.5) and corrected(drawn, None, 2) == Estimate(None)


def test_numbers_in_words():
    assert in_words(Estimate(0.56, 0.5, 0.61)) == "56.0% [50.0%, 61.0%]"
    assert in_words(Estimate(0.56)) == "56.0%" and in_words(Estimate(None)) == "undefined"


def test_the_index_of_days_is_their_stamps():
    rows = Rows.of(*made(TASKS["event"], seed=4))
    assert isinstance(daily_counts(rows, (10,)).index, pd.DatetimeIndex)
