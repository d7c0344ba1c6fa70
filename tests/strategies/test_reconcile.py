import dataclasses

import numpy as np
import pandas as pd
import pytest

from strategies.orders import orders_table
from strategies.reconcile import ReconcileError, reconcile
from strategies.result import BacktestResult

INDEX = pd.date_range("2024", periods=6, freq="1h", tz="UTC", name="timestamp").as_unit("ns")
ROWS = [
    (0, 1, 50.0, 100.0, 5.0, "filled", ""),
    (1, 2, -50.0, 101.0, 5.05, "filled", ""),
    (2, 3, 0.0, float("nan"), 0.0, "rejected", "why"),
]
EQUITY = [10_000.0, 9_995.0, 10_039.95, 10_039.95, 10_039.95, 10_039.95]


def result(engine="backtrader", equity=EQUITY, rows=ROWS):
    series = pd.Series(equity, INDEX, dtype=float)
    orders = orders_table(engine, "asset", INDEX, list(rows))
    return BacktestResult(engine, series, series * 0, orders, pd.DataFrame(), {})


def changed(row, place, value):
    return [(*old[:place], value, *old[place + 1 :]) if number == row else old for number, old in enumerate(ROWS)]


def test_equal_results_agree_exactly_and_count_the_orders():
    found = {"agrees": True, "max_relative_difference": 0.0, "n_orders": 3, "worst_bar": None, "worst_order": None}
    assert reconcile(result(), result("vectorbt")) == found


def test_the_worst_bar_and_order_are_named():
    equity = np.array(EQUITY) * (1 + np.array([0, 1e-12, 3e-12, 2e-12, 0, 0]))
    found = reconcile(result(), result("vectorbt", equity, changed(1, 3, 101.0 * (1 + 7e-12))))
    assert (found["worst_bar"], found["worst_order"]) == (INDEX[2], INDEX[2])
    assert found["max_relative_difference"] == pytest.approx(7e-12, rel=1e-3)
    found = reconcile(result(), result("vectorbt", rows=changed(0, 4, 5.0 * (1 + 5e-10))))
    assert (found["worst_bar"], found["worst_order"]) == (None, INDEX[1])


def test_a_difference_within_the_tolerance_is_reported_and_beyond_it_fails():
    within = np.array(EQUITY) * (1 + 5e-10)
    assert reconcile(result(), result("vectorbt", within))["max_relative_difference"] == pytest.approx(5e-10, rel=1e-3)
    with pytest.raises(ReconcileError):
        reconcile(result(), result("vectorbt", np.array(EQUITY) * (1 + 2e-9)))


def test_the_first_bar_that_differs_is_named_with_both_values():
    other = [*EQUITY[:3], 10_040.95, 1.0, 1.0]
    with pytest.raises(ReconcileError, match=r"First bar: 2024-01-01 03:00.*10039\.95.*10040\.95.*First order: none"):
        reconcile(result(), result("vectorbt", other))


@pytest.mark.parametrize(
    ("place", "value", "name"),
    [
        (0, 0, "decided"),
        (1, 3, "timestamp"),
        (2, -50.0000002, "size"),
        (3, 101.0000002, "price"),
        (4, 5.06, "commission"),
    ],
)
def test_every_column_of_an_order_counts(place, value, name):
    with pytest.raises(
        ReconcileError, match=rf"First bar: none.*First order: number 1, .*: {name}, backtrader .*vectorbt"
    ):
        reconcile(result(), result("vectorbt", rows=changed(1, place, value)))


def test_a_status_and_a_missing_order_count_and_the_earliest_is_named():
    with pytest.raises(ReconcileError, match="number 2.*status"):
        reconcile(result(), result("vectorbt", rows=changed(2, 5, "partial")))
    with pytest.raises(ReconcileError, match="number 2.*only backtrader has it"):
        reconcile(result(), result("vectorbt", rows=ROWS[:2]))
    with pytest.raises(ReconcileError, match="number 0"):
        reconcile(result(), result("vectorbt", rows=ROWS[1:]))


def test_other_bars_are_a_difference_too():
    other = result("vectorbt")
    with pytest.raises(ReconcileError, match="not the same"):
        reconcile(result(), dataclasses.replace(other, equity=other.equity.iloc[:-1]))


def test_nothing_is_hidden_by_nan():
    with pytest.raises(ReconcileError, match="2024-01-01 05:00"):
        reconcile(result(), result("vectorbt", [*EQUITY[:5], float("nan")]))


def test_the_error_ends_a_run_with_exit_code_3():
    assert ReconcileError.exit_code == 3 and issubclass(ReconcileError, RuntimeError)
