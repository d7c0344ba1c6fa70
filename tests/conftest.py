"""Shared fixtures: small bars, the folder of real bars, one thread per process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy, torch and LightGBM start their pools
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("barwise", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("barwise")


@pytest.fixture(scope="session")
def bars_folder() -> Path:
    """The folder of real bars, or a loud skip."""
    folder = os.environ.get("BARWISE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("BARWISE_DATA names no folder of real bars: the tests on real bars did NOT run")
    return Path(folder)


def random_bars(n: int = 600, *, seed: int = 0, interval: str = "1h", volatility: float = 0.01) -> pd.DataFrame:
    """A random walk as bars, opens apart from the closes before."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, volatility, n)))
    opened = np.r_[100.0, close[:-1]] * np.exp(rng.normal(0, volatility / 5, n))
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, volatility / 2, n)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, volatility / 2, n)))
    stamps = pd.date_range("2024-01-01", periods=n, freq=interval, tz="UTC", name="timestamp").as_unit("ns")
    volume = rng.lognormal(3, 0.5, n)
    return pd.DataFrame({"open": opened, "high": high, "low": low, "close": close, "volume": volume}, index=stamps)


@pytest.fixture
def bars() -> pd.DataFrame:
    """600 hourly bars of a random walk."""
    return random_bars()


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry a walk-forward that the cache really did."""
    import mlcore.cache

    done: list[int] = []
    walk_forward = mlcore.cache.walk_forward

    def counted(*args: Any, **options: Any) -> Any:
        done.append(1)
        return walk_forward(*args, **options)

    monkeypatch.setattr(mlcore.cache, "walk_forward", counted)
    return done


def pytest_configure(config: pytest.Config) -> None:
    """Drop what numba compiled before the newest change of a source: it looks at the caller's own file only."""
    if hasattr(config, "workerinput"):
        return
    root = Path(__file__).parent.parent
    sources = [path for package in ("mlcore", "strategies") for path in (root / package).rglob("*.py")]
    newest = max(path.stat().st_mtime for path in sources)
    for package in ("mlcore", "strategies"):
        for kept in (root / package).rglob("__pycache__/*.nb[ic]"):
            if kept.stat().st_mtime < newest:
                kept.unlink(missing_ok=True)
