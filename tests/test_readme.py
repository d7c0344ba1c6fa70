"""The code of the README runs, in the order in which it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


def code_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


@pytest.mark.filterwarnings("default")  # a notebook's warnings are the engines' own
def test_the_code_of_the_readme_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it writes below out/
    blocks = code_blocks()
    told = "live and elsewhere, Python, Cerebro, retrained in it, vectorbt, its indicators, a sweep, one account"
    assert len(blocks) == 8, told
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert names["reconciliation"]["agrees"]
    assert names["portfolio"].total_return() > -1
    assert names["cerebro"].broker.getvalue() > 0
    assert capsys.readouterr().out


def test_the_two_commands_stand_first():
    text = README.read_text()
    assert text.index("make demo") < text.index("make test") < text.index("## ")
