"""The report on where the result came from: by fold, by month, by symbol, long and short apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from strategies.report import figures, numbers, trips
from strategies.report.page import figure, heat_table, said, table
from strategies.report.words import shown, stamp
from strategies.study import Study, Traded

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


def months_body(study: Traded) -> str:
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


def sides_body(study: Traded, held: pd.DataFrame) -> str:
    """Return long and short apart, and the sum, which is the account's profit; and the trades by why they were left."""
    if held.empty:
        return said("Nothing was held, so there is no side to tell of.")
    result = numbers.first_result(study)
    holding = trips.holding_of(result, study.panel)
    n_bars = sum(len(bars) for bars in study.panel.values())
    sides = trips.sides_of(held, holding, n_bars)
    both = sides_both(held, sides, n_bars)
    carried = bool((holding != 0).to_numpy().any())
    columns = SIDE_COLUMNS if carried else {k: column for k, column in SIDE_COLUMNS.items() if k not in CARRIED}
    names = {1: "long", -1: "short"}
    rows = [
        [name, *[shown(row[key], form) for key, (_, form) in columns.items()]]
        for name, row in [*((names[int(str(side))], row) for side, row in sides.iterrows()), ("both", both)]
    ]
    net = float(result.equity.iloc[-1] - result.equity.iloc[0])
    words = (
        f"Profits are after costs and add up to the account's {net:+,.2f}"
        + (", funding and borrow taken off." if carried else ".")
        + " What is still held at the end counts at its last close. "
        "The mean of a trade is its profit over the value that it entered."
    )
    words += " Time held is the share of all symbols' bars." if len(study.panel) > 1 else ""
    return table(["", *[head for head, _ in columns.values()]], rows) + said(words, "small") + _reasons(held)


SIDE_COLUMNS = {
    "trades": ("trades", "{:,.0f}"),
    "won": ("won", "{:.1%}"),
    "pnl": ("profit", "{:+,.2f}"),
    "commission": ("commission in it", "{:,.2f}"),
    "holding": ("funding and borrow", "{:,.2f}"),
    "net": ("net profit", "{:+,.2f}"),
    "earned": ("mean of a trade", "{:+.3%}"),
    "bars": ("bars held (median)", "{:,.0f}"),
    "held": ("time held", "{:.1%}"),
}
CARRIED = ("holding", "net")  # columns that say something only where holding cost something


def sides_both(held: pd.DataFrame, sides: pd.DataFrame, n_bars: int) -> pd.Series:
    """Return the row of both sides: sums of `sides`, means and median of all trades."""
    sums = sides[["trades", "pnl", "commission", "holding", "net"]].sum()
    means = {"won": (held["pnl"] > 0).mean(), "earned": held["earned"].mean(), "bars": held["bars"].median()}
    return pd.concat([sums, pd.Series(means | {"held": held["bars"].sum() / n_bars})])


def _reasons(held: pd.DataFrame) -> str:
    """Return the trades by why they were left, or nothing where all were left because the weights said so."""
    if held["why"].isin([trips.SIGNAL, trips.HELD]).all():
        return ""
    columns = {key: SIDE_COLUMNS[key] for key in ("trades", "won", "pnl", "commission", "earned", "bars")}
    rows = [
        [str(why), *[shown(row[key], form) for key, (_, form) in columns.items()]]
        for why, row in trips.reasons_of(held).iterrows()
    ]
    words = "A signal: the weights asked for nothing, or for the other side. Profits are before funding and borrow."
    return (
        "<h3>Why trades were left</h3>"
        + table(["left by", *[head for head, _ in columns.values()]], rows)
        + said(words, "small")
    )


SYMBOL_COLUMNS = {
    "trades": ("trades", "{:,.0f}"),
    "won": ("won", "{:.1%}"),
    "net": ("net profit", "{:+,.2f}"),
    "long": ("of longs", "{:+,.2f}"),
    "short": ("of shorts", "{:+,.2f}"),
    "commission": ("commission in it", "{:,.2f}"),
    "funding": ("funding in it", "{:,.2f}"),
    "borrow": ("borrow in it", "{:,.2f}"),
    "held": ("time held", "{:.1%}"),
    "moved": ("its price moved", "{:+.1%}"),
}


def symbols_body(study: Traded, held: pd.DataFrame) -> str:
    """Return what every symbol earned, best first; nothing where there is one symbol."""
    if len(study.panel) == 1:
        return ""
    result = numbers.first_result(study)
    symbols = trips.symbols_of(held, trips.holding_of(result, study.panel), study.panel)
    unpaid = [name for name in ("funding", "borrow") if not symbols[name].any()]
    columns = {key: column for key, column in SYMBOL_COLUMNS.items() if key not in unpaid}
    rows = [
        [str(symbol), *["" if row[key] != row[key] else form.format(row[key]) for key, (_, form) in columns.items()]]
        for symbol, row in symbols.iterrows()
    ]
    net = float(result.equity.iloc[-1] - result.equity.iloc[0])
    words = f"{int((symbols['net'] > 0).sum())} of {len(symbols)} symbols earned after costs"
    idle = int((symbols["trades"] == 0).sum())
    words += f"; {idle} were never held." if idle else "."
    small = f"Net profits add up to the account's {net:+,.2f}. A price moved from its first open to its last close."
    caption = "Net profit by symbol, the best on top; the diamond is both sides together."
    if len(symbols) > figures.MOST_SYMBOLS:
        caption += f" Drawn are the {figures.MOST_SYMBOLS // 2} best and worst."
    drawn = figure(figures.symbol_figure(symbols), "symbol-figure", caption)
    head = ["symbol", *[words for words, _ in columns.values()]]
    return said(words) + drawn + table(head, rows, tall=len(rows) > 12) + said(small, "small")
