"""What trading cost and how much was held, in every mode of the engine."""

import numpy as np
import pandas as pd
import pytest

from strategies.bt import CostBreakdown, EquityCurve, ExposureStats
from strategies.bt.run import run_backtrader
from tests.strategies.bt.runs import BARS, MODES, cerebro_of

WEIGHTS = pd.Series(np.repeat([np.nan, 0.5, -0.8, 0.2, np.nan, 0.9], 20), BARS.index)


def analysed(options=(), weights=WEIGHTS):
    cerebro = cerebro_of(options=options, weights=weights)
    for analyzer in (CostBreakdown, ExposureStats, EquityCurve):
        cerebro.addanalyzer(analyzer)
    found = cerebro.run()[0].analyzers
    return found.costbreakdown.get_analysis(), found.exposurestats.get_analysis(), found.equitycurve.get_analysis()


@pytest.mark.parametrize("options", MODES, ids=str)
def test_costs_are_those_of_the_result_and_add_up(options):
    costs, exposure, _ = analysed(options)
    result = run_backtrader(BARS, WEIGHTS)
    assert costs["commission"] == pytest.approx(result.metrics["commission_paid"])
    assert costs["slippage"] == pytest.approx(result.metrics["slippage_paid"])
    assert costs["fills"] == len(result.orders) == 5
    assert costs["value"] == pytest.approx((result.orders["size"].abs() * result.orders["price"]).sum())
    assert costs["per_value"] == pytest.approx(0.0015, rel=0.01)  # 0.1% commission, 0.05% slippage
    assert (costs["buys"]["fills"], costs["sales"]["fills"]) == (3, 2)
    for name in ("commission", "slippage", "total", "value", "fills"):
        assert costs["buys"][name] + costs["sales"][name] == pytest.approx(costs[name])
        assert sum(month[name] for month in costs["months"].values()) == pytest.approx(costs[name])
    assert list(costs["months"]) == ["2024-01"]
    assert exposure["time_in_market"] == pytest.approx((99 - 20) / 120) and exposure["time_short"] == 20 / 120


def test_exposure_is_what_was_held_at_the_closes():
    _, exposure, equity = analysed()
    orders = run_backtrader(BARS, WEIGHTS).orders
    held = orders.set_index("timestamp")["size"].reindex(BARS.index).fillna(0.0).cumsum()
    share = held * BARS["close"] / equity
    assert exposure["mean_net"] == pytest.approx(share.mean())
    assert exposure["mean_gross"] == pytest.approx(share.abs().mean())
    assert exposure["max_gross"] == pytest.approx(share.abs().max())
    assert exposure["time_long"] + exposure["time_short"] == pytest.approx(exposure["time_in_market"])


def test_an_account_that_never_traded_has_no_costs_and_no_exposure():
    costs, exposure, _ = analysed(weights=WEIGHTS * np.nan)
    assert costs["total"] == costs["fills"] == 0 and costs["per_value"] is None and costs["months"] == {}
    assert set(exposure.values()) == {0.0}
