"""The broker of the stated rule: the next open, slippage, and no more than cash can pay."""

from __future__ import annotations

from typing import Any

import backtrader as bt

from mlcore.errors import BarwiseError
from strategies.bt.commission import FractionalCommission
from strategies.costs import Costs
from strategies.orders import BROKE, CLIP_TOLERANCE, MIN_ACCOUNT, NO_CASH, PARTIAL, checked_cash

# Shares of a fill that are only rounding, tried from small to large until cash does not go below zero.
_SHAVES = (0.0, *(2.0**-power for power in range(53, 32, -1)))


class NextOpenBroker(bt.brokers.BackBroker):
    """backtrader's broker, set to fill market orders at the next open as far as cash goes.

    * A fill pays the open x (1 +- slippage), whatever the bar's high and low.
    * A buy that cash cannot pay is filled as far as cash goes and the rest is cancelled at once
      (``order.info.reason`` says so); with nothing payable the order ends as `Margin`. Stock backtrader
      rejects the whole order, at the latest when its cash rounds to -1e-12.
    * An account at or below zero rejects every order (`Rejected`).
    * Selling short needs no margin: its proceeds are cash, as in vectorbt.

    Build it with `set_broker`. Limit and stop orders work as in backtrader, buys capped by cash.
    """

    params = (
        ("checksubmit", False),
        ("slip_open", True),
        ("slip_match", True),
        ("slip_out", True),
    )

    cash: float
    _plain: bool | None = None

    def get_notification(self) -> bt.Order | None:
        return self.notifs.popleft() if self.notifs else None

    def next(self) -> None:
        """One bar of the broker; without orders it is only worth what is held."""
        if self.pending or self.submitted or self._toactivate or self._userhist or not self._is_plain():
            super().next()
        else:
            self._value_plainly()

    def _value_plainly(self) -> None:
        cash, held, unrealized = self.cash, 0.0, 0.0
        for data, position in self.positions.items():
            if position.size:
                close = data.close[0]
                held += position.size * close
                unrealized += position.size * (close - position.price)
        self._value = self._valuelever = cash + held
        self._valuemkt = self._valuemktlever = held
        self._fundval = self._value / self._fundshares
        self._leverage, self._unrealized = 1.0, unrealized

    def _is_plain(self) -> bool:
        """Tell whether value is cash plus size x close: no interest, no leverage, no margins, no history."""
        if self._plain is None:
            schemes = list(self.comminfo.values())
            self._plain = not self._fundhist and all(
                type(scheme) is FractionalCommission and scheme.is_plain() for scheme in schemes
            )
        return self._plain and not self._cash_addition

    def init(self) -> None:
        super().init()
        self.p.filler = self._payable
        self._plain, self._clipped = None, False

    def submit(self, order: bt.Order, check: bool = True) -> bt.Order:
        if self.getvalue() > MIN_ACCOUNT * self.startingcash:
            return super().submit(order, check)
        order.submit(self)
        self.orders.append(order)
        order.addinfo(reason=BROKE)
        order.reject(self)
        self.notify(order)
        return order

    def _payable(self, order: bt.Order, price: float, ago: int) -> float:
        """The filler: units of `order` to fill at `price`, as many as cash pays for."""
        wanted = abs(order.executed.remsize)
        self._clipped = False
        if not order.isbuy():
            return wanted
        commission = self.getcommissioninfo(order.data).getcommission(1.0, price)
        payable = self.cash / (price + commission) if self.cash > MIN_ACCOUNT * self.startingcash else 0.0
        if wanted <= payable * (1 - CLIP_TOLERANCE):
            return wanted
        size = self._shaved(order, min(wanted, payable), price)
        self._clipped = True
        smallest = order.info.get("min_units", 0.0) * (1 - CLIP_TOLERANCE)
        return size if size >= smallest else 0.0

    def _shaved(self, order: bt.Order, size: float, price: float) -> float:
        # Cash after the fill is a sum that rounds: below zero by 1e-12 backtrader would cancel it all.
        for shave in _SHAVES:
            if self._cash_left(order, size * (1 - shave), price) >= 0:
                return size * (1 - shave)
        return 0.0

    def _cash_left(self, order: bt.Order, size: float, price: float) -> float:
        """What `BackBroker._execute` would leave of cash, in its own order of sums."""
        info, position = self.getcommissioninfo(order.data), self.positions[order.data]
        _, _, opened, closed = position.pseudoupdate(size, price)
        cash = self.cash
        if closed:
            gain = info.profitandloss(-closed, position.price, price)
            cash += info.getvaluesize(-closed, position.price) + gain * info.stocklike
            cash -= info.getcommission(closed, price)
        if opened:
            cash -= info.getvaluesize(opened, price)
            cash -= info.getcommission(opened, price)
        return cash

    def _execute(self, order: bt.Order, ago: int | None = None, price: float | None = None, **kwargs: Any) -> Any:
        before = self.cash
        result = super()._execute(order, ago=ago, price=price, **kwargs)
        if ago is None or price is None:
            return result
        if self._clipped and order.executed.size and abs(self.cash) <= MIN_ACCOUNT * before:
            self.cash = 0.0  # all of it was spent: what is left is rounding
        if order.exectype == bt.Order.Market and order.alive():
            self._end(order)
        return result

    def _end(self, order: bt.Order) -> None:
        """Settle a market order at its one fill: the rest of it is rounding, or dropped."""
        if abs(order.executed.remsize) <= CLIP_TOLERANCE * abs(order.created.size):
            order.completed()
        elif order.executed.size:
            order.addinfo(reason=PARTIAL)
            order.cancel()
        else:
            order.addinfo(reason=NO_CASH)
            order.margin()
        self.notify(order)


def set_broker(cerebro: bt.Cerebro, *, costs: Costs | None = None, cash: float = 10_000.0) -> NextOpenBroker:
    """Give `cerebro` a `NextOpenBroker` with `costs` and starting `cash`, and return it."""
    costs = Costs() if costs is None else costs
    if not isinstance(costs, Costs):
        raise BarwiseError(f"`costs` is {costs!r}: give `Costs(commission=0.001, slippage=0.0005)`.")
    broker = NextOpenBroker(cash=checked_cash(cash), slip_perc=costs.slippage)
    broker.addcommissioninfo(FractionalCommission(commission=costs.commission))
    cerebro.setbroker(broker)
    return broker
