"""The rules of an account, worked out on paper; each in both engines."""

from __future__ import annotations

import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from strategies.account import RiskRules
from strategies.costs import Costs
from tests.strategies.account.paper import bars_of, both, one, quiet

CALM = (100.0, 101.0, 99.0, 100.0)


def exits(rows, side=1.0, costs=None, **rules):
    """What a position of half the account, entered at the open of row 1, is left at: price, row and reason."""
    found = []
    for result in one(rows, [0.5 * side] * len(rows), rules=RiskRules(**rules), costs=costs or Costs(0.0, 0.0)):
        left = result.orders.iloc[1]
        assert left["decided"] == result.equity.index[0] or left["reason"] == "time barrier"
        found.append((left["price"], result.equity.index.get_loc(left["timestamp"]), left["reason"]))
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize(
    ("last", "side", "expected"),
    [
        ((100, 103, 97, 100), 1, (98.0, "stop barrier")),  # both inside one bar: the stop comes first
        ((100, 103, 97, 100), -1, (102.0, "stop barrier")),
        ((100, 103, 99, 100), 1, (102.0, "profit barrier")),
        ((100, 101, 97, 100), -1, (98.0, "profit barrier")),
        ((95, 96, 94, 95), 1, (95.0, "stop barrier")),  # a gap fills at the open
        ((105, 106, 104, 105), 1, (105.0, "profit barrier")),
        ((105, 106, 104, 105), -1, (105.0, "stop barrier")),
        ((100, 102, 99, 100), 1, (102.0, "profit barrier")),  # touched is met
    ],
)
def test_which_barrier_and_at_what_price(last, side, expected):
    price, row, reason = exits([CALM, CALM, last, *quiet(2)], side, stop=0.02, profit=0.02)
    assert (price, reason) == expected and row == 2


def test_barriers_are_watched_from_the_bar_of_the_entry_on():
    assert exits([CALM, (100, 101, 97, 100), *quiet(2)], stop=0.02) == (98.0, 1, "stop barrier")


def test_time_is_up_at_the_open_after_the_horizon():
    rows = [CALM, CALM, CALM, CALM, (103, 104, 102, 103), CALM, CALM]
    assert exits(rows, stop=0.5, horizon=3) == (103.0, 4, "time barrier")


def test_costs_stop_slips_and_profit_does_not():
    costs = Costs(0.01, 0.005, maker=0.001)
    rows = [CALM, CALM, (100, 101, 97, 100), *quiet(2)]
    entry = 100 * 1.005
    for result in one(rows, [0.5] * 5, rules=RiskRules(stop=0.02), costs=costs):
        left = result.orders.iloc[1]
        assert left["price"] == pytest.approx(entry * 0.98 * 0.995)  # widths count from the price that was paid
        assert left["commission"] == pytest.approx(0.01 * left["price"] * -left["size"])
        assert result.metrics["slippage_paid"] == pytest.approx(-left["size"] * (0.5 + entry * 0.98 * 0.005))
    for result in one(
        [CALM, CALM, (100, 105, 99, 100), *quiet(2)], [0.5] * 5, rules=RiskRules(profit=0.03), costs=costs
    ):
        left = result.orders.iloc[1]
        assert left["price"] == pytest.approx(entry * 1.03)
        assert left["commission"] == pytest.approx(0.001 * left["price"] * -left["size"])
        assert result.metrics["slippage_paid"] == pytest.approx(-left["size"] * 0.5)


def test_a_view_is_traded_once_unless_reentry_is_asked_for():
    rows = [CALM, CALM, (100, 101, 97, 100), *quiet(6)]
    weights = [0.5, 0.5, 0.5, 0.5, 0.4, 0.0, 0.5, 0.5, 0.5]
    for result in one(rows, weights, rules=RiskRules(stop=0.02)):
        assert result.orders["decided"].tolist() == [result.equity.index[row] for row in (0, 0, 6)]
    for result in one(rows, weights, rules=RiskRules(stop=0.02, reenter=True)):
        assert result.orders["decided"].tolist()[2] == result.equity.index[2]


def test_the_other_side_may_be_taken_at_once_after_an_exit():
    rows = [CALM, CALM, (100, 101, 97, 100), *quiet(3)]
    for result in one(rows, [0.5, 0.5, -0.5, -0.5, -0.5, -0.5], rules=RiskRules(stop=0.02)):
        assert result.orders["size"].tolist()[2] == pytest.approx(-0.5 * 9900 / 100)


