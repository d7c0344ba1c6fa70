import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError, LookAheadError
from strategies.orders import (
    MIN_WEIGHT_CHANGE,
    check_forecasts_before,
    make_plan,
    order_targets,
    orders_table,
    smallest_units,
)


def targets(*weights):
    return order_targets(pd.Series(weights)).tolist()


def test_orders_stand_only_where_the_target_changes():
    nan = np.nan
    np.testing.assert_equal(targets(nan, 0.0, 0.5, 0.5, -1.0, nan, nan), [nan, nan, 0.5, nan, -1.0, 0.0, nan])


def test_dust_is_measured_from_the_last_order_so_small_steps_add_up():
    step = 0.4 * MIN_WEIGHT_CHANGE
    got = targets(0.5, 0.5 + step, 0.5 + 2 * step, 0.5 + 3 * step)
    np.testing.assert_equal(got, [0.5, np.nan, np.nan, 0.5 + 3 * step])


def test_leaving_is_never_dust_and_what_is_nearly_flat_or_full_is():
    near = 0.1 * MIN_WEIGHT_CHANGE
    np.testing.assert_equal(targets(0.3, near, -near, 1 - near, 1.0, -1 + near), [0.3, 0.0, np.nan, 1.0, np.nan, -1.0])
    np.testing.assert_equal(targets(2 * MIN_WEIGHT_CHANGE, 0.0), [2 * MIN_WEIGHT_CHANGE, 0.0])


@pytest.mark.parametrize("weight", [1.0001, -2.0, np.inf])
def test_a_weight_beyond_one_is_refused_with_its_row(weight):
    with pytest.raises(BarwiseError, match="`weights`"):
        targets(0.0, weight)


def test_the_smallest_order_is_a_share_of_the_starting_cash_and_none_for_leaving():
    assert smallest_units(100.0, 10_000.0, 0.5) == pytest.approx(1e-5)
    assert smallest_units(100.0, 10_000.0, 0.0) == 0.0


@pytest.mark.parametrize("cash", [0, -1.0, float("nan"), float("inf"), "10"])
def test_cash_must_be_positive(bars, cash):
    with pytest.raises(BarwiseError, match="`cash`"):
        make_plan(bars, pd.Series(0.0, bars.index), None, cash)


def test_inputs_that_no_engine_can_trade_are_refused(bars):
    weights = pd.Series(0.0, bars.index)
    with pytest.raises(BarwiseError, match="reindex"):
        make_plan(bars, weights.iloc[1:], None, 1.0)
    with pytest.raises(BarwiseError, match="empty"):
        make_plan(bars.iloc[:0], weights.iloc[:0], None, 1.0)
    broken = bars.copy()
    broken.iloc[7, broken.columns.get_loc("open")] = 0.0
    with pytest.raises(BarwiseError, match=f"open 0.0 at {bars.index[7]}".replace("+", r"\+")):
        make_plan(broken, weights, None, 1.0)


def frame(bars, lag):
    through = bars.index[10:20] - lag
    return pd.DataFrame({"signal": 0.1, "confidence": 0.5, "fold": 0, "trained_through": through}, bars.index[10:20])


def test_forecasts_that_know_their_bar_are_refused(bars):
    hour = pd.Timedelta(hours=1)
    check_forecasts_before(frame(bars, hour), bars)
    for lag in (0 * hour, -hour):
        with pytest.raises(LookAheadError):
            check_forecasts_before(frame(bars, lag), bars)
    late = frame(bars, hour)
    late.iloc[4, late.columns.get_loc("trained_through")] = late.index[4]
    with pytest.raises(LookAheadError):
        check_forecasts_before(late, bars)
    with pytest.raises(BarwiseError, match="signal"):
        check_forecasts_before(frame(bars, hour).assign(signal=2.0), bars)
    with pytest.raises(BarwiseError):
        check_forecasts_before(frame(bars, hour), bars.iloc[15:])
    check_forecasts_before(None, bars)


def test_an_orders_table_without_rows_has_the_types_of_one_with_rows(bars):
    row = (0, 1, 1.5, 100.0, 0.1, "filled", "")
    full, empty = (orders_table("backtrader", "x", bars.index, rows) for rows in ([row], []))
    assert full.dtypes.to_dict() == empty.dtypes.to_dict()
    assert len(empty) == 0
    assert full["decided"][0] == bars.index[0] and full["timestamp"][0] == bars.index[1]
