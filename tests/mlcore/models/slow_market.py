"""A market whose edge shows in long bars only, and how well a model finds it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mlcore.labels import forward_return
from mlcore.metrics import rank_ic
from mlcore.scaling import Scaler
from mlcore.tasks import Task
from mlcore.windows import Windows

FEATURES = ("volume_ma_ratio",)
RETURN = Task("regression", ("expected_return",))
N, SCALE = 8_000, 15


def slow_market(n: int = N, *, interval: str = "1min", seed: int = 0) -> pd.DataFrame:
    """Return bars in which the volume of 15 whole ones foretells the drift of the next 15.

    Within those 15 the volume goes up and down much more than that, by waves that add up to nothing: any other 15
    bars in a row hold waves cut in two, and tell next to nothing.
    """
    rng = np.random.default_rng(seed)
    state = rng.standard_normal(n // SCALE + 1)
    waves = rng.standard_normal((len(state), SCALE))
    waves -= waves.mean(axis=1, keepdims=True)
    volume = np.maximum(100 + state[:, None] + 20 * waves, 1.0).ravel()[:n]
    drift = np.repeat(np.r_[0.0, state[:-1]], SCALE)[:n]
    close = 100 * np.exp(0.001 * np.cumsum(rng.standard_normal(n) + 0.3 * drift))
    opened = np.r_[100.0, close[:-1]]
    stamps = pd.date_range("2024-01-01", periods=n, freq=interval, tz="UTC", name="timestamp").as_unit("ns")
    high, low = np.maximum(opened, close) * 1.0001, np.minimum(opened, close) / 1.0001
    return pd.DataFrame({"open": opened, "high": high, "low": low, "close": close, "volume": volume}, index=stamps)


def found_edge(model: Any, bars: pd.DataFrame, table: pd.DataFrame) -> float:
    """Fit on the older three quarters; return the rank correlation of forecast and return on the rest."""
    y, cut = forward_return(bars, 5).values, len(bars) * 3 // 4
    rows = np.arange(int(table.notna().all(axis=1).to_numpy().argmax()) + model.lookback, len(bars) - 10)
    train, held_out, test = rows[rows < cut - 900], rows[(rows >= cut - 800) & (rows < cut - 10)], rows[rows >= cut]
    scaled = Scaler().fit(table.to_numpy()[train]).transform(table.to_numpy())
    model.feature_names_in_, model.bar_interval_ = tuple(table.columns), bars.index[1] - bars.index[0]
    judge = Windows(scaled, held_out, model.lookback), y[held_out]
    model.fit(Windows(scaled, train, model.lookback), y[train], task=RETURN, validation=judge)
    return rank_ic(model.predict(Windows(scaled, test, model.lookback))[:, 0], y[test]) or 0.0