def test_at_most_the_share_is_lost_at_the_stop_costs_included():
    rows = [CALM, CALM, (100, 101, 94, 95), *quiet(3, 95.0)]
    costs = Costs(0.002, 0.001)
    for result in one(rows, [1.0] * 6, rules=RiskRules(stop=0.05, risk_per_trade=0.02), costs=costs):
        assert result.metrics["final_value"] == pytest.approx(10_000 * 0.98, rel=1e-12)
        assert "`risk_per_trade`: 1 orders were cut (1 entries in all)" in result.notes


def test_heat_leaves_room_and_new_positions_share_it():
    rows = {name: bars_of(quiet(4)) for name in "ABC"}
    weights = {"A": [0.5] * 4, "B": [0, 0.5, 0.5, 0.5], "C": [0, 0.25, 0.25, 0.25]}
    for result in both(rows, weights, rules=RiskRules(stop=0.1, max_heat=0.06)):
        sizes = result.orders.set_index("symbol")["size"] * 100 / 10_000
        # A takes 0.05 of the 0.06; what is left holds 0.1 of weight, shared two to one.
        assert sizes.to_dict() == pytest.approx({"A": 0.5, "B": 0.2 / 3, "C": 0.1 / 3})


def test_a_position_gross_and_net_are_capped():
    rows = {name: bars_of(quiet(3)) for name in "ABC"}
    weights = {"A": [0.6] * 3, "B": [0.4] * 3, "C": [-0.5] * 3}

    def sizes(**rules):
        results = both(rows, weights, rules=RiskRules(**rules))
        return [result.orders.set_index("symbol")["size"].mul(0.01).to_dict() for result in results]

    for found in sizes(max_position=0.45):
        assert found == pytest.approx({"A": 0.45, "B": 0.4, "C": -0.45})
    for found in sizes(max_gross=0.75):
        assert found == pytest.approx({"A": 0.3, "B": 0.2, "C": -0.25})
    for found in sizes(max_net=0.25):
        assert found == pytest.approx({"A": 0.45, "B": 0.3, "C": -0.5})


def test_the_drawdown_limit_goes_flat_and_stays_so_or_for_some_bars():
    rows = [*quiet(2), (80.0, 80.0, 80.0, 80.0), *quiet(6, 80.0)]
    weights = [1.0, 1.0, 1.0, 0.9, 0.8, 0.7, 0.6, -0.5, -0.5]
    for result in one(rows, weights, rules=RiskRules(max_drawdown=0.1)):
        assert result.orders["reason"].tolist() == ["", "drawdown limit"]
        assert result.orders["timestamp"].tolist()[1] == result.equity.index[3]
        assert result.notes[-1] == "`max_drawdown`: the account went flat 1 time(s)"
    for result in one(rows, weights, rules=RiskRules(max_drawdown=0.1, pause=3, reenter=True)):
        assert result.orders["decided"].tolist()[2] == result.equity.index[5]
    for result in one(rows, weights, rules=RiskRules(max_drawdown=0.1, pause=3)):  # the view of the fall is spent
        assert result.orders["decided"].tolist()[2] == result.equity.index[7]


def test_sales_come_before_buys_and_cash_goes_in_the_order_of_symbols():
    rows = {name: bars_of(quiet(7)) for name in "ABC"}
    weights = {"A": [0, 0.8, 0.8, 0, 0, 0, 0], "B": [0, 0.8, 0.8, 0.8, 0.8, 0, 0], "C": [0, 0, 0, 0.8, 0.8, 0, 0]}
    for result in both(rows, weights):
        orders = result.orders
        assert orders["symbol"].tolist() == ["A", "B", "A", "C", "B", "C"]
        assert orders["status"].tolist() == ["filled", "partial", "filled", "filled", "filled", "filled"]
        assert orders["size"].tolist() == pytest.approx([80, 20, -80, 80, -20, -80])
    turned = {name: weights[name] for name in "BAC"}
    for result in both({name: rows[name] for name in "BAC"}, turned):
        assert result.orders["symbol"].tolist()[:2] == ["B", "A"]
        assert result.orders["size"].tolist()[:2] == pytest.approx([80, 20])


def test_exits_inside_a_bar_sell_before_they_buy():
    fall, rise = [*quiet(2), (100, 100, 50, 60), *quiet(2, 60.0)], [*quiet(2), (100, 150, 100, 140), *quiet(2, 140.0)]
    rows = {"A": bars_of(rise), "B": bars_of(fall), "C": bars_of(quiet(5))}
    weights = {"A": [-0.5] * 5, "B": [1.0] * 5, "C": [0.5] * 5}  # all cash is spent: A is covered with what B brings
    for result in both(rows, weights, rules=RiskRules(stop=0.2)):
        left = result.orders.iloc[3:]
        assert left["symbol"].tolist() == ["B", "A"] and left["status"].tolist() == ["filled"] * 2
        assert left["price"].tolist() == pytest.approx([80, 120])


