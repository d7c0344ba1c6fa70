"""A model from words: its name, one of its presets, and single parameters over that."""

from __future__ import annotations

import inspect
from typing import Any

from mlcore.errors import BarwiseError, did_you_mean
from mlcore.kinds import check_kind
from mlcore.models.by_path import model_by_path
from mlcore.plugins import MODELS

ALIASES = {"hidden": "width"}  # the studies' word for it


def make_model(name: str, preset: str | None = None, **set_: Any) -> Any:
    """Return a new, unfitted model; `set_` wins over `preset`, `preset` over the model's own defaults.

    A `name` with a dot is an import path (`mlcore.models.by_path`): a scikit-learn estimator or a `torch.nn.Module`.
    Presets stand in the class attribute ``presets``: name -> parameters. Raises BarwiseError, with the nearest known
    word, for a model, preset or parameter that is not there, and for a value of another kind than the default's.

    >>> model = make_model("lstm", "light", hidden=48)
    >>> model.lookback, model.width
    (20, 48)
    """
    if "." in name:
        if preset is not None:
            raise BarwiseError(f"`preset` is {preset!r}; a model by import path has none: set single parameters.")
        return model_by_path(name, **set_)
    kind = MODELS[name]
    values = _preset(name, kind, preset)
    given = {}
    for word, value in set_.items():
        parameter = _parameter(name, kind, word)
        if parameter in given:
            raise BarwiseError(f"`{parameter}` of {name!r} is set twice, as `{word}` too: say it once.")
        given[parameter] = _checked(parameter, value, inspect.signature(kind).parameters[parameter].default)
    return kind(**(values | given))


def as_model(model: Any) -> Any:
    """Return `model` if it is one; of a name or an import path, the model of its own defaults.

    Raises BarwiseError for what cannot be fitted on windows: a class, a bare scikit-learn estimator, anything else.
    """
    if isinstance(model, str):
        return make_model(model)
    if isinstance(model, type):
        raise BarwiseError(f"`model` is the class {model.__name__}; give a model made of it: `{model.__name__}()`.")
    if not (hasattr(model, "fit") and hasattr(model, "lookback")):
        way = "a name (`lightgbm`), or a model of `mlcore.models`"
        if hasattr(model, "fit"):
            way = "wrap it: `mlcore.models.sklearn.Sklearn(estimator)`, or name it by its path, package.module.Class"
        raise BarwiseError(f"`model` is a {type(model).__name__}, which reads no windows of bars: {way}.")
    check_kind("lookback", model.lookback, int)
    if model.lookback < 1:
        raise BarwiseError(f"`lookback` is {model.lookback}; it is a count of bars that a window holds, 1 or more.")
    return model


def _preset(name: str, kind: Any, preset: str | None) -> dict[str, Any]:
    if preset is None:
        return {}
    presets = getattr(kind, "presets", {})
    if preset not in presets:
        raise BarwiseError(
            f"`preset` is {preset!r}; {name!r} has {', '.join(presets) or 'none'}.{did_you_mean(preset, presets)}"
        )
    return dict(presets[preset])


def _parameter(name: str, kind: Any, word: str) -> str:
    known = inspect.signature(kind).parameters
    parameter = word if word in known else ALIASES.get(word, word)
    if parameter not in known:
        words = [*known, *(alias for alias, meant in ALIASES.items() if meant in known)]
        raise BarwiseError(
            f"`{word}` is no parameter of {name!r}.{did_you_mean(word, words)} It has: {', '.join(known)}."
        )
    return parameter


def _checked(name: str, value: Any, default: Any) -> Any:
    """Refuse a word where the default is a number: it would fail much later and say less."""
    if isinstance(default, bool):
        fits, wanted = isinstance(value, bool), "true or false"
    elif isinstance(default, int):
        fits, wanted = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    elif isinstance(default, float):
        fits, wanted = isinstance(value, int | float) and not isinstance(value, bool), "a number"
    elif isinstance(default, str):
        fits, wanted = isinstance(value, str), "a word"
    else:  # None or a sequence says nothing of what else may stand there
        return value
    nothing = value is None and name == "threads"
    if not (fits or nothing):
        raise BarwiseError(f"`{name}` is {value!r}; it must be {wanted}, like the default {default!r}.")
    return value
