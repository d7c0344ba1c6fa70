"""Many symbols in one account in vectorbt: one grouped `Portfolio`, the path of `strategies.account`.

`Portfolio.from_order_func` with a flexible order function and shared cash. vectorbt's loop runs as Python here
(``use_numba=False``): compiled with an order function of one's own it costs 12-20 s anew in every process,
since numba cannot cache it. Orders are executed by its compiled kernels, and the path is compiled, too.

Funding is no order, and vectorbt moves cash by orders only. So the group has one more column, the ledger: a coin of
no value (2^-40 of the account). An order for 2^-38 units pays the funding as its fixed fee; income is a negative fee.
Prices, positions and trades of the symbols stay untouched, and vectorbt's own value and cash hold it exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import vectorbt as vbt
from vectorbt._engine import is_rust_available
from vectorbt.portfolio.enums import Direction, NoOrder, OrderResult, OrderSide, OrderStatus, SizeType
from vectorbt.portfolio.enums import Order as VbtOrder

from mlcore.barriers import PROFIT
from strategies.account.plan import AccountPath, AccountPlan, Order, told
from strategies.account.result import account_result
from strategies.orders import BROKE, CLIP_TOLERANCE, NO_CASH, PARTIAL
from strategies.result import BacktestResult
from strategies.vbt.portfolio import Scale
from strategies.vbt.run import ENGINE, engine_numbers

LEDGER_PRICE, LEDGER_UNITS = 2.0**-40, 2.0**-38


class OrderSource:
    """The callbacks of vectorbt's simulation: what to order next, and what became of it."""

    def __init__(self, path: AccountPath) -> None:
        self.path, plan = path, path.plan
        self.scales = [Scale.of(bars, plan.cash) for bars in plan.bars.values()]
        self.lots = np.array([scale.lot for scale in self.scales])
        self.prices = np.array([scale.price for scale in self.scales])
        self.money = self.scales[0].money
        self.rows: list[tuple] = []
        self.funding: list[float] = []
        self.owed: list[float] = []  # at each close
        self._waiting: list[tuple[int, Order]] = []  # the row that decided it, and the order
        self._turned_away: list[tuple[int, Order]] = []
        self._result: OrderResult | None = None
        self._steps: Iterator[tuple[int, VbtOrder]] = iter(())

    # vectorbt asks for orders until it is given column -1; the generator says what comes when.
    def order(self, context: Any) -> tuple[int, VbtOrder]:
        """Return column and order."""
        if context.call_idx == 0:
            self._steps = self._bar(context)
        return next(self._steps, (-1, NoOrder))

    def filled(self, context: Any) -> None:
        """Keep the result of the last order."""
        self._result = context.order_result

    def closed(self, context: Any) -> None:
        """Decide at the close of the bar."""
        equity = float(context.last_value[0]) / self.money - self.path.owed
        self.owed.append(self.path.owed)
        orders = [(context.i, order) for order in self.path.decide(context.i, equity, self._units(context))]
        if self.path.is_broke(equity):
            self._turned_away = orders
        else:
            self._waiting += orders

    def _units(self, context: Any) -> np.ndarray:
        return context.last_position[:-1] * self.lots

    def _bar(self, context: Any) -> Iterator[tuple[int, VbtOrder]]:
        row, path, market = context.i, self.path, self.path.plan.market
        for decided, order in self._turned_away:
            self._note(order.symbol, decided, row, "rejected", told(order.kind, BROKE))
        self._turned_away = []
        self.funding.append(path.carry(row, self._units(context)))
        yield from self._settle(context)
        open_now = [one for one in self._waiting if market.here[row, one[1].symbol]]
        self._waiting = [one for one in self._waiting if not market.here[row, one[1].symbol]]
        for decided, order in sorted(open_now, key=lambda one: (one[1].units > 0, one[1].symbol)):
            yield from self._at_open(row, decided, order)
            yield from self._settle(context)
        units = self._units(context)
        for left in path.watch(row, units):
            order = Order(left.symbol, -units[left.symbol], left.kind, 0.0)
            commission = path.plan.costs.resting if left.kind == PROFIT else path.plan.costs.commission
            yield from self._fill(row, path.decided(left.symbol), order, left.price, 0.0, commission)
            yield from self._settle(context)

    def _at_open(self, row: int, decided: int, order: Order) -> Iterator[tuple[int, VbtOrder]]:
        market = self.path.plan.market
        price, slippage = market.opened[row, order.symbol], market.slippage[row, order.symbol]
        yield from self._fill(row, decided, order, price, slippage, self.path.plan.costs.commission)

    def _fill(
        self, row: int, decided: int, order: Order, price: float, slippage: float, commission: float
    ) -> Iterator[tuple[int, VbtOrder]]:
        s, scale = order.symbol, self.scales[order.symbol]
        lots = order.units / scale.lot
        yield s, _order(lots, price * scale.price, commission, slippage=slippage, smallest=order.smallest / scale.lot)
        result = self._result
        assert result is not None  # vectorbt calls `filled` after every order
        if result.status != OrderStatus.Filled:
            self._note(s, decided, row, "rejected", told(order.kind, NO_CASH))
            return
        clipped = result.size < abs(lots) * (1 - CLIP_TOLERANCE)
        size = (1.0 if result.side == OrderSide.Buy else -1.0) * result.size * scale.lot
        found = (size, result.price / scale.price, result.fees / scale.money)
        status = "partial" if clipped else "filled"
        self._note(s, decided, row, status, told(order.kind, PARTIAL if clipped else ""), *found)

    def _settle(self, context: Any) -> Iterator[tuple[int, VbtOrder]]:
        """Pay what is owed out of cash, or receive it, as the fee of an order of the ledger."""
        if self.path.owed:
            paid = self.path.settle(float(context.last_cash[0]) / self.money) * self.money
            if paid:
                yield len(self.scales), _order(np.sign(paid) * LEDGER_UNITS, LEDGER_PRICE, 0.0, fixed=paid)

    def _note(
        self,
        symbol: int,
        decided: int,
        row: int,
        status: str,
        reason: str,
        size: float = 0.0,
        price: float = np.nan,
        commission: float = 0.0,
    ) -> None:
        name = self.path.plan.symbols[symbol]
        self.rows.append((name, decided, row, size, price, commission, status, reason))


