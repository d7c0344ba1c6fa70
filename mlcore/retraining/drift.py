"""Drift of the inputs, told by river's detectors."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlcore.errors import BarwiseError, did_you_mean
from mlcore.retraining.rules import Standing


class Drifted:
    """Retrain when the inputs no longer look like those the live model was trained on.

    Every column has a drift detector of its own, first shown the rows that the model was trained on, then bar by bar
    what the model forecasts from. A new model is asked for when, since the live one's first bar, the detectors of
    more than `share` of the columns have told of a drift. The detectors begin anew with every model.

    Parameters
    ----------
    detector : one of river's drift detectors, not yet shown anything: anything with ``update(x)`` and
        ``drift_detected``. Default ``river.drift.ADWIN()`` (Bifet, Gavaldà 2007), from the extra ``barwise[drift]``.
    columns : features to watch; default all. Features of the calendar drift with every hour: leave them out.
    share : in [0, 1): 0 asks for a new model at the first column that drifted.

    Notes
    -----
    The detectors' own error rates hold for independent values. Features of overlapping windows are not: they tell of
    drifts more often. Take `delta` of ADWIN, or `share`, by what a run shows.
    """

    def __init__(self, detector: Any = None, *, columns: Sequence[str] | None = None, share: float = 0.25) -> None:
        if isinstance(share, bool) or not 0 <= share < 1:
            raise BarwiseError(f"`share` is {share!r}; it is a share of the columns in [0, 1).")
        if isinstance(columns, str) or (columns is not None and not len(columns)):
            raise BarwiseError(f"`columns` is {columns!r}; give a list of feature columns, or leave it out for all.")
        self.detector = _adwin() if detector is None else detector
        if not (callable(getattr(self.detector, "update", None)) and hasattr(self.detector, "drift_detected")):
            raise BarwiseError(
                f"`detector` is {detector!r}; give one of river's drift detectors, as `river.drift.KSWIN()`."
            )
        self.columns, self.share = columns, share
        self._fold: int | None = None

    def __call__(self, now: Standing) -> str | None:
        if now.fold != self._fold:
            self._begin(now)
        values = now.inputs[self._at]
        for place in np.flatnonzero(np.isfinite(values)).tolist():
            self._told[place] |= _update(self._detectors[place], values[place])
        if self._told.sum() <= self.share * len(self._at):
            return None
        names = [now.columns[i] for i in self._at[self._told]]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"drift in {len(names)} of {len(self._at)} inputs: {', '.join(names[:3])}{more}"

    def _begin(self, now: Standing) -> None:
        """Take new detectors and show them what the model was trained on."""
        self._fold, self._at = now.fold, self._places(now.columns)
        self._told = np.zeros(len(self._at), dtype=bool)
        self._detectors = [copy.deepcopy(self.detector) for _ in self._at]
        for detector, values in zip(self._detectors, now.trained_on[:, self._at].T, strict=True):
            for value in values[np.isfinite(values)].tolist():
                detector.update(value)

    def _places(self, columns: tuple[str, ...]) -> np.ndarray:
        if self.columns is None:
            return np.arange(len(columns))
        for name in self.columns:
            if name not in columns:
                raise BarwiseError(f"`columns` of the drift rule names {name!r}, which is no feature of the run."
                                   f"{did_you_mean(name, columns)}")  # fmt: skip
        return np.array([columns.index(name) for name in self.columns])


def _update(detector: Any, value: float) -> bool:
    detector.update(float(value))
    return bool(detector.drift_detected)


def _adwin() -> Any:
    try:
        from river.drift import ADWIN
    except ImportError:
        raise BarwiseError(
            "`detector` is not given and river is not installed: `pip install barwise[drift]`, or give a detector with "
            "`update(x)` and `drift_detected`."
        ) from None
    return ADWIN()
