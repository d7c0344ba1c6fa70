"""Numbers of the report: arithmetic on paper, and sums that must close."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from strategies.report.numbers import confidence_buckets, costs_of, drawdown, fold_rows, label_returns, luck_of
from tests.strategies.studies import fake_study


def test_returns_of_the_folds_multiply_to_the_return_of_the_whole() -> None:
    study = fake_study(1200, n_folds=60)
    rows = fold_rows(study)
    equity = study.results["backtrader"].equity
    growth = np.prod([1 + row["net_return"] for row in rows])
    assert len(rows) == 60
    assert growth == pytest.approx(equity.iloc[-1] / equity.iloc[0], rel=1e-12)
    assert sum(row["orders"] for row in rows) == len(study.results["backtrader"].orders)


def test_the_quality_of_a_fold_is_that_of_its_forecasts() -> None:
    study = fake_study(1200, n_folds=4)
    ahead = np.log(study.bars["open"].shift(-6) / study.bars["open"].shift(-1))
    fold = study.forecasts[study.forecasts["fold"] == 2]
    known = fold["signal"].notna() & (fold["signal"] != 0)
    hits = np.sign(fold["signal"]) == np.sign(ahead.loc[fold.index])
    row = fold_rows(study)[2]
    assert row["hit_rate"] == pytest.approx(hits[known].mean())
    ranks = pd.concat([fold["signal"], ahead.loc[fold.index]], axis=1).dropna().rank()
    assert row["rank_ic"] == pytest.approx(ranks.corr().iloc[0, 1])


def test_a_fold_without_a_trade_says_zero_orders_and_still_has_a_return() -> None:
    rows = fold_rows(fake_study(400, n_folds=3, trades=False))
    assert [row["orders"] for row in rows] == [0, 0, 0]
    assert [row["net_return"] for row in rows] == [0.0, 0.0, 0.0]


def test_an_account_that_is_gone_has_no_return() -> None:
    study = fake_study(400, n_folds=4)
    result = study.results["backtrader"]
    equity = result.equity.where(np.arange(400) < 150, 1e-5)
    rows = fold_rows(replace(study, results={"backtrader": replace(result, equity=equity)}))
    assert [row["net_return"] is None for row in rows] == [False, False, True, True]
    assert rows[1]["net_return"] == pytest.approx(-1.0)


def test_costs_on_paper() -> None:
    result = fake_study(300).results["backtrader"]
    orders = result.orders.iloc[:2].assign(size=[10.0, -10.0], price=[100.0, 110.0])
    metrics = result.metrics | {"commission_paid": 2.1, "slippage_paid": 1.0}
    equity = pd.Series([1000.0, 1097.9], index=result.equity.index[:2])
    cost = costs_of(replace(result, orders=orders, metrics=metrics, equity=equity))
    assert cost["before_costs"] == pytest.approx(101.0)
    assert cost["net"] == pytest.approx(97.9)
    assert cost["traded"] == pytest.approx(2100.0)
    assert cost["break_even"] == pytest.approx(100 / 2100)


def test_costs_without_a_fill_break_even_nowhere() -> None:
    assert costs_of(fake_study(300, trades=False).results["vectorbt"])["break_even"] is None


def test_returns_are_unknown_where_the_config_does_not_say() -> None:
    study = fake_study(300)
    assert label_returns(replace(study, config={})) is None
    assert fold_rows(replace(study, config={}))[0]["hit_rate"] is None
    assert confidence_buckets(replace(study, config={})) is None


def test_buckets_hold_every_call_once_and_surer_ones_hit_more() -> None:
    study = fake_study(4000)
    buckets = confidence_buckets(study)
    returns, signal = label_returns(study), study.forecasts["signal"].to_numpy()
    assert buckets is not None and returns is not None
    assert buckets["calls"].sum() == (np.isfinite(returns) & np.isfinite(signal) & (signal != 0)).sum()
    assert buckets["confidence"].is_monotonic_increasing
    assert ((buckets["low"] < buckets["hit_rate"]) & (buckets["hit_rate"] < buckets["high"])).all()
    assert buckets["hit_rate"].iloc[-1] > buckets["hit_rate"].iloc[0]
    called = np.isfinite(returns) & np.isfinite(signal) & (signal != 0)
    gained = (np.sign(signal) * returns)[called]
    assert (buckets["earned"] * buckets["calls"]).sum() == pytest.approx(gained.sum())
    top = gained[study.forecasts["confidence"].to_numpy()[called].argsort()[-int(buckets["calls"].iloc[-1]) :]]
    assert buckets["earned"].iloc[-1] == pytest.approx(top.mean())
    assert buckets["error"].iloc[-1] == pytest.approx(1.96 * top.std(ddof=1) / np.sqrt(len(top)))


def test_the_interval_is_wilsons() -> None:
    """10 hits of 20: 0.2993 to 0.7007, Wilson's interval by hand."""
    study = fake_study(300)
    index = study.bars.index[:40]
    rising = pd.DataFrame({"open": np.arange(1.0, 41.0), "close": np.arange(1.0, 41.0)}, index=index)
    bars = study.bars.loc[index].assign(**rising)
    signal = np.where(np.arange(40) % 2, 1.0, -1.0)
    forecasts = study.forecasts.loc[index].assign(signal=signal, confidence=np.linspace(0.1, 0.9, 40))
    forecasts.iloc[20:34, 0] = np.nan
    buckets = confidence_buckets(replace(study, bars=bars, forecasts=forecasts), buckets=1)
    assert buckets is not None
    assert buckets["calls"].tolist() == [20]
    np.testing.assert_allclose(buckets[["low", "high"]].to_numpy(), [[0.29930, 0.70070]], atol=1e-5)


def test_drawdown_counts_the_starting_cash() -> None:
    assert drawdown(pd.Series([100.0, 90.0, 95.0])).tolist() == pytest.approx([0.0, 0.1, 0.05])


def test_luck_is_wider_over_fewer_days() -> None:
    days, band = luck_of(fake_study(24 * 100))
    assert days == 100
    assert band == pytest.approx(1.96 * np.sqrt(365 / 100))


def test_luck_counts_weeks_as_weeks():
    weeks, band = luck_of(fake_study(200, interval="7D"))
    assert weeks == 200
    assert band == pytest.approx(1.96 * np.sqrt(365 / 7 / 200))


def test_calls_that_are_nearly_all_equally_sure_have_no_buckets():
    study = fake_study(400)
    sure = study.forecasts["confidence"].where(study.forecasts.index < study.forecasts.index[5], 0.3)
    assert confidence_buckets(replace(study, forecasts=study.forecasts.assign(confidence=sure))) is None
