"""What both engines are given of one account, checked once; and the path they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from mlcore.barriers import PROFIT, STOP, TIME
from mlcore.errors import BarwiseError, did_you_mean
from strategies.account import core
from strategies.account.market import Bars, clock_of, make_market
from strategies.account.rules import Numbers, RiskRules
from strategies.costs import Costs
from strategies.orders import MIN_ACCOUNT, check_forecasts_before, checked_cash, checked_targets, smallest_units

REASONS = {
    core.BY_WEIGHT: "",
    STOP: "stop barrier",
    PROFIT: "profit barrier",
    TIME: "time barrier",
    core.BY_DRAWDOWN: "drawdown limit",
}
LIMITS = {
    "max_position": core.CUT_POSITION,
    "risk_per_trade": core.CUT_RISK,
    "max_heat": core.CUT_HEAT,
    "max_gross": core.CUT_GROSS,
    "max_net": core.CUT_NET,
}


@dataclass(frozen=True)
class AccountPlan:
    """Checked inputs of one account.

    bars
        symbol to its bars, in the order that counts where cash is short.
    asked
        ``(N, S)`` target weights on the clock, 0 for flat; what stands on a row without a bar is never looked at.
    """

    bars: Bars
    clock: pd.DatetimeIndex
    weights: pd.DataFrame
    asked: np.ndarray
    market: core.Market
    rules: RiskRules
    costs: Costs
    cash: float

    @property
    def symbols(self) -> list[str]:
        return list(self.bars)

    def of_weights(self, weights: pd.DataFrame) -> AccountPlan:
        """Return the same account for other `weights`, without its rules but for `borrow`."""
        asked = np.column_stack([checked_targets(weights[symbol]) for symbol in self.bars])
        market = self.market._replace(unit=np.ones_like(self.market.unit))  # no barriers wait for a warm-up
        return replace(self, weights=weights, asked=asked, market=market, rules=RiskRules(borrow=self.rules.borrow))

    def settings(self) -> dict[str, float | int | bool | None]:
        """Return cash, costs and rules as plain values, by name."""
        parts = (self.costs, self.rules)
        return {"cash": self.cash} | {one.name: getattr(part, one.name) for part in parts for one in fields(part)}


def plan_account(
    bars: Bars,
    weights: pd.DataFrame,
    *,
    rules: RiskRules | None = None,
    costs: Costs | None = None,
    cash: float = 10_000.0,
    funding: Mapping[str, pd.Series] | None = None,
    slippage: pd.DataFrame | None = None,
    forecasts: Mapping[str, pd.DataFrame] | None = None,
    in_sample: bool = False,
) -> AccountPlan:
    """Check all that an account is given; raise `BarwiseError` for what neither engine could trade."""
    rules, costs = rules or RiskRules(), costs or Costs()
    clock = clock_of(bars)
    if list(weights.columns) != list(bars):
        raise BarwiseError(
            f"`weights` has the columns {[str(name) for name in weights.columns]} and `bars` the symbols {list(bars)}: "
            "give one column a symbol, in the same order."
        )
    if not weights.index.equals(clock):
        raise BarwiseError(
            f"`weights` has {len(weights)} rows or other stamps than the {len(clock)} at which some symbol has a bar: "
            "give one row a stamp, for instance `weights.reindex(clock_of(bars))`."
        )
    for symbol, frame in (forecasts or {}).items():
        if symbol not in bars:
            raise BarwiseError(f"`forecasts` name {symbol!r}, which has no bars.{did_you_mean(symbol, bars)}")
        check_forecasts_before(frame, bars[symbol], in_sample)
    asked = np.column_stack([checked_targets(weights[symbol]) for symbol in bars])
    market = make_market(bars, clock, rules, costs.slippage if slippage is None else slippage, funding)
    return AccountPlan(bars, clock, weights.astype(np.float64), asked, market, rules, costs, checked_cash(cash))


class Order(NamedTuple):
    """An order of an account: signed units, why, and the fewest units that are worth a fill."""

    symbol: int
    units: float
    kind: int
    smallest: float


class Exit(NamedTuple):
    """A position that met a barrier inside a bar, the price it is left at, and the barrier."""

    symbol: int
    price: float
    kind: int


class AccountPath:
    """The state that one engine's run carries from bar to bar, and the calls of the compiled core.

    owed
        what holding cost and cash did not pay; it counts against the equity, and is paid as soon as there is cash.
    paid
        ``(P, S)``: what holding each symbol has cost so far (rows of `core`: funding of longs, of shorts, borrow).
    """

    def __init__(self, plan: AccountPlan) -> None:
        self.plan = plan
        self.numbers = Numbers.of(plan.rules, plan.costs.commission, plan.cash)
        n = len(plan.bars)
        self.symbols = np.zeros((core.N_SYMBOL_STATES, n))
        self.symbols[[core.STOP_AT, core.PROFIT_AT, core.UNIT]] = np.nan
        self.account = np.zeros(core.N_ACCOUNT_STATES)
        self.account[core.PEAK], self.account[core.FLAT_UNTIL] = plan.cash, -1
        self.owed = 0.0
        self.paid = np.zeros((core.N_PAID, n))
        self._levels: list[tuple[int, int, float, float]] = []
        self._values, self._kinds = np.empty(n), np.empty(n, np.int64)
        self._carries = bool(plan.market.funding.any() or plan.market.borrow.any())
        self._watches = any(rule is not None for rule in (plan.rules.stop, plan.rules.profit, plan.rules.horizon))

    def carry(self, row: int, units: np.ndarray) -> float:
        """Add what holding `units` ``(S,)`` costs at the open of `row` to what is owed; return the cost."""
        cost = core.carry(row, units, self.plan.market, self.paid) if self._carries else 0.0
        self.owed += cost
        return cost

    def settle(self, cash: float) -> float:
        """Return what of `cash` is to be paid now of what is owed; negative: what is to be received."""
        paid = min(self.owed, max(cash, 0.0))
        self.owed -= paid
        return paid

    def watch(self, row: int, units: np.ndarray) -> list[Exit]:
        """Return the exits inside bar `row`; sales first, then buys."""
        if not self._watches:
            return []
        market, values, kinds = self.plan.market, self._values, self._kinds
        met = core.watch(row, units, market, self.numbers, self.symbols, values, kinds)
        self._note_levels(row)
        if not met:
            return []
        return [Exit(s, float(values[s]), int(kinds[s])) for s in _sales_first(values, -units)]

    def _note_levels(self, row: int) -> None:
        """Keep the barriers of the positions that began in bar `row`."""
        state = self.symbols
        for s in np.flatnonzero((state[core.SIDE] != 0) & (state[core.HELD] == 0)).tolist():
            self._levels.append((s, row, float(state[core.STOP_AT, s]), float(state[core.PROFIT_AT, s])))

    def barriers(self) -> pd.DataFrame:
        """Return the prices of the barriers that positions had, one row a position: ``symbol timestamp stop profit``.

        `timestamp` is the bar whose fill opened it, where they are known from on; NaN is no such barrier. No rows
        under rules without barriers.
        """
        symbols, rows, stops, profits = zip(*self._levels, strict=True) if self._levels else ((), (), (), ())
        names = pd.Series([self.plan.symbols[s] for s in symbols], dtype="str")
        stamps = self.plan.clock[np.array(rows, np.int64)]
        levels = {"stop": np.array(stops, np.float64), "profit": np.array(profits, np.float64)}
        return pd.DataFrame({"symbol": names, "timestamp": stamps, **levels})

    def holding(self) -> pd.DataFrame:
        """Return what holding cost, one row a symbol: ``funding_long funding_short borrow``; negative was received."""
        return pd.DataFrame(self.paid.T, self.plan.symbols, ["funding_long", "funding_short", "borrow"])

    def waiting(self) -> tuple[str, ...]:
        """Return the symbols with an order that never met a bar: decided at the last one there was."""
        return tuple(np.array(self.plan.symbols)[self.symbols[core.WAITING] != 0].tolist())

    def cuts(self) -> dict[str, int]:
        """Return how often each limit cut: orders by `max_position` and `risk_per_trade`, closes by the others.

        With it ``entries``, orders that opened a position, and ``halts``, how often the drawdown limit was met.
        """
        counters = {**LIMITS, "entries": core.ENTRIES, "halts": core.HALTS}
        return {name: int(self.account[counter]) for name, counter in counters.items()}

    def decide(self, row: int, equity: float, units: np.ndarray) -> list[Order]:
        """Return the orders decided at the close of `row`; sales first, then buys."""
        plan, values, kinds = self.plan, self._values, self._kinds
        settings = (plan.asked, plan.market, self.numbers, self.symbols, self.account, values, kinds)
        if not core.decide(row, equity, units, *settings):
            return []
        smallest = smallest_units(plan.market.last[row], plan.cash, self.symbols[core.TARGET])
        return [Order(s, float(values[s]), int(kinds[s]), float(smallest[s])) for s in _sales_first(values, values)]

    def is_broke(self, equity: float) -> bool:
        """Tell whether an account is at or below zero, where every order is turned away."""
        return equity <= MIN_ACCOUNT * self.plan.cash

    def decided(self, s: int) -> int:
        """Return the row whose close decided the position of symbol `s`, and with it the barriers."""
        return int(self.symbols[core.DECIDED, s])

    def notes(self) -> tuple[str, ...]:
        """Return what the rules did that no order shows."""
        cuts, said = self.cuts(), []
        for name in LIMITS:
            if cut := cuts[name]:
                unit = "orders were" if name in ("max_position", "risk_per_trade") else "closes had their orders"
                said.append(f"`{name}`: {cut} {unit} cut ({cuts['entries']} entries in all)")
        if halts := cuts["halts"]:
            said.append(f"`max_drawdown`: the account went flat {halts} time(s)")
        return tuple(said)


def _sales_first(values: np.ndarray, signs: np.ndarray) -> list[int]:
    there = np.flatnonzero(~np.isnan(values))
    return there[np.argsort(signs[there] > 0, kind="stable")].tolist()


def told(kind: int, reason: str) -> str:
    """Return the `reason` of an order in the table: why it was given, and what became of it."""
    return "; ".join(filter(None, (REASONS[kind], reason)))
