"""The grid of costs and delays: the study's own numbers in its own cell, and a delay is a shift of what was decided."""

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from strategies.costs import Costs
from strategies.policy import Policy, target_weights
from strategies.result import METRICS
from strategies.vbt.other_costs import DELAYS, trade_at_costs
from strategies.vbt.run import run_vectorbt
from tests.conftest import random_bars
from tests.strategies.studies import fake_forecasts

BARS = random_bars(900, seed=4, volatility=0.02).drop(random_bars(900, seed=4).index[400:431])
WEIGHTS = target_weights(fake_forecasts(BARS, 5), BARS, policy=Policy(entry=0.3))
OWN = Costs(0.001, 0.0005)


def engine(delay: int, costs: Costs) -> list[float]:
    """What vectorbt makes of the weights, carried out by hand `delay` bars late."""
    late = pd.Series(np.r_[np.full(delay, np.nan), WEIGHTS.to_numpy()[: len(WEIGHTS) - delay]], WEIGHTS.index)
    metrics = run_vectorbt(BARS, late, costs=costs, cash=500.0, days_per_year=252.0).metrics
    return [np.nan if metrics[name] is None else float(metrics[name]) for name in METRICS]  # type: ignore[arg-type]


def test_every_cell_is_the_run_of_its_costs_and_delay() -> None:
    grid = trade_at_costs(BARS, WEIGHTS, OWN, cash=500.0, days_per_year=252.0)
    assert len(grid) == 5 * 4 * len(DELAYS)
    assert not grid.duplicated(["delay", "commission", "slippage"]).any()
    own = grid[(grid["delay"] == 0) & (grid["commission"] == 0.001) & (grid["slippage"] == 0.0005)]
    assert len(own) == 1
    for row in [*own.to_dict("records"), *grid.iloc[3::13].to_dict("records")]:
        wanted = engine(int(row["delay"]), Costs(row["commission"], row["slippage"]))
        np.testing.assert_allclose([row[name] for name in METRICS], wanted, rtol=1e-9, atol=1e-9, err_msg=str(row))


def test_costs_only_take_and_each_delay_decides_for_itself() -> None:
    grid = trade_at_costs(BARS, WEIGHTS, OWN, delays=(0, 3))
    for _, same in grid.groupby("delay"):
        by_fee = same[same["slippage"] == 0.0].sort_values("commission")["final_value"]
        by_slip = same[same["commission"] == 0.0].sort_values("slippage")["final_value"]
        assert by_fee.is_monotonic_decreasing and by_slip.is_monotonic_decreasing
    assert grid[grid["delay"] == 0]["final_value"].iloc[0] != grid[grid["delay"] == 3]["final_value"].iloc[0]


def test_own_costs_of_nothing_are_in_the_grid_beside_costs_of_something() -> None:
    grid = trade_at_costs(BARS, WEIGHTS, Costs(0.0, 0.0), delays=(0,))
    assert set(grid["commission"]) == {0.0, 0.00025, 0.0005, 0.001, 0.0015}
    assert set(grid["slippage"]) == {0.0, 0.0005, 0.001, 0.002}


@pytest.mark.parametrize("delay", [-1, 1.5, True])
def test_a_delay_is_a_count_of_bars(delay: object) -> None:
    with pytest.raises(BarwiseError, match="`delays` holds"):
        trade_at_costs(BARS, WEIGHTS, OWN, delays=(delay,))  # type: ignore[arg-type]


def test_weights_of_other_bars_are_refused() -> None:
    with pytest.raises(BarwiseError, match="`weights` has"):
        trade_at_costs(BARS.iloc[1:], WEIGHTS, OWN)
