"""One way to run a script's command line, for all tests of scripts."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import NamedTuple

import pytest

from strategies.cli import run_cli


class Ran(NamedTuple):
    """What a command line left: its exit code, and what it said."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The cells of the tables printed, row by row, without their heads."""
        return [[cell.strip() for cell in line.split("│")[1:-1]] for line in self.out.splitlines() if line[:1] == "│"]


Script = Callable[..., Ran]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    """Run a script in this process, as ``script("sweep", "--out", folder)``; its words may be anything with a text."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(name: str, *words: object) -> Ran:
        monkeypatch.setattr("sys.argv", [f"{name}.py", *map(str, words)])
        code = 0
        try:
            run_cli(importlib.import_module(f"experiments.{name}").main)
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Ran(code, *capsys.readouterr())

    return run
