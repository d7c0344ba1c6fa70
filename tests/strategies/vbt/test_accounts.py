"""Many accounts at once: the numbers of a portfolio over all bars, whatever the batch, the prices and the fate."""

import numpy as np
import pandas as pd
import pytest
import vectorbt as vbt
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies.costs import Costs
from strategies.orders import order_targets
from strategies.result import METRICS
from strategies.vbt import accounts as module
from strategies.vbt import portfolio_from_weights, run_vectorbt
from strategies.vbt.accounts import MEASURED, Accounts, Orders
from strategies.vbt.paths import account_paths
from tests.conftest import random_bars


def weights_over(bars: pd.DataFrame, seed: int, share: float) -> pd.Series:
    """Targets that change on a `share` of the bars, flat at times, of both sides."""
    rng = np.random.default_rng(seed)
    drawn = pd.Series(rng.choice([np.nan, 0.0, 1.0, -1.0, 0.3, -0.7, 0.30000001], len(bars)), bars.index)
    return drawn.where(rng.random(len(bars)) < share, np.inf).replace(np.inf, None).astype(float).ffill()


@settings(max_examples=40)
@given(
    st.integers(0, 10_000),
    st.sampled_from([1e-6, 1.0, 1e6]),
    st.sampled_from([0.002, 0.05, 0.4]),
    st.sampled_from([(0.0, 0.0), (0.001, 0.0005), (0.05, 0.0), (0.0, 0.01)]),
    st.sampled_from([0.02, 0.3, 1.0]),
)
def test_the_numbers_are_those_of_a_run_over_all_bars(
    seed: int, price: float, volatility: float, cost: tuple[float, float], share: float
) -> None:
    bars = random_bars(240, seed=seed, volatility=volatility)
    bars[["open", "high", "low", "close"]] *= price
    weights, costs = weights_over(bars, seed, share), Costs(*cost)
    row = Accounts(bars, 700.0, 365.0).trade([Orders.of(order_targets(weights))], [costs]).iloc[0]
    single = run_vectorbt(bars, weights, costs=costs, cash=700.0).metrics
    wanted = [np.nan if single[name] is None else float(single[name]) for name in METRICS]  # type: ignore[arg-type]
    np.testing.assert_allclose([row[name] for name in METRICS], wanted, rtol=1e-9, atol=1e-9 * 700)


@pytest.mark.parametrize("volatility", [0.01, 0.3], ids=["calm", "ruin"])
def test_vectorbts_own_ratios_come_out(volatility: float) -> None:
    bars = random_bars(500, seed=2, volatility=volatility)
    weights = pd.concat([weights_over(bars, seed, 0.2) for seed in range(6)], axis=1, keys=range(6)) * 0.9
    weights[6] = np.nan  # trades nothing
    portfolio = portfolio_from_weights(bars, weights, cash=500.0, costs=Costs(0.001, 0.0), engine="rust")
    orders = [Orders.of(order_targets(weights[k])) for k in weights]
    table = Accounts(bars, 500.0, 365.0).trade(orders, [Costs(0.001, 0.0)] * 7)
    np.testing.assert_allclose(table["sharpe_of_bars"], portfolio.sharpe_ratio(), rtol=1e-9)
    alive = (portfolio.value() > 0).all().to_numpy()  # vectorbt compounds returns: below zero they mean nothing
    assert alive.all() == (volatility < 0.1)
    np.testing.assert_allclose(table["max_drawdown"][alive], -portfolio.max_drawdown()[alive], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(table["final_value"], portfolio.final_value(), rtol=1e-9)
    assert table["n_orders"][6] == 0 and np.isinf(table["sharpe_of_bars"][6])


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = random_bars(300)
    orders = [
        Orders.of(order_targets(weights_over(bars, seed, share))) for seed, share in enumerate([0.5, 0.0, 1, 0.1])
    ]
    costs = [Costs(), Costs(0.0, 0.0), Costs(0.01, 0.0), Costs()]
    whole = Accounts(bars, 100.0, 365.0).trade(orders, costs)
    monkeypatch.setattr(module, "ORDERS_AT_A_TIME", 1)
    pd.testing.assert_frame_equal(Accounts(bars, 100.0, 365.0).trade(orders, costs), whole, check_exact=True)
    for k in range(4):
        alone = Accounts(bars, 100.0, 365.0).trade([orders[k]], [costs[k]])
        pd.testing.assert_frame_equal(alone, whole.iloc[[k]].reset_index(drop=True), check_exact=True)


def test_what_the_last_bar_decides_fills_nowhere() -> None:
    assert [part.tolist() for part in Orders.of(np.array([np.nan, 1.0, np.nan, 0.0]))] == [[1], [1.0]]


@pytest.mark.parametrize("way", ["missing", "refused"])
def test_falling_back_to_numba_is_said(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    bars = random_bars(60)
    orders, real, asked = [Orders.of(order_targets(weights_over(bars, 1, 0.3)))], vbt.Portfolio.from_orders, []
    expected = Accounts(bars, 100.0, 365.0).trade(orders, [Costs()])

    def from_orders(*args: object, engine: str, **options: object) -> vbt.Portfolio:
        asked.append(engine)
        if way == "refused" and engine == "rust":
            raise ValueError("Rust engine requires float64 arrays. Use engine='numba'.")
        return real(*args, engine="rust", **options)  # numba would compile for 20 s

    monkeypatch.setattr(vbt.Portfolio, "from_orders", from_orders)
    monkeypatch.setattr(module, "is_rust_available", lambda: way == "refused")
    monkeypatch.setattr(module, "stats_kernel", lambda kernel: "rust")
    accounts = Accounts(bars, 100.0, 365.0)
    pd.testing.assert_frame_equal(accounts.trade(orders, [Costs()]), expected)
    assert asked[-1] == accounts.kernel == "numba" and accounts.fallback


def test_another_error_of_the_kernel_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_orders(*args: object, **options: object) -> None:
        raise ValueError("cash cannot be NaN")

    monkeypatch.setattr(vbt.Portfolio, "from_orders", from_orders)
    with pytest.raises(ValueError, match="cash cannot be NaN"):
        Accounts(random_bars(9), 100.0, 365.0).trade([Orders.of(np.ones(9))], [Costs()])


def test_one_bar_and_no_accounts() -> None:
    bars = random_bars(1)
    row = Accounts(bars, 100.0, 365.0).trade([Orders.of(np.array([1.0]))], [Costs()]).iloc[0]
    assert row["final_value"] == 100.0 and np.isnan(row["sharpe"]) and np.isnan(row["sharpe_of_bars"])
    assert list(Accounts(bars, 100.0, 365.0).trade([], []).columns) == list(MEASURED)


def test_a_drawdown_is_counted_from_the_starting_cash():
    walked = account_paths(
        np.array([90.0, 95.0]), np.array([0, 1]), np.array([0]), np.array([0.0]), np.array([1.0]), 100.0, np.array([1])
    )
    assert walked.fall[0] == pytest.approx(-0.1) and walked.lowest[0] == 90 and walked.final[0] == 95


def test_late_orders_reach_the_last_bar_that_fills():
    late = Orders(np.array([0, 2, 3]), np.array([0.5, 0.0, 1.0])).late(1, 5)
    assert late.rows.tolist() == [1, 3] and late.targets.tolist() == [0.5, 0.0]  # what row 4 gives fills nowhere
