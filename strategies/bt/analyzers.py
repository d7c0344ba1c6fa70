"""Analyzers: the equity curve, the log of orders, turnover and slippage; and backtrader's own, set right."""

from __future__ import annotations

import backtrader as bt

from strategies.orders import PARTIAL


class EquityCurve(bt.Analyzer):
    """Account value at each bar's close: ``get_analysis()`` is a list, one value a bar."""

    def create_analysis(self) -> None:
        self.rets: list[float] = []

    def start(self) -> None:
        self._broker, self._keep = self.strategy.broker, self.rets.append

    def next(self) -> None:
        self._keep(self._broker.getvalue())


class OrderLog(bt.Analyzer):
    """Every order that ended: ``get_analysis()`` is a list of tuples, in the order they ended.

    ``(decided row, fill row, signed size filled, price, commission, status, reason)``; rows count bars from
    0, status is ``filled``, ``partial`` or ``rejected``; a rejected order has size 0 and price NaN. An
    order decided on the last bar never fills and is not here.
    """

    def create_analysis(self) -> None:
        self.rets: list[tuple] = []

    def notify_order(self, order: bt.Order) -> None:
        if order.alive():
            return
        executed, reason = order.executed, str(order.info.get("reason", ""))
        status = "filled" if order.status == bt.Order.Completed else "partial" if executed.size else "rejected"
        if status == "partial":
            reason = reason or PARTIAL
        elif status == "rejected":
            reason = reason or f"backtrader: {order.getstatusname()}"
        price = executed.price if executed.size else float("nan")
        row = len(self.data) - 1
        self.rets.append((order.plen - 1, row, executed.size, price, executed.comm, status, reason))


class Turnover(bt.Analyzer):
    """What trading moved and cost: keys `turnover`, `slippage_paid`, `commission_paid`.

    `turnover` is the sum over fills of |size x price| / equity at the close before the fill;
    `slippage_paid` the sum of |size| x |price - open|, in account currency.
    """

    def create_analysis(self) -> None:
        self.rets = {"turnover": 0.0, "slippage_paid": 0.0, "commission_paid": 0.0}

    def start(self) -> None:
        self._equity = self.strategy.broker.getvalue()

    def notify_order(self, order: bt.Order) -> None:
        if order.alive() or not order.executed.size:
            return
        executed, rets = order.executed, self.rets
        size = abs(executed.size)
        rets["turnover"] += size * executed.price / self._equity
        rets["slippage_paid"] += size * abs(executed.price - order.data.open[0])
        rets["commission_paid"] += executed.comm

    def next(self) -> None:
        self._equity = self.strategy.broker.getvalue()


def add_analyzers(cerebro: bt.Cerebro, days_per_year: float = 365.0) -> None:
    """Add the analyzers of a run, backtrader's own set to the stated convention (`strategies.measures`).

    Stock `SharpeRatio` is yearly, population deviation, 1% risk-free, and None on a feed of days.
    """
    cerebro.addanalyzer(
        bt.analyzers.SharpeRatio,
        _name="sharpe",
        timeframe=bt.TimeFrame.Days,
        riskfreerate=0.0,
        factor=days_per_year,
        annualize=True,
        stddev_sample=True,
    )
    cerebro.addanalyzer(bt.analyzers.DrawDown, _name="drawdown")
    cerebro.addanalyzer(bt.analyzers.TradeAnalyzer, _name="trades")
    cerebro.addanalyzer(EquityCurve, _name="equity")
    cerebro.addanalyzer(OrderLog, _name="orders")
    cerebro.addanalyzer(Turnover, _name="turnover")
