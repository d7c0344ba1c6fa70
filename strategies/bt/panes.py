"""What `plot_backtrader` draws: lines read from arrays, one value a drawn bar."""

from __future__ import annotations

import backtrader as bt

BLUE, ORANGE, GREEN, INK = "#0072B2", "#D55E00", "#009E73", "#374151"
_LINE = {"linewidth": 1.1}
_EDGE = {"linewidth": 0.0, "color": INK, "_plotvalue": False, "_plotvaluetag": False}
_NO_VALUE = {"_plotvalue": False, "_plotvaluetag": False, "ls": ""}


class _FromArrays:
    """Lines whose values are given: ``values`` holds one ``(D,)`` array a line."""

    def next(self) -> None:
        row = len(self) - 1  # type: ignore[arg-type]
        for line, values in zip(self.lines, self.p.values, strict=True):  # type: ignore[attr-defined]
            line[0] = float(values[row])

    def _plotlabel(self) -> list[str]:
        return []  # the default would print the arrays


class AccountPane(_FromArrays, bt.Observer):
    """Account value at each drawn bar's close, above the price."""

    lines = ("value",)
    params = (("values", ()),)
    plotinfo = {"plot": True, "subplot": True, "plotname": "account", "plotlegend": False}
    plotlines = {"value": {"color": GREEN, **_LINE}}
    unit = "account value"


class WeightPane(_FromArrays, bt.Observer):
    """Target weight decided at each drawn bar's close, above the price."""

    lines = ("weight",)
    params = (("values", ()),)
    plotinfo = {
        "plot": True,
        "subplot": True,
        "plotlegend": False,
        "plotyhlines": [0.0],
        "plotyticks": [-1.0, 0.0, 1.0],
    }
    plotlines = {"weight": {"color": INK, **_LINE}}
    unit = "weight\n(of equity)"


class FillMarks(_FromArrays, bt.Observer):
    """Marks on the price: a triangle up where the drawn bar bought, down where it sold, net."""

    lines = ("buy", "sell")
    params = (("values", ()),)
    plotinfo = {"plot": True, "subplot": False, "plotlinelabels": True, "plotname": ""}
    plotlines = {
        "buy": {"marker": "^", "markersize": 5.0, "color": BLUE, **_NO_VALUE},
        "sell": {"marker": "v", "markersize": 5.0, "color": ORANGE, **_NO_VALUE},
    }


class SignalPane(_FromArrays, bt.Indicator):
    """Signal under the price (mean, and from lowest to highest), and a tick where a retrained model went live.

    `asked` marks those that a rule asked for, `retrain` the others.
    """

    lines = ("signal", "low", "high", "retrain", "asked")
    params = (("values", ()),)
    plotinfo = {"plotname": "signal", "plotlegend": False, "plothlines": [0.0], "plotymargin": 0.06}
    plotlines = {
        "signal": {"color": BLUE, **_LINE},
        "low": _EDGE,
        "high": {**_EDGE, "_fill_gt": ("low", (BLUE, 0.25))},
        "retrain": {"marker": "|", "markersize": 8.0, "markeredgewidth": 1.0, "color": ORANGE, **_NO_VALUE},
        "asked": {"marker": "x", "markersize": 5.5, "markeredgewidth": 1.3, "color": INK, **_NO_VALUE},
    }
    unit = "signal\n| retrained"


class ConfidencePane(_FromArrays, bt.Indicator):
    """Confidence under the price: mean, and from lowest to highest."""

    lines = ("confidence", "low", "high")
    params = (("values", ()),)
    plotinfo = {"plotname": "confidence", "plotlegend": False}
    plotlines = {
        "confidence": {"color": GREEN, **_LINE},
        "low": _EDGE,
        "high": {**_EDGE, "_fill_gt": ("low", (GREEN, 0.25))},
    }
    unit = "confidence"
