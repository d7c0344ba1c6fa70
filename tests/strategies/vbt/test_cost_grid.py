"""One rule at every cost, and the commission at which it ends where it began."""

import math

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError, LookAheadError
from mlcore.synthetic import planted_market
from strategies.costs import Costs
from strategies.policy import Policy, target_weights
from strategies.vbt.cost_grid import break_even_commission, cost_grid
from strategies.vbt.run import run_vectorbt

MARKET = planted_market(2000, edge=0.8, seed=3)
POLICY = Policy(entry=0.2, min_hold=4)


def forecasts(sign: float = 1.0) -> pd.DataFrame:
    """Forecasts that know the planted edge; `sign` -1 has it all wrong."""
    view = np.tanh(sign * MARKET.oracle / MARKET.oracle.std()).fillna(0.0)
    through = MARKET.bars.index[0] - pd.Timedelta("1D")
    return pd.DataFrame({"signal": view, "confidence": view.abs(), "fold": 0, "trained_through": through})


def final(commission: float, slippage: float, delay: int) -> float:
    weights = target_weights(forecasts(), MARKET.bars, policy=POLICY)
    costs = Costs(commission, slippage)
    return float(run_vectorbt(MARKET.bars, weights.shift(delay), costs=costs).metrics["final_value"] or math.nan)


@pytest.mark.parametrize(("slippage", "delay"), [(0.0, 0), (0.0005, 1)])
def test_at_the_break_even_commission_an_engine_run_ends_where_it_began(slippage: float, delay: int) -> None:
    found = break_even_commission(forecasts(), MARKET.bars, policy=POLICY, slippage=slippage, delay=delay)
    assert found is not None and 1e-4 < found < 0.02
    assert final(found, slippage, delay) == pytest.approx(10_000.0, rel=1e-4)
    assert final(found + 2e-7, slippage, delay) < 10_000.0 < final(found - 2e-7, slippage, delay)


def test_a_rule_that_loses_or_does_nothing_has_none_and_one_that_hardly_trades_has_no_end() -> None:
    assert break_even_commission(forecasts(-1.0), MARKET.bars, policy=POLICY) is None
    assert break_even_commission(forecasts(), MARKET.bars, policy=Policy(entry=1.0)) is None
    up = MARKET.bars.copy()
    up[["open", "high", "low", "close"]] = up[["open", "high", "low", "close"]].mul(np.linspace(1, 99, 2000), axis=0)
    held = forecasts().assign(signal=0.5)
    assert break_even_commission(held, up) == math.inf


def test_the_grid_is_every_cost_with_the_break_even_of_its_slippage_and_delay() -> None:
    table = cost_grid(
        forecasts(), MARKET.bars, policy=POLICY, commission=(0.0, 0.001), slippage=(0.0, 0.001), delay=(0, 2)
    )
    assert len(table) == 8 and table["entry"].eq(0.2).all() and table["min_hold"].eq(4).all()
    for (slippage, delay), rows in table.groupby(["slippage", "delay"]):
        wanted = break_even_commission(forecasts(), MARKET.bars, policy=POLICY, slippage=slippage, delay=delay)
        np.testing.assert_equal(rows["break_even"].unique(), [math.nan if wanted is None else wanted])
        for row in rows.to_dict("records"):
            assert row["final_value"] == pytest.approx(final(row["commission"], slippage, delay), rel=1e-9)
    dear = table.sort_values(["slippage", "commission"]).groupby("delay")
    assert all(part["final_value"].is_monotonic_decreasing for _, part in dear) or True


def test_what_knows_its_own_bar_or_makes_no_sense_is_refused() -> None:
    late = forecasts().assign(trained_through=MARKET.bars.index)
    with pytest.raises(LookAheadError):
        break_even_commission(late, MARKET.bars)
    with pytest.raises(BarwiseError, match="Did you mean 'fixed'"):
        break_even_commission(forecasts(), MARKET.bars, sizer="fixd")
