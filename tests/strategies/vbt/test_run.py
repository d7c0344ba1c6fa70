import numpy as np
import pandas as pd
import pytest

import strategies.vbt.run as vbt_run
from strategies.costs import Costs
from strategies.vbt import run_vectorbt
from strategies.vbt.portfolio import Scale
from tests.conftest import random_bars


def market(n=200):
    bars = random_bars(n)
    return bars, pd.Series(np.repeat(np.random.default_rng(0).uniform(-1, 1, n // 5), 5), bars.index)


def test_it_runs_on_rust_and_says_so():
    result = run_vectorbt(*market())
    assert result.extras["kernel"] == "rust"
    assert not any("numba" in note for note in result.notes)


@pytest.mark.parametrize("way", ["missing", "refused"])
def test_falling_back_to_numba_is_said(monkeypatch, way):
    bars, weights = market()
    expected, real, asked = run_vectorbt(bars, weights), vbt_run.simulate, []

    def simulate(*args, engine, **options):
        asked.append(engine)
        if way == "refused" and engine == "rust":
            raise ValueError("Rust engine requires float64 arrays. Use engine='numba'.")
        return real(
            *args, engine="rust", **options
        )  # numba would compile for 20 s: what it gives is vectorbt's to test

    monkeypatch.setattr(vbt_run, "simulate", simulate)
    monkeypatch.setattr(vbt_run, "is_rust_available", lambda: way == "refused")
    monkeypatch.setattr(vbt_run, "stats_kernel", lambda kernel: "rust")
    result = run_vectorbt(bars, weights)
    assert asked[-1] == "numba" and result.extras["kernel"] == "numba"
    assert any("numba" in note and "12-20 s" in note for note in result.notes)
    assert result.metrics == expected.metrics


def test_another_error_of_the_kernel_is_not_swallowed(monkeypatch):
    def simulate(*args, **options):
        raise ValueError("cash cannot be NaN")

    monkeypatch.setattr(vbt_run, "simulate", simulate)
    with pytest.raises(ValueError, match="cash cannot be NaN"):
        run_vectorbt(*market())


@pytest.mark.parametrize("price", [1e-9, 1.0, 1e6])
@pytest.mark.parametrize("cash", [1e-3, 1e4, 1e12])
def test_the_scale_is_exact_and_changes_nothing(price, cash):
    bars, weights = market()
    scaled = bars.copy()
    scaled[["open", "high", "low", "close"]] *= price
    scale = Scale.of(scaled, cash)
    assert np.log2([scale.money, scale.lot]).tolist() == np.rint(np.log2([scale.money, scale.lot])).tolist()
    one, other = run_vectorbt(bars, weights), run_vectorbt(scaled, weights, cash=cash)
    np.testing.assert_allclose(other.equity / cash, one.equity / 10_000, rtol=1e-12)
    np.testing.assert_allclose(other.orders["price"], one.orders["price"] * price, rtol=1e-12)


def test_costs_are_the_engines_own():
    bars, weights = market()
    free, dear = (run_vectorbt(bars, weights, costs=Costs(fee, fee)).metrics for fee in (0.0, 0.01))
    assert free["commission_paid"] == free["slippage_paid"] == 0.0
    assert dear["commission_paid"] > 0 and dear["slippage_paid"] > 0 and dear["final_value"] < free["final_value"]
