"""Less ceremony on the bars where nothing happens, which are most: the same calls, found once.

backtrader walks all analyzers and their children three times a bar to call hooks that few of them
define, and asks at every bar whether the warm-up is over. `QuietStrategy` keeps the hooks that are defined.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import backtrader as bt

from mlcore.errors import BarwiseError


class QuietStrategy(bt.Strategy):
    """A `bt.Strategy` that on a bar without news calls only the hooks that are defined.

    Raises BarwiseError where backtrader would lose a bar: with ``exactbars=1`` a feed of its own that has to wait for
    another one (`BarsFeed` keeps the bar).
    """

    _cash_hooks: list[Callable] | None = None
    _fund_hooks: list[Callable]
    _next_hooks: list[Callable] | None = None
    _warm = False

    def _start(self) -> None:
        for data in self.datas:
            if self.cerebro._exactbars > 0 and type(data).rewind is bt.feed.AbstractDataBase.rewind:
                data.rewind = functools.partial(_refuse_to_lose, data)
        super()._start()

    def _notify(self, qorders: Any = (), qtrades: Any = ()) -> None:
        if qorders or qtrades or self._orderspending or self._tradespending or self.cerebro.p.quicknotify:
            super()._notify(qorders, qtrades)
            return
        if self._cash_hooks is None:
            listeners = [self, *self.analyzers, *self._slave_analyzers]
            self._cash_hooks = [hook for one in listeners for hook in _hooks(one, "notify_cashvalue")]
            self._fund_hooks = [hook for one in listeners for hook in _hooks(one, "notify_fund")]
        broker = self.broker
        cash, value = broker.getcash(), broker.getvalue()
        for hook in self._cash_hooks:
            hook(cash, value)
        if self._fund_hooks:
            fund, shares = broker.fundvalue, broker.fundshares
            for hook in self._fund_hooks:
                hook(cash, value, fund, shares)

    def _getminperstatus(self) -> int:
        if not self._warm:
            self._warm = super()._getminperstatus() < 0
        return self._minperstatus

    def _next_analyzers(self, minperstatus: int, once: bool = False) -> None:
        if minperstatus >= 0:
            super()._next_analyzers(minperstatus, once)
            return
        if self._next_hooks is None:
            self._next_hooks = [hook for analyzer in self.analyzers for hook in _hooks(analyzer, "next")]
        for hook in self._next_hooks:
            hook()


def _hooks(listener: Any, name: str) -> list[Callable]:
    """Return the bound methods that ``listener._<name>()`` would end in, children first, empty ones left out."""
    base = bt.Strategy if isinstance(listener, bt.Strategy) else bt.Analyzer
    if base is bt.Analyzer and getattr(type(listener), f"_{name}") is not getattr(bt.Analyzer, f"_{name}"):
        return [getattr(listener, f"_{name}")]  # has a way of its own, like analyzers by timeframe
    children = [hook for child in getattr(listener, "_children", ()) for hook in _hooks(child, name)]
    own = getattr(type(listener), name) is not getattr(base, name)
    return [*children, getattr(listener, name)] if own else children


def _refuse_to_lose(data: bt.feed.AbstractDataBase, size: int = 1) -> None:
    raise BarwiseError(
        f"`exactbars` is 1 and the feed {data._name or type(data).__name__!r} has to wait for another one: backtrader "
        "would lose its bar. Take a `BarsFeed`, or run with exactbars=0."
    )
