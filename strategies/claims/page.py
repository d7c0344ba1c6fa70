"""The files of a study of claims: verdicts, a table, a report that opens offline."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from strategies.claims.verdicts import Verdict
from strategies.command import typed_command
from strategies.folder import result_folder, work_folder
from strategies.main_job import versions
from strategies.output import plain
from strategies.report.page import Section, facts, how_to, notes, page, said, table
from strategies.report.words import shown


def write_claims(
    title: str,
    lead: str,
    verdicts: Iterable[Verdict],
    tables: Mapping[str, pd.DataFrame],
    config: Any,
    *,
    remarks: Iterable[str] = (),
    seconds: float = 0.0,
) -> Path:
    """Write ``verdicts.json``, one CSV a table and ``report.html`` into `config.out`, all or nothing."""
    verdicts, remarks = list(verdicts), list(remarks)
    with result_folder(config.out, overwrite=config.overwrite) as folder:
        told = {
            "verdicts": [{"claim": v.claim, "outcome": v.outcome, "found": v.found} for v in verdicts],
            "remarks": remarks,
            "seconds": seconds,
            "config": config.as_dict(),
            "versions": versions(),
        }
        (folder / "verdicts.json").write_text(json.dumps(plain(told), indent=2, allow_nan=False) + "\n")
        for name, frame in tables.items():
            frame.to_csv(folder / f"{name}.csv", index=False)
        text = _report(title, lead, verdicts, tables, config, remarks, seconds)
        (folder / "report.html").write_text(text, encoding="utf-8")
    shutil.rmtree(work_folder(config.out), ignore_errors=True)
    return Path(config.out)


def _report(
    title: str,
    lead: str,
    verdicts: list[Verdict],
    tables: Mapping[str, pd.DataFrame],
    config: Any,
    remarks: list[str],
    seconds: float,
) -> str:
    claims = "".join(said(f"{one.outcome.capitalize()}: {one.claim}.") + said(one.found, "small") for one in verdicts)
    words = (
        "A claim holds, or does not, only where the whole 95% interval says so; else it is undecided. Intervals come "
        "from a bootstrap of whole days in blocks; with few days they are rough. The k surest calls of a day are known "
        "only when it is over: a model that is surest at the lowest price has most of them right on a random walk. "
        "What is said of calls as sure as the k-th of the day before has no such hindsight."
    )
    parts = [
        Section("top", "", said(lead)),
        Section(
            "claims",
            "What was claimed, and what came of it",
            claims + said(words, "small"),
        ),
    ]
    if remarks:
        parts.append(Section("remarks", "Besides", notes(remarks)))
    for name, frame in tables.items():
        parts.append(Section(name, name.replace("_", " ").capitalize(), _frame(frame)))
    how = facts([("took", f"{seconds:,.0f} s")]) + how_to(typed_command(), config.as_dict().items(), versions())
    return page(title, [*parts, Section("run", "How to make it again", how)])


def _frame(frame: pd.DataFrame) -> str:
    texts = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    ordered = frame[[*texts, *[name for name in frame if name not in texts]]]
    rows = [[_cell(value) for value in row] for row in ordered.itertuples(index=False)]
    return table([str(name).replace("_", " ") for name in ordered], rows, words=len(texts), tall=len(rows) > 10)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return "" if value is None or value != value else shown(value)
