import numpy as np
import pandas as pd
import pytest
import vectorbt as vbt

from mlcore.errors import BarwiseError, LookAheadError
from strategies.bt import run_backtrader
from strategies.costs import Costs
from strategies.policy import Policy, target_weights
from strategies.vbt import portfolio_from_forecasts, portfolio_from_weights
from tests.conftest import random_bars


def market(n=300):
    bars = random_bars(n)
    rng = np.random.default_rng(0)
    index = bars.index[50:]
    signal = rng.uniform(-1, 1, len(index))
    frame = pd.DataFrame({"signal": signal, "confidence": rng.random(len(index)), "fold": 0}, index)
    return bars, frame.assign(trained_through=bars.index[49])


def test_the_portfolio_is_the_backtrader_run():
    bars, _ = market()
    weights = pd.Series(np.repeat(np.random.default_rng(1).uniform(-1, 1, 60), 5), bars.index)
    portfolio = portfolio_from_weights(bars, weights, costs=Costs(0.002, 0.001), cash=500.0)
    expected = run_backtrader(bars, weights, costs=Costs(0.002, 0.001), cash=500.0)
    np.testing.assert_allclose(portfolio.value(engine="rust"), expected.equity, rtol=1e-12)
    assert len(portfolio.orders.records_arr) == len(expected.orders)
    assert portfolio.wrapper.freq == pd.Timedelta(hours=1)


def test_it_owns_the_shift_so_shifting_again_or_not_at_all_is_another_account():
    bars, _ = market()
    weights = pd.Series(np.sign(bars["close"].pct_change()).fillna(0.0), bars.index)  # what the bar itself did
    free = Costs(0.0, 0.0)
    right = portfolio_from_weights(bars, weights, costs=free)
    late = portfolio_from_weights(bars, weights.shift(1), costs=free)
    unshifted = vbt.Portfolio.from_orders(
        bars["close"], weights, size_type="targetpercent", price=bars["open"], init_cash=10_000.0
    )
    first = int(np.flatnonzero(weights)[0])
    assert right.orders.records_arr["idx"][0] == first + 1
    assert late.orders.records_arr["idx"][0] == first + 2
    assert unshifted.orders.records_arr["idx"][0] == first  # filled at the open of the bar whose close decided
    finals = [float(one.value(engine="rust").iloc[-1]) for one in (right, late, unshifted)]
    assert finals[2] > 2 * max(finals[:2]) and abs(finals[0] / finals[1] - 1) > 0.01


def test_forecasts_trade_over_their_span_by_policy_and_sizer():
    bars, forecasts = market()
    policy = Policy(entry=0.3)
    portfolio = portfolio_from_forecasts(bars, forecasts, policy=policy, sizer="confidence", costs=Costs())
    weights = target_weights(forecasts, bars, policy=policy, sizer="confidence")
    same = portfolio_from_weights(bars.loc[weights.index], weights, costs=Costs())
    pd.testing.assert_series_equal(portfolio.value(engine="rust"), same.value(engine="rust"))
    assert portfolio.wrapper.index.equals(forecasts.index)


def test_forecasts_that_know_their_bar_are_refused():
    bars, forecasts = market()
    with pytest.raises(LookAheadError):
        portfolio_from_forecasts(bars, forecasts.assign(trained_through=bars.index[60]))


def test_a_frame_of_weights_is_one_account_a_column():
    bars, _ = market()
    rng = np.random.default_rng(2)
    weights = pd.DataFrame(rng.uniform(-1, 1, (300, 3)), bars.index, columns=pd.Index([0.1, 0.2, 0.3], name="entry"))
    together = portfolio_from_weights(bars, weights)
    assert together.value(engine="rust").columns.equals(weights.columns)
    for column in weights:
        alone = portfolio_from_weights(bars, weights[column])
        np.testing.assert_array_equal(together.value(engine="rust")[column], alone.value(engine="rust"))


def test_inputs_are_checked_and_options_go_through():
    bars, _ = market()
    weights = pd.Series(0.5, bars.index)
    with pytest.raises(BarwiseError, match="reindex"):
        portfolio_from_weights(bars, weights.iloc[5:])
    with pytest.raises(BarwiseError, match="`cash`"):
        portfolio_from_weights(bars, weights, cash=-1.0)
    assert len(portfolio_from_weights(bars, weights, log=True).log_records) == 1
    assert portfolio_from_weights(bars.iloc[:1], weights.iloc[:1]).value(engine="rust").tolist() == [10_000.0]


@pytest.mark.parametrize(("interval", "per_year"), [("1h", 24 * 252), ("1D", 252), ("7D", 365 / 7)])
def test_its_own_ratios_know_the_year_of_the_market(interval, per_year):
    bars = random_bars(300, interval=interval)
    _, forecasts = market()
    forecasts = forecasts.set_axis(bars.index[50:]).assign(trained_through=bars.index[49])
    portfolio = portfolio_from_forecasts(bars, forecasts, days_per_year=252.0)
    equity = np.r_[10_000.0, portfolio.value().to_numpy()]
    returns = np.diff(equity) / equity[:-1]
    by_hand = returns.mean() / returns.std(ddof=1) * np.sqrt(per_year)
    assert portfolio.sharpe_ratio() == pytest.approx(by_hand, rel=1e-9)
    assert portfolio.stats()["Sharpe Ratio"] == pytest.approx(by_hand, rel=1e-9)
    assert portfolio.copy().sharpe_ratio() == pytest.approx(by_hand, rel=1e-9)
    assert portfolio.sharpe_ratio(year_freq="100D") != pytest.approx(by_hand, rel=1e-3)


def test_a_column_of_a_portfolio_knows_the_year_too():
    bars = random_bars(100)
    weights = pd.DataFrame({"a": 0.5, "b": 1.0}, bars.index)
    portfolio = portfolio_from_weights(bars, weights, days_per_year=100.0)
    assert portfolio["b"].sharpe_ratio() == pytest.approx(portfolio.sharpe_ratio()["b"])
    assert portfolio["b"].year == pd.Timedelta(days=100)
