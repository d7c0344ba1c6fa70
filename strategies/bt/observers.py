"""Observers: what the account holds, under the price of cerebro's own plot."""

from __future__ import annotations

import math
import re
from typing import Any

import backtrader as bt

from mlcore.retraining import CALENDAR
from strategies.bt.heard import heard_by

_BAND = {"color": "tab:purple", "alpha": 0.6, "linewidth": 0.8, "_plotvalue": False, "_plotvaluetag": False}
_MARK = {"markersize": 8.0, "ls": "", "_plotvalue": False, "_plotvaluetag": False}


class OfBars(bt.Observer):
    """An observer with one value for each bar of the first feed, in all modes, so that it lies over that bar.

    With several feeds a strategy has more steps than any feed has bars, and in `runonce` mode backtrader's own
    observers have one value a step.
    """

    def forward(self, value: float = float("nan"), size: int = 1) -> None:
        if len(self._clock) > len(self):
            super().forward(value, size)


class Exposure(bt.Observer):
    """Lines `exposure`, what is held / account value at the bar's close, and `target`, what was last ordered.

    ``cerebro.addobserver(Exposure)``. `target` is NaN for strategies other than `ForecastStrategy`; the two
    differ by what the price did since the order, and where cash did not pay for all of it.
    """

    _stclock = True  # a pane of its own has one value for each step of the strategy
    lines: Any = ("exposure", "target")
    plotinfo = {"plot": True, "subplot": True, "plotname": "exposure", "plotyhlines": [0.0]}
    plotlines = {"exposure": {"color": "tab:green"}, "target": {"color": "tab:gray", "ls": "--", "alpha": 0.7}}

    def next(self) -> None:
        strategy = self._owner
        value = strategy.broker.getvalue()
        held = strategy.getposition(strategy.data).size * strategy.data.close[0]
        self.lines.exposure[0] = held / value if value > 0 else float("nan")
        self.lines.target[0] = getattr(strategy, "_last_target", float("nan"))


class Confidence(bt.Observer):
    """Line `confidence` of the forecast of each bar, in [0, 1]; NaN where nothing was said."""

    _stclock = True
    lines: Any = ("confidence",)
    plotinfo = {"plot": True, "subplot": True, "plotname": "confidence", "plotyhlines": [0.0, 1.0]}
    plotlines = {"confidence": {"color": "tab:orange"}}

    def next(self) -> None:
        heard = heard_by(self._owner)
        self.lines.confidence[0] = float("nan") if heard is None else heard.confidence


class QuantileBand(OfBars):
    """Lines `low`, `middle`, `high` on the price: where the forecast quantiles put it at the end of the horizon.

    The close x exp(quantile of the log return): the lowest and the highest quantile, and the median where it is
    forecast. Drawn on the bar that was forecast from, so that the price is compared `horizon` bars to the right. NaN
    without quantiles (``q10``, ``q90``, ...).
    """

    lines: Any = ("low", "middle", "high")
    plotinfo = {"plot": True, "subplot": False, "plotname": "quantiles", "plotlinelabels": False}
    plotlines = {"low": _BAND, "middle": {**_BAND, "ls": "--"}, "high": _BAND}

    def next(self) -> None:
        heard = heard_by(self._owner)
        found = {} if heard is None else heard.outputs
        told = {float(name[1:]): value for name, value in found.items() if re.fullmatch(r"q\d+(\.\d+)?", name)}
        close = self._owner.data.close[0]
        places = (min(told, default=None), 50.0, max(told, default=None))
        for line, place in zip(self.lines, places, strict=True):
            line[0] = close * math.exp(told[place]) if place in told else float("nan")


class RetrainMarks(OfBars):
    """Marks on the price where a new model went live: line `calendar`, and line `asked` where a rule asked for it.

    Where the strategy knows no reasons (forecasts made before the run), every new fold is the calendar's.
    """

    lines: Any = ("calendar", "asked")
    plotinfo = {"plot": True, "subplot": False, "plotname": "retrained", "plotlinelabels": True}
    plotlines = {
        "calendar": {"marker": "D", "color": "#7B3294", **_MARK},
        "asked": {"marker": "X", "color": "black", **_MARK},
    }
    _fold = float("nan")

    def next(self) -> None:
        heard, strategy = heard_by(self._owner), self._owner
        self.lines.calendar[0] = self.lines.asked[0] = float("nan")
        if heard is None or heard.fold != heard.fold or heard.fold == self._fold:
            return
        self._fold = heard.fold
        events = [one for one in getattr(strategy, "retrains", ()) if one.fold == heard.fold]
        asked = bool(events) and events[0].reason != CALENDAR
        line = self.lines.asked if asked else self.lines.calendar
        line[0] = strategy.data.high[0]
