"""A comparison as plain tables: one row a model, and one row a difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mlcore.bootstrap import Estimate
from strategies.comparison.run import Comparison
from strategies.comparison.trading import HELD
from strategies.result import METRICS


def model_table(found: Comparison) -> pd.DataFrame:
    """Return one row a model (``comparison.csv``), those judged first, by their loss.

    ``<metric>``, ``<metric>_low``, ``<metric>_high``; ``<engine>_<number>`` of both engines; ``better_than_<baseline>``
    by the corrected test; ``psr``, ``dsr``; ``train_seconds``, ``latency_ms`` (median), ``bytes``; ``failure``.
    """
    rows = [_row(found, name) for name in dict.fromkeys((*found.entrants, *found.results))]
    table = pd.DataFrame(rows).set_index("model")
    loss = _loss_column(found)
    return table.sort_values(loss, kind="stable", na_position="last") if loss in table else table


def difference_table(found: Comparison) -> pd.DataFrame:
    """Return one row a model, baseline and metric (``differences.csv``): model less baseline, with its interval."""
    rows = []
    for name, rivals in found.judged.differences.items():
        for rival, metrics in rivals.items():
            rows += [_difference(name, rival, metric, one) for metric, one in metrics.items() if name != rival]
    for name, account in found.accounts.items():
        rows += [_difference(name, r, "sharpe", one) for r, one in account.versus.items() if name != r]
    return pd.DataFrame(rows, columns=["model", "baseline", "metric", "difference", "low", "high"])


def _difference(name: str, rival: str, metric: str, one: Estimate) -> dict[str, Any]:
    return {
        "model": name,
        "baseline": rival,
        "metric": metric,
        "difference": one.value,
        "low": one.low,
        "high": one.high,
    }


def _loss_column(found: Comparison) -> str:
    return "rmse" if found.loss == "squared_error" else found.loss


def _row(found: Comparison, name: str) -> dict[str, Any]:
    row: dict[str, Any] = {"model": name, "tried": found.tried}
    entrant = found.entrants.get(name)
    if entrant is not None:
        row |= {
            "failure": entrant.failure or found.judged.left_out.get(name),
            "train_seconds": entrant.seconds,
            "latency_ms": None if not entrant.latency else 1000 * float(np.median(entrant.latency)),
            "bytes": entrant.size,
            "stride": entrant.stride,
            "folds": entrant.folds,
        }
    row |= {"n": found.judged.n if name in found.judged.metrics else None}
    for metric, one in found.judged.metrics.get(name, {}).items():
        row |= {metric: one.value, f"{metric}_low": one.low, f"{metric}_high": one.high}
    for rival in found.judged.superiority:
        row[f"better_than_{rival}"] = rival in found.better_than(name) if name in found.judged.metrics else None
    for engine, result in found.results.get(name, {}).items():
        row |= {f"{engine}_{key}": result.metrics.get(key) for key in METRICS}
    if name in found.reconciled:
        gap = found.reconciled[name]
        row |= {"engines_agree": not isinstance(gap, str), "engines_differ_by": gap if isinstance(gap, float) else None}
    if name in found.accounts:
        account = found.accounts[name]
        row |= {"sharpe_low": account.sharpe.low, "sharpe_high": account.sharpe.high, "psr": account.psr}
        row |= {"dsr": account.dsr if name != HELD else None, "p_sharpe_held": account.p_held}
        row |= {"p_sharpe_held_corrected": account.p_held_corrected}
    return row
