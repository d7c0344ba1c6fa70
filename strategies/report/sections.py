"""What the report says, part by part, in the order a reader would ask."""

from __future__ import annotations

import json
from dataclasses import fields
from html import escape
from typing import Any

from strategies.report import numbers
from strategies.report.costing import costs_body
from strategies.report.doubts import doubts_body
from strategies.report.earned import result_body, rivals_body
from strategies.report.learning import explanation_body, training_body
from strategies.report.page import Section, facts, how_to, said, table
from strategies.report.quality import forecasts_body
from strategies.report.reliability import reliability_body
from strategies.report.trades import EACH, trades_body
from strategies.report.trips import trips_of
from strategies.report.where import folds_body, months_body, sides_body, symbols_body
from strategies.report.words import many, stamp
from strategies.study import Study, Traded

IN_SAMPLE = "IN-SAMPLE: models forecast bars that they were trained on. Nothing here says what they would have earned."


def sections(study: Traded, each: int = EACH) -> list[Section]:
    """Return every part of the report; the first is the page's head. `each`: trades drawn of every kind."""
    ratios = numbers.ratios_of(study)
    held = trips_of(numbers.first_result(study), study.panel)
    model = study if isinstance(study, Study) else None
    parts = [
        Section("top", study.title, _lead(study)),
        Section("result", "Did it earn after costs", result_body(study, ratios)),
        Section("equity", "Against what", rivals_body(study, ratios)),
        Section("folds", "Where: fold by fold", folds_body(model) if model else ""),
        Section("months", "Where: month by month", months_body(study)),
        Section("symbols", "Where: symbol by symbol", symbols_body(study, held)),
        Section("sides", "Where: long and short", sides_body(study, held)),
        Section("forecasts", "How sure: the forecasts", forecasts_body(model) if model else ""),
        Section("reliability", "How sure: can its confidence be trusted", reliability_body(model) if model else ""),
        Section("costs", "What it cost", costs_body(study)),
        Section("doubts", "What could be wrong", doubts_body(study)),
        Section("trades", "Trades one by one", trades_body(study, held, each)),
        Section("explanation", "What the model looks at", explanation_body(model) if model else ""),
        Section("training", "How training went", training_body(model) if model else ""),
        Section("run", "How to make it again", _run(study)),
    ]
    return [part for part in parts if part.body]


def _lead(study: Traded) -> str:
    clock = numbers.first_result(study).equity.index
    sample = "in sample" if study.in_sample else "out of sample"
    known = said(IN_SAMPLE, "bad") if study.in_sample else ""
    if isinstance(study, Study):
        what = f"{len(study.bars):,} bars {sample}"
        how = f"forecast in {many(len(study.folds), 'fold')} and traded in"
    else:
        what = f"One account of {many(len(study.panel), 'symbol')}, {len(clock):,} bars"
        what += f" {sample}" if study.views else ""
        how = f"{rules_in_words(study)}, traded in"
    return known + said(
        f"{what}, {stamp(clock[0])} to {stamp(clock[-1])} UTC, {how} {' and '.join(study.results)}. "
        "Every decision is made at a bar's close and filled at the next open."
    )


def rules_in_words(study: Traded) -> str:
    """Return the rules that the account kept, those that are set."""
    rules = numbers.first_result(study).extras["plan"].rules
    given = {one.name: getattr(rules, one.name) for one in fields(rules)}
    kept = [name if value is True else f"{name} {value:g}" for name, value in given.items() if value]
    return f"under the rules {', '.join(kept)}" if kept else "under no rules but its weights"


DATA_WORDS = {
    "symbols": "symbols",
    "rows": "bars read",
    "gaps": "gaps (places where bars are missing)",
    "first": "first bar",
    "last": "last bar",
    "sha256": "SHA-256 of the bars read",
    "weights_sha256": "SHA-256 of the weights (weights.parquet)",
    "funding_sha256": "SHA-256 of the funding",
    "slippage_sha256": "SHA-256 of the slippage",
}


def _run(study: Traded) -> str:
    tried = ("configurations tried", f"{study.tried:,}")
    about = facts([("seed", str(study.seed)), ("took", f"{study.seconds:,.1f} s"), tried])
    data = facts([(DATA_WORDS[key], _fact(key, value)) for key, value in study.data.items() if key in DATA_WORDS])
    inputs = f"<h3>The bars</h3>{data}{_each_symbol(study)}{_account(study)}"
    return about + how_to(study.command, study.config.items(), study.versions, inputs) + _file(study)


def _each_symbol(study: Traded) -> str:
    each = study.data.get("by_symbol", {})
    rows = [[name, f"{one['rows']:,}", one["sha256"]] for name, one in each.items()]
    whole = table(["symbol", "bars", "SHA-256"], rows, tall=len(rows) > 12)
    return f"<details><summary>The bars of each symbol</summary>{whole}</details>" if rows else ""


def _account(study: Traded) -> str:
    """Return cash, costs and rules of an account; nothing for one symbol by its weights, whose settings hold them."""
    plan = numbers.first_result(study).extras.get("plan")
    if plan is None:
        return ""
    settings = plan.settings() | {"days_per_year": study.days_per_year}
    told = [(name, "none" if value is None else str(value)) for name, value in settings.items()]
    return "<h3>Cash, costs and rules of the account</h3>" + facts(told)


def _file(study: Traded) -> str:
    """Return all settings as the text of a file that `--config` reads; nothing where there are none."""
    if not study.config:
        return ""
    text = json.dumps(study.config, indent=2, default=str)
    return (
        "<details><summary>All settings as a file: save it, and give it to the same script by --config</summary>"
        f'<pre id="config">{escape(text, quote=False)}</pre></details>'
    )


def _fact(key: str, value: Any) -> str:
    if key in ("first", "last"):
        return f"{stamp(value)} UTC"
    return f"{value:,}" if isinstance(value, int) else str(value)
