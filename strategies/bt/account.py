"""Many symbols in one account in backtrader: one Cerebro, one broker, the path of `strategies.account`."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from mlcore.barriers import PROFIT
from strategies.account.plan import AccountPath, AccountPlan, Exit, told
from strategies.account.result import account_result
from strategies.bt.analyzers import DailySharpe, DrawDown, EquityCurve, OrderLog
from strategies.bt.broker import NextOpenBroker
from strategies.bt.commission import FractionalCommission
from strategies.bt.feed import BarsFeed
from strategies.bt.quiet import QuietStrategy
from strategies.bt.run import ENGINE, engine_numbers
from strategies.measures import returns_per_year
from strategies.result import BacktestResult


class AccountBroker(NextOpenBroker):
    """`NextOpenBroker` for the orders of `AccountStrategy`: each bar goes in the order that `account.core` states.

    Fills, cash, positions and value are backtrader's; which barrier is met, and what holding costs, says the path.
    """

    params: Any = (("path", None),)
    pending: deque[bt.Order]

    def init(self) -> None:
        super().init()
        self.row, self.funding = -1, []  # type: int, list[float]

    def trade_for(self, strategy: bt.Strategy) -> None:
        """Take the feeds and the owner of orders from the one strategy of the run."""
        self._owner, plan = strategy, self.p.path.plan
        self.feeds = [strategy.getdatabyname(symbol) for symbol in plan.symbols]
        self._number = {feed: number for number, feed in enumerate(self.feeds)}
        self._scheme, self._costs, self._slips = self.getcommissioninfo(self.feeds[0]), plan.costs, plan.market.slippage

    def units(self) -> np.ndarray:
        """Return the positions, ``(S,)`` signed units."""
        return np.array([self.positions[feed].size for feed in self.feeds], dtype=np.float64)

    def next(self) -> None:
        self.row += 1
        path: AccountPath = self.p.path
        self.funding.append(path.carry(self.row, self.units()))
        self._settle()
        if self.pending:
            self._fill_at_open()
        for exit_ in path.watch(self.row, self.units()):
            self._leave(exit_)
            self._settle()
        self._value_plainly()

    def _settle(self) -> None:
        if self.p.path.owed:
            self.cash -= self.p.path.settle(self.cash)

    def _value_plainly(self) -> None:
        super()._value_plainly()
        if self.p.path.owed:
            self._value = self._valuelever = self._value - self.p.path.owed
            self._fundval = self._value / self._fundshares

    def _fill_at_open(self) -> None:
        """Sales first, then buys, each in the order of the symbols; a symbol without a bar waits."""
        waiting = sorted(self.pending, key=lambda order: (order.isbuy(), self._number[order.data]))
        self.pending = deque()
        for order in waiting:
            self._try_exec(order)
            if order.alive():
                self.pending.append(order)
            self._settle()

    def _try_exec(self, order: bt.Order) -> None:
        feed = order.data
        if feed.datetime[0] > order.created.dt:
            slip = self._slips[self.row, self._number[feed]]
            self._execute(order, ago=0, price=feed.open[0] * (1 + slip if order.isbuy() else 1 - slip))

    def _leave(self, left: Exit) -> None:
        """Close a position inside the bar, at the price of the barrier it met."""
        feed = self.feeds[left.symbol]
        size, decided = self.positions[feed].size, self.p.path.decided(left.symbol)
        give, kind = self.sell if size > 0 else self.buy, bt.Order.Historical
        order = give(self._owner, feed, abs(size), left.price, exectype=kind, decided=decided, kind=left.kind)
        self.pending.remove(order)
        self._scheme.p.commission = self._costs.resting if left.kind == PROFIT else self._costs.commission
        self._execute(order, ago=0, price=left.price)
        self._scheme.p.commission = self._costs.commission
        if order.alive():
            self._end(order)

    def submit(self, order: bt.Order, check: bool = True) -> bt.Order:
        if order.exectype == bt.Order.Historical:  # it has waited since the entry: no account at zero turns it away
            return bt.brokers.BackBroker.submit(self, order, check)
        return super().submit(order, check)


class AccountStrategy(QuietStrategy):
    """Asks the path at each close what to order, from backtrader's own equity and positions."""

    params = (("path", None),)

    def start(self) -> None:
        self.broker.trade_for(self)

    def prenext(self) -> None:
        self.next()  # not all symbols have begun

    def next(self) -> None:
        broker = self.broker
        for symbol, units, kind, smallest in self.p.path.decide(broker.row, broker.getvalue(), broker.units()):
            give = self.buy if units > 0 else self.sell
            give(broker.feeds[symbol], abs(units), decided=broker.row, kind=kind, min_units=smallest)


class AccountLog(OrderLog):
    """`OrderLog` with the symbol before, rows of the account's clock, and why an order was given."""

    def notify_order(self, order: bt.Order) -> None:
        before = len(self.rets)
        super().notify_order(order)
        if len(self.rets) > before:
            *numbers, reason = self.rets[-1]
            filled = "" if numbers[-1] == "filled" else reason
            self.rets[-1] = (order.data._name, *numbers, told(order.info["kind"], filled))

    def _rows(self, order: bt.Order) -> tuple[int, int]:
        return order.info["decided"], self.strategy.broker.row  # with `quicknotify` the strategy is a bar behind


def build_account(plan: AccountPlan, *, days_per_year: float = 365.0, **options: Any) -> bt.Cerebro:
    """Return a Cerebro ready to run: one feed a symbol, one broker with one cash, strategy, analyzers.

    `options` are Cerebro's own.
    """
    path = AccountPath(plan)
    cerebro = bt.Cerebro(**{"stdstats": False, **options})
    for symbol, bars in plan.bars.items():
        cerebro.adddata(BarsFeed(bars), name=symbol)
    broker = AccountBroker(cash=plan.cash, path=path)
    broker.addcommissioninfo(FractionalCommission(commission=plan.costs.commission))
    cerebro.setbroker(broker)
    cerebro.addstrategy(AccountStrategy, path=path)
    cerebro.addanalyzer(DailySharpe, _name="sharpe", factor=returns_per_year(plan.clock, days_per_year))
    cerebro.addanalyzer(DrawDown, _name="drawdown")
    cerebro.addanalyzer(EquityCurve, _name="equity")
    cerebro.addanalyzer(AccountLog, _name="orders")
    return cerebro


def run_account_backtrader(
    plan: AccountPlan, *, days_per_year: float = 365.0, forecasts: Mapping[str, pd.DataFrame] | None = None
) -> BacktestResult:
    """Trade an account in backtrader; see `backtest_portfolio` for the rule of execution."""
    strategy = build_account(plan, days_per_year=days_per_year).run()[0]
    broker = strategy.broker
    equity = pd.Series(strategy.analyzers.equity.get_analysis(), plan.clock, dtype=np.float64, name=ENGINE)
    numbers = engine_numbers(strategy, equity, plan.cash)
    rows = strategy.analyzers.orders.get_analysis()
    return account_result(ENGINE, bt.__version__, strategy.p.path, equity, rows, broker.funding, numbers, forecasts)
