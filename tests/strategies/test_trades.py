import pandas as pd
import pytest

from strategies.orders import orders_table
from strategies.trades import TRADE_COLUMNS, round_trips

INDEX = pd.date_range("2024", periods=10, freq="1h", tz="UTC", name="timestamp").as_unit("ns")


def trips(*fills):
    rows = [(at - 1, at, size, price, fee, "filled" if size else "rejected", "") for at, size, price, fee in fills]
    return round_trips(orders_table("e", "s", INDEX, rows))


def test_a_round_trip_by_hand():
    row = trips((1, 2.0, 100.0, 0.2), (2, 2.0, 110.0, 0.2), (4, -1.0, 120.0, 0.1), (5, -3.0, 90.0, 0.3)).iloc[0]
    assert (row["entry_time"], row["exit_time"]) == (INDEX[1], INDEX[5])
    assert (row["side"], row["size"]) == (1, 4.0)
    assert row["entry_price"] == pytest.approx(105.0)
    assert row["exit_price"] == pytest.approx((120 + 3 * 90) / 4)
    assert row["pnl"] == pytest.approx(390 - 420 - 0.8)
    assert row["commission"] == pytest.approx(0.8)


def test_a_reversal_closes_one_trip_and_opens_the_next_and_shares_its_commission():
    table = trips((1, 1.0, 100.0, 0.1), (2, -3.0, 100.0, 0.3), (3, 2.0, 90.0, 0.2))
    assert table["side"].tolist() == [1, -1]
    assert table["commission"].tolist() == pytest.approx([0.2, 0.4])
    assert table["pnl"].tolist() == pytest.approx([-0.2, 20 - 0.4])


def test_open_positions_and_rejected_orders_make_no_trip_and_rounding_closes():
    assert len(trips((1, 1.0, 100.0, 0.0))) == 0
    assert len(trips((1, 0.0, float("nan"), 0.0))) == 0
    third = trips((1, 0.1, 1.0, 0.0), (2, 0.2, 1.0, 0.0), (3, -0.3, 1.0, 0.0), (4, 0.5, 1.0, 0.0), (5, -0.5, 2.0, 0.0))
    assert third["size"].tolist() == pytest.approx([0.3, 0.5])
    assert list(third.columns) == TRADE_COLUMNS
