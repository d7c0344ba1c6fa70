"""What the report says, part by part, in the order a reader would ask."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from strategies.report import numbers
from strategies.report.costing import costs_body
from strategies.report.doubts import doubts_body
from strategies.report.earned import result_body, rivals_body
from strategies.report.learning import explanation_body, training_body
from strategies.report.page import Section, facts, how_to, said
from strategies.report.quality import forecasts_body
from strategies.report.reliability import reliability_body
from strategies.report.trades import EACH, trades_body
from strategies.report.where import folds_body, months_body, sides_body
from strategies.report.words import stamp
from strategies.study import Study

IN_SAMPLE = "IN-SAMPLE: models forecast bars that they were trained on. Nothing here says what they would have earned."


def sections(study: Study, each: int = EACH) -> list[Section]:
    """Return every part of the report; the first is the page's head. `each`: trades drawn of every kind."""
    ratios = numbers.ratios_of(study)
    trips = numbers.trips_of(numbers.first_result(study), study.bars)
    parts = [
        Section("top", study.title, _lead(study)),
        Section("result", "Did it earn after costs", result_body(study, ratios)),
        Section("equity", "Against what", rivals_body(study, ratios)),
        Section("folds", "Where: fold by fold", folds_body(study)),
        Section("months", "Where: month by month", months_body(study)),
        Section("sides", "Where: long and short", sides_body(study, trips)),
        Section("forecasts", "How sure: the forecasts", forecasts_body(study)),
        Section("reliability", "How sure: can its confidence be trusted", reliability_body(study)),
        Section("costs", "What it cost", costs_body(study)),
        Section("doubts", "What could be wrong", doubts_body(study)),
        Section("trades", "Trades one by one", trades_body(study, trips, each)),
        Section("explanation", "What the model looks at", explanation_body(study)),
        Section("training", "How training went", training_body(study)),
        Section("run", "How to make it again", _run(study)),
    ]
    return [part for part in parts if part.body]


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


DATA_WORDS = {
    "rows": "bars read",
    "gaps": "gaps (places where bars are missing)",
    "first": "first bar",
    "last": "last bar",
    "sha256": "SHA-256 of the bars read",
}


def _run(study: Study) -> str:
    about = facts([("seed", str(study.seed)), ("took", f"{study.seconds:,.1f} s"), ("configurations tried", "1")])
    data = facts([(DATA_WORDS.get(key, key), _fact(key, value)) for key, value in study.data.items()])
    told = how_to(study.command, study.config.items(), study.versions)
    return about + told.replace("<h3>Settings</h3>", f"<h3>The bars</h3>{data}<h3>Settings</h3>", 1) + _file(study)


def _file(study: Study) -> str:
    """Return all settings as the text of a file that `--config` reads."""
    text = json.dumps(study.config, indent=2, default=str)
    return (
        "<details><summary>All settings as a file: save it, and give it to the same script by --config</summary>"
        f'<pre id="config">{escape(text, quote=False)}</pre></details>'
    )


def _fact(key: str, value: Any) -> str:
    if key in ("first", "last"):
        return f"{stamp(value)} UTC"
    return f"{value:,}" if isinstance(value, int) else str(value)
