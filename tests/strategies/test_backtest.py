"""The two engines against each other, against paper, and against the future."""

from __future__ import annotations

import sys

import hypothesis.extra.numpy as arrays
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcore.errors import BarwiseError, LookAheadError
from strategies.backtest import backtest
from strategies.costs import Costs
from strategies.result import METRICS, ORDER_COLUMNS
from tests.conftest import random_bars

FREE = Costs(0.0, 0.0)
EIGHT = pd.DataFrame(  # METHODS 7.2
    {"open": [100, 102, 104, 103, 101, 105, 108, 107], "close": [101, 103, 105, 102, 100, 106, 109, 106]},
    index=pd.date_range("2024", periods=8, freq="1D", tz="UTC", name="timestamp").as_unit("ns"),
    dtype=float,
)
EIGHT["high"], EIGHT["low"], EIGHT["volume"] = EIGHT.max(axis=1), EIGHT.min(axis=1), 1.0


def weights_on(bars, **by_row):
    """A weight from a row on: ``weights_on(bars, r1=0.5, r5=0.0)``."""
    series = pd.Series(np.nan, bars.index)
    for row, weight in by_row.items():
        series.iloc[int(row[1:]) :] = weight
    return series


def both(bars, weights, **settings):
    results, agreement = backtest(bars, weights, **settings)
    assert agreement["agrees"] and agreement["max_relative_difference"] <= 1e-9
    return results["backtrader"], results["vectorbt"], agreement


@st.composite
def markets(draw):
    n = draw(st.integers(2, 50))
    size = draw(st.sampled_from([0.0, 0.001, 0.05, 0.5, 3.0]))
    moves = draw(arrays.arrays(float, n, elements=st.floats(-1, 1)))
    # No gap below a millionth of the price: vectorbt takes a shortfall of up to 1e-9 of the cash for none and forgives
    # it, backtrader does not, and an order of twice the account makes that 2e-9. No market has such ticks.
    gaps = np.round(draw(arrays.arrays(float, n, elements=st.floats(-1, 1))), 4)
    first = 10.0 ** draw(st.floats(-6, 6))
    close = np.clip(first * np.exp(np.cumsum(moves * size)), 1e-6, 1e6)
    opened = np.clip(np.r_[first, close[:-1]] * np.exp(gaps * draw(st.sampled_from([0.0, 0.01, 1.0]))), 1e-6, 1e6)
    step = draw(st.sampled_from(["1min", "1h", "1D"]))
    index = pd.date_range("2024", periods=n, freq=step, tz="UTC", name="timestamp").as_unit("ns")
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    bars = pd.DataFrame({"open": opened, "high": high, "low": low, "close": close, "volume": 1.0}, index)
    one = st.one_of(
        st.sampled_from([-1.0, 0.0, 1.0, np.nan, 0.5, 0.5 + 1e-7, 1 - 1e-9, 1e-7]),
        st.floats(-1, 1),
        st.floats(0.4, 0.401),
    )
    weights = np.repeat(draw(arrays.arrays(float, n, elements=one)), draw(st.integers(1, 3)))[:n]
    fees = [draw(st.sampled_from([0.0, 0.0005, 0.01, 0.3])) for _ in range(2)]
    return bars, pd.Series(weights, index), Costs(*fees), draw(st.sampled_from([0.5, 1e4, 1e9]))


@settings(max_examples=300)
@given(markets())
def test_random_bars_and_weights_reconcile(market):
    bars, weights, costs, cash = market
    one, other, _ = both(bars, weights, costs=costs, cash=cash)
    for name in METRICS:
        a, b = one.metrics[name], other.metrics[name]
        if name == "sharpe":  # near zero its digits are those of a mean that cancels; compared below, on markets
            assert (a is None) == (b is None)
        elif a is None or b is None:
            assert name == "total_return" and a is b
        else:
            assert a == pytest.approx(b, rel=1e-9, abs=1e-12 * cash), name
    pd.testing.assert_frame_equal(one.trades, other.trades, rtol=1e-6, atol=1e-9 * cash)
    assert one.orders["reason"].tolist() == other.orders["reason"].tolist()


