"""The laws of a sizer: a pure function of each row's own forecast and volatility."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from mlcore.checks.laws import first_difference, require, same, sample_bars

Sizer = Callable[[pd.DataFrame, pd.Series], pd.Series]


def sample_views(n: int = 200, *, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """Return forecasts and annualised volatilities with all that may occur: NaN, 0, 1, calm and storm."""
    rng = np.random.default_rng(seed)
    index = sample_bars(n).index
    signal, confidence = rng.uniform(-1, 1, n), rng.uniform(0, 1, n)
    volatility = rng.lognormal(-1, 1.5, n)
    signal[:6], confidence[:6] = [np.nan, 0.0, 1.0, -1.0, 1.0, -1.0], [np.nan, 0.5, 1.0, 1.0, 0.0, 1.0]
    volatility[3:6] = [1e-6, 50.0, np.nan]
    views = pd.DataFrame({"signal": signal, "confidence": confidence, "disagreement": np.nan, "fold": 0}, index=index)
    return views, pd.Series(volatility, index=index)


def sizer_is_pure(sizer: Sizer) -> None:
    """A sizer leaves its inputs as they were and gives the same answer twice, on their index."""
    views, volatility = sample_views()
    before = views.copy(deep=True), volatility.copy(deep=True)
    once, twice = sizer(views, volatility), sizer(views, volatility)
    require(views.equals(before[0]) and volatility.equals(before[1]), sizer, "it changed what it was given.")
    require(once.index.equals(views.index), sizer, "its index is not that of the forecasts.")
    require(same(once, twice), sizer, f"two calls differ, {first_difference(once, twice)}.")


def sizer_stays_within_the_account(sizer: Sizer) -> None:
    """A weight lies in [-1, 1] or is NaN."""
    weights = sizer(*sample_views())
    require(weights.abs().max() <= 1.0, sizer, f"a weight of {weights.abs().max()}.")


def sizer_follows_the_sign_of_the_signal(sizer: Sizer) -> None:
    """A weight has the sign of its signal or is 0; without a signal it is flat; and some weights are not 0."""
    views, volatility = sample_views()
    weights = sizer(views, volatility).fillna(0.0)
    wrong = weights * views["signal"].fillna(0.0) < 0
    require(not wrong.any(), sizer, f"against its signal first at {wrong.idxmax()}.")
    silent = views["signal"].isna() | (views["signal"] == 0)
    require((weights[silent] == 0).all(), sizer, "it holds a position without a signal.")
    require((weights != 0).any(), sizer, "it never holds anything.")


def sizer_looks_at_its_own_row_only(sizer: Sizer) -> None:
    """A weight is bit for bit the same when all other rows are cut off or other."""
    views, volatility = sample_views()
    whole = sizer(views, volatility)
    for rows in (slice(0, 1), slice(0, 50), slice(50, 120), slice(199, 200)):
        part = sizer(views.iloc[rows], volatility.iloc[rows])
        require(same(part, whole.iloc[rows]), sizer, f"other rows matter, {first_difference(part, whole.iloc[rows])}.")


SIZER_CHECKS: tuple[Callable[[Sizer], None], ...] = (
    sizer_is_pure,
    sizer_stays_within_the_account,
    sizer_follows_the_sign_of_the_signal,
    sizer_looks_at_its_own_row_only,
)
