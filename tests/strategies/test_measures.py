import numpy as np
import pandas as pd
import pytest

from strategies.measures import open_note, return_or_note, sharpe_or_note
from strategies.orders import make_plan, orders_table
from tests.conftest import random_bars


@pytest.mark.parametrize(
    ("daily", "lowest", "value", "note"),
    [
        ([0.01, -0.02], 0.9, 1.5, ""),
        ([0.01], 0.9, None, "1 daily return"),
        ([], 1.0, None, "0 daily return"),
        ([0.0, 0.0, 0.0], 1.0, 0.0, "never moves"),
        ([1e-16, -1e-16], 1.0, 0.0, "never moves"),
        ([0.01, 0.01, 0.01], 0.9, None, "equal"),
        ([0.01, -2.0], -0.5, None, "zero or below"),
        ([0.01, -1.0], 0.0, None, "zero or below"),
    ],
)
def test_a_sharpe_ratio_is_a_number_or_none_with_a_reason(daily, lowest, value, note):
    got, said = sharpe_or_note(1.5, np.array(daily), lowest)
    assert got == value
    assert note in said and bool(note) == bool(said)


@pytest.mark.parametrize("engine", [None, float("nan"), float("inf")])
def test_what_an_engine_could_not_say_is_none(engine):
    got, said = sharpe_or_note(engine, np.array([0.01, -0.02]), 0.9)
    assert got is None and "the engine gave" in said


def equity_of(*values):
    return pd.Series(values, pd.date_range("2024", periods=len(values), freq="1D", tz="UTC"), dtype=float)


def test_an_account_that_lived_has_a_return():
    assert return_or_note(120.0, equity_of(100, 0.1, 120), 100.0) == (pytest.approx(0.2), "")


def test_an_account_that_was_gone_has_none_even_if_it_comes_back():
    got, said = return_or_note(127.0, equity_of(100, -5, 20, -1234.5, 127), 100.0)
    assert got is None
    assert "first at 2024-01-02 00:00:00+00:00 and last at 2024-01-04 00:00:00+00:00, lowest -1,234.5;" in said
    assert return_or_note(50.0, equity_of(100, 1e-12, 50), 100.0)[0] is None
    assert "lowest 0;" in return_or_note(50.0, equity_of(100, 1e-12, 50), 100.0)[1]


def test_every_exit_that_left_a_position_is_counted_and_no_other():
    bars = random_bars(10)
    weights = pd.Series([-1, 0, -1, 0, 0.5, 0, 0, 0, 0, 0.0], bars.index)
    plan = make_plan(bars, weights, None, 100.0)

    def said(*rows):
        full = [(row, row + 1, size, 1.0, 0.0, status, "") for row, size, status in rows]
        return open_note(plan, orders_table("vectorbt", "x", bars.index, full))

    assert said() == "" and said((0, -2.0, "filled"), (1, 2.0, "filled")) == ""
    assert said((0, -2.0, "partial"), (2, -1.0, "partial")) == ""  # entries
    assert said((0, 0.0, "rejected"), (1, 0.0, "rejected")) == ""  # nothing was held
    rows = (0, -2.0, "filled"), (1, 1.0, "partial"), (2, -1.0, "filled"), (3, 0.0, "rejected")
    assert "2 exits were" in said(*rows) and f"(first at {bars.index[2]})" in said(*rows)