def _order(
    lots: float, price: float, commission: float, *, slippage: float = 0.0, smallest: float = 0.0, fixed: float = 0.0
) -> VbtOrder:
    return VbtOrder(
        size=lots,
        price=price,
        size_type=SizeType.Amount,
        direction=Direction.Both,
        fees=commission,
        fixed_fees=fixed,
        slippage=slippage,
        min_size=smallest,
        max_size=np.inf,
        size_granularity=np.nan,
        reject_prob=0.0,
        lock_cash=False,
        allow_partial=True,
        raise_reject=False,
        log=False,
    )


def simulate_account(source: OrderSource) -> vbt.Portfolio:
    """Return the portfolio of an account, in the scale of `source`: a column a symbol, and the ledger."""
    plan = source.path.plan
    n, s = plan.market.last.shape
    last = pd.DataFrame(
        plan.market.last * source.prices, columns=plan.symbols
    ).bfill()  # before its first bar: not held
    close = last.assign(**{"ledger (funding)": LEDGER_PRICE})
    return vbt.Portfolio.from_order_func(
        close,
        source.order,
        flexible=True,
        use_numba=False,
        init_cash=plan.cash * source.money,
        cash_sharing=True,
        group_by=np.zeros(s + 1, dtype=np.int64),
        post_order_func_nb=source.filled,
        post_segment_func_nb=source.closed,
        fill_pos_record=False,
        max_orders=n * (3 * s + 1) + 1,
    )


def run_account_vectorbt(
    plan: AccountPlan, *, days_per_year: float = 365.0, forecasts: Mapping[str, pd.DataFrame] | None = None
) -> BacktestResult:
    """Trade an account in vectorbt; see `backtest_portfolio` for the rule of execution."""
    source = OrderSource(AccountPath(plan))
    value = simulate_account(source).value()
    equity = pd.Series(value.to_numpy() / source.money - np.array(source.owed), plan.clock, name=ENGINE)
    numbers = engine_numbers(equity, plan.cash, days_per_year, "rust" if is_rust_available() else "numba")
    return account_result(ENGINE, vbt.__version__, source.path, equity, source.rows, source.funding, numbers, forecasts)
