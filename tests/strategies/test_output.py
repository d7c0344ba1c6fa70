"""What the files of a study tell: numbers that JSON knows, the bars, the versions."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from mlcore.bars import bars_sha256
from strategies import main_job
from strategies.output import plain
from tests.strategies.test_main_job import BARS


def test_numbers_json_does_not_know_become_null():
    value = {
        1: [math.nan, math.inf, -math.inf, 1.5],
        "numpy": (np.float64("nan"), np.float32("inf"), np.int64(3), np.bool_(True)),
        "stamp": pd.Timestamp("2024-01-01", tz="UTC"),
        "deep": {"a": [{"b": np.float64("-inf")}]},
        "as it is": [None, True, 7, "nan"],
    }
    found = plain(value)
    assert found == {
        "1": [None, None, None, 1.5],
        "numpy": [None, None, 3, True],
        "stamp": "2024-01-01T00:00:00+00:00",
        "deep": {"a": [{"b": None}]},
        "as it is": [None, True, 7, "nan"],
    }
    assert type(found["numpy"][2]) is int


def test_gaps_are_places_and_not_bars():
    bars = BARS.drop(BARS.index[[10, 11, 12, 50, 51]])
    assert main_job.describe(bars) == {
        "rows": 395,
        "gaps": 2,
        "first": BARS.index[0].isoformat(),
        "last": BARS.index[-1].isoformat(),
        "sha256": bars_sha256(bars),
    }
    assert main_job.describe(BARS)["gaps"] == 0


def test_versions_name_what_is_not_installed(monkeypatch):
    monkeypatch.setattr(main_job, "LIBRARIES", ["numpy", "no-such-library-at-all"])
    found = main_job.versions()
    assert list(found) == ["python", "numpy", "no-such-library-at-all"]
    assert (found["numpy"], found["no-such-library-at-all"]) == (np.__version__, "not installed")
