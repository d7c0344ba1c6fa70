import pytest

from strategies.bt import FractionalCommission


def test_a_fraction_of_the_value_and_of_a_unit():
    scheme = FractionalCommission(commission=0.001)
    assert scheme.getcommission(-2.5, 100.0) == pytest.approx(0.25)
    assert scheme.getsize(30_000.0, 100.0) == pytest.approx(1 / 300)
    assert scheme.is_plain()


@pytest.mark.parametrize("params", [{"interest": 0.1}, {"leverage": 2.0}, {"mult": 10.0}])
def test_what_makes_holding_more_than_size_times_price_is_not_plain(params):
    assert not FractionalCommission(**params).is_plain()
