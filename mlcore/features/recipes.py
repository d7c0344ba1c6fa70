"""Names of features: a column's name is its recipe, ``rsi`` or ``rsi_window7`` (only what differs from the default)."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError, did_you_mean
from mlcore.plugins import FEATURES, UnknownPluginError


class Bars(Protocol):
    """What a feature reads: a DataFrame of bars, or its newest bars as plain arrays (`mlcore.live`)."""

    index: Any  # DatetimeIndex

    def __getitem__(self, column: str, /) -> Any:
        """Return ``(N,)`` float64 values, as something `np.asarray` takes without a copy."""


Feature = Callable[..., Any]
Recipe = str | tuple[str, Mapping[str, Any]]


def feature(function: Feature | None = None, *, recursive: bool = False) -> Any:
    """Decorator: enter ``f(bars, **params) -> Series or DataFrame`` into the table of features.

    The function is pure, gives one row per bar, and at row `t` uses bars up to `t`; NaN stands only in its
    warm-up. Every parameter has a default. A DataFrame's columns become ``<recipe>_<column>``.
    It may as well return plain arrays, ``(N,)`` or a dict of them: they are laid on the index of the bars here, and
    made without pandas where one bar comes in at a time (``feature.__wrapped__``, `mlcore.live`).

    Parameters
    ----------
    recursive : the value depends on all bars before it, ever less (an EMA): its past has no end, so a gap
        in the bars cannot be waited out.
    """

    def enter(function: Feature) -> Feature:
        @functools.wraps(function)
        def face(bars: pd.DataFrame, *args: Any, **params: Any) -> pd.Series | pd.DataFrame:
            made = function(bars, *args, **params)
            if isinstance(made, dict):
                return pd.DataFrame(made, index=bars.index)
            return pd.Series(made, index=bars.index) if isinstance(made, np.ndarray) else made

        face.recursive = recursive  # type: ignore[attr-defined]
        return FEATURES.add(face)

    return enter if function is None else enter(function)


def defaults_of(name: str) -> dict[str, Any]:
    """Return the parameters of a feature and their defaults, in order."""
    parameters = list(inspect.signature(FEATURES[name]).parameters.values())[1:]
    return {parameter.name: parameter.default for parameter in parameters}


def column_name(name: str, params: Mapping[str, Any]) -> str:
    """Return the recipe as a name.

    >>> column_name("rsi", {"window": 14}), column_name("rsi", {"window": 7})
    ('rsi', 'rsi_window7')
    """
    defaults = defaults_of(name)
    for given in params:
        if given not in defaults:
            raise BarwiseError(
                f"`features`: {name!r} has no parameter {given!r}.{did_you_mean(given, defaults)} "
                f"It has: {', '.join(defaults) or 'none'}."
            )
    changed = [f"_{key}{params[key]}" for key in defaults if key in params and params[key] != defaults[key]]
    return name + "".join(changed)


def parse_recipe(recipe: Recipe) -> tuple[str, dict[str, Any]]:
    """Return ``(name, params)`` of a recipe: a name, ``(name, params)``, or a column's name.

    >>> parse_recipe("rsi_window7")
    ('rsi', {'window': 7})
    """
    if not isinstance(recipe, str):
        name, params = recipe
        return name, dict(params)
    if recipe in FEATURES:
        return recipe, {}
    for name in sorted(FEATURES, key=len, reverse=True):
        if recipe.startswith(f"{name}_") and (params := _read_params(recipe[len(name) :], defaults_of(name))):
            return name, params
    raise UnknownPluginError(
        f"`features` names {recipe!r}, which is not known.{did_you_mean(recipe, FEATURES)} "
        f"Known: {', '.join(sorted(FEATURES))}."
    )


def _read_params(text: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Read ``_window7_slow30``; an empty dict where the text is no such thing."""
    names = "|".join(map(re.escape, defaults))
    if not names or not re.fullmatch(rf"(_({names})[^_]+)+", text):
        return {}
    return {key: _read_value(value) for key, value in re.findall(rf"_({names})([^_]+)", text)}


def _read_value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