def test_a_symbol_without_a_bar_is_not_filled_and_is_worth_its_last_close():
    rows = {"A": bars_of(quiet(6)), "B": bars_of([(50, 50, 50, 50), None, None, (60, 60, 60, 60), *quiet(2, 60.0)])}
    for result in both(rows, {"A": [0.0] * 6, "B": [0.5, 0, 0, 0.5, 0.5, 0.5]}):
        order = result.orders.iloc[0]
        assert (order["decided"], order["timestamp"]) == (result.equity.index[0], result.equity.index[3])
        assert order["price"] == 60 and order["size"] == 100
    rows["B"] = bars_of([(50, 50, 50, 50), (50, 50, 50, 60), None, None, (40, 40, 40, 40), (40, 40, 40, 40)])
    for result in both(rows, {"A": [0.0] * 6, "B": [0.5] * 6}):
        assert result.equity.tolist() == pytest.approx([10_000, 11_000, 11_000, 11_000, 9_000, 9_000])


def test_funding_is_paid_at_its_stamps_on_what_was_held_through_the_open():
    rows = [*quiet(3), (110.0, 125.0, 105.0, 120.0), *quiet(4)]
    stamps = bars_of(rows).index
    rates = pd.Series([0.01, 0.02, -0.03], stamps[[1, 3, 6]] + pd.Timedelta("1ms"))
    for side in (1.0, -1.0):
        for result in one(rows, [0.5 * side] * 5 + [0.0] * 3, funding={"A": rates}):
            paid = result.extras["holding_paid"]
            # Entered at the open of row 1: nothing there. At row 3 on 50 units at 110. Left at the open of row 6: paid.
            assert paid.tolist() == pytest.approx([0, 0, 0, side * 0.02 * 50 * 110, 0, 0, side * -0.03 * 50 * 100, 0])
            assert result.metrics["final_value"] == pytest.approx(10_000 - paid.sum())


def test_funding_is_valued_at_the_open_where_the_close_is_not_known():
    rows = [*quiet(2), (110.0, 130.0, 100.0, 120.0), (120.0, 120.0, 120.0, 120.0)]
    for result in one(rows, [0.5] * 4, funding={"A": pd.Series([0.01], bars_of(rows).index[[2]])}):
        assert result.extras["holding_paid"].tolist() == pytest.approx([0, 0, 0.01 * 50 * 110, 0])
    gone = {"A": bars_of(quiet(4)), "B": bars_of([(50, 50, 50, 50), (50, 60, 40, 55), None, None])}
    rates = pd.Series([0.01], gone["A"].index[[2]])
    for result in both(gone, {"A": [0.0] * 4, "B": [0.5] * 4}, funding={"B": rates}):
        assert result.extras["holding_paid"].tolist() == pytest.approx([0, 0, 0.01 * 100 * 55, 0])


def test_the_column_funding_rate_is_used_and_a_payment_inside_a_bar_is_settled_at_the_next_open():
    bars = bars_of(quiet(4)).assign(funding_rate=[float("nan"), float("nan"), 0.01, float("nan")])
    weights = {"A": [0.5] * 4}
    for result in both({"A": bars}, weights):
        assert result.metrics["funding_paid"] == pytest.approx(50)
    late = pd.Series([0.01], bars.index[[1]] + pd.Timedelta("20min"))
    for result in both({"A": bars}, weights, funding={"A": late}):
        assert result.extras["holding_paid"].tolist() == pytest.approx([0, 0, 50, 0])


def test_what_cash_cannot_pay_of_funding_is_owed_and_paid_as_soon_as_there_is_cash():
    rows = quiet(6)
    rates = pd.Series([0.1], bars_of(rows).index[[2]])
    for result in one(rows, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5], funding={"A": rates}):
        assert result.equity.tolist() == pytest.approx([10_000, 10_000, 9_000, 9_000, 9_000, 9_000])
    for result in one(rows, [1.0] * 6, funding={"A": rates}):
        assert result.metrics["final_value"] == pytest.approx(9_000)
        assert "what holding cost was not paid for want of cash: 1,000 is owed" in result.notes


def test_what_is_owed_is_paid_before_another_symbol_is_bought():
    rows = {name: bars_of(quiet(6)) for name in "AB"}
    rates = pd.Series([0.1], rows["A"].index[[2]])
    weights = {"A": [1.0, 1.0, 0.5, 0.5, 0.5, 0.5], "B": [0, 0, 0.6, 0.6, 0.6, 0.6]}
    for result in both(rows, weights, funding={"A": rates}):
        # 55 units of A are sold for 5,500, of which 1,000 is owed: 4,500 is left where 5,400 was wanted.
        assert result.orders["size"].tolist() == pytest.approx([100, -55, 45])
        assert result.orders["status"].tolist()[2] == "partial"


