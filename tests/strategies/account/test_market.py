"""Many symbols on one clock: what each row holds, and when it was known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarsError, BarwiseError
from strategies.account import RiskRules, clock_of
from strategies.account.market import borrow_at, funding_at, funding_of, make_market
from tests.conftest import random_bars

CLOCK = pd.date_range("2024", periods=6, freq="8h", tz="UTC", name="timestamp").as_unit("ns")


def test_rows_without_a_bar_are_missing_and_worth_the_last_close():
    bars = {"A": random_bars(20), "B": random_bars(20, seed=1).iloc[[3, 4, 9]]}
    clock = clock_of(bars)
    market = make_market(bars, clock, RiskRules(volatility_window=2), 0.001, None)
    assert clock.equals(bars["A"].index) and market.here[:, 0].all()
    assert np.flatnonzero(market.here[:, 1]).tolist() == [3, 4, 9]
    assert np.isnan(market.last[:3, 1]).all() and np.isnan(market.opened[5, 1])
    assert (market.last[4:9, 1] == bars["B"]["close"].iloc[1]).all()
    assert np.isnan(market.unit[4, 1]) and np.isfinite(market.unit[9, 1])  # two returns of its own bars
    assert (market.slippage == 0.001).all() and not market.funding.any()


def test_a_payment_belongs_to_the_first_open_at_or_after_it_and_some_milliseconds_are_none():
    stamps = pd.DatetimeIndex([CLOCK[0], CLOCK[1], CLOCK[2] + pd.Timedelta("7ms"), CLOCK[3] + pd.Timedelta("1h")])
    rates = pd.Series([0.1, 0.2, 0.3, 0.4], stamps)
    assert funding_at({"A": rates}, CLOCK, ["A", "B"])[:, 0].tolist() == [0.1, 0.2, 0.3, 0, 0.4, 0]
    twice = pd.Series([0.1, 0.2], [CLOCK[1] + pd.Timedelta("1h"), CLOCK[2]])
    assert funding_at({"B": twice}, CLOCK, ["A", "B"])[2].tolist() == pytest.approx([0, 0.3])
    outside = pd.Series([0.1, 0.2], [CLOCK[0] - pd.Timedelta("1h"), CLOCK[-1] + pd.Timedelta("1h")])
    assert not funding_at({"A": outside}, CLOCK, ["A"]).any()
    for wrong in (pd.Series([np.inf], CLOCK[:1]), pd.Series([0.1], CLOCK[:1].tz_localize(None))):
        with pytest.raises(BarwiseError, match="`funding` of 'A'"):
            funding_at({"A": wrong}, CLOCK, ["A"])


def test_borrow_is_for_the_time_since_the_last_row():
    clock = CLOCK.delete(2)
    assert (borrow_at(clock, 0.365) / (0.001 / 24)).tolist() == pytest.approx([0, 8, 16, 8, 8])


def test_stamps_out_of_order_are_refused():
    bars = random_bars(20)
    with pytest.raises(BarsError, match="A: `bars` must have increasing"):
        make_market({"A": bars.iloc[::-1]}, clock_of({"A": bars}), RiskRules(), 0.0, None)


def test_a_column_of_rates_that_was_filled_forward_is_refused_and_rates_by_settlement_are_not():
    bars = random_bars(48)
    settled = pd.Series(np.where(np.arange(48) % 8 == 0, 0.0001 * (1 + np.arange(48) // 8), np.nan), bars.index)
    assert funding_of({"A": bars.assign(funding_rate=settled)}, None)["A"].equals(settled.dropna())
    filled = {"A": bars.assign(funding_rate=settled.ffill())}
    with pytest.raises(BarwiseError, match="A: the column `funding_rate` .* filled forward"):
        funding_of(filled, None)
    assert funding_of(filled, {"A": settled})["A"].equals(settled.dropna())
    hourly = bars.assign(funding_rate=np.arange(48) * 1e-6)  # settled on every bar, at rates that move
    assert len(funding_of({"A": hourly}, None)["A"]) == 48
    flat = random_bars(48, interval="8h").assign(funding_rate=0.0001)  # the exchanges' usual rate, bar for bar
    assert len(funding_of({"A": flat}, None)["A"]) == 48


def test_rates_filled_forward_from_a_settlement_after_the_first_bar_are_refused_and_zeros_are_not():
    bars = random_bars(48)
    stamps = bars.index[::8] + pd.Timedelta("3ms")  # as exchanges stamp them: the first bar opens before
    settled = pd.Series(0.0001 * (1 + np.arange(6)), stamps)
    filled = settled.reindex(bars.index, method="ffill")
    assert filled.isna().tolist() == [True, *[False] * 47]
    some = settled.reindex(bars.index, method="ffill", limit=5).where(np.arange(48) % 8 < 5)
    for rates in (filled, some):
        with pytest.raises(BarwiseError, match="A: the column `funding_rate` .* filled forward"):
            funding_of({"A": bars.assign(funding_rate=rates)}, None)
    zeros = settled.set_axis(bars.index[::8]).reindex(bars.index).fillna(0.0)  # nothing is paid in between
    assert funding_of({"A": bars.assign(funding_rate=zeros)}, None)["A"].equals(zeros.rename("funding_rate"))
