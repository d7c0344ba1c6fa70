"""The report of one study, of a model or of an account: one HTML file that opens offline."""

from __future__ import annotations

from pathlib import Path

from strategies.report.page import page
from strategies.report.sections import sections
from strategies.report.trades import EACH
from strategies.study import Traded


def write_report(study: Traded, path: str | Path, *, each: int = EACH) -> Path:
    """Write `study` as self-contained HTML: tables, plotly figures and the plotly library, once.

    Lines are drawn from some three thousand rows at most, among them the highest and lowest of every stretch,
    so that what is on hover is always a true value at a true stamp. Of the best, worst, longest and last trades `each`
    are drawn with the price around them.
    """
    path = Path(path)
    path.write_text(page(study.title, sections(study, each)), encoding="utf-8")
    return path


__all__ = ["write_report"]
