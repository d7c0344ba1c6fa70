"""Interpreters of other virtualenvs, whose libraries ours are held against."""

import os
from pathlib import Path

import pytest


def interpreter_of(tool: str, variable: str) -> str:
    """Return the interpreter that has `tool`, which the environment's `variable` names, or skip loudly."""
    python = os.environ.get(variable, "")
    if not Path(python).is_file():
        pytest.skip(
            f"{variable} is {python!r}, no interpreter: the comparison with {tool} did NOT run "
            f"(`make {tool.lower()}` makes one)"
        )
    return python
