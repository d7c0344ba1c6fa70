"""The laws every plugin must obey, public so that third parties can hold theirs against them.

Each check is one law; its docstring is the law. A broken one raises `BrokenLawError`. In your own tests:

    from mlcore.checks import check_feature
    check_feature(my_feature)
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from mlcore.checks.chain import forecasts_are_blind_to_later_bars
from mlcore.checks.confidence import CONFIDENCE_CHECKS
from mlcore.checks.features import FEATURE_CHECKS
from mlcore.checks.labels import LABEL_CHECKS
from mlcore.checks.laws import BrokenLawError, sample_bars
from mlcore.checks.models import MODEL_CHECKS, MORE_TASKS, SPOKEN_CHECKS, TASKS, Case
from mlcore.checks.sizers import SIZER_CHECKS


def check_feature(feature: Any, bars: pd.DataFrame | None = None) -> None:
    """Hold ``f(bars) -> Series or DataFrame`` against all laws of features; 300 `bars` if it needs extra columns."""
    bars = sample_bars() if bars is None else bars
    for check in FEATURE_CHECKS:
        check(feature, bars)


def check_label(label: Any, bars: pd.DataFrame | None = None) -> None:
    """Hold ``f(bars) -> Label`` against all laws of labels."""
    bars = sample_bars() if bars is None else bars
    for check in LABEL_CHECKS:
        check(label, bars)


def check_model(model: Any) -> None:
    """Hold a model against all laws of models for three tasks, and against a few for more; some seconds for a network.

    Classes, returns and quantiles meet every law; two and five classes and several horizons at once meet those that
    say that the model speaks them (`SPOKEN_CHECKS`). A law that a model breaks by design stands in its class attribute
    ``law_exceptions``: name of the check -> reason.
    """
    rounds = [(task, MODEL_CHECKS) for task in TASKS] + [(task, SPOKEN_CHECKS) for task in MORE_TASKS.values()]
    for task, checks in rounds:
        case = Case(model, task)
        for check in checks:
            if check.__name__ not in getattr(model, "law_exceptions", {}):
                check(case)


def check_confidence(rule: Any) -> None:
    """Hold ``f(views) -> confidence``, entered in `CONFIDENCES`, against all laws of confidence rules."""
    for check in CONFIDENCE_CHECKS:
        check(rule)


def check_sizer(sizer: Any) -> None:
    """Hold ``f(forecasts, volatility) -> weights`` against all laws of sizers."""
    for check in SIZER_CHECKS:
        check(sizer)


__all__ = [
    "CONFIDENCE_CHECKS",
    "FEATURE_CHECKS",
    "LABEL_CHECKS",
    "MODEL_CHECKS",
    "MORE_TASKS",
    "SIZER_CHECKS",
    "SPOKEN_CHECKS",
    "TASKS",
    "BrokenLawError",
    "Case",
    "check_confidence",
    "check_feature",
    "check_label",
    "check_model",
    "check_sizer",
    "forecasts_are_blind_to_later_bars",
    "sample_bars",
]
