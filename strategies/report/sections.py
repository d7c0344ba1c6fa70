"""What the report says, part by part, in the order a reader would ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from strategies.report import figures, numbers
from strategies.report.learning import explanation_body, training_body
from strategies.report.page import Section, facts, figure, how_to, notes, said, table
from strategies.report.reliability import reliability_body
from strategies.result import METRICS, BacktestResult
from strategies.study import Study

UNDEFINED = "undefined"
IN_SAMPLE = "IN-SAMPLE: models forecast bars that they were trained on. Nothing here says what they would have earned."
MOST_ORDERS = 200
METRIC_WORDS: dict[str, tuple[str, str]] = {
    "sharpe": ("Sharpe ratio, a year", "{:.2f}"),
    "max_drawdown": ("largest drawdown", "{:.2%}"),
    "total_return": ("total return", "{:+.2%}"),
    "final_value": ("final value", "{:,.2f}"),
    "n_orders": ("orders", "{:,.0f}"),
    "n_rejected": ("orders rejected", "{:,.0f}"),
    "commission_paid": ("commission paid", "{:,.2f}"),
    "slippage_paid": ("slippage paid", "{:,.2f}"),
    "turnover": ("turnover, x equity", "{:,.1f}"),
}


def sections(study: Study) -> list[Section]:
    """Return every part of the report; the first is the page's head."""
    parts = [
        Section("top", study.title, _lead(study)),
        Section("result", "Result after costs", _result(study)),
        Section("equity", "Equity and drawdown", _equity(study)),
        Section("folds", "Fold by fold", _folds(study)),
        Section("costs", "What it cost", _costs(study)),
        Section("forecasts", "Forecast quality", _forecasts(study)),
        Section("reliability", "Can its confidence be trusted", reliability_body(study)),
        Section("explanation", "What the model looks at", explanation_body(study)),
        Section("training", "How training went", training_body(study)),
        Section("orders", "Orders not filled whole", _orders(study)),
        Section("bars", "The bars", _bars(study)),
        Section("run", "How to make it again", _run(study)),
    ]
    return [part for part in parts if part.body]


def shown(value: Any, form: str = "{:,.4g}") -> str:
    """Return a number in `form`; None and NaN as the word that says so."""
    return UNDEFINED if value is None or value != value else form.format(value)


def stamp(value: Any, *, days_only: bool = False) -> str:
    """Return a stamp to the minute, or to the day."""
    return UNDEFINED if value is None else pd.Timestamp(value).strftime("%Y-%m-%d" if days_only else "%Y-%m-%d %H:%M")


def _lead(study: Study) -> str:
    first, last = study.bars.index[0], study.bars.index[-1]
    engines = " and ".join(study.results)
    known = said(IN_SAMPLE, "bad") if study.in_sample else ""
    sample = "in sample" if study.in_sample else "out of sample"
    return known + said(
        f"{len(study.bars):,} bars {sample}, {stamp(first)} to {stamp(last)} UTC, forecast in "
        f"{len(study.folds)} fold{'s' * (len(study.folds) != 1)} and traded in {engines}. Every decision is made at a "
        "bar's close and filled at the next open."
    )


def _result(study: Study) -> str:
    columns = {**study.results, **study.baselines}
    head = ["", *[figures.words_of(name) for name in columns]]
    rows = [[METRIC_WORDS[key][0], *_metric_cells(columns.values(), key)] for key in METRICS]
    days, luck = numbers.luck_of(study)
    cost = (
        f"This report tried 1 configuration and shows it whatever came out. Over {days} day{'s' * (days != 1)} with a "
        f"bar, 95 of 100 rules without any skill have a Sharpe ratio within ±{luck:.2f} before costs: a number inside "
        "that band says little. Whoever tries more configurations and keeps the best must raise the bar with their "
        "number."
    )
    noted: dict[str, list[str]] = {}
    for name, result in columns.items():
        for note in result.notes:
            noted.setdefault(note, []).append(figures.words_of(name))
    wrong = [f"{', '.join(names)}: {note}" for note, names in noted.items()]
    return _verdict(study) + table(head, rows) + said(cost, "small") + notes(wrong)


def _metric_cells(results: Iterable[BacktestResult], key: str) -> list[str]:
    return [shown(result.metrics.get(key), METRIC_WORDS[key][1]) for result in results]


def _verdict(study: Study) -> str:
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


def _equity(study: Study) -> str:
    still = [name for name, result in study.results.items() if np.ptp(result.equity) == 0]
    words = (
        "All lines trade the same bars at the same costs; the engines' lines lie on each other where they agree. "
        "Account value at each bar's close. Drag to zoom, double-click to go back, click a name to hide its line."
    )
    moved = said(f"The equity of {' and '.join(still)} never moves: no order was filled.", "bad") if still else ""
    return moved + figure(figures.equity_figure(study), "equity-figure", words)


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


def _folds(study: Study) -> str:
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


