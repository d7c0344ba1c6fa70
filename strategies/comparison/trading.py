"""Accounts of many models held against each other: net Sharpe ratios, and what luck of many would show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlcore.bootstrap import Estimate, Resamples, block_length, differences, estimate, resample
from mlcore.stats import Moments, deflated_sharpe, holm, probabilistic_sharpe, sharpe_difference
from strategies.result import BacktestResult
from strategies.sharpe import daily_returns, sharpe_metric

HELD = "buy_and_hold"


@dataclass(frozen=True)
class Account:
    """One model's trading after costs.

    sharpe
        A year, with a 95% interval of days drawn in blocks; None where the account was gone or never moved.
    versus
        baseline -> Sharpe less the baseline's, likewise paired. psr: probability that it is above 0.
    dsr
        Probability that it is above what the best of all that were tried would show without skill.
    p_held, p_held_corrected
        That it differs from buy and hold's (Ledoit and Wolf), and Holm's correction for all that were tried.
    """

    sharpe: Estimate
    versus: dict[str, Estimate]
    psr: float | None
    dsr: float | None
    p_held: float | None
    p_held_corrected: float | None


def compare_accounts(
    results: Mapping[str, BacktestResult],
    *,
    tried: int,
    days_per_year: float,
    baselines: tuple[str, ...],
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Account]:
    """Hold all accounts against each other; `tried` counts the models that were, whatever became of them.

    `results` hold the baselines too, by name; those of `HELD` and of shuffled labels are no trials.
    """
    daily = {name: daily_returns(result) for name, result in results.items()}
    table = pd.DataFrame({name: one for name, one in daily.items() if one is not None})
    moments = {name: Moments.of(table[name].to_numpy()) for name in table}
    trials = [one.sharpe for name, one in moments.items() if one is not None and name not in (HELD, "shuffled_label")]
    # One account that lives says nothing of how trials spread: then the best of several cannot be corrected for.
    variance = float(np.var(trials, ddof=1)) if len(trials) > 1 else (0.0 if tried == 1 else None)
    year = math.sqrt(days_per_year)
    metrics = {name: {"sharpe": sharpe_metric(table[name].to_numpy(), year)} for name in table}
    values = table.to_numpy()
    draws = Resamples(1, len(table), 1.0, block_length(values) if len(table) else 1.0, n=resamples, seed=seed)
    drawn = {name: resample(metric, draws) for name, metric in metrics.items()}
    ratios = {}
    for name in results:
        known = moments.get(name)
        ratios[name] = {
            "sharpe": Estimate(None) if known is None else estimate(known.sharpe * year, drawn[name]["sharpe"])
        }
    p_held = {name: _p(table, name) for name in results if name != HELD}
    corrected = dict(zip(p_held, holm(list(p_held.values())), strict=True))
    accounts = {}
    for name in results:
        known = moments.get(name)
        rivals = [rival for rival in baselines if rival in drawn and name in drawn]
        accounts[name] = Account(
            ratios[name]["sharpe"],
            {r: differences(ratios[name], ratios[r], drawn[name], drawn[r])["sharpe"] for r in rivals},
            None if known is None else probabilistic_sharpe(known),
            None if known is None or variance is None else deflated_sharpe(known, variance, tried),
            _known(p_held.get(name, math.nan)),
            _known(corrected.get(name, math.nan)),
        )
    return accounts


def _p(table: pd.DataFrame, name: str) -> float:
    """p of equal Sharpe ratios of a model and of holding; NaN where one of them has none."""
    if name not in table or HELD not in table:
        return math.nan
    found = sharpe_difference(table[name].to_numpy(), table[HELD].to_numpy())
    return math.nan if found is None else found.p_value


def _known(p: float) -> float | None:
    return None if math.isnan(p) else float(p)
