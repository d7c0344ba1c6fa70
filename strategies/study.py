"""Everything one run of the main job found; what the report draws and `result.json` holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from strategies.result import BacktestResult


@dataclass(frozen=True)
class Study:
    """One walk-forward run, traded.

    bars
        The bars of the out-of-sample span (both engines and all baselines trade just these).
    forecasts
        The out-of-sample forecasts of DESIGN: ``signal confidence <raw outputs> disagreement fold trained_through``.
    results
        Engine name -> `BacktestResult` of the model.
    baselines
        ``buy_and_hold``, ``flat``, ``shuffled_label``, ``linear`` -> `BacktestResult` over the same bars; no ``linear``
        where that is the model.
    reconciliation
        ``{"agrees", "max_relative_difference", "n_orders"}``, or None where one engine ran.
    forecast
        Forecast quality: ``{"n", "hit_rate", "rank_ic", "log_loss" or "rmse", "precision_at_k": {...}}``.
    folds
        One dict a fold: ``train_start trained_through test_start test_end n_train n_test seconds``.
    data
        ``{"rows", "gaps", "first", "last", "sha256"}``.
    notes
        Sentences the reader must see (undefined numbers, warnings about the bars, what was skipped).
    raw
        The forecasts as the model made them, where those above were calibrated; else None.
    reliability
        ``{"method", "before", "after"}`` (`strategies.calibrated`): what probabilities or intervals were worth.
    in_sample
        Models forecast bars that they were trained on, because it was asked for by name.
    cost_grid
        The same weights at other costs, and carried out later (`strategies.vbt.other_costs`); None where vectorbt did
        not run.
    causality
        What came of making the features again without later bars (`strategies.causality`); None where it was not done.
    command
        The command line that was typed, None where there was none.
    explanation
        What the last fold's model says of itself (`mlcore.explain`): name -> table; empty where it says nothing.
    """

    title: str
    bars: pd.DataFrame
    forecasts: pd.DataFrame
    results: dict[str, BacktestResult]
    baselines: dict[str, BacktestResult]
    reconciliation: dict[str, Any] | None
    forecast: dict[str, Any]
    folds: list[dict[str, Any]]
    data: dict[str, Any]
    config: dict[str, Any]
    versions: dict[str, str]
    seed: int
    seconds: float
    notes: tuple[str, ...] = field(default=())
    explanation: dict[str, pd.DataFrame] = field(default_factory=dict)
    raw: pd.DataFrame | None = None
    reliability: dict[str, Any] | None = None
    in_sample: bool = False
    cost_grid: pd.DataFrame | None = None
    causality: dict[str, Any] | None = None
    command: str | None = None
