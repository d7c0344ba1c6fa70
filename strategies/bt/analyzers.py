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

    def stop(self) -> None:
        self._broker = None  # an analysis that an optimisation sends home would take the whole run with it


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
        # One fill has its price to the last digit; `executed.price` is a mean and rounds.
        price = executed[0].price if len(executed) == 1 else executed.price if executed.size else float("nan")
        self.rets.append((*self._rows(order), executed.size, price, executed.comm, status, reason))

    def _rows(self, order: bt.Order) -> tuple[int, int]:
        return order.plen - 1, len(self.data) - 1


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
        rets, opened = self.rets, order.data.open[0]
        for fill in order.executed.exbits:
            rets["turnover"] += abs(fill.size) * fill.price / self._equity
            rets["slippage_paid"] += abs(fill.size) * abs(fill.price - opened)
        rets["commission_paid"] += order.executed.comm

    def next(self) -> None:
        self._equity = self.strategy.broker.getvalue()


class DailyReturns(bt.analyzers.TimeReturn):
    """backtrader's `TimeReturn` by UTC days, at a third of its time: a date is made where the day changes.

    NaN instead of a ZeroDivisionError where the account is exactly 0.
    """

    params = (("timeframe", bt.TimeFrame.Days),)
    _day = -1

    def _dt_over(self) -> bool:
        if self.timeframe != bt.TimeFrame.Days:
            return super()._dt_over()
        day = int(self.strategy.lines.datetime[0])  # the whole part of days since the year 1
        if day <= self._day:
            return False
        self._day = day
        return super()._dt_over()

    def next(self) -> None:
        if self._value_start:
            super().next()
        else:
            self.rets[self.dtkey], self._lastvalue = float("nan"), self._value


class DailySharpe(bt.analyzers.SharpeRatio):
    """backtrader's `SharpeRatio` set to the stated convention (`strategies.measures`).

    UTC days, no risk-free rate, sample deviation, x sqrt(`factor`), the days per year. Stock `SharpeRatio`
    is yearly with 1% risk-free and population deviation, and None on a feed shorter than two years.
    """

    params = (
        ("timeframe", bt.TimeFrame.Days),
        ("riskfreerate", 0.0),
        ("factor", 365.0),
        ("annualize", True),
        ("stddev_sample", True),
    )

    def __init__(self) -> None:
        self.timereturn = DailyReturns(timeframe=self.p.timeframe, compression=self.p.compression, fund=self.p.fund)

    def stop(self) -> None:
        super().stop()
        child = self.timereturn  # backtrader lets the run go of an analyzer that is sent home, and forgets its children
        for name in ("strategy", "_parent", *(name for name in vars(child) if name.startswith("data"))):
            setattr(child, name, None)


class DrawDown(bt.analyzers.DrawDown):
    """backtrader's `DrawDown`, its running numbers kept plain: its dictionary costs more than all else here."""

    def start(self) -> None:
        super().start()
        self._length, self._worst = 0, [0, 0.0, 0.0]  # longest, deepest in percent, deepest in money

    def next(self) -> None:
        money = self._maxvalue - self._value
        percent = 100.0 * money / self._maxvalue
        self._length = self._length + 1 if percent else 0
        worst = self._worst
        if self._length > worst[0]:
            worst[0] = self._length
        if percent > worst[1]:
            worst[1] = percent
        if money > worst[2]:
            worst[2] = money

    def get_analysis(self) -> bt.utils.AutoOrderedDict:
        rets, money = self.rets, self._maxvalue - getattr(self, "_value", self._maxvalue)
        if money == money:  # not NaN: at least one bar was seen
            rets.len, rets.moneydown, rets.drawdown = self._length, money, 100.0 * money / self._maxvalue
            rets.max.len, rets.max.drawdown, rets.max.moneydown = self._worst
        return rets


def add_analyzers(cerebro: bt.Cerebro, days_per_year: float = 365.0) -> None:
    """Add the analyzers of a run, named ``sharpe drawdown trades equity orders turnover``.

    For bars longer than a day `days_per_year` are the bars of a year (`strategies.measures.returns_per_year`).
    """
    cerebro.addanalyzer(DailySharpe, _name="sharpe", factor=days_per_year)
    cerebro.addanalyzer(DrawDown, _name="drawdown")
    cerebro.addanalyzer(bt.analyzers.TradeAnalyzer, _name="trades")
    cerebro.addanalyzer(EquityCurve, _name="equity")
    cerebro.addanalyzer(OrderLog, _name="orders")
    cerebro.addanalyzer(Turnover, _name="turnover")
