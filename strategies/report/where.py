"""The report on where the result came from: fold by fold, month by month, long and short apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from strategies.report import figures, numbers
from strategies.report.page import figure, heat_table, said, table
from strategies.report.words import shown, stamp
from strategies.study import Study

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
FOLD_COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "test_start": ("tested from", stamp),
    "test_end": ("to", stamp),
    "net_return": ("net return", lambda value: shown(value, "{:+.2%}")),
    "orders": ("orders", lambda value: f"{value:,}" if value else "no trade"),
    "rank_ic": ("rank IC", lambda value: shown(value, "{:+.3f}")),
    "hit_rate": ("hit rate", lambda value: shown(value, "{:.1%}")),
    "n_test": ("test bars", lambda value: shown(value, "{:,}")),
    "train_start": ("trained from", lambda value: stamp(value, days_only=True)),
    "trained_through": ("trained through", stamp),
    "calibrated_through": ("calibrated through", lambda value: "not calibrated" if value is None else stamp(value)),
    "n_train": ("train rows", lambda value: shown(value, "{:,}")),
    "seconds": ("seconds", lambda value: shown(value, "{:,.1f}")),
}


def folds_body(study: Study) -> str:
    """Return every fold with what it earned and how good its forecasts were."""
    folds = numbers.fold_rows(study)
    if not folds:
        return said("There were no folds.")
    columns = {key: column for key, column in FOLD_COLUMNS.items() if any(key in fold for fold in folds)}
    head = ["fold", *[words for words, _ in columns.values()]]
    rows = [[str(fold["fold"]), *[show(fold.get(key)) for key, (_, show) in columns.items()]] for fold in folds]
    earned = sum((fold["net_return"] or 0) > 0 for fold in folds)
    idle = sum(fold["orders"] == 0 for fold in folds)
    words = f"{earned} of {len(folds)} fold{'s' * (len(folds) != 1)} earned after costs"
    gone = sum(fold["net_return"] is None for fold in folds)
    words += f"; in {gone} the account was gone before it began" if gone else ""
    words += f"; {idle} decided no order (what was held before may still move them)." if idle else "."
    drawn = (
        figure(figures.fold_figure(folds), "fold-figure", "Green: the fold earned after costs; red: it lost.")
        if len(folds) > 1 and any(f["net_return"] for f in folds)
        else ""
    )
    read = said(
        f"Stamps are UTC, to the minute. Net return and orders are {next(iter(study.results))}'s; an order belongs to "
        "the fold that decided it. Rank IC and hit rate hold each forecast against the return its label is about.",
        "small",
    )
    return said(words) + drawn + table(head, rows, tall=len(folds) > 10) + read


def months_body(study: Study) -> str:
    """Return the net return of every month, years down and months across; a year stands at the end of its row."""
    equity = numbers.first_result(study).equity
    months = numbers.month_returns(equity)
    index = pd.PeriodIndex(months.index)
    reach = max(float(months.abs().quantile(0.9)), 1e-9)  # one wild month does not pale all others
    rows, shades = [], []
    for year in sorted(set(index.year)):
        mine = {int(at.month): float(value) for at, value in zip(index, months, strict=True) if at.year == year}
        values = [mine.get(month) for month in range(1, 13)]
        whole = float(np.prod([1 + value for value in mine.values()]) - 1)
        cells = ["" if value is None else shown(100 * value, "{:+.1f}") for value in values]
        rows.append([str(year), *cells, shown(100 * whole, "{:+.1f}")])
        shades.append([np.nan, *[np.nan if value is None else _shade(value / reach) for value in values], np.nan])
    known = months.dropna()
    words = f"{int((known > 0).sum())} of {len(known)} months earned after costs. Net return in percent, UTC months"
    words += f"; the first begins on {stamp(equity.index[0], days_only=True)} and the last ends on "
    words += f"{stamp(equity.index[-1], days_only=True)}."
    return said(words) + heat_table(["year", *MONTHS, "year's"], rows, shades)


def _shade(value: float) -> float:
    return float(np.clip(value, -1, 1))


def sides_body(study: Study, trips: pd.DataFrame) -> str:
    """Return long and short apart, and the sum, which is the account's profit."""
    if trips.empty:
        return said("Nothing was held, so there is no side to tell of.")
    sides = numbers.sides_of(trips, len(study.bars))
    forms = {"trades": "{:,.0f}", "won": "{:.1%}", "pnl": "{:+,.2f}", "commission": "{:,.2f}"}
    forms |= {"earned": "{:+.3%}", "bars": "{:,.0f}", "held": "{:.1%}"}
    names = {1: "long", -1: "short"}
    rows = [
        [names[int(str(side))], *[shown(row[key], form) for key, form in forms.items()]]
        for side, row in sides.iterrows()
    ]
    result = numbers.first_result(study)
    funding = float(result.metrics.get("funding_paid") or 0.0)
    net = float(result.equity.iloc[-1] - result.equity.iloc[0])
    rows.append(["both", f"{len(trips):,}", f"{(trips['pnl'] > 0).mean():.1%}", f"{trips['pnl'].sum():+,.2f}"])
    rows[-1] += [f"{trips['commission'].sum():,.2f}", f"{trips['earned'].mean():+.3%}"]
    rows[-1] += [f"{trips['bars'].median():,.0f}", f"{trips['bars'].sum() / len(study.bars):.1%}"]
    head = ["", "trades", "won", "profit", "commission in it", "mean of a trade", "bars held (median)", "time held"]
    words = (
        f"Profits are after costs and add up to the account's {net + funding:+,.2f}"
        + (f" before funding of {funding:,.2f}" if funding else "")
        + ". What is still held at the end counts at the last close. "
        "The mean of a trade is its profit over the value that it entered."
    )
    return table(head, rows) + said(words, "small")
