import json
import subprocess
import sys

import pytest

import mlcore

HEAVY = ["torch", "lightgbm", "backtrader", "vectorbt", "sklearn", "matplotlib", "plotly"]


def loaded_after(code: str) -> list[str]:
    code += f"\nimport json, sys; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def test_import_mlcore_loads_nothing_heavy():
    assert loaded_after("import mlcore") == []


def test_the_linear_walk_forward_loads_neither_torch_nor_lightgbm_nor_an_engine():
    loaded = loaded_after("import mlcore; mlcore.walk_forward; mlcore.feature_table; mlcore.MODELS['linear']")
    assert set(loaded) <= {"sklearn"}


@pytest.mark.parametrize("name", mlcore.__all__)
def test_every_public_name_is_there(name):
    assert getattr(mlcore, name) is not None
    assert name in dir(mlcore)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'walk_backward'"):
        mlcore.walk_backward  # noqa: B018


def test_the_tables_are_full_when_they_come_from_here():
    code = "import mlcore; print(len(mlcore.FEATURES), len(mlcore.LABELS), len(mlcore.MODELS))"
    counts = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert all(int(count) >= 3 for count in counts)
