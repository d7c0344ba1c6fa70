"""The laws of a label: it looks ahead, and says how far. (What it takes from the past is its own affair.)"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from mlcore.checks.laws import changed, first_difference, require, same
from mlcore.models.inputs import label_shape
from mlcore.tasks import Label

LabelFunction = Callable[[pd.DataFrame], Label]
LABEL_CUTS = (2, 40, 150, 230, 299)
PROBED = (0, 3, 60, 150, 240)  # rows whose own end is looked at


def label_is_pure(label: LabelFunction, bars: pd.DataFrame) -> None:
    """A label leaves the bars as they were and gives the same answer twice."""
    before = bars.copy(deep=True)
    once, twice = label(bars), label(bars)
    require(bars.equals(before), label, "it changed the bars it was given.")
    require(_same(once, twice, len(bars)), label, "two calls differ.")


def label_has_the_shape_of_its_task(label: LabelFunction, bars: pd.DataFrame) -> None:
    """A label has one value a bar and horizon, one return and end a bar, and its values are what its task says."""
    made, n = label(bars), len(bars)
    require(made.values.shape == label_shape(n, made.task), label, "it is not one value a bar and horizon.")
    require(made.returns.shape == made.ends.shape == (n,), label, "it is not one return and one end a bar.")
    require(made.task.n_outputs % made.task.n_horizons == 0, label, "its horizons have not as many outputs each.")
    require(np.issubdtype(made.ends.dtype, np.integer), label, "`ends` are no rows.")
    if made.task.kind == "classes":
        require(len(made.task.scores) == made.task.lead.n_outputs, label, "its task has not one score a class.")
        require(np.abs(made.task.scores).max() <= 1.0, label, "its task has a score outside [-1, 1].")
        codes = np.unique(made.values[np.isfinite(made.values)])
        require(np.isin(codes, np.arange(made.task.lead.n_outputs)).all(), label, f"its codes are {codes.tolist()}.")
    if made.task.kind == "quantiles":
        require(len(made.task.quantiles) == made.task.lead.n_outputs, label, "its task has not one level a quantile.")


def label_declares_its_span(label: LabelFunction, bars: pd.DataFrame) -> None:
    """A label ends after its row, at most `span` bars on, and some label is as long as that."""
    made = label(bars)
    length = made.ends - np.arange(len(bars))
    require(length.min() >= 1, label, f"row {int(length.argmin())} ends at its own bar or before.")
    require(length.max() == made.span, label, f"`span` is {made.span} and the longest label takes {length.max()} bars.")


def label_is_nan_only_where_its_end_is_not_there(label: LabelFunction, bars: pd.DataFrame) -> None:
    """A label is NaN on exactly the rows whose end is not in the frame."""
    made = label(bars)
    inside = made.ends < len(bars)
    for what, values in (("value", made.values), ("return", made.returns)):
        require(np.isfinite(values[inside]).all(), label, f"a {what} is NaN though its end is in the frame.")
        require(np.isnan(values[~inside]).all(), label, f"a {what} is known though its end is not in the frame.")


def label_sees_nothing_after_its_end(label: LabelFunction, bars: pd.DataFrame) -> None:
    """A label that ended by row t is bit for bit the same when the bars after t are other bars, or not there."""
    made = label(bars)
    for cut in LABEL_CUTS:
        ended = np.flatnonzero(made.ends < cut)
        for other in (bars.iloc[:cut], changed(bars, slice(cut, None), 0.1), changed(bars, slice(cut, None), 10.0)):
            again = label(other)
            told = first_difference(again.returns[ended], made.returns[ended])
            require(_same(again, made, ended), label, f"bars from {cut} on change labels that had ended, {told}.")


def label_reaches_its_end(label: LabelFunction, bars: pd.DataFrame) -> None:
    """A label depends on the bar it says it ends on: the purge is as long as it must be, and no longer."""
    made = label(bars)
    for row in PROBED:
        end = int(made.ends[row])
        moved = [label(changed(bars, slice(end, end + 1), factor)) for factor in (0.5, 2.0)]
        alike = all(_same(other, made, np.array([row])) for other in moved)
        require(not alike, label, f"row {row} says it ends on bar {end}, and that bar makes no difference to it.")


def _same(a: Label, b: Label, rows: int | np.ndarray) -> bool:
    rows = np.arange(rows) if isinstance(rows, int) else rows
    pairs = ((a.values, b.values), (a.returns, b.returns), (a.ends, b.ends))
    return all(same(one[rows], other[rows]) for one, other in pairs)


LABEL_CHECKS: tuple[Callable[[LabelFunction, pd.DataFrame], None], ...] = (
    label_is_pure,
    label_has_the_shape_of_its_task,
    label_declares_its_span,
    label_is_nan_only_where_its_end_is_not_there,
    label_sees_nothing_after_its_end,
    label_reaches_its_end,
)