@pytest.mark.parametrize(
    ("costs", "final", "prices", "fees"),
    [
        (FREE, 10040.0, [104, 108], [0, 0]),
        (Costs(0.001, 0.0), 10037.88, [104, 108], [1.04, 1.08]),
        (Costs(0.001, 0.001), 10035.76004, [104.104, 107.892], [1.04104, 1.07892]),
    ],
)
def test_eight_bars_on_paper(costs, final, prices, fees):
    # 10 units: decided at the close of bar 1 (103), filled at the open of bar 2; out at the open of bar 6.
    for result in both(EIGHT, weights_on(EIGHT, r1=0.103, r5=0.0), costs=costs)[:2]:
        assert result.metrics["final_value"] == pytest.approx(final, rel=1e-12)
        assert result.orders["price"].tolist() == pytest.approx(prices)
        assert result.orders["commission"].tolist() == pytest.approx(fees)
        assert result.orders["size"].tolist() == pytest.approx([10, -10])
        assert result.orders["decided"].tolist() == [EIGHT.index[1], EIGHT.index[5]]
        assert result.orders["timestamp"].tolist() == [EIGHT.index[2], EIGHT.index[6]]
        assert result.equity.iloc[0] == result.equity.iloc[1] == 10_000.0


def test_a_full_account_buys_what_cash_pays_on_paper():
    # METHODS 7.2: stock backtrader does not trade at all here.
    for result in both(EIGHT, weights_on(EIGHT, r1=1.0, r5=0.0), costs=Costs(0.001, 0.0))[:2]:
        assert result.orders["size"].iloc[0] == pytest.approx(96.0577883654807, rel=1e-13)
        assert result.metrics["final_value"] == pytest.approx(10363.86690232844, rel=1e-13)
        assert result.orders["status"].tolist() == ["partial", "filled"]
        assert "cash" in result.orders["reason"].iloc[0]
        assert any("filled in part: 1, rejected: 0" in note for note in result.notes)
        assert not any("stayed open" in note for note in result.notes)


def test_slippage_is_not_capped_by_the_bars_range():
    for result in both(EIGHT, weights_on(EIGHT, r1=0.103, r5=0.0), costs=Costs(0.0, 0.05))[:2]:
        assert result.orders["price"].tolist() == pytest.approx([104 * 1.05, 108 * 0.95])
        assert result.metrics["slippage_paid"] == pytest.approx(10 * (5.2 + 5.4))
        before = result.equity.iloc[[1, 5]].to_numpy()
        assert result.metrics["turnover"] == pytest.approx((1092 / before[0]) + (1026 / before[1]))


def test_a_decision_on_the_last_bar_never_fills_and_on_the_first_fills_on_the_second():
    for result in both(EIGHT, weights_on(EIGHT, r0=0.5, r7=-0.5))[:2]:
        assert result.orders["timestamp"].tolist() == [EIGHT.index[1]]
        assert result.metrics["n_orders"] == 1


def test_a_bankrupt_short_is_rejected_from_then_on():
    bars = EIGHT.copy()
    bars.iloc[4:, :4] *= 10
    one, other, agreement = both(bars, weights_on(bars, r1=-1.0, r4=0.5, r5=0.0, r6=1.0))
    for result in (one, other):
        assert result.orders["status"].tolist() == ["filled"] + ["rejected"] * 3
        assert result.orders["reason"].tolist()[1:] == ["the account was at or below zero"] * 3
        assert result.metrics["final_value"] < 0 and result.metrics["n_rejected"] == 3
        assert result.metrics["sharpe"] is None and any("zero or below" in note for note in result.notes)
        assert any(f"1 exit was not filled whole (first at {bars.index[6]})" in note for note in result.notes)
    assert agreement["n_orders"] == 4


def test_a_ruined_short_that_comes_back_has_no_total_return():
    bars = EIGHT.copy()
    bars.iloc[3:5, :4] *= 10
    ruined = f"first at {bars.index[3]} and last at {bars.index[4]}, lowest -"
    one, other, _ = both(bars, weights_on(bars, r1=-1.0))
    for result in (one, other):
        assert result.metrics["final_value"] == result.equity.iloc[-1] > 0
        assert result.metrics["total_return"] is None and result.metrics["sharpe"] is None
        assert any("total_return is not defined" in note and ruined in note for note in result.notes)
    assert one.notes == other.notes