def test_borrow_is_paid_by_shorts_for_the_time_between_bars():
    for side, share in ((-1.0, 4 / (365 * 24)), (1.0, 0.0)):
        for result in one(quiet(6), [0.5 * side] * 6, rules=RiskRules(borrow=0.1)):
            assert result.metrics["borrow_paid"] == pytest.approx(0.1 * 5_000 * share)
            assert result.metrics["funding_paid"] == 0


def weights_of(result):
    """Signed values of the orders, as shares of the equity at the close that decided them, by symbol and row."""
    shares = {}
    for order in result.orders.itertuples():
        row = result.equity.index.get_loc(order.decided)
        shares[order.symbol, row] = order.size * 100 / result.equity.iloc[row]  # all decided at a close of 100
    return shares


def test_the_heat_of_an_order_that_waits_is_that_of_its_own_close_and_of_shorts_as_of_longs():
    """A is ordered at row 0 and has no bar at row 1, where B is ordered: of 0.06, A has taken 0.05."""
    for side in (1, -1):
        rows = {"A": bars_of([*quiet(1), None, *quiet(2)]), "B": bars_of(quiet(4))}
        weights = {"A": [0.5 * side] * 4, "B": [0, 0.5, 0.5, 0.5]}
        for result in both(rows, weights, rules=RiskRules(stop=0.1, max_heat=0.06)):
            assert weights_of(result) == pytest.approx({("A", 0): 0.5 * side, ("B", 1): 0.1})


def test_the_heat_of_what_is_held_is_what_is_left_to_its_stop_for_longs_and_shorts():
    for side, last, left in ((1, 200, 110), (-1, 50, 60)):  # entered at 100: the stop is at 90, at 110
        rows = {"A": bars_of([*quiet(2), *[(last,) * 4] * 3]), "B": bars_of(quiet(5))}
        weights = {"A": [0.5 * side] * 5, "B": [0, 0, 0.5, 0.5, 0.5]}
        equity = 10_000 + 50 * side * (last - 100)
        heat = 50 * left / equity
        for result in both(rows, weights, rules=RiskRules(stop=0.1, max_heat=heat + 0.02)):
            assert weights_of(result)["B", 2] == pytest.approx(0.2)


# A short of 100 units at 150 needs 15,000; all cash is in B, which brings its own later.
SQUEEZE = [*quiet(3), *[(150,) * 4] * 6]


def test_a_short_beyond_its_stop_that_cash_could_not_cover_makes_no_room_for_others():
    rows = {"A": bars_of(SQUEEZE), "B": bars_of(quiet(9)), "C": bars_of(quiet(9))}
    weights = {"A": [-1.0] * 9, "B": [0.0, *[1.0] * 8], "C": [0.0] * 3 + [-1.0] * 6}
    for result in both(rows, weights, rules=RiskRules(stop=0.1, max_heat=0.25)):
        # B, 2.0 of the 5,000 that are left, may lose 0.2 of them: room for 0.05, which is 0.5 of C.
        assert weights_of(result)["C", 3] == pytest.approx(-0.5)


def test_what_was_filled_counts_at_its_value_now_and_no_longer_as_its_order():
    rows = {"A": bars_of([*quiet(2), (100, 200, 100, 200), *[(200,) * 4] * 2]), "B": bars_of(quiet(5))}
    weights = {"A": [0.5] * 5, "B": [0, 0, 0.5, 0.5, 0.5]}
    for limit, left in ((1.0, 1 / 3), (0.6, 0.0)):  # A, held at 0.5, is 2/3 of 15,000 at the close of row 2
        for result in both(rows, weights, rules=RiskRules(max_gross=limit)):
            assert weights_of(result).get(("B", 2), 0.0) == pytest.approx(left)  # beyond the limit: none, nor a short


def test_gross_cuts_before_heat_is_counted():
    rows = {name: bars_of(quiet(3)) for name in "AB"}
    for result in both(rows, {"A": [0.5] * 3, "B": [0.5] * 3}, rules=RiskRules(stop=0.1, max_gross=0.5, max_heat=0.06)):
        assert weights_of(result) == pytest.approx({("A", 0): 0.25, ("B", 0): 0.25})
        assert [note for note in result.notes if "max_" in note] == [
            "`max_gross`: 1 closes had their orders cut (2 entries in all)"
        ]


