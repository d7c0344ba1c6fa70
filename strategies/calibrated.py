"""From the forecasts of a walk-forward to those that are traded: as they are, or calibrated on their own past."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from mlcore.calibration import Calibrated, calibrate, conformal_intervals
from mlcore.confidence import confidence_rule
from mlcore.errors import BarwiseError
from mlcore.reliability import forecast_reliability
from mlcore.tasks import Label, Task
from mlcore.walkforward import WalkForwardRun

Method = Literal["none", "temperature", "platt", "isotonic"]
COVERAGE = 0.8  # of the interval that is reported where none was asked for


@dataclass(frozen=True)
class Calibration:
    """What is done to forecasts before they are traded.

    method
        Of class probabilities (`mlcore.calibration.calibrate`), or ``none``.
    interval
        The share of labels that the interval of a return is to hold (`mlcore.calibration.conformal_intervals`), or
        None for no such interval.
    latency
        Bars that a fit takes.
    confidence
        Rule of the corrected forecasts' confidence (`mlcore.confidence`); None: the label's own.
    """

    method: Method = "none"
    interval: float | None = None
    latency: int = 0
    confidence: str | None = None

    @property
    def asked(self) -> str | None:
        """The word for it: the method, ``conformal``, or None."""
        return "conformal" if self.interval is not None else None if self.method == "none" else self.method

    def check(self, task: Task) -> None:
        """Refuse what the label has no use for, before an hour of training."""
        if self.method != "none" and task.kind != "classes":
            raise BarwiseError(
                f"`calibration` is {self.method!r}, which is of class probabilities; this label is a return: "
                "say `--interval 0.8`, or a label of classes (`--label direction`)."
            )
        if self.interval is not None and task.kind == "classes":
            raise BarwiseError(
                f"`interval` is {self.interval}, which is of returns; this label has classes: say `--calibration "
                "temperature`, or `--label return`."
            )
        if self.asked is not None and getattr(confidence_rule(self.confidence, task.lead), "needs", None) == "spread":
            raise BarwiseError(
                f"`confidence` is {self.confidence!r}, which asks the model itself: corrected forecasts have no such "
                "confidence. Leave `--confidence` or the correction out."
            )
        promised = task.quantiles[-1] - task.quantiles[0] if task.quantiles else self.interval
        if self.interval is not None and abs(self.interval - (promised or 0.0)) > 1e-9:
            raise BarwiseError(
                f"`interval` is {self.interval}; the outermost quantiles of this label hold {promised:g}: say that."
            )

    def of(self, run: WalkForwardRun, label: Label, index: pd.DatetimeIndex) -> WalkForwardRun:
        """Return `run` with the forecasts that are to be traded, its folds and notes telling what was done.

        A fold gets ``n_calibration`` (past forecasts that its correction was fitted on, 0 where it was left as it was)
        and ``calibrated_through`` (the last bar those touched, or None). `index` stamps the bars of `label`.
        """
        if self.asked is None:
            return run
        options: dict[str, Any] = {"latency": self.latency, "confidence": self.confidence}
        made: Calibrated
        if self.interval is None:
            made = calibrate(run.forecasts, label, index, method=self.method, **options)
        else:
            made = conformal_intervals(run.forecasts, label, index, coverage=self.interval, **options)
        through = made.forecasts.groupby("fold")["trained_through"].first()
        told = {
            fold["fold"]: {
                "n_calibration": fold["n_past"] if fold["fitted"] else 0,
                "calibrated_through": through[fold["fold"]] if fold["fitted"] else None,
            }
            for fold in made.folds
        }
        folds = [fold | told.get(fold["fold"], {}) for fold in run.folds]
        return replace(run, forecasts=made.forecasts, folds=folds, notes=(*run.notes, *made.notes))

    def reliability(
        self, raw: WalkForwardRun, run: WalkForwardRun, label: Label, index: pd.DatetimeIndex
    ) -> dict[str, Any]:
        """Return ``{"method", "before", "after"}``: `forecast_reliability` of the raw and of the traded forecasts.

        Both are over the same rows: those of folds that were calibrated. Where none was asked for, or no fold could
        be, ``before`` is over all rows and ``after`` is None.
        """
        fitted = [fold["fold"] for fold in run.folds if fold.get("n_calibration")]
        options: dict[str, Any] = {"coverage": self.interval or COVERAGE, "residuals": _residuals(raw.folds)}
        kept = _rows(raw.forecasts, fitted) if fitted else np.ones(len(raw.forecasts), dtype=bool)
        before = forecast_reliability(raw.forecasts[kept], label, index, **options)
        after = forecast_reliability(run.forecasts[kept], label, index, **options) if fitted else None
        return {"method": self.asked, "before": before, "after": after}


def _rows(forecasts: pd.DataFrame, folds: Iterable[int]) -> np.ndarray:
    return forecasts["fold"].isin(list(folds)).to_numpy()


def _residuals(folds: Iterable[Mapping[str, Any]]) -> dict[int, float]:
    return {fold["fold"]: fold["residual"] for fold in folds if fold.get("residual") is not None}
