"""The path of an account, bar by bar: pure compiled functions over arrays, called by both engines.

The order of events of bar t, for S symbols of one account:

1. `carry`: funding and borrow are paid on what was held through the open.
2. The engine fills what was decided before, at the open: sales first, then buys, each in the order of the symbols.
3. `watch`: what is held meets its barriers inside the bar; the engine fills those exits, sales first, then buys.
4. `decide`: at the close, from the engine's own equity and positions, what to order for the next open.

A symbol without a bar at t takes no part in 2 to 4: its order waits for its next bar, and it is valued at its last
close. Nothing here fills anything or counts cash: that is each engine's own arithmetic. Nothing reads beyond row t.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from mlcore.barriers import NO_BARRIER, STOP, TIME, barrier_levels, barrier_met
from strategies.account.rules import Numbers
from strategies.orders import CLIP_TOLERANCE, MIN_ACCOUNT, MIN_ORDER_SHARE, MIN_WEIGHT_CHANGE, compiled_is_dust_change

# Why an order was given; STOP, PROFIT and TIME are those of `mlcore.barriers`.
BY_WEIGHT, BY_DRAWDOWN = NO_BARRIER, 4

# Rows of the state of symbols, (K, S): the position's side, prices of its barriers, bars held, the row that decided
# it; what was asked for last and what it became; the side that stays out; row and unit of the order under way; its end.
SIDE, STOP_AT, PROFIT_AT, HELD, DECIDED, ASKED, TARGET, BARRED, ORDERED, UNIT, WAITING, LEFT = range(12)
N_SYMBOL_STATES = 12
# What holding each symbol has cost so far, (P, S): funding of longs and of shorts, and borrow.
FUNDING_LONG, FUNDING_SHORT, BORROW = range(3)
N_PAID = 3
# The state of the account, (A,): highest close, row before which nothing is held, entries, and cuts by each limit.
PEAK, FLAT_UNTIL, ENTRIES, CUT_RISK, CUT_POSITION, CUT_HEAT, CUT_GROSS, CUT_NET, HALTS = range(9)
N_ACCOUNT_STATES = 9

# A limit is met, or an order cut, beyond this share: equal numbers that two engines round apart are equal.
_EDGE = 1e-9


class Market(NamedTuple):
    """Bars of S symbols on one clock of N rows; every array is ``(N, S)`` but `borrow`, which is ``(N,)``.

    opened, high, low
        prices; NaN where the symbol has no bar.
    last
        the newest close by then; NaN before the symbol's first bar.
    here
        whether the symbol has a bar.
    slippage
        share of the price by which a fill in this bar is worse; known before the bar.
    unit
        what the widths of barriers count in (`mlcore.barriers.barrier_units`), known at the bar's close.
    funding, borrow
        share of a position's value that is paid at this row's open: by all (negative: received), by shorts.
    """

    opened: np.ndarray
    high: np.ndarray
    low: np.ndarray
    last: np.ndarray
    here: np.ndarray
    slippage: np.ndarray
    unit: np.ndarray
    funding: np.ndarray
    borrow: np.ndarray


@njit(cache=True)
def carry(row: int, units: np.ndarray, market: Market, paid: np.ndarray) -> float:  # pragma: no cover (compiled)
    """Return the cash that positions `units` ``(S,)`` cost at the open of `row`; negative: what they bring.

    It is added to `paid` ``(P, S)``, where it was paid.
    """
    cost = 0.0
    for s in range(len(units)):
        if units[s] != 0:
            price = market.opened[row, s] if market.here[row, s] else market.last[row, s]
            funding = units[s] * price * market.funding[row, s]
            borrow = -units[s] * price * market.borrow[row] if units[s] < 0 else 0.0
            paid[FUNDING_LONG if units[s] > 0 else FUNDING_SHORT, s] += funding
            paid[BORROW, s] += borrow
            cost += funding + borrow
    return cost


@njit(cache=True)
def watch(
    row: int,
    units: np.ndarray,
    market: Market,
    numbers: Numbers,
    symbols: np.ndarray,
    prices: np.ndarray,
    kinds: np.ndarray,
) -> int:  # pragma: no cover (compiled)
    """Look for barriers inside bar `row`, after the fills at its open that left `units` ``(S,)``.

    Writes the fill price (NaN for none) and the barrier of each symbol into `prices` and `kinds`; returns how many.
    """
    met = 0
    for s in range(len(units)):
        prices[s], kinds[s] = np.nan, NO_BARRIER
        if not market.here[row, s]:
            continue
        side = np.sign(units[s])
        opened, slip = market.opened[row, s], market.slippage[row, s]
        if side != symbols[SIDE, s]:
            _begin(s, side, opened * (1 + side * slip), numbers, symbols)
        if side == 0:
            continue
        kind, price = barrier_met(
            opened, market.high[row, s], market.low[row, s], side, symbols[STOP_AT, s], symbols[PROFIT_AT, s]
        )
        if kind != NO_BARRIER:
            prices[s] = price * (1 - side * slip) if kind == STOP else price
            kinds[s], symbols[LEFT, s] = kind, kind
            met += 1
    return met


@njit(cache=True)
def _begin(
    s: int, side: float, entry: float, numbers: Numbers, symbols: np.ndarray
) -> None:  # pragma: no cover (compiled)
    """Note that symbol `s` is on another side now: barriers around the price that was paid."""
    symbols[SIDE, s], symbols[HELD, s] = side, 0
    symbols[STOP_AT, s], symbols[PROFIT_AT, s] = np.nan, np.nan
    if side != 0:
        symbols[DECIDED, s] = symbols[ORDERED, s]
        symbols[STOP_AT, s], symbols[PROFIT_AT, s] = barrier_levels(
            entry, side, numbers.stop, numbers.profit, symbols[UNIT, s]
        )


@njit(cache=True)
def decide(
    row: int,
    equity: float,
    units: np.ndarray,
    asked: np.ndarray,
    market: Market,
    numbers: Numbers,
    symbols: np.ndarray,
    account: np.ndarray,
    wanted: np.ndarray,
    kinds: np.ndarray,
) -> int:  # pragma: no cover (compiled)
    """Decide at the close of `row` what to order for each symbol's next open.

    `equity` and `units` ``(S,)`` are the engine's own at this close, `asked` ``(N, S)`` the target weights, 0 for flat.
    Writes signed units (NaN for no order) and why into `wanted` and `kinds`; returns how many orders there are.
    """
    flat = _must_be_flat(row, equity, numbers, account)
    targets = np.full(len(units), np.nan)
    for s in range(len(units)):
        wanted[s], kinds[s] = np.nan, BY_WEIGHT
        if market.here[row, s]:
            symbols[WAITING, s] = 0
            _note_exit(s, units[s], numbers, symbols)
            targets[s] = _target(row, s, asked[row, s], flat, units[s], market, numbers, symbols, kinds)
    if equity > MIN_ACCOUNT * numbers.cash:
        _limit(row, equity, units, targets, market, numbers, symbols, account)
    orders = 0
    for s in range(len(units)):
        if not np.isnan(targets[s]):
            wanted[s] = _units(row, s, equity, units[s], targets[s], market, numbers)
        if not np.isnan(wanted[s]):
            orders += 1
            symbols[WAITING, s], symbols[TARGET, s] = 1, targets[s]
            if units[s] * targets[s] <= 0 and targets[s] != 0 and equity > MIN_ACCOUNT * numbers.cash:
                account[ENTRIES] += 1
                symbols[ORDERED, s], symbols[UNIT, s] = row, market.unit[row, s]
    return orders


@njit(cache=True)
def _must_be_flat(
    row: int, equity: float, numbers: Numbers, account: np.ndarray
) -> bool:  # pragma: no cover (compiled)
    if row < account[FLAT_UNTIL]:
        return True
    if row == account[FLAT_UNTIL]:
        account[PEAK] = equity
    account[PEAK] = max(account[PEAK], equity)
    if account[PEAK] - equity >= numbers.max_drawdown * account[PEAK] * (1 - _EDGE):
        account[FLAT_UNTIL] = row + numbers.pause
        account[HALTS] += 1
        return True
    return False


@njit(cache=True)
def _note_exit(s: int, units: float, numbers: Numbers, symbols: np.ndarray) -> None:  # pragma: no cover (compiled)
    """Count a bar held; note that a barrier has closed the position, if it has."""
    if symbols[LEFT, s] != NO_BARRIER and units == 0:
        if not numbers.reenter:
            symbols[BARRED, s] = symbols[SIDE, s]
        symbols[SIDE, s], symbols[ASKED, s] = 0, 0
    symbols[LEFT, s] = NO_BARRIER
    symbols[HELD, s] += 1


@njit(cache=True)
def _target(
    row: int,
    s: int,
    ask: float,
    flat: bool,
    units: float,
    market: Market,
    numbers: Numbers,
    symbols: np.ndarray,
    kinds: np.ndarray,
) -> float:  # pragma: no cover (compiled)
    """Return the weight to order for symbol `s`, NaN for no order."""
    if ask * symbols[BARRED, s] <= 0:
        symbols[BARRED, s] = 0
    else:
        ask = 0.0
    due = units != 0 and symbols[HELD, s] >= numbers.horizon
    if flat or (due and ask * units > 0):
        if symbols[ASKED, s] != 0 and not numbers.reenter:
            symbols[BARRED, s] = np.sign(symbols[ASKED, s])
        ask = 0.0
    if flat or (due and ask == 0):
        kinds[s] = BY_DRAWDOWN if flat else TIME
    if ask * units <= 0 and np.isnan(market.unit[row, s]):
        ask = 0.0  # barriers that nobody can place: nothing is opened
    leaves = ask == 0 and units != 0 and (flat or due)  # also what cash could not cover when it was told to before
    if compiled_is_dust_change(ask, symbols[ASKED, s]) and not leaves:
        return np.nan
    symbols[ASKED, s] = ask
    return ask


@njit(cache=True)
def _units(
    row: int, s: int, equity: float, units: float, target: float, market: Market, numbers: Numbers
) -> float:  # pragma: no cover (compiled)
    """Return the units that bring symbol `s` to `target`, NaN where that is nothing or dust."""
    if equity <= MIN_ACCOUNT * numbers.cash:
        return -units if units != 0 else np.nan if target == 0 else target  # an order to be turned away, and seen
    wanted = target * equity / market.last[row, s] - units
    smallest = 0.0 if target == 0 else MIN_ORDER_SHARE * numbers.cash / market.last[row, s]
    return np.nan if wanted == 0 or abs(wanted) < smallest * (1 - CLIP_TOLERANCE) else wanted


@njit(cache=True)
def _limit(
    row: int,
    equity: float,
    units: np.ndarray,
    targets: np.ndarray,
    market: Market,
    numbers: Numbers,
    symbols: np.ndarray,
    account: np.ndarray,
) -> None:  # pragma: no cover (compiled)
    """Cut what orders add, in place: symbol by symbol first, then all by one factor."""
    n = len(units)
    kept, added, risk = np.zeros(n), np.zeros(n), np.zeros(n)
    heat = 0.0
    for s in range(n):
        held = units[s] * market.last[row, s] / equity if units[s] != 0 else 0.0
        going = targets[s]
        if np.isnan(going):
            kept[s] = symbols[TARGET, s] if symbols[WAITING, s] else held
            risk[s] = _loss_at_stop(row, s, kept[s], held, market, numbers, symbols)
        else:
            risk[s] = _loss_at_stop(row, s, going, held, market, numbers, symbols)
            going = _cut_one(going, risk[s], numbers, account)
            kept[s] = np.sign(going) * min(abs(held), abs(going)) if held * going > 0 else 0.0
            added[s] = going - kept[s]
        heat += abs(kept[s]) * risk[s]
    factor = _factor(np.abs(kept).sum(), np.abs(added).sum(), numbers.max_gross, CUT_GROSS, account)
    factor *= _factor(heat, np.abs(added * risk).sum() * factor, numbers.max_heat, CUT_HEAT, account)
    added *= factor
    net = kept.sum()
    up, down = added[added > 0].sum(), -added[added < 0].sum()
    rise = _factor(net - down, up, numbers.max_net, CUT_NET, account)
    fall = _factor(-net - up, down, numbers.max_net, CUT_NET, account)
    for s in range(n):
        if not np.isnan(targets[s]):
            target = kept[s] + added[s] * (rise if added[s] > 0 else fall)
            targets[s] = 0.0 if abs(target) < MIN_WEIGHT_CHANGE else target


@njit(cache=True)
def _cut_one(going: float, risk: float, numbers: Numbers, account: np.ndarray) -> float:  # pragma: no cover
    """Return `going`, cut to what one position may be and may lose at its stop."""
    for most, counter in ((numbers.max_position, CUT_POSITION), (_most(numbers.risk_per_trade, risk), CUT_RISK)):
        if abs(going) > most * (1 + _EDGE):
            account[counter] += 1
            going = np.sign(going) * most
    return going


@njit(cache=True)
def _most(limit: float, risk: float) -> float:  # pragma: no cover (compiled)
    return limit / risk if risk > 0 else np.inf


@njit(cache=True)
def _factor(
    kept: float, added: float, limit: float, counter: int, account: np.ndarray
) -> float:  # pragma: no cover (compiled)
    """Return the share of `added` that fits under `limit` beside what is `kept`."""
    if added <= 0 or kept + added <= limit * (1 + _EDGE):
        return 1.0
    account[counter] += 1
    return max(limit - kept, 0.0) / added


@njit(cache=True)
def _loss_at_stop(
    row: int, s: int, going: float, held: float, market: Market, numbers: Numbers, symbols: np.ndarray
) -> float:  # pragma: no cover (compiled)
    """Return what a position of symbol `s` loses at its stop, costs included, per unit of its value now."""
    side = np.sign(going)
    if np.isnan(numbers.stop) or side == 0:
        return 0.0
    last, slip = market.last[row, s], market.slippage[row, s]
    entry, cost, stop_at = last, 0.0, symbols[STOP_AT, s]
    if held * going <= 0:  # yet to be opened
        entry, cost = last * (1 + side * slip), numbers.commission * last * (1 + side * slip)
        unit = symbols[UNIT, s] if symbols[WAITING, s] else market.unit[row, s]
        stop_at = barrier_levels(entry, side, numbers.stop, numbers.profit, unit)[0]
    left = stop_at * (1 - side * slip)
    return (max(side * (entry - left), 0.0) + cost + numbers.commission * abs(left)) / last
