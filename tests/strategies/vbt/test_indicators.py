import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError, BarwiseWarning
from strategies.policy import Policy, weights_of
from strategies.vbt import ForecastSignals, portfolio_from_weights
from tests.conftest import random_bars


def forecasts(n=200):
    bars = random_bars(n)
    rng = np.random.default_rng(0)
    signal = np.where(rng.random(n) < 0.1, np.nan, rng.uniform(-1, 1, n))
    return bars, pd.DataFrame({"signal": signal, "confidence": rng.random(n)}, bars.index)


def test_each_threshold_is_a_column_and_each_column_is_the_policy():
    bars, frame = forecasts()
    found = ForecastSignals.run(frame["signal"], frame["confidence"], entry=[0.0, 0.3, 0.7], exit=0.0, size=0.5)
    assert found.weight.shape == (200, 3)
    for number, entry in enumerate((0.0, 0.3, 0.7)):
        expected = weights_of(frame, np.full(200, 0.5), Policy(entry=entry))
        np.testing.assert_array_equal(found.weight.iloc[:, number], expected)


def test_all_combinations_on_request():
    _, frame = forecasts()
    found = ForecastSignals.run(
        frame["signal"], frame["confidence"], entry=[0.3, 0.5], min_confidence=[0.0, 0.5, 0.9], param_product=True
    )
    assert found.weight.shape == (200, 6) and "forecast_entry" in found.weight.columns.names


def test_entries_and_exits_are_the_changes_of_the_weight():
    _, frame = forecasts()
    found = ForecastSignals.run(frame["signal"], frame["confidence"], entry=0.2, exit=0.1)
    side = np.sign(found.weight.fillna(0.0))
    before = side.shift(1, fill_value=0.0)
    assert (found.entries == ((side > 0) & (before <= 0))).all()
    assert (found.exits == ((before > 0) & (side <= 0))).all()
    assert (found.short_entries == ((side < 0) & (before >= 0))).all()
    assert (found.short_exits == ((before < 0) & (side >= 0))).all()
    assert min(found.entries.sum(), found.short_exits.sum()) > 5


def test_the_weights_go_straight_into_a_portfolio():
    bars, frame = forecasts()
    found = ForecastSignals.run(frame["signal"], frame["confidence"], entry=[0.1, 0.5])
    assert len(portfolio_from_weights(bars, found.weight).value(engine="rust").columns) == 2


def test_every_rule_of_a_policy_is_a_parameter():
    _, frame = forecasts()
    rules = {"entry": 0.4, "exit": -0.1, "min_hold": 4, "band": 0.3, "min_confidence": 0.2}
    found = ForecastSignals.run(frame["signal"], frame["confidence"], **rules, side=["both", "long", "short"], size=0.5)
    for number, side in enumerate(("both", "long", "short")):
        expected = weights_of(frame, np.full(200, 0.5), Policy(**rules, side=side))
        np.testing.assert_array_equal(found.weight.iloc[:, number], expected)
    assert found.weight.columns.get_level_values("forecast_side").tolist() == ["both", "long", "short"]


def test_combinations_that_are_no_rule_are_flat_and_said_while_the_others_trade():
    _, frame = forecasts()
    with pytest.warns(BarwiseWarning, match="are no rules: their columns are flat"):
        found = ForecastSignals.run(
            frame["signal"], frame["confidence"], entry=[0.1, 0.5], exit=[0.05, 0.3], param_product=True
        )
    flat = found.weight.isna().all()
    assert [bool(held) for held in flat] == [False, True, False, False]
    assert not found.entries.loc[:, flat].to_numpy().any()


def test_an_exit_further_below_0_than_the_entry_is_above_it_is_no_rule() -> None:
    _, frame = forecasts(50)
    with pytest.warns(BarwiseWarning, match="are no rules"):
        found = ForecastSignals.run(frame["signal"], frame["confidence"], entry=0.2, exit=[-0.2, -0.3])
    assert found.weight.isna().all().tolist() == [False, True]


def test_a_threshold_out_of_range_is_refused():
    _, frame = forecasts(20)
    with pytest.raises(BarwiseError, match="`entry`"):
        ForecastSignals.run(frame["signal"], frame["confidence"], entry=1.5)
    with pytest.raises(BarwiseError, match="`side`"):
        ForecastSignals.run(frame["signal"], frame["confidence"], entry=0.1, exit=0.2, side="up")
