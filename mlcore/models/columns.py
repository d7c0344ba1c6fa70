"""The columns of a model that reads some of them apart: found by the names that the walk-forward told."""

from __future__ import annotations

from typing import Any

from mlcore.errors import BarwiseError, did_you_mean
from mlcore.models.inputs import SYMBOL


def told_columns(model: Any, n_features: int) -> tuple[str, ...]:
    """Return the names of the columns that the network of `model` reads; refuse windows that nobody named.

    Of a pool these are not the windows' own: the numbers that stand for the symbol (`SymbolEmbedding`) come last, as
    ``symbol_0 symbol_1 ...``, and its column of codes is gone.
    """
    names = tuple(getattr(model, "feature_names_in_", ()))
    if names[-1:] == (SYMBOL,) and n_features > len(names):  # one number stands where the column stood: as it is
        numbers = range(n_features - len(names) + 1)
        names = (*names[:-1], *(f"{SYMBOL}_{number}" for number in numbers))
    if len(names) != n_features:
        told = f"{len(names)} names" if names else "no names"
        raise BarwiseError(
            f"`windows` have {n_features} features and {type(model).__name__} was told {told} of them; it reads "
            "columns by name: fit it by `walk_forward`, or set `model.feature_names_in_` to the columns of "
            "`table_for(model, bars)` before `fit`."
        )
    return names


def told_column(model: Any, name: str, n_features: int) -> int:
    """Return the place of the column `name`; refuse a table without it."""
    names = told_columns(model, n_features)
    if name not in names:
        raise BarwiseError(
            f"`features` have no column {name!r}, which {type(model).__name__} reads.{did_you_mean(name, names)} "
            "`mlcore.features.table_for(model, bars)` adds it."
        )
    return names.index(name)


def given_column(model: Any, n_features: int, wanted: str) -> int:
    """Return the place of ``model.column``, a name or a number; refuse what is none, telling what is `wanted`."""
    names = list(getattr(model, "feature_names_in_", ()))
    if isinstance(model.column, str) and model.column in names:
        return names.index(model.column)
    if isinstance(model.column, int) and 0 <= model.column < n_features:
        return model.column
    raise BarwiseError(
        f"`column` is {model.column!r}, which is no feature here.{did_you_mean(str(model.column), names)} {wanted} "
        f"needs the feature with a bar's return: give its name or number 0..{n_features - 1}, or make the table with "
        "`table_for(model, bars)`, which adds it where the model asks for it."
    )
