"""What a strategy heard of the bar that has just closed: one word for forecasts made before and made in the run."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mlcore.forecasts import LEADING
from strategies.bt.indicators import ForecastIndicator, StampRows


class Heard(NamedTuple):
    """One forecast: NaN where nothing was said.

    `outputs` are the raw ones by name (``p_up``, ``q10``, ...), and where it is known `disagreement`.
    """

    signal: float
    confidence: float
    fold: float
    outputs: dict[str, float]


class Forecasts:
    """A frame of forecasts, asked by backtrader's float stamps."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._rows = StampRows(pd.DatetimeIndex(frame.index))
        told = frame.select_dtypes("number")
        self._names = list(map(str, told.columns))
        self._values = np.vstack([told.to_numpy(np.float64), np.full((1, told.shape[1]), np.nan)])  # row -1: none

    def at(self, number: float) -> Heard | None:
        """Return the forecast of a stamp, None where there is none."""
        row = self._rows.row(number)
        if row < 0:
            return None
        told = dict(zip(self._names, self._values[row].tolist(), strict=True))
        signal, confidence = (told.get(name, float("nan")) for name in LEADING)
        fold = told.get("fold", float("nan"))
        return Heard(signal, confidence, fold, {k: v for k, v in told.items() if k not in (*LEADING, "fold")})


def heard_by(strategy: Any) -> Heard | None:
    """Return what `strategy` heard of this bar, None where nothing was said.

    A strategy without a method `heard` hears its first `ForecastIndicator`.
    """
    ask = getattr(strategy, "heard", None)
    if callable(ask):
        return ask()
    told: Any = getattr(strategy, "_barwise_forecasts", None)
    if told is None:
        own = [one for one in strategy.getindicators() if isinstance(one, ForecastIndicator)][:1]
        told = strategy._barwise_forecasts = [(Forecasts(one.p.forecasts), one.data) for one in own]
    return next((forecasts.at(data.datetime[0]) for forecasts, data in told), None)
