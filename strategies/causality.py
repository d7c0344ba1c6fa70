"""Does this run's feature table know later bars: it is made again without them, and must be the same to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mlcore.checks.laws import first_difference, same
from mlcore.errors import BarwiseError
from mlcore.features import table_for

SHARES = (0.02, 0.1, 0.35, 0.7)  # of the bars kept: an early cut shows what a later one hides (a `bfill`)


def check_causality(model: Any, bars: pd.DataFrame) -> dict[str, Any]:
    """Make the features of `model` from `bars`, and again from their first 2, 10, 35 and 70%.

    Returns
    -------
    dict
        ``cuts`` (the last bars kept), ``rows`` (compared, over all cuts), ``columns``, and ``differs``: None where
        every number is the same to the bit, else where one is not.
    """
    whole = table_for(model, bars)
    cuts, rows, differs = [], 0, None
    for kept in sorted({round(share * len(bars)) for share in SHARES}):
        try:
            cut = table_for(model, bars.iloc[:kept])
        except BarwiseError:  # too few bars for a longer clock
            continue
        before = whole.iloc[: len(cut)]
        cuts.append(bars.index[kept - 1])
        rows += len(cut)
        if differs is None and not (same(before, cut) and list(before.columns) == list(cut.columns)):
            differs = f"with bars after {cuts[-1]} left out, {first_difference(before, cut)}{_column(before, cut)}"
    return {"cuts": cuts, "rows": rows, "columns": whole.shape[1], "differs": differs}


def _column(a: pd.DataFrame, b: pd.DataFrame) -> str:
    """Name the column of the first difference."""
    if a.shape != b.shape:
        return ""
    one, other = a.to_numpy(np.float64), b.to_numpy(np.float64)
    at = np.argwhere(~((one == other) | (np.isnan(one) & np.isnan(other))))
    return f" ({a.columns[int(at[0][1])]})" if len(at) else ""
