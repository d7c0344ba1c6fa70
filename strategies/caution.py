"""Less weight where a forecast deserves less: pure functions of weights and forecasts, known at the same closes.

Each takes target weights ``(N,)`` by stamp (`policy.target_weights`) and gives such weights back: use one after the
other. They know no account: what depends on its path is `strategies.account.RiskRules`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError
from mlcore.retraining.rules import Decayed, right
from mlcore.tasks import Label


def shrink_by_disagreement(weights: pd.Series, forecasts: pd.DataFrame, *, most: float = 0.5) -> pd.Series:
    """Return weights shrunk in line with the members' disagreement: whole at 0, none at `most` and beyond.

    A row whose disagreement is not known (NaN) is flat; forecasts that have none at all are refused.

    >>> forecasts = pd.DataFrame({"disagreement": [0.0, 0.1, 0.7]})
    >>> shrink_by_disagreement(pd.Series([0.4, -0.4, 0.4]), forecasts, most=0.4).tolist()
    [0.4, -0.3, nan]
    """
    if not 0 < most < np.inf:
        raise BarwiseError(f"`most` is {most!r}: it is a disagreement above 0 at which nothing is held.")
    apart = _column(forecasts, "disagreement", weights)
    if not np.isfinite(apart).any():
        raise BarwiseError("`forecasts` have no disagreement: only those of an ensemble do. Leave this rule out.")
    return _flat_at_zero(weights * (1 - apart / most).clip(0.0, 1.0), weights)


def cut_when_wide(weights: pd.Series, forecasts: pd.DataFrame, *, limit: float = 0.015, keep: float = 0.0) -> pd.Series:
    """Return weights times `keep` (0: pause, 0.5: halve) where the forecast interval is wider than `limit`.

    The width is that of the price between the outputs `q10` and `q90` (log returns), as a share of the price now. A row
    without them is flat.
    """
    if not 0 < limit < np.inf:
        raise BarwiseError(f"`limit` is {limit!r}: it is a share of the price above 0, 0.015 being 1.5%.")
    if not 0 <= keep <= 1:
        raise BarwiseError(f"`keep` is {keep!r}: it is the share of a weight that stays, 0 to pause, 0.5 to halve.")
    low, high = (_column(forecasts, name, weights) for name in ("q10", "q90"))
    width = np.exp(high) - np.exp(low)
    factor = np.where(np.isnan(width), np.nan, np.where(width > limit, keep, 1.0))
    return _flat_at_zero(weights * factor, weights)


def stop_when_decayed(
    weights: pd.Series,
    forecasts: pd.DataFrame,
    label: Label,
    index: pd.DatetimeIndex,
    rule: Decayed | None = None,
) -> pd.Series:
    """Return weights, flat at each close at which the forecasts that had settled by then had decayed.

    `label` is that of the bars stamped `index`. A forecast settles at the close of the bar that its label ends on.
    Decayed: the accuracy of the newest ones is below a share of that of those before (`Decayed`: 50, 150 and 0.9);
    until as many have settled, nothing is. Traded again as soon as the newest ones are right often enough.
    """
    rule = rule or Decayed()
    at = index.get_indexer(pd.DatetimeIndex(forecasts.index))
    if (at < 0).any():
        raise BarwiseError(f"`forecasts` hold the stamp {forecasts.index[int(np.argmin(at))]}, which is no bar.")
    lead = label.parts()[0]
    raw, signal = forecasts[list(lead.task.outputs)].to_numpy(np.float64), forecasts["signal"].to_numpy(np.float64)
    spoken = np.isfinite(signal) & np.isfinite(raw).all(axis=1) & (lead.ends[at] < len(index))
    ends = lead.ends[at[spoken]]
    order = np.argsort(ends, kind="stable")
    hits = right(raw[spoken], signal[spoken], lead.values[at[spoken]], lead.task)[order]
    settled = np.searchsorted(ends[order], index.get_indexer(pd.DatetimeIndex(weights.index)), side="right")
    return weights.where(~_decayed(hits, settled, rule))


def _decayed(hits: np.ndarray, settled: np.ndarray, rule: Decayed) -> np.ndarray:
    """Return ``(N,)``: had the forecasts decayed when the first `settled` ``(N,)`` of `hits` were known?"""
    total = np.r_[0, np.cumsum(hits)]
    middle, first = (np.maximum(settled - back, 0) for back in (rule.newest, rule.newest + rule.before))
    newest, before = (total[settled] - total[middle]) / rule.newest, (total[middle] - total[first]) / rule.before
    return (settled >= rule.newest + rule.before) & (newest < rule.share * before)


def _column(forecasts: pd.DataFrame, name: str, weights: pd.Series) -> np.ndarray:
    if name not in forecasts.columns:
        raise BarwiseError(f"`forecasts` have no column {name!r}, which this rule reads: leave it out, or forecast it.")
    return forecasts[name].reindex(weights.index).to_numpy(np.float64)


def _flat_at_zero(made: pd.Series, weights: pd.Series) -> pd.Series:
    return made.where(made != 0)
