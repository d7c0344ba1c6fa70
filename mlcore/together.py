"""Folds (and seeds) fitted together as one batch, then forecast one by one."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.folds import Fold
from mlcore.refit import Outcome, Rows, Shared, finish, fresh, outcome_of, training_rows, watched

Job = tuple[Shared, Fold, Any]  # what the folds read, the fold, its record for the store


def check_batched(model: Any, warm_start: bool) -> None:
    """Refuse a model that cannot be trained in a batch, and a warm start, for which folds must wait for each other."""
    if not (hasattr(model, "begin") and hasattr(model, "end")):
        raise BarwiseError(
            f"`batched` is for networks (`mlcore.models.torch.TorchModel`); {type(model).__name__} is none."
        )
    if warm_start:
        raise BarwiseError("`batched` fits all folds at once; with `warm_start` each waits for the one before.")


def run_together(jobs: Sequence[Job]) -> Iterator[Outcome]:
    """Fit the folds of all jobs in one batch (`mlcore.batched`), then yield their outcomes one after another.

    A fold that cannot be fitted leaves the batch and says why. The seconds of the batch are shared out evenly.
    """
    from mlcore.batched import train_together
    from mlcore.training import seeded, threads

    outcomes, begun = [outcome_of(shared, fold) for shared, fold, _ in jobs], {}
    for i, (shared, fold, _) in enumerate(jobs):
        with watched(outcomes[i]):
            rows, model = training_rows(shared, fold), fresh(shared, fold.number)
            fit = model.begin(rows.windows, rows.y, task=shared.task, validation=rows.validation)
            with seeded(model.seed):
                begun[i] = rows, model, fit, model.forecaster(fit)[0]
    if begun:
        first, fit = next((model, fit) for _, model, fit, _ in begun.values())
        started = time.perf_counter()
        with threadpool_limits(1), threads(first.threads), seeded(first.seed, fit.plan.device):
            curves = train_together([fit for *_, fit, _ in begun.values()], [one for *_, one in begun.values()])
        seconds = (time.perf_counter() - started) / len(begun)
    for i, (shared, fold, record) in enumerate(jobs):
        if i in begun:
            rows, model, fit, network = begun.pop(i)
            with watched(outcomes[i]):
                model.end(fit, network, curves.pop(0))
                _finish(shared, fold, rows, model, outcomes[i], record)
            outcomes[i].seconds += seconds
        yield outcomes[i]


def _finish(shared: Shared, fold: Fold, rows: Rows, model: Any, outcome: Outcome, record: Any) -> None:
    if getattr(model, "dropout", 0.0):
        warnings.warn(
            "Dropout in a batch draws other numbers than one by one: forecasts are alike, not equal.",
            BarwiseWarning,
            stacklevel=2,
        )
    finish(shared, fold, rows, model, outcome, record)
