"""The rules of an account as numbers for the compiled core."""

import math

import pytest

from mlcore.errors import BarwiseError
from strategies.account.rules import Numbers, RiskRules


def test_no_rule_is_no_barrier_and_no_limit():
    numbers = Numbers.of(RiskRules(), 0.001, 10_000.0)
    assert math.isnan(numbers.stop) and math.isnan(numbers.profit) and numbers.reenter is False
    limits = (numbers.horizon, numbers.max_heat, numbers.max_position, numbers.max_drawdown, numbers.pause)
    assert all(math.isinf(limit) for limit in limits)


def test_each_rule_is_its_own_number():
    rules = RiskRules(
        stop=0.01,
        profit=0.02,
        horizon=3,
        reenter=True,
        risk_per_trade=0.04,
        max_heat=0.05,
        max_position=0.06,
        max_gross=0.07,
        max_net=0.08,
        max_drawdown=0.09,
        pause=10,
    )
    numbers = Numbers.of(rules, 0.11, 12.0)
    assert tuple(numbers) == (0.01, 0.02, 3.0, True, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 10.0, 0.11, 12.0)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"stop": 2.0}, "`stop` is 2.0 without a `volatility_window`"),
        ({"stop": 2.0, "volatility_window": 20, "risk_per_trade": 2.0}, "`risk_per_trade` is 2.0: .* at most 1"),
        ({"stop": 0.02, "max_heat": 1.5}, "`max_heat` is 1.5: .* at most 1"),
    ],
)
def test_shares_above_the_whole_are_refused(rules, said):
    with pytest.raises(BarwiseError, match=said):
        RiskRules(**rules)
