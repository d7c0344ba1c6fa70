"""The law of the whole chain: bars -> features -> label -> walk-forward -> forecasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mlcore.checks.laws import changed, first_difference, name_of, require, same
from mlcore.folds import WalkForward
from mlcore.tasks import Label
from mlcore.walkforward import walk_forward


def forecasts_are_blind_to_later_bars(
    model: Any,
    bars: pd.DataFrame,
    *,
    features: Callable[[pd.DataFrame], pd.DataFrame],
    label: Callable[[pd.DataFrame], Label],
    folds: WalkForward,
    cuts: tuple[int, ...],
    seed: int = 0,
) -> None:
    """Forecasts before bar t are bit for bit the same when all bars from t on are other bars, refits included."""

    def forecast(some: pd.DataFrame) -> pd.DataFrame:
        run = walk_forward(some, model, label=label(some), features=features(some), folds=folds, seed=seed)
        return run.forecasts

    whole = forecast(bars)
    require(whole["signal"].notna().any(), model, "the walk-forward gave no signal: there is nothing to compare.")
    require(bool((whole["trained_through"] < whole.index).all()), model, "trained through a bar of its own test block.")
    for cut in cuts:
        for factor in (0.5, 2.0):
            other = forecast(changed(bars, slice(cut, None), factor))
            before = np.asarray(whole.index < bars.index[cut])
            a, b = (frame.loc[before].select_dtypes("number") for frame in (whole, other))
            told = f"bars from {cut} on change forecasts before them ({name_of(model)}), {first_difference(a, b)}."
            require(same(a, b), model, told)
            stamps = whole.loc[before, "trained_through"].equals(other.loc[before, "trained_through"])
            require(stamps, model, f"bars from {cut} on change `trained_through` before them.")
