"""Observers: what the account holds, under the price of cerebro's own plot."""

from __future__ import annotations

from typing import Any

import backtrader as bt


class Exposure(bt.Observer):
    """Lines `exposure`, what is held / account value at the bar's close, and `target`, what was last ordered.

    ``cerebro.addobserver(Exposure)``. `target` is NaN for strategies other than `ForecastStrategy`; the two
    differ by what the price did since the order, and where cash did not pay for all of it.
    """

    lines: Any = ("exposure", "target")
    plotinfo = {"plot": True, "subplot": True, "plotname": "exposure", "plotyhlines": [0.0]}
    plotlines = {"exposure": {"color": "tab:green"}, "target": {"color": "tab:gray", "ls": "--", "alpha": 0.7}}

    def next(self) -> None:
        strategy = self._owner
        value = strategy.broker.getvalue()
        held = strategy.getposition(strategy.data).size * strategy.data.close[0]
        self.lines.exposure[0] = held / value if value > 0 else float("nan")
        self.lines.target[0] = getattr(strategy, "_last_target", float("nan"))
