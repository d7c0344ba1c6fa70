"""Whether what was given is of the kind that a signature or a dataclass says: refused in words, before it is used."""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError, KindError, did_you_mean

F = TypeVar("F", bound=Callable[..., Any])
NUMBERS: dict[Any, tuple[type, ...]] = {  # a truth value is a number to Python, and never meant as one
    int: (int, np.integer),
    float: (int, float, np.integer, np.floating),
    bool: (bool, np.bool_),
}
SEVERAL = (tuple, list, collections.abc.Sequence)
WORDS: dict[Any, str] = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}
WAYS = {
    "bars": "`read_bars` reads them from a file, `check_bars` from a frame, `read_panel` those of many symbols.",
    "features": "Recipes are a list, as ['rsi', ('rsi', {'window': 7})]; `feature_table(bars, recipes)` makes a table.",
    "label": "A function of `mlcore.labels` makes it: `direction(bars)`, say.",
    "folds": "Say when to refit: `WalkForward(train, test)`.",
    "forecasts": "`walk_forward(...).forecasts` are such.",
    "weights": "`target_weights(forecasts, bars)` makes them; of numbers, `pd.Series(numbers, bars.index)`.",
}


def checked(function: F) -> F:
    """Decorator: refuse arguments of another kind than the signature says, and names that it does not have.

    `bars` must be stamped by their index besides. Raises BarwiseError; annotations that say nothing are not looked at.
    """
    signature = inspect.signature(function)
    hints: dict[str, Any] = {}  # read at the first call: what they name may be imported later than the function

    @functools.wraps(function)
    def asked(*args: Any, **kwargs: Any) -> Any:
        if not hints:
            hints.update(typing.get_type_hints(function))
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            refuse_unknown(kwargs, signature.parameters, function.__name__)
            raise KindError(f"`{function.__name__}`: {error}. It takes {', '.join(signature.parameters)}.") from None
        for name, value in given.items():
            check_kind(name, value, hints.get(name, Any))
        try:
            return function(*args, **kwargs)
        except KeyError as error:
            _refuse_without(error.args[:1], given.get("bars"))
            raise

    return typing.cast(F, asked)


def check_settings(settings: Any) -> None:
    """Refuse a dataclass with a field of another kind than it says; call it first in `__post_init__`."""
    kind: Any = type(settings)
    for name, hint in _fields(kind).items():
        check_kind(name, getattr(settings, name), hint)


def check_kind(name: str, value: Any, hint: Any) -> None:
    """Refuse a `value` that is not of the kind `hint`.

    >>> check_kind("entry", [0.1], float)
    Traceback (most recent call last):
    mlcore.errors.KindError: `entry` is [0.1]; it must be a number.
    """
    if not _fits(value, hint):
        for one, each in _elements(value, hint):  # one of several is what is wrong
            check_kind(name, one, each)
        raise KindError(f"`{name}` is {_shown(value)}; it must be {_words(hint)}.{_way(name, value, hint)}")
    if name in RULES:
        RULES[name](value)


def check_stamped(bars: Any) -> None:
    """Refuse bars, or bars of any symbol, whose index is no stamps, or whose stamps do not increase."""
    for frame in bars.values() if isinstance(bars, Mapping) else [bars]:
        if isinstance(frame, pd.DataFrame) and not isinstance(frame.index, pd.DatetimeIndex):
            raise BarwiseError(
                f"`bars` have an index of {frame.index.dtype}, and it must be the UTC stamps at which they open: "
                "`check_bars(bars)` finds them in a column, or say `bars.set_index('timestamp')`."
            )
        if isinstance(frame, pd.DataFrame) and not (frame.index.is_monotonic_increasing and frame.index.is_unique):
            raise BarwiseError(
                "`bars` must have increasing, unique stamps: `check_bars(bars, repair=['sort', 'drop_duplicates'])` "
                "repairs them."
            )


def _refuse_without(column: tuple[Any, ...], bars: Any) -> None:
    """Refuse bars that were read for a price that they do not have."""
    known = ("open", "high", "low", "close", "volume")
    if isinstance(bars, pd.DataFrame) and column and column[0] in known and column[0] not in bars.columns:
        found = ", ".join(map(str, bars.columns[:8]))
        raise BarwiseError(f"`bars` have no column {column[0]!r}, only {found}: `check_bars` renames and checks them.")


def _check_jobs(n_jobs: int | None) -> None:
    if n_jobs == 0:
        raise BarwiseError("`n_jobs` is 0; it is how many go at a time: 1 or more, or -1 for one a core.")


def _check_days(days_per_year: float) -> None:
    if not 0 < days_per_year < float("inf"):
        raise BarwiseError(
            f"`days_per_year` is {days_per_year!r}; it is the trading days of a year: 365 for crypto, 252 for stocks."
        )


