"""The rules that depend on the path of an account: exits, risk, exposure, drawdown, the cost of holding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlcore.barriers import check_width
from mlcore.errors import BarwiseError
from mlcore.kinds import check_settings


@dataclass(frozen=True)
class RiskRules:
    """What an account does by itself, whatever the weights ask for; None is no such rule.

    Exits (`mlcore.barriers` states the order of events inside a bar):

    stop, profit
        widths of the barriers, as fractions of the entry's fill price (a stop below 1); with `volatility_window`,
        multiples of the volatility per bar known at the close that decided. They are set by the fill that opens a
        position (from flat or through a reversal) and stay where they are when its size changes. The stop is a market
        order (slippage, taker commission), the profit a limit order (no slippage, maker commission); both close the
        whole position.
    horizon
        bars of its own symbol that a position is held at most; then it is left at the next open.
    reenter
        after an exit by barrier, time or drawdown limit: False, the symbol stays out until its weight is flat or of the
        other side (a view is traded once); True, a weight still asked for is entered anew at the next open.

    Sizes, looked at when an order is decided, in shares of the equity at that close. They cut what an order adds, and
    never sell what is held; what drifts in between is left:

    risk_per_trade
        most that a position may lose at its stop, costs included, a gap beyond the stop not.
    max_heat
        most that all positions together may lose if every stop were met now. New positions share what room is left.
    max_position, max_gross, max_net
        most of one symbol, of the sum of sizes, and of longs less shorts (in size).

    max_drawdown, pause
        once equity at a close is this fraction below its highest close, all is sold, and nothing is held for `pause`
        bars (of the account's clock); None: for good. The highest close is counted anew after a pause.
    borrow
        yearly rate that a short position pays on its value, from bar to bar.
    """

    stop: float | None = None
    profit: float | None = None
    horizon: int | None = None
    volatility_window: int | None = None
    reenter: bool = False
    risk_per_trade: float | None = None
    max_heat: float | None = None
    max_position: float | None = None
    max_gross: float | None = None
    max_net: float | None = None
    max_drawdown: float | None = None
    pause: int | None = None
    borrow: float = 0.0

    def __post_init__(self) -> None:
        check_width("stop", self.stop)
        check_width("profit", self.profit)
        if self.stop is not None and self.stop >= 1 and self.volatility_window is None:
            raise BarwiseError(
                f"`stop` is {self.stop!r} without a `volatility_window`: then it is a share of the price, below 1 "
                "(0.02 is 2%); with one it is in volatilities per bar."
            )
        for name in ("horizon", "pause"):
            _check_bars(name, getattr(self, name))
        for name in ("risk_per_trade", "max_heat", "max_position", "max_gross", "max_net", "max_drawdown"):
            _check_share(name, getattr(self, name), at_most=math.inf if name in ("max_gross", "max_net") else 1.0)
        for name in ("risk_per_trade", "max_heat"):
            if getattr(self, name) is not None and self.stop is None:
                raise BarwiseError(
                    f"`{name}` is {getattr(self, name)!r} without a `stop`: what is lost at it is unknown."
                )
        if self.pause is not None and self.max_drawdown is None:
            raise BarwiseError(f"`pause` is {self.pause!r} without a `max_drawdown` to begin it.")
        if not (isinstance(self.borrow, int | float) and 0 <= self.borrow < math.inf):
            raise BarwiseError(f"`borrow` is {self.borrow!r}: it is a yearly rate, 0 or more (0.05 is 5% a year).")
        check_settings(self)


def _check_bars(name: str, value: int | None) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1):
        raise BarwiseError(f"`{name}` is {value!r}: it is a count of bars, 1 or more, or None for none.")


def _check_share(name: str, value: float | None, at_most: float) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value <= at_most:
        limit = "" if math.isinf(at_most) else f" and at most {at_most:g}"
        raise BarwiseError(f"`{name}` is {value!r}: it is a share above 0{limit} (0.05 is 5% of equity), or None.")


class Numbers(NamedTuple):
    """Rules, costs and cash as numbers for the compiled core: NaN is no barrier, infinity no limit."""

    stop: float
    profit: float
    horizon: float
    reenter: bool
    risk_per_trade: float
    max_heat: float
    max_position: float
    max_gross: float
    max_net: float
    max_drawdown: float
    pause: float
    commission: float
    cash: float

    @classmethod
    def of(cls, rules: RiskRules, commission: float, cash: float) -> Numbers:
        """Translate `rules`, the taker's `commission` and the starting `cash`."""

        def number(name: str, none: float) -> float:
            value = getattr(rules, name)
            return none if value is None else float(value)

        barriers = [number(name, math.nan) for name in ("stop", "profit")]
        limits = ("risk_per_trade", "max_heat", "max_position", "max_gross", "max_net", "max_drawdown", "pause")
        sizes = [number(name, math.inf) for name in limits]
        return cls._make(
            [*barriers, number("horizon", math.inf), rules.reenter, *sizes, float(commission), float(cash)]
        )
