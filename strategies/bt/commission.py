"""Costs as a backtrader commission scheme, in fractions of a unit and of the value."""

from __future__ import annotations

import backtrader as bt


class FractionalCommission(bt.CommInfoBase):
    """Commission as a fraction of the fill's value, for assets that trade in fractions of a unit.

    ``cerebro.broker.addcommissioninfo(FractionalCommission(commission=0.001))`` charges 0.1% per fill.
    backtrader's own schemes round units down to whole ones, which buys no bitcoin for 10,000.
    """

    params = (("commission", 0.001), ("stocklike", True), ("commtype", bt.CommInfoBase.COMM_PERC), ("percabs", True))

    def getsize(self, price: float, cash: float) -> float:
        """Return the units that `cash` pays for at `price`, commission not counted."""
        return self.p.leverage * cash / price

    def is_plain(self) -> bool:
        """Tell whether holding costs nothing and one unit is worth one price."""
        return self.stocklike and not self.p.interest and self.p.leverage == 1.0 and self.p.mult == 1.0
