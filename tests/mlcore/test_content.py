"""Different contents have different hashes; the code of a thing is the code that it runs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcore.content import code_of, plain, sha256_of
from mlcore.errors import BarwiseError
from mlcore.features import feature_table
from mlcore.models.lightgbm import LightGBM
from mlcore.models.linear import Linear
from mlcore.plugins import FEATURES
from tests.conftest import random_bars

SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3)
VALUES = st.recursive(SCALARS, lambda held: st.lists(held, max_size=3) | st.dictionaries(st.text(max_size=2), held))


@given(VALUES, VALUES)
def test_equal_hashes_mean_equal_contents(one: object, other: object) -> None:
    assert (sha256_of(one) == sha256_of(other)) == (repr(plain(one)) == repr(plain(other)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        ("1", 1),
        (float("nan"), None),
        (np.zeros(2), np.zeros(3)),
        (np.zeros(2), np.zeros(2, np.float32)),
        (np.zeros(4), np.zeros((2, 2))),
        (pd.Timedelta("1D"), "1 days 00:00:00"),
        (Linear(), LightGBM()),
        (Linear(), Linear(shrinkage=0.02)),
        ([Linear(seed=1)], [Linear(seed=2)]),
        (random_bars(9), random_bars(9, seed=1)),
        (feature_table, random_bars),
        ({1, 2}, {1, 3}),
    ],
)
def test_unlike_things_are_told_apart(one: object, other: object) -> None:
    assert sha256_of(one) != sha256_of(other)
    assert sha256_of(one) == sha256_of(one)


def test_what_cannot_be_told_by_its_content_is_refused() -> None:
    with pytest.raises(BarwiseError, match="which cannot be told from another one"):
        sha256_of({"a": object()})


def test_the_code_of_a_model_is_its_file_its_bases_and_what_they_import() -> None:
    code = code_of(LightGBM())
    assert {"mlcore.models.lightgbm", "mlcore.models.trees", "mlcore.losses"} <= set(code)
    assert "mlcore.models.tcn" not in code
    assert not any(name.startswith(("numpy", "typing", "abc")) for name in code)
    assert "scikit-learn" in code["sklearn"]  # a library is told by its version
    assert "mlcore.features.momentum" in code_of(FEATURES["rsi"])
    assert "mlcore.features.volume" not in code_of(FEATURES["rsi"])
    assert "mlcore.walkforward" in code_of(asks_the_kit)  # `from mlcore import walk_forward`


@pytest.mark.parametrize(
    "one", [lambda: 1, (lambda k: lambda x: k * x)(2), type("Of", (), {"__qualname__": "f.<locals>.Of"})]
)
def test_what_shares_its_name_with_others_is_refused(one: object) -> None:
    with pytest.raises(BarwiseError, match="Define it at the top of a module"):
        plain({"transform": one})


def asks_the_kit() -> object:
    from mlcore import walk_forward

    return walk_forward


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)


PROBE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import own.model
from mlcore.content import code_of
print(json.dumps(code_of(own.model.f)))
"""


def test_a_change_anywhere_below_changes_the_code_and_only_that_file(tmp_path: Path) -> None:
    """A package of a user's own: imports inside functions, relative ones, and names that a package hands on."""
    own = tmp_path / "own"
    own.mkdir()
    write(own, __init__="from own.b import Y\nfrom own.c import Z", c="Z = 1", b="Y = 1", a="from own import Y")
    write(own, model="import beside\nimport numpy\n\n\ndef f():\n    from . import a\n    return a")
    write(tmp_path, beside="X = 1")  # not of the package, and not installed

    def probe() -> dict[str, str]:
        words = [sys.executable, "-c", PROBE, str(tmp_path)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
        return json.loads(done.stdout)

    before = probe()
    assert set(before) == {"beside", "own.model", "own.a", "own.b"}
    write(own, b="Y = 2", c="Z = 3")
    write(tmp_path, beside="X = 12")
    after = probe()
    assert [name for name in before if before[name] != after[name]] == ["beside", "own.b"]


def test_what_was_typed_at_a_prompt_is_refused() -> None:
    words = [sys.executable, "-c", "from mlcore.content import code_of\ndef f(): pass\ncode_of(f)"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode and "BarwiseError" in done.stderr and "typed at a prompt" in done.stderr
