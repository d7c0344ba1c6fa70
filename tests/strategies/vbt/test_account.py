"""The account as one grouped `Portfolio`: funding in the ledger, and vectorbt's own books."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from strategies.account import plan_account
from strategies.account.plan import AccountPath
from strategies.vbt.account import LEDGER_PRICE, OrderSource, run_account_vectorbt, simulate_account
from tests.conftest import random_bars


def plan(weight: float, rates: list[float]):
    bars = {"A": random_bars(60), "B": random_bars(60, seed=1)}
    clock = bars["A"].index
    weights = pd.DataFrame({"A": weight, "B": -weight / 2}, clock)
    return plan_account(bars, weights, funding={"A": pd.Series(rates, clock[10 : 10 + 10 * len(rates) : 10])})


def test_the_ledger_holds_funding_in_vectorbts_own_books():
    some = plan(0.5, [0.02, -0.03, 0.01])
    source = OrderSource(AccountPath(some))
    portfolio = simulate_account(source)
    fees = portfolio.orders.records
    ledger = fees[fees["col"] == 2]
    assert ledger["fees"].to_numpy() / source.money == pytest.approx([paid for paid in source.funding if paid])
    assert (np.sign(ledger["fees"]) == [1, -1, 1]).all()
    result = run_account_vectorbt(some)
    np.testing.assert_array_equal(portfolio.value().to_numpy() / source.money, result.equity)
    # What the ledger itself is worth is nothing.
    assert abs(portfolio.assets().iloc[-1, 2] * LEDGER_PRICE) < 1e-23
    assert set(result.orders["symbol"]) == {"A", "B"}


def test_what_vectorbt_cannot_hold_is_what_is_owed():
    some = plan_account(
        {"A": random_bars(60)},
        pd.DataFrame({"A": 1.0}, random_bars(60).index),
        funding={"A": pd.Series([0.02], random_bars(60).index[[10]])},
    )
    source = OrderSource(AccountPath(some))
    value = simulate_account(source).value().to_numpy() / source.money
    result = run_account_vectorbt(some)
    missing = value - result.equity.to_numpy()
    assert 0 < source.path.owed < sum(source.funding)
    np.testing.assert_allclose(missing, np.repeat([0.0, source.path.owed], [10, 50]), rtol=1e-9, atol=1e-9)
    assert any("is owed" in note for note in result.notes)
