"""What a fitted model says of itself, as tables: which features it leans on, which bars it looks at.

A model MAY have ``explain(windows) -> dict[str, DataFrame]``. Its tables are numbers with one row a feature (names as
the index, the model's own order) or one row a bar of the window (whole numbers as the index, 0 the newest bar), and one
column or a few. The report draws them by their shape; these names have words there: ``importance``, ``shap``,
``coefficients``, ``variable_weights``, ``attention``.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.windows import Windows

MOST_WINDOWS = 256  # windows that are explained: enough for a mean, few enough to cost nothing beside a fit


def explanation_of(model: Any, windows: Windows) -> dict[str, pd.DataFrame]:
    """Return what `model` says of the first `MOST_WINDOWS` of `windows`; nothing for a model without ``explain``.

    Known when the forecasts of these windows are: at the close of the newest bar of each. A model that refuses
    (`BarwiseError`), or whose tables are not finite numbers, is warned of and says nothing: forecasts go before words.
    """
    model = next(iter(getattr(model, "horizon_models_", ())), model)  # of several horizons the leading one speaks
    explain = getattr(model, "explain", None)
    if explain is None or not len(windows):
        return {}
    try:
        told = explain(windows.take(slice(0, MOST_WINDOWS)))
        return {str(name): _checked(model, name, table) for name, table in told.items()}
    except BarwiseError as error:
        warnings.warn(f"What the model looks at cannot be told: {error}", BarwiseWarning, stacklevel=2)
        return {}


def feature_names(model: Any, n_features: int) -> list[str]:
    """Return the names of the model's features: those that the walk-forward gave it, or numbers.

    >>> feature_names(object(), 2)
    ['feature 0', 'feature 1']
    """
    return list(getattr(model, "feature_names_in_", None) or (f"feature {at}" for at in range(n_features)))


def flat_names(model: Any, n_features: int) -> list[str]:
    """Return the names of a flat window's columns (`mlcore.models.inputs.flatten`), oldest bar first."""
    names = feature_names(model, n_features)
    backs = range(model.lookback - 1, -1, -1)
    return [name if not back else f"{name}, {back} back" for back in backs for name in names]


def bars_back(lookback: int) -> pd.RangeIndex:
    """Return the index of a table over the bars of a window, oldest first: ``lookback - 1`` down to 0."""
    return pd.RangeIndex(lookback - 1, -1, -1, name="bars back")


def _checked(model: Any, name: str, table: Any) -> pd.DataFrame:
    kind = type(model).__name__
    if not isinstance(table, pd.DataFrame) or table.empty or not table.index.is_unique or not table.columns.is_unique:
        raise BarwiseError(f"`explain` of {kind} gave {name!r} as no table with rows and columns of their own names.")
    values = table.to_numpy(dtype=np.float64, na_value=np.nan)
    if not np.isfinite(values).all():
        raise BarwiseError(f"`explain` of {kind} gave {name!r} with NaN or inf in it.")
    return table.astype(np.float64).set_axis([str(column) for column in table.columns], axis=1)
