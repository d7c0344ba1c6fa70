"""A sizer in shares of the account."""

from __future__ import annotations

import backtrader as bt


class WeightSizer(bt.Sizer):
    """``cerebro.addsizer(WeightSizer, weight=0.5)``: a plain `self.buy()` holds half the account.

    Flat, or on the order's own side: units that bring the position to `weight` of the account at this bar's
    close (0, no order, when it is there already). On the other side: units that close the position; with
    `reverse`, that go through to `weight` of the new side. Fractions of a unit: use with `set_broker` or
    `FractionalCommission`.
    """

    params = (("weight", 1.0), ("reverse", False))

    def _getsizing(self, comminfo: bt.CommInfoBase, cash: float, data: bt.feed.DataBase, isbuy: bool) -> float:
        side = 1.0 if isbuy else -1.0
        held = side * self.broker.getposition(data).size
        if held < 0 and not self.p.reverse:
            return -held
        return max(self.p.weight * self.broker.getvalue() / data.close[0] - held, 0.0)
