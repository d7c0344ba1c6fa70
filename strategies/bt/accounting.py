"""Analyzers of the account: what trading cost, and how much was held."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import backtrader as bt


class CostBreakdown(bt.Analyzer):
    """What fills cost, in account currency.

    Keys ``commission slippage total value fills`` (value traded: sum of |size x price|), ``per_value`` (total over
    value; None without a fill), ``buys`` and ``sales`` with the first five each, and ``months``: ``"2024-03"`` -> the
    same. Slippage is |size| x |price - open| of the fill's bar.
    """

    def create_analysis(self) -> None:
        self._cells: dict[str, dict[str, float]] = defaultdict(_nothing)

    def notify_order(self, order: bt.Order) -> None:
        if order.alive() or not order.executed.size:
            return
        opened, month = order.data.open[0], f"{order.data.datetime.datetime(0):%Y-%m}"
        side = "buys" if order.isbuy() else "sales"
        for fill in order.executed.exbits:
            for key in ("all", side, month):
                cell = self._cells[key]
                cell["slippage"] += abs(fill.size) * abs(fill.price - opened)
                cell["value"] += abs(fill.size) * fill.price
                cell["fills"] += 1
        for key in ("all", side, month):
            self._cells[key]["commission"] += order.executed.comm

    def get_analysis(self) -> dict[str, Any]:
        """Return the costs so far."""
        cells = {name: _summed(self._cells.get(name, _nothing())) for name in ("all", "buys", "sales")}
        months = {key: _summed(cell) for key, cell in self._cells.items() if key not in cells}
        value = cells["all"]["value"]
        per_value = cells["all"]["total"] / value if value else None
        return {**cells.pop("all"), "per_value": per_value, **cells, "months": months}


class ExposureStats(bt.Analyzer):
    """How much was held, at the closes of all bars, over all feeds, as shares of the account's value.

    Keys ``mean_net mean_gross max_gross time_in_market time_long time_short`` (the last three shares of the bars, by
    the sign of the net exposure; in the market: anything held); None without a bar. A bar at which the account is
    worth nothing is left out.
    """

    def create_analysis(self) -> None:
        self._n = self._held = self._long = self._short = 0
        self._net = self._gross = self._most = 0.0

    def next(self) -> None:
        strategy = self.strategy
        account = strategy.broker.getvalue()
        if account <= 0:
            return
        parts = [strategy.getposition(data).size * data.close[0] / account for data in strategy.datas if len(data)]
        net, gross = sum(parts), sum(map(abs, parts))
        self._n += 1
        self._held += gross > 0
        self._long += net > 0
        self._short += net < 0
        self._net += net
        self._gross += gross
        self._most = max(self._most, gross)

    def get_analysis(self) -> dict[str, float | None]:
        """Return the exposure so far."""
        names = ("mean_net", "mean_gross", "time_in_market", "time_long", "time_short")
        sums = (self._net, self._gross, self._held, self._long, self._short)
        shares = {name: total / self._n if self._n else None for name, total in zip(names, sums, strict=True)}
        return {**shares, "max_gross": self._most if self._n else None}


def _nothing() -> dict[str, float]:
    return {"commission": 0.0, "slippage": 0.0, "value": 0.0, "fills": 0}


def _summed(cell: dict[str, float]) -> dict[str, float]:
    return {**cell, "total": cell["commission"] + cell["slippage"]}
