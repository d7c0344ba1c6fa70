import dataclasses

import pytest

from mlcore.errors import BarwiseError
from strategies.costs import Costs


@pytest.mark.parametrize("name", ["commission", "slippage"])
@pytest.mark.parametrize("value", [-0.001, 1.0, float("nan"), float("inf"), "0.1", None, True])
def test_a_cost_that_is_no_fraction_is_refused_by_name(name, value):
    with pytest.raises(BarwiseError, match=f"`{name}`"):
        Costs(**{name: value})


def test_costs_are_frozen_and_slip_against_the_side():
    costs = Costs(0.0, 0.01)
    assert costs.fill_price(100.0, 1) == 101.0
    assert costs.fill_price(100.0, -1) == 99.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        costs.slippage = 0.0  # type: ignore[misc]


def test_what_waits_in_the_book_pays_the_maker_or_as_all_others():
    assert Costs(0.002, 0.0).resting == 0.002
    assert Costs(0.002, 0.0, maker=0.0).resting == 0.0
    with pytest.raises(BarwiseError, match="`maker`"):
        Costs(maker=1.0)
