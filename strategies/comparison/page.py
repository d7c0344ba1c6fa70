"""The report of a comparison: one HTML file that opens offline."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mlcore.bootstrap import Estimate
from strategies.comparison.run import Comparison
from strategies.comparison.table import model_table
from strategies.comparison.trading import HELD
from strategies.comparison.words import LOSS_WORDS, verdicts
from strategies.report.figures import BLUE, GREEN, GREY, RED, styled, words_of
from strategies.report.page import Section, facts, figure, how_to, notes, page, said, table
from strategies.report.words import shown

PERCENT = ("accuracy", "precision", "recall", "f1", "direction", "precision_at")


def report(found: Comparison) -> str:
    """Return the whole page."""
    name = str(found.config.bars).rsplit("/", 1)[-1]
    lead = (
        f"{found.tried} models on one protocol: {found.judged.n:,} forecasts of {found.judged.days:,} days, all out of "
        f"sample, trained on {found.config.train} and refitted every {found.config.test}; label {found.config.label}."
    )
    parts = [
        Section("top", "", said(lead)),
        Section("verdict", "What can be said", notes(verdicts(found))),
        Section("forecasts", "Forecasts", _forecasts(found)),
        Section("money", "After costs", _money(found)),
        Section("cost", "What each takes", _taken(found)),
        Section("all", "Every metric", _every(found)),
        Section("run", "How to make it again", _run(found)),
    ]
    return page(f"Models compared on {name}", parts)


def interval(one: Estimate | None, form: str = "{:.4g}") -> str:
    """Return a number with its interval in words."""
    if one is None or one.value is None:
        return "undefined"
    if one.low is None or one.high is None:
        return form.format(one.value)
    return f"{form.format(one.value)} [{form.format(one.low)}, {form.format(one.high)}]"


def form_of(metric: str) -> str:
    """Return how a metric is written."""
    return "{:.1%}" if metric.startswith(PERCENT) else "{:.4g}"


def _ordered(found: Comparison) -> list[str]:
    return [str(name) for name in model_table(found).index if name in found.judged.metrics]


def _forecasts(found: Comparison) -> str:
    loss = "rmse" if found.loss == "squared_error" else found.loss
    columns = [loss, "direction", "accuracy", "auc", "rank_ic", "precision_at_10_day", "precision_at_10_ahead"]
    head = ["model", f"{words_of(loss)} less naive's", *map(words_of, columns), "better than"]
    rows = []
    for name in _ordered(found):
        metrics = found.judged.metrics[name]
        less = found.judged.differences[name].get("naive", {}).get(loss)
        cells = [interval(metrics.get(column), form_of(column)) for column in columns]
        better = ", ".join(map(words_of, found.better_than(name))) or "none"
        rows.append([words_of(name), "" if name == "naive" else interval(less), *cells, better])
    words = (
        f"In brackets 95% intervals by a block bootstrap ({found.config.resamples:,} resamples, blocks of "
        f"{found.judged.block:.0f} rows on average, for numbers by day {found.judged.day_block:.1f} days). Differences "
        "are paired: the same rows for both. `Better than` is said only by a step-wise test at 5%, corrected for all "
        f"{found.tried} models; an interval that leaves out 0 says it of one model alone. The surest of a day "
        "are known only when it is over; `ahead` are those as sure as the tenth surest of the day before."
    )
    out = [f"{words_of(name)}: {why}" for name, why in found.judged.left_out.items()]
    return _forest(found, loss) + table(head, rows) + said(words, "small") + notes(out)


def _forest(found: Comparison, loss: str) -> str:
    """Loss against naive's, as a share of it, with intervals; nothing where naive was not judged."""
    base = found.judged.metrics.get("naive", {}).get(loss)
    if base is None or not base.value:
        return ""
    names, values, low, high = [], [], [], []
    for name in reversed(_ordered(found)):
        one = found.judged.differences[name].get("naive", {}).get(loss)
        if name == "naive" or one is None or one.value is None or one.low is None or one.high is None:
            continue
        names.append(words_of(name))
        values.append(100 * one.value / base.value)
        low.append(100 * one.low / base.value)
        high.append(100 * one.high / base.value)
    if not names:
        return ""
    colors = [GREEN if h < 0 else RED if lo > 0 else GREY for lo, h in zip(low, high, strict=True)]
    drawn = _dots(names, values, low, high, colors, f"{words_of(loss)} against naive's, %")
    return figure(
        drawn,
        "loss-figure",
        f"{LOSS_WORDS[found.loss].capitalize()} against the baseline that says the same always, with 95% intervals. "
        "Left is lower. Green: the whole interval is lower; red: higher; grey: it holds 0. Of one model alone: what is "
        "better after correcting for all that were tried is told below.",
    )


def _dots(names: list[str], values: Any, low: Any, high: Any, colors: list[str], title: str) -> go.Figure:
    middle, least, most = (np.asarray(each, dtype=np.float64) for each in (values, low, high))
    drawn = go.Figure(
        go.Scatter(
            x=middle,
            y=names,
            mode="markers",
            marker={"size": 9, "color": colors},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": most - middle,
                "arrayminus": middle - least,
                "color": GREY,
                "thickness": 1.3,
            },
            customdata=np.column_stack([least, most]),
            hovertemplate="%{y}: %{x:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<extra></extra>",
        )
    )
    drawn.add_vline(x=0, line={"color": GREY, "dash": "4px,4px", "width": 1.2})
    drawn.update_xaxes(title_text=title)
    drawn.update_yaxes(type="category")
    return styled(drawn, 110 + 26 * len(names)).update_layout(showlegend=False)