def test_a_cover_that_gaps_beyond_cash_is_filled_in_part():
    bars = EIGHT.copy()
    bars.loc[bars.index[4], "open"] = 400.0  # decided at 102, filled at 400
    for result in both(bars, weights_on(bars, r1=-1.0, r3=0.0))[:2]:
        assert result.orders["status"].tolist() == ["filled", "partial"]
        assert 0 < result.orders["size"].iloc[1] < -result.orders["size"].iloc[0]
        said = f"stayed open against a target of flat: 1 exit was not filled whole (first at {bars.index[4]})"
        assert any(said in note for note in result.notes)


def test_a_target_that_is_met_already_is_no_order():
    # All cash was spent short of the target, so the whole account is in the asset: a target of 1 wants nothing.
    bars = random_bars(8)
    for result in both(bars, weights_on(bars, r1=0.9, r3=1.0, r6=0.0), costs=Costs(0.5, 0.0))[:2]:
        assert result.orders["status"].tolist() == ["partial", "filled"]


@pytest.mark.parametrize("seed", [0, 2, 41, 44])
def test_nor_is_the_rounding_of_one(seed):
    # The same on markets where (units x price) / price is above units, which vectorbt's log calls a rejected buy.
    bars = random_bars(60, seed=seed)
    weights = np.repeat(np.random.default_rng(seed).choice([-0.5, 0.9, 1.0, -1.0, 0.8], 20), 3)
    both(bars, pd.Series(weights, bars.index), costs=Costs(0.3, 0.0))


def test_no_order_at_all_is_defined():
    for result in both(EIGHT, weights_on(EIGHT))[:2]:
        assert (result.equity == 10_000.0).all()
        assert result.metrics["sharpe"] == 0.0 and result.metrics["max_drawdown"] == 0.0
        assert result.metrics["turnover"] == result.metrics["n_orders"] == 0
        assert any("never moves" in note for note in result.notes)
        assert list(result.orders.columns) == ORDER_COLUMNS and len(result.trades) == 0


@pytest.mark.parametrize("rows", [1, 2])
def test_hardly_any_bars(rows):
    bars = EIGHT.iloc[:rows]
    for result in both(bars, pd.Series(0.5, bars.index))[:2]:
        assert len(result.equity) == rows and set(result.metrics) == set(METRICS)


def reference_metrics(equity, cash, days_per_year):
    """The convention, in plain pandas."""
    daily = equity.groupby(equity.index.tz_convert("UTC").date).last()
    returns = np.diff(np.r_[cash, daily.to_numpy()]) / np.r_[cash, daily.to_numpy()[:-1]]
    path = np.r_[cash, equity.to_numpy()]
    fall = (1 - path / np.maximum.accumulate(path)).max()
    sharpe = returns.mean() / returns.std(ddof=1) * np.sqrt(days_per_year) if len(returns) > 1 else None
    return sharpe, fall


def daily_with_weekends():
    bars = random_bars(400, seed=5, interval="1D", volatility=0.02)
    return bars[bars.index.day_of_week < 5]


MARKETS = {
    "1h": lambda: random_bars(1000, seed=2),
    "1min": lambda: random_bars(5000, seed=3, interval="1min", volatility=0.001).iloc[137:],
    "7h": lambda: random_bars(500, seed=4, interval="7h"),
    "1D without weekends": daily_with_weekends,
    "a hole of days": lambda: random_bars(300, seed=6).drop(random_bars(300, seed=6).index[50:180]),
}


