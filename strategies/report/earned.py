"""The report on the result: did it earn after costs, and against what."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mlcore.bootstrap import Estimate
from strategies.report import figures, numbers
from strategies.report.page import figure, notes, said, table
from strategies.report.words import between, shown
from strategies.result import METRICS, BacktestResult
from strategies.sharpe import SharpeRatios
from strategies.study import Traded

METRIC_WORDS: dict[str, tuple[str, str]] = {
    "sharpe": ("Sharpe ratio, a year", "{:.2f}"),
    "max_drawdown": ("largest drawdown", "{:.2%}"),
    "total_return": ("total return", "{:+.2%}"),
    "final_value": ("final value", "{:,.2f}"),
    "n_orders": ("orders", "{:,.0f}"),
    "n_rejected": ("orders rejected", "{:,.0f}"),
    "commission_paid": ("commission paid", "{:,.2f}"),
    "slippage_paid": ("slippage paid", "{:,.2f}"),
    "funding_paid": ("funding paid", "{:,.2f}"),
    "borrow_paid": ("borrow paid", "{:,.2f}"),
    "turnover": ("turnover, x equity", "{:,.1f}"),
}


def result_body(study: Traded, ratios: SharpeRatios) -> str:
    """Return what was earned, by every engine and every rival, with the interval of each Sharpe ratio."""
    columns = {**study.results, **study.baselines}
    known = [key for key in METRIC_WORDS if key in METRICS or any(one.metrics.get(key) for one in columns.values())]
    head = ["", *[figures.words_of(name) for name in columns]]
    rows = [[METRIC_WORDS[key][0], *_metric_cells(columns.values(), key)] for key in known]
    rows[0][1:] = [
        f"{cell} {between(ratios.ratios.get(name))}".strip() for cell, name in zip(rows[0][1:], columns, strict=True)
    ]
    drawn = (
        f"In brackets: 95% intervals, {ratios.days} days drawn again in blocks of {ratios.block:.1f} on average, the "
        "same days for all. "
        if any(one.low is not None for one in ratios.ratios.values())
        else ""
    )
    days, luck = numbers.luck_of(study)
    cost = (
        f"{drawn}{_tried(study)} Over {days} "
        f"day{'s' * (days != 1)} with a bar, 95 of 100 rules without any skill have a Sharpe ratio within ±{luck:.2f} "
        "before costs: a number inside that band says little. Whoever tries more configurations and keeps the best "
        "must raise the bar with their number."
    )
    noted: dict[str, list[str]] = {}
    for name, result in columns.items():
        for note in result.notes:
            noted.setdefault(note, []).append(figures.words_of(name))
    wrong = [f"{', '.join(names)}: {note}" for note, names in noted.items()]
    return _answer(study, ratios) + verdict(study) + table(head, rows) + said(cost, "small") + notes(wrong)


def _tried(study: Traded) -> str:
    if study.tried == 1:
        return "This report tried 1 configuration and shows it whatever came out."
    return f"{study.tried} configurations were traded, and all stand here: the best of so many looks better than it is."


def _metric_cells(results: Iterable[BacktestResult], key: str) -> list[str]:
    return [shown(result.metrics.get(key), METRIC_WORDS[key][1]) for result in results]


def _answer(study: Traded, ratios: SharpeRatios) -> str:
    """Return the answer to the first question, in words."""
    name, result = next(iter(study.results.items()))
    earned, held = (one.metrics.get("total_return") if one else None for one in (result, _held(study)))
    if earned is None:
        return said("The account was gone: after costs there was nothing left to trade with.", "bad")
    made = f"earned {earned:.2%}" if earned > 0 else f"lost {-earned:.2%}" if earned else "made nothing"
    words = f"After costs it {made}"
    what = "the asset" if len(study.panel) == 1 else "all symbols alike"
    words += f"; holding {what} made {held:+.2%}." if held is not None else "."
    found = ratios.ratios[name]
    if found.low is None or found.high is None:
        words += " A Sharpe ratio with an interval takes 20 days with moves." if result.metrics.get("n_orders") else ""
        return said(words, "bad" if earned < 0 else "")
    words += f" Sharpe ratio {shown(result.metrics['sharpe'], '{:.2f}')}, 95% interval {found.low:.2f} to "
    words += f"{found.high:.2f}: " + _luck(found)
    return said(words, "good" if found.low > 0 else "bad" if earned < 0 else "")


def _luck(found: Estimate) -> str:
    assert found.low is not None and found.high is not None
    if found.low > 0:
        return "above 0 beyond what luck of the days explains."
    return "below 0 beyond bad luck." if found.high < 0 else "it holds 0, so luck alone could have made this."


def _held(study: Traded) -> BacktestResult | None:
    return study.baselines.get("buy_and_hold")


def verdict(study: Traded) -> str:
    """Return in one sentence whether the engines agree."""
    found = study.reconciliation
    if found is None:
        return said(f"Not reconciled: only {' and '.join(study.results)} ran.", "bad")
    gap, count = shown(found.get("max_relative_difference"), "{:.1e}"), shown(found.get("n_orders"), "{:,}")
    if found.get("agrees"):
        return said(
            f"Reconciled: both engines agree on every bar's equity and on all {count} orders; the largest relative "
            f"difference is {gap}.",
            "good",
        )
    return said(f"NOT reconciled: the engines differ by up to {gap} over {count} orders.", "bad")


def rivals_body(study: Traded, ratios: SharpeRatios) -> str:
    """Return the equity of all, and by how much the model is better than each rival."""
    still = [name for name, result in study.results.items() if np.ptp(result.equity) == 0]
    words = (
        "All lines trade the same bars at the same costs; the engines' lines lie on each other where they agree. "
        "Account value at each bar's close. Drag to zoom, double-click to go back, click a name to hide its line."
    )
    moved = said(f"The equity of {' and '.join(still)} never moves: no order was filled.", "bad") if still else ""
    return moved + _versus(study, ratios) + figure(figures.equity_figure(study), "equity-figure", words)


def _versus(study: Traded, ratios: SharpeRatios) -> str:
    mine = numbers.first_result(study).metrics.get("total_return")
    rows = []
    for name, result in study.baselines.items():
        its, less = result.metrics.get("total_return"), ratios.less.get(name)
        more = None if mine is None or its is None else mine - its
        apart = f"{shown(less.value if less else None, '{:+.2f}')} {between(less, '{:+.2f}')}".strip()
        rows.append([figures.words_of(name), shown(its, "{:+.2%}"), shown(more, "{:+.2%}"), apart, _side(less)])
    head = ["against", "its return", "return above it", "Sharpe ratio above it", "with 95% confidence"]
    return table(head, rows) if rows else ""


def _side(less: Estimate | None) -> str:
    if less is None or less.low is None or less.high is None:
        return "unknown"
    return "better" if less.low > 0 else "worse" if less.high < 0 else "no difference shown"