# What holds for a parameter of this name wherever it stands.
RULES: dict[str, Callable[[Any], None]] = {
    "bars": check_stamped,
    "panel": check_stamped,
    "n_jobs": _check_jobs,
    "days_per_year": _check_days,
}


def refuse_unknown(given: Iterable[str], known: Iterable[str], owner: str, also: Iterable[str] = ()) -> None:
    """Refuse a keyword that `owner` does not take; those it takes `also` are not worth telling."""
    known, also = list(known), list(also)
    for name in given:
        if name not in known and name not in also:
            raise KindError(
                f"`{name}` is no parameter of {owner!r}.{did_you_mean(name, known)} It has: "
                f"{', '.join(known) or 'none'}."
            )


def alternatives(hint: Any) -> tuple[Any, ...]:
    """Return the types that a union allows; a type that is no union allows itself."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)


@functools.cache
def _fields(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _fits(value: Any, hint: Any) -> bool:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in args)
    if origin is typing.Literal:
        return any(_fits(value, type(one)) for one in args)  # which of them is each one's own rule
    if hint in NUMBERS:
        return isinstance(value, NUMBERS[hint]) and (hint is bool or not isinstance(value, bool | np.bool_))
    if origin in SEVERAL:
        return _are_several(value) and all(_fits(one, each) for one, each in _elements(value, hint))
    if origin is collections.abc.Mapping or origin is dict:
        return isinstance(value, Mapping) and all(_fits(one, args[1]) for one in value.values())
    if origin is collections.abc.Callable:
        return callable(value)
    if hint is None or hint is types.NoneType:
        return value is None
    if isinstance(hint, type) and not getattr(hint, "_is_protocol", False):
        return isinstance(value, hint)
    return True


def _way(name: str, value: Any, hint: Any) -> str:
    """Return how to come by what is asked for, where it can be said."""
    if name in WAYS:
        return f" {WAYS[name]}"
    for kind in alternatives(hint):
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            return f" Say `{kind.__name__}({', '.join(field.name for field in dataclasses.fields(kind)[:3])})`."
        if _fits([value], kind):
            return f" Give it as ({value!r},)."
    return ""


def _are_several(value: Any) -> bool:
    kinds = (collections.abc.Sequence, np.ndarray, pd.Index, pd.Series)
    return isinstance(value, kinds) and not isinstance(value, str)


def _elements(value: Any, hint: Any) -> list[tuple[Any, Any]]:
    """Return each of several values with the kind it must be of; none where one value is asked for, or given."""
    kinds = [kind for kind in alternatives(hint) if typing.get_origin(kind) in SEVERAL]
    if len(kinds) != 1 or not _are_several(value):
        return []
    args = typing.get_args(kinds[0])
    each = args[0] if args and not _is_fixed(kinds[0]) else Any
    return [(one, each) for one in value]


def _is_fixed(hint: Any) -> bool:
    """Tell whether a tuple says what stands at each place; others are of any length."""
    return typing.get_origin(hint) is tuple and typing.get_args(hint)[-1] is not ...


def _words(hint: Any) -> str:
    """Return a kind in words."""
    kinds = [kind for kind in alternatives(hint) if kind is not types.NoneType]
    said = list(dict.fromkeys(_word(kind) for kind in kinds))
    return " or ".join([*said, *(["None"] if len(kinds) < len(alternatives(hint)) else [])])


def _word(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in WORDS:
        return WORDS[hint]
    if origin is typing.Literal:
        return ", ".join(map(repr, args[:-1])) + f" or {args[-1]!r}"
    if origin in SEVERAL:
        plain = not args or args[0] is Any or _is_fixed(hint)
        return "a tuple" if plain else f"several, each {_words(args[0])}"
    if origin is collections.abc.Mapping or origin is dict:
        return "a mapping of names" + ("" if args[1] is Any else f", each to {_words(args[1])}")
    if origin is collections.abc.Callable:
        return "a function"
    name = getattr(hint, "__name__", str(hint))
    return f"a {name}" if hint.__module__.startswith(("pandas", "pathlib")) else f"a `{name}`"


def _shown(value: Any) -> str:
    """Return a value in few words: a table by its shape, anything else as it is written."""
    if isinstance(value, pd.DataFrame | pd.Series | pd.Index | np.ndarray):
        return f"a {type(value).__name__} of {' x '.join(f'{n:,}' for n in value.shape)}"
    text = " ".join(repr(value).split())
    return (
        text if len(text) <= 60 else f"a {type(value).__name__}" + (f" of {len(value):,}" * hasattr(value, "__len__"))
    )
