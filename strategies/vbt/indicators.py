"""Forecasts as a vectorbt indicator, with its thresholds broadcast."""

from __future__ import annotations

import numpy as np
import vectorbt as vbt

from strategies.policy import Policy, held_sides


def _signals(
    signal: np.ndarray, confidence: np.ndarray, entry: float, exit: float, min_confidence: float, size: float
) -> tuple[np.ndarray, ...]:
    policy = Policy(entry=entry, exit=exit, min_confidence=min_confidence)
    sides = np.column_stack(
        [held_sides(signal[:, column], confidence[:, column], policy) for column in range(signal.shape[1])]
    ).astype(np.float64)
    before = np.vstack([np.zeros((1, sides.shape[1])), sides[:-1]])
    changed = sides != before
    return (
        np.where(sides == 0, np.nan, sides * size),
        changed & (sides > 0),
        changed & (before > 0),
        changed & (sides < 0),
        changed & (before < 0),
    )


ForecastSignals = vbt.IndicatorFactory(
    class_name="ForecastSignals",
    short_name="forecast",
    input_names=["signal", "confidence"],
    param_names=["entry", "exit", "min_confidence", "size"],
    output_names=["weight", "entries", "exits", "short_entries", "short_exits"],
).from_apply_func(_signals, entry=0.0, exit=0.0, min_confidence=0.0, size=1.0)
ForecastSignals.__doc__ = """Entries, exits and target weights of forecasts, by the thresholds of `policy.Policy`.

``ForecastSignals.run(forecasts["signal"], forecasts["confidence"], entry=[0.1, 0.2, 0.3], exit=0.0)`` gives a
column per threshold (``param_product=True`` for all combinations). `weight` is side x `size`, NaN flat;
`entries exits short_entries short_exits` are booleans. All are known at the bar's close and are **not
shifted**: `portfolio_from_weights(bars, signals.weight)` fills them at the next open; with
`Portfolio.from_signals` shift them yourself by one bar and give ``price=bars["open"]``.
"""