def test_of_a_reversal_nothing_is_kept():
    rows = {"A": bars_of(quiet(5)), "B": bars_of([*quiet(2), *[(200,) * 4] * 3])}
    weights = {"A": [0.5, 0.5, -0.5, -0.5, -0.5], "B": [0.3] * 5}
    for result in both(rows, weights, rules=RiskRules(max_gross=0.8)):
        room = 0.8 - 6_000 / 13_000  # B has doubled; A is short by what is left beside it
        order = result.orders.iloc[2]
        assert order["symbol"] == "A" and order["size"] == pytest.approx(-50 - room * 13_000 / 100)


def test_a_position_that_is_made_larger_adds_no_entry_and_is_cut_by_both_limits_in_turn():
    rules = RiskRules(stop=0.1, max_position=0.45, risk_per_trade=0.04)
    for result in one(quiet(5), [0.2, 0.2, 1.0, 1.0, 1.0], rules=rules):
        assert weights_of(result) == pytest.approx({("A", 0): 0.2, ("A", 2): 0.2})
        assert result.notes[-2:] == (
            "`max_position`: 1 orders were cut (1 entries in all)",
            "`risk_per_trade`: 1 orders were cut (1 entries in all)",
        )


def test_orders_are_sized_at_the_close_that_decides_and_leaving_is_never_too_small():
    rows = [(100, 125, 100, 125), (125, 125, 1e-6, 1e-6), *[(1e-6,) * 4] * 2]
    for result in one(rows, [0.5, 0.0, 0.0, 0.0]):
        assert result.orders["size"].tolist() == pytest.approx([40, -40])  # worth 4e-5, of 10,000


def test_nothing_is_opened_while_the_unit_of_its_barriers_is_unknown():
    rows = [CALM, (100, 101, 99, 101), (101, 101, 99, 100), *quiet(3)]
    for result in one(rows, [0.5] * 6, rules=RiskRules(stop=9.0, volatility_window=2)):
        assert result.orders["decided"].tolist() == [result.equity.index[2]]


def test_a_position_whose_time_is_up_is_reversed_where_the_other_side_is_wanted():
    for result in one(quiet(6), [0.5, 0.5, 0.5, -0.5, -0.5, -0.5], rules=RiskRules(horizon=3)):
        assert result.orders["size"].tolist() == pytest.approx([50, -100])
        assert result.orders["reason"].tolist() == ["", ""]


def test_a_drawdown_as_large_as_the_limit_is_one():
    for fall, orders in ((80.0, 2), (80.1, 1)):
        for result in one([*quiet(2), *[(fall,) * 4] * 3], [0.5] * 5, rules=RiskRules(max_drawdown=0.1)):
            assert len(result.orders) == orders


def test_a_short_that_cash_could_not_cover_when_its_time_was_up_is_covered_when_it_can():
    rows = {"A": bars_of(SQUEEZE), "B": bars_of(quiet(9))}
    weights = {"A": [-1.0] * 9, "B": [0.0, *[1.0] * 8]}
    for result in both(rows, weights, rules=RiskRules(horizon=3)):
        orders = result.orders[result.orders["symbol"] == "A"]
        assert orders["size"].tolist() == pytest.approx([-100, 200 / 3, 100 / 3])
        assert orders["reason"].tolist()[2] == "time barrier"


def test_a_short_that_cash_could_not_cover_at_the_drawdown_limit_is_covered_when_it_can():
    rows = {"A": bars_of(SQUEEZE), "B": bars_of([*quiet(3), None, None, None, *quiet(3)])}
    for result in both(rows, {"A": [-1.0] * 9, "B": [1.0] * 9}, rules=RiskRules(max_drawdown=0.2)):
        orders = result.orders[result.orders["symbol"] == "A"]
        assert orders["size"].sum() == pytest.approx(0, abs=1e-9)
        assert set(orders["reason"].str.partition(";")[0][1:]) == {"drawdown limit"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"stop": 0.0}, "`stop` is 0.0"),
        ({"horizon": 2.5}, "`horizon` is 2.5"),
        ({"max_heat": 0.06}, "without a `stop`"),
        ({"pause": 3}, "without a `max_drawdown`"),
        ({"max_position": 1.5}, "at most 1"),
        ({"borrow": -1.0}, "`borrow` is -1.0"),
        ({"stop": 1.0, "volatility_window": 1}, "`volatility_window` is 1"),
    ],
)
def test_rules_that_make_no_sense_are_refused(wrong, said):
    with pytest.raises(BarwiseError, match=said):
        one(quiet(3), [0.5] * 3, rules=RiskRules(**wrong))
