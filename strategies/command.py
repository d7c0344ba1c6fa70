"""The command line that was typed, for the pages that tell how to make a result again."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator

_typed: list[str] = []


@contextlib.contextmanager
def command_running() -> Iterator[None]:
    """Inside the block `typed_command` is that of this process; outside there is none (a test, a notebook)."""
    _typed.append(shlex.join(["python", *sys.argv]))
    try:
        yield
    finally:
        _typed.pop()


def typed_command() -> str | None:
    """Return the command as it was typed, its words quoted where a shell needs it; None where no script runs.

    Paths stand as they were given, so it is to be run from the same folder.
    """
    return _typed[-1] if _typed else None