def _costs(study: Study) -> str:
    rows, forms = [], ("{:+,.2f}", "{:,.2f}", "{:,.2f}", "{:+,.2f}", "{:,.2f}", "{:.4%}")
    for name, result in {**study.results, **study.baselines}.items():
        cost = numbers.costs_of(result)
        rows.append([figures.words_of(name), *[shown(v, form) for v, form in zip(cost.values(), forms, strict=True)]])
    head = ["", "profit before costs", "commission", "slippage", "net profit", "value traded", "break-even commission"]
    commission, slippage = study.config.get("commission"), study.config.get("slippage")
    charged = (
        f"Charged: commission {shown(commission, '{:.3%}')} of each fill's value, slippage {shown(slippage, '{:.3%}')} "
        "of each fill's price. "
    )
    words = (
        "Amounts are in the account's currency. Profit before costs is that of the same fills made free. Break-even "
        "commission is what the same fills could pay, after their slippage, and end at nothing; below 0, they lose "
        "even if commission were free."
    )
    return said(charged) + table(head, rows) + said(words, "small")


QUALITY_WORDS = {
    "n": "forecasts with a known outcome",
    "hit_rate": "hit rate",
    "rank_ic": "rank IC (Spearman)",
    "log_loss": "log loss, nats",
    "rmse": "RMSE, log return",
    "pinball_loss": "pinball loss, log return",
}


def _forecasts(study: Study) -> str:
    found = [
        (words, _quality(key, study.forecast[key])) for key, words in QUALITY_WORDS.items() if key in study.forecast
    ]
    for key, words in (("precision_at_k", "a day"), ("precision_at_k_overall", "overall")):
        at_k = study.forecast.get(key)
        pairs = at_k.items() if isinstance(at_k, dict) else [("k", at_k)] if at_k is not None else []
        found += [(f"precision@{k}, {words}", shown(value, "{:.1%}")) for k, value in pairs]
    for horizon, quality in (study.forecast.get("horizons") or {}).items():  # those that do not lead
        pairs = [(QUALITY_WORDS[key], _quality(key, value)) for key, value in quality.items()]
        found += [(f"{words}, {horizon} bars ahead", value) for words, value in pairs]
    silent = int(study.forecasts["signal"].isna().sum())
    quiet = f"{silent:,} of {len(study.forecasts):,} bars have no forecast (their past is not whole) and are held flat."
    body = facts(found) + (said(quiet) if silent else "")
    known = study.forecast.get("notes") or ()
    return body + _confidence(study) + notes(known)


def _quality(key: str, value: Any) -> str:
    return shown(value, {"n": "{:,}", "hit_rate": "{:.2%}", "rank_ic": "{:+.4f}"}.get(key, "{:.4g}"))


def _confidence(study: Study) -> str:
    if not study.forecasts["confidence"].notna().any():
        return said("No forecast carries a confidence.")
    counts = figure(figures.confidence_figure(study.forecasts), "confidence-figure", "How sure the model was.")
    buckets = numbers.confidence_buckets(study)
    if buckets is None:
        words = (
            "Hit rate by confidence is not drawn: too few directional calls with a known return, or all equally sure."
        )
        return counts + said(words, "small")
    words = (
        f"Do surer calls hit more often? Calls in {len(buckets)} buckets of equal count; bars are 95% intervals for "
        "independent calls (labels that overlap make them too narrow). Dashed: a coin."
    )
    return f'<div class="pair">{counts}{figure(figures.bucket_figure(buckets), "bucket-figure", words)}</div>'


def _orders(study: Study) -> str:
    counts = []
    for name, result in study.results.items():
        status = result.orders["status"].value_counts()
        counts.append([name, *[f"{int(status.get(kind, 0)):,}" for kind in ("filled", "partial", "rejected")]])
    body = table(["", "filled", "partial", "rejected"], counts)
    body += said(
        "A buy with all the account's cash cannot pay its own costs too: it is filled as far as cash goes.", "small"
    )
    clipped = pd.concat([result.orders[result.orders["status"] != "filled"] for result in study.results.values()])
    if clipped.empty:
        return body + said("Every order was filled whole." if any(_n(study)) else "No order was given.")
    head = ["engine", "status", "decided", "fill bar", "size", "price", "commission", "reason"]
    rows = [_clipped_cells(order) for order in clipped.head(MOST_ORDERS).itertuples()]
    more = (
        f"The first {MOST_ORDERS} of {len(clipped):,}; orders.parquet holds all." if len(clipped) > MOST_ORDERS else ""
    )
    return body + table(head, rows, words=2, tall=len(rows) > 10) + (said(more, "small") if more else "")


def _clipped_cells(order: Any) -> list[str]:
    words = [str(order.engine), str(order.status), stamp(order.decided), stamp(order.timestamp)]
    amounts = [shown(order.size), shown(order.price, "{:,.6g}"), shown(order.commission, "{:,.2f}")]
    return [*words, *amounts, str(order.reason)]


def _n(study: Study) -> list[int]:
    return [len(result.orders) for result in study.results.values()]


def _bars(study: Study) -> str:
    words = {
        "rows": "bars read",
        "gaps": "gaps (places where bars are missing)",
        "first": "first bar",
        "last": "last bar",
    }
    pairs = [(words.get(key, key), _fact(key, value)) for key, value in study.data.items()]
    heading = "<h3>What the run said</h3>" if study.notes else ""
    return facts(pairs) + heading + notes(study.notes)


def _fact(key: str, value: Any) -> str:
    if key in ("first", "last"):
        return f"{stamp(value)} UTC"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _run(study: Study) -> str:
    body = facts([("seed", str(study.seed)), ("took", f"{study.seconds:,.1f} s"), ("configurations tried", "1")])
    return body + how_to(study.command, study.config.items(), study.versions)