def _money(found: Comparison) -> str:
    head = ["model", "Sharpe, a year", "less buy and hold's", "p of equal", "corrected", "PSR", "deflated"]
    head += [f"{said_of}: {word}" for said_of in _engines(found) for word in ("Sharpe", "drawdown", "return", "orders")]
    ordered = [HELD, *_ordered(found), *[n for n in found.results if n not in found.judged.metrics and n != HELD]]
    rows = []
    for name in ordered:
        if name not in found.accounts:
            continue
        account = found.accounts[name]
        less = "" if name == HELD else interval(account.versus.get(HELD), "{:.2f}")
        cells = [
            shown(account.p_held, "{:.3f}"),
            shown(account.p_held_corrected, "{:.3f}"),
            shown(account.psr, "{:.1%}"),
        ]
        cells = ["", "", shown(account.psr, "{:.1%}"), ""] if name == HELD else [*cells, shown(account.dsr, "{:.1%}")]
        rows.append([words_of(name), interval(account.sharpe, "{:.2f}"), less, *cells, *_engine_cells(found, name)])
    gaps = [gap for gap in found.reconciled.values() if isinstance(gap, float)]
    words = (
        f"Commission {found.config.commission:.3%} of a fill, slippage {found.config.slippage:.3%} of its price; "
        "decided at the close, filled at the next open; one account a model, all its cash. Sharpe ratios are of daily "
        "returns. PSR: chance that the true one is above 0. Deflated: above what the best of all tried would show "
        "without skill. Drawdown depends on the order of days, which a bootstrap of days changes: no interval is given."
    )
    agreed = (
        said(f"Reconciled: the engines agree on every bar of {len(gaps)} accounts to {max(gaps):.1e}.", "good")
        if gaps
        else ""
    )
    apart = "".join(said(f"{name}: {gap}", "bad") for name, gap in found.reconciled.items() if isinstance(gap, str))
    noted: dict[str, list[str]] = {}
    for name, engines in found.results.items():
        for note in {note: None for result in engines.values() for note in result.notes}:
            noted.setdefault(note, []).append(words_of(name))
    lines = [f"{', '.join(names)}: {note}" for note, names in noted.items()]
    return agreed + apart + _sharpes(found, ordered) + table(head, rows) + said(words, "small") + notes(lines)


def _engines(found: Comparison) -> dict[str, str]:
    """Return whose numbers are shown, by what they are called: one engine's where both agree on every account."""
    engines = list(dict.fromkeys(engine for engines in found.results.values() for engine in engines))
    return {"both engines": engines[0]} if len(engines) > 1 and found.agrees else {name: name for name in engines}


def _engine_cells(found: Comparison, name: str) -> list[str]:
    forms = {"sharpe": "{:.2f}", "max_drawdown": "{:.1%}", "total_return": "{:+.1%}", "n_orders": "{:,}"}
    cells = []
    for engine in _engines(found).values():
        result = found.results[name].get(engine)
        cells += [shown(None if result is None else result.metrics.get(key), form) for key, form in forms.items()]
    return cells


def _sharpes(found: Comparison, ordered: list[str]) -> str:
    some = [(n, a.sharpe) for n in reversed(ordered) if (a := found.accounts.get(n)) and a.sharpe.low is not None]
    if not some:
        return ""
    colors = [BLUE if name == HELD else GREY for name, _ in some]
    values, low, high = ([getattr(one, part) for _, one in some] for part in ("value", "low", "high"))
    drawn = _dots([words_of(name) for name, _ in some], values, low, high, colors, "net Sharpe ratio, a year")
    return figure(
        drawn,
        "sharpe-figure",
        "Net Sharpe ratios with 95% intervals (blue: buy and hold); accounts that were lost have none.",
    )


def _taken(found: Comparison) -> str:
    head = ["model", "training, s", "folds", "decision, ms", "stored, kB", "stride"]
    rows = []
    for name, one in found.entrants.items():
        ms = 1000 * float(np.median(one.latency)) if one.latency else None
        size = None if one.size is None else one.size / 1000
        cells = [shown(one.seconds, "{:,.1f}"), f"{one.folds}", shown(ms, "{:.2f}"), shown(size, "{:,.0f}")]
        rows.append([words_of(name), *cells, str(one.stride)])
    words = (
        "Training is the time of one core over all folds, their forecasts included. A decision is from a bar in to its "
        "forecast out, features included, on one thread: the median of 200. The size is the last fold's, as stored."
    )
    lines = [f"{words_of(name)}: failed. {one.failure}" for name, one in found.entrants.items() if one.failure]
    lines += [f"{words_of(name)}: {note}" for name, one in found.entrants.items() for note in one.notes]
    return table(head, rows) + said(words, "small") + notes(lines)


def _every(found: Comparison) -> str:
    names = _ordered(found)
    metrics = list(dict.fromkeys(metric for name in names for metric in found.judged.metrics[name]))
    rows = [
        [words_of(metric), *[interval(found.judged.metrics[name].get(metric), form_of(metric)) for name in names]]
        for metric in metrics
    ]
    words = (
        "A number that is not defined (a class never forecast has no precision, a constant signal no rank IC) says so. "
        "differences.csv holds each metric less that of each baseline, with paired intervals."
    )
    return table(["metric", *map(words_of, names)], rows, tall=True) + said(words, "small")


def _run(found: Comparison) -> str:
    hidden = {flag.name for flag in fields(found.config) if flag.metadata.get("hidden")}
    settings = [(key, value) for key, value in found.config.as_dict().items() if key not in hidden]
    data = facts((str(key), str(value)) for key, value in found.data.items())
    said_of_bars = "<h3>What the run said</h3>" + notes(found.notes) if found.notes else ""
    took = facts([("took", f"{found.seconds:,.0f} s"), ("models tried", str(found.tried))])
    return data + said_of_bars + took + how_to(found.command, settings, found.versions)
