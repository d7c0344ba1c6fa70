"""How the report writes numbers and stamps."""

from __future__ import annotations

from typing import Any

import pandas as pd

from mlcore.bootstrap import Estimate

UNDEFINED = "undefined"


def shown(value: Any, form: str = "{:,.4g}") -> str:
    """Return a number in `form`; None and NaN as the word that says so."""
    return UNDEFINED if value is None or value != value else form.format(value)


def stamp(value: Any, *, days_only: bool = False) -> str:
    """Return a stamp to the minute, or to the day."""
    return UNDEFINED if value is None else pd.Timestamp(value).strftime("%Y-%m-%d" if days_only else "%Y-%m-%d %H:%M")


def between(estimate: Estimate | None, form: str = "{:.2f}") -> str:
    """Return the interval as ``[low, high]``, or nothing where there is none.

    >>> between(Estimate(1.0, 0.5, 1.5)), between(Estimate(1.0))
    ('[0.50, 1.50]', '')
    """
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"[{form.format(estimate.low)}, {form.format(estimate.high)}]"


def many(count: int, word: str) -> str:
    """Return a count with its word, plural but for one.

    >>> many(1, "bar"), many(2000, "trade")
    ('1 bar', '2,000 trades')
    """
    return f"{count:,} {word}{'s' * (count != 1)}"