@pytest.mark.parametrize("name", MARKETS)
@pytest.mark.parametrize("days_per_year", [365.0, 252.0])
def test_both_engines_own_numbers_follow_the_stated_convention(name, days_per_year):
    bars = MARKETS[name]()
    rng = np.random.default_rng(1)
    weights = pd.Series(np.repeat(rng.uniform(-1, 1, len(bars) // 5 + 1), 5)[: len(bars)], bars.index)
    one, other, _ = both(bars, weights, days_per_year=days_per_year, cash=5_000.0)
    sharpe, fall = reference_metrics(one.equity, 5_000.0, days_per_year)
    for result in (one, other):
        assert result.metrics["sharpe"] == pytest.approx(sharpe, rel=1e-9)
        assert result.metrics["max_drawdown"] == pytest.approx(fall, rel=1e-9)
        assert result.metrics["total_return"] == pytest.approx(result.equity.iloc[-1] / 5_000 - 1, rel=1e-9)
        size, price = result.orders["size"].abs(), result.orders["price"]
        before = result.equity.shift(1).loc[result.orders["timestamp"]].to_numpy()
        assert result.metrics["turnover"] == pytest.approx((size * price / before).sum(), rel=1e-9)
        assert result.metrics["commission_paid"] == pytest.approx(result.orders["commission"].sum(), rel=1e-9)
    for metric in METRICS:
        assert one.metrics[metric] == pytest.approx(other.metrics[metric], rel=1e-9)


@pytest.mark.parametrize(("interval", "per_year"), [("7D", 365 / 7), ("2D", 365 / 2), ("MS", 12.0)])
@pytest.mark.parametrize("days_per_year", [365.0, 252.0])
def test_bars_longer_than_a_day_are_annualised_by_their_number_a_year(interval, per_year, days_per_year):
    """The hand formula: mean / deviation of the bars' returns x the root of bars per year, the same in both engines."""
    bars = random_bars(150, seed=6, interval="7D", volatility=0.03)
    bars.index = pd.date_range("2010", periods=150, freq=interval, tz="UTC", name="timestamp").as_unit("ns")
    weights = pd.Series(np.repeat(np.random.default_rng(1).uniform(-1, 1, 30), 5), bars.index)
    one, other, _ = both(bars, weights, days_per_year=days_per_year, cash=5_000.0)
    path = np.r_[5_000.0, one.equity.to_numpy()]
    returns = np.diff(path) / path[:-1]
    by_hand = returns.mean() / returns.std(ddof=1) * np.sqrt(per_year)
    for result in (one, other):
        assert result.metrics["sharpe"] == pytest.approx(by_hand, rel=1e-9)


def test_a_test_shorter_than_two_days_has_no_sharpe_and_says_so():
    bars = random_bars(23)
    for result in both(bars, pd.Series(0.5, bars.index))[:2]:
        assert result.metrics["sharpe"] is None
        assert any("1 daily return" in note for note in result.notes)
        assert np.isfinite(result.metrics["max_drawdown"])


@pytest.mark.parametrize("cut", [1, 2, 3, 50, 149])
def test_what_comes_after_a_cut_changes_nothing_before_it(cut):
    bars, other = random_bars(150, seed=8), random_bars(150, seed=9)
    rng = np.random.default_rng(0)
    weights, strange = (pd.Series(rng.uniform(-1, 1, 150), bars.index) for _ in range(2))
    changed = pd.concat([bars.iloc[:cut], other.iloc[cut:] * 3])
    changed_weights = pd.concat([weights.iloc[:cut], strange.iloc[cut:]])
    for before, after in zip(both(bars, weights)[:2], both(changed, changed_weights)[:2], strict=True):
        np.testing.assert_array_equal(before.equity.iloc[:cut], after.equity.iloc[:cut])
        # An order decided on the last bar before the cut fills beyond it.
        kept = [one.orders[one.orders["timestamp"] < bars.index[cut]] for one in (before, after)]
        pd.testing.assert_frame_equal(*kept, check_exact=True)
        assert len(kept[0]) == cut - 1


def test_one_engine_alone_and_an_unknown_one():
    weights = weights_on(EIGHT, r1=0.5)
    results, agreement = backtest(EIGHT, weights, engine="vectorbt", symbol="BTC")
    assert list(results) == ["vectorbt"] and agreement is None
    assert results["vectorbt"].orders["symbol"].tolist() == ["BTC"]
    assert list(backtest(EIGHT, weights, engine="backtrader")[0]) == ["backtrader"]
    with pytest.raises(BarwiseError, match="backtrader"):
        backtest(EIGHT, weights, engine="backtrade")  # type: ignore[arg-type]


def test_forecasts_that_know_their_bar_are_refused_by_each_engine(bars):
    weights = pd.Series(0.5, bars.index)
    forecasts = pd.DataFrame({"signal": 0.5, "confidence": 0.5, "fold": 0, "trained_through": bars.index}, bars.index)
    for engine in ("backtrader", "vectorbt"):
        with pytest.raises(LookAheadError):
            backtest(bars, weights, engine=engine, forecasts=forecasts)
        before = forecasts.assign(trained_through=bars.index - pd.Timedelta(hours=1))
        assert backtest(bars, weights, engine=engine, forecasts=before)[0][engine].forecasts is before


def test_importing_backtest_loads_no_engine():
    import subprocess

    code = "import strategies.backtest, sys; print([m for m in ('backtrader', 'vectorbt') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
