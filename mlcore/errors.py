"""Errors and warnings of the kit. Bad input costs one clear line and exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BarwiseError(ValueError):
    """Bad input from the user: names the parameter, the value, the rule and the way out."""

    exit_code = 2


class KindError(BarwiseError, TypeError):
    """An argument of another kind than asked for, or one that there is none of."""


class BarsError(BarwiseError):
    """Bars that break a rule of `check_bars`."""


class LookAheadError(BarwiseError):
    """Something that was not known when it would have been used."""


class BarwiseWarning(UserWarning):
    """Something the user should know and that does not stop the run."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest of the `known` names, or an empty string.

    >>> did_you_mean("lsmt", ["lstm", "tcn"])
    " Did you mean 'lstm'?"
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
