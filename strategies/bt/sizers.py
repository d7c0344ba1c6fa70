"""Sizers in shares of the account."""

from __future__ import annotations

from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError
from mlcore.plugins import SIZERS
from strategies.bt.heard import Heard, heard_by
from strategies.bt.indicators import number_to_stamp
from strategies.policy import VOLATILITY_WINDOW, annual_volatility
from strategies.sizers import sizes_of


class WeightSizer(bt.Sizer):
    """``cerebro.addsizer(WeightSizer, weight=0.5)``: a plain `self.buy()` holds half the account.

    Flat, or on the order's own side: units that bring the position to `weight` of the account at this bar's
    close (0, no order, when it is there already). On the other side: units that close the position; with
    `reverse`, that go through to `weight` of the new side. Fractions of a unit: use with `set_broker` or
    `FractionalCommission`.
    """

    params: Any = (("weight", 1.0), ("reverse", False))

    def weight_of(self, data: bt.feed.DataBase) -> float:
        """Return the share of the account to hold, at this bar's close."""
        return self.p.weight

    def _getsizing(self, comminfo: bt.CommInfoBase, cash: float, data: bt.feed.DataBase, isbuy: bool) -> float:
        side = 1.0 if isbuy else -1.0
        held = side * self.broker.getposition(data).size
        if held < 0 and not self.p.reverse:
            return -held
        return max(self.weight_of(data) * self.broker.getvalue() / data.close[0] - held, 0.0)


class ForecastSizer(WeightSizer):
    """``cerebro.addsizer(ForecastSizer, rule="study_rule")``: any sizer of `SIZERS` by name, for plain orders.

    The share held is the size of what the sizer says of the forecast of the bar that has just closed; the side is the
    order's own. Nothing is ordered where the strategy heard no forecast or the sizer says NaN (its volatility not yet
    known); positions are closed all the same. For strategies that hear forecasts (`ForecastStrategy`,
    `WalkForwardStrategy`), on the bars of their first feed.

    rule
        name in `SIZERS`, or a function like those (backtrader keeps the word `sizer` to itself).
    sizer_params
        its parameters by name.
    volatility_window, days_per_year
        of `strategies.policy.annual_volatility`. That many bars and one are read back: with ``exactbars=1``, where
        backtrader keeps fewer, this is refused (an indicator of that minimum period makes it keep them).
    """

    params: Any = (
        ("rule", "fixed"),
        ("sizer_params", None),
        ("volatility_window", VOLATILITY_WINDOW),
        ("days_per_year", 365.0),
    )

    def set(self, strategy: bt.Strategy, broker: bt.BrokerBase) -> None:
        """Take the strategy whose orders are sized, before the first bar; refuse a rule that is not known."""
        super().set(strategy, broker)
        if isinstance(self.p.rule, str):
            SIZERS[self.p.rule]

    def weight_of(self, data: bt.feed.DataBase) -> float:
        heard = heard_by(self.strategy)
        if heard is None or heard.signal != heard.signal:
            return 0.0
        frame = _frame_of(heard, number_to_stamp(data.datetime[0]))
        sizer = SIZERS[self.p.rule] if isinstance(self.p.rule, str) else self.p.rule
        size = abs(float(sizes_of(frame, self._volatility(data), sizer, self.p.sizer_params or {})[0]))
        return 0.0 if size != size else size

    def _volatility(self, data: bt.feed.DataBase) -> pd.Series:
        size = min(self.p.volatility_window + 1, len(data))
        kept = len(data.close.array) if data.close.mode == data.close.QBuffer else size
        if kept < size:
            raise BarwiseError(
                f"`volatility_window` is {self.p.volatility_window} and backtrader keeps {kept} bars with "
                "`exactbars=1`: run with exactbars below 1, or have an indicator of that minimum period."
            )
        closes, numbers = (list(line.get(size=size)) for line in (data.close, data.datetime))
        stamps = pd.DatetimeIndex([number_to_stamp(number) for number in numbers], name="timestamp")
        if len(stamps) < 2:  # no interval yet
            return pd.Series(np.nan, stamps)
        bars = pd.DataFrame({"close": closes}, index=stamps)
        return annual_volatility(bars, self.p.volatility_window, self.p.days_per_year).iloc[-1:]


def _frame_of(heard: Heard, stamp: pd.Timestamp) -> pd.DataFrame:
    told = {"disagreement": np.nan, **heard.outputs, "signal": heard.signal, "confidence": heard.confidence}
    return pd.DataFrame(told, index=pd.DatetimeIndex([stamp], name="timestamp"))
