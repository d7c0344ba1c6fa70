"""The science of Barwise: bars in, honest forecasts out; no engine is imported here.

The names below load on first use, so `import mlcore` is quick and loads neither torch nor LightGBM.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "BarwiseError": "mlcore.errors",
    "FEATURES": "mlcore.features.recipes",
    "LABELS": "mlcore.labels",
    "Label": "mlcore.tasks",
    "LookAheadError": "mlcore.errors",
    "MODELS": "mlcore.models",
    "Task": "mlcore.tasks",
    "WalkForward": "mlcore.folds",
    "Windows": "mlcore.windows",
    "calibrate": "mlcore.calibration",
    "check_bars": "mlcore.bars",
    "check_forecasts": "mlcore.forecasts",
    "combine_tracks": "mlcore.ensembles",
    "conformal_intervals": "mlcore.calibration",
    "direction": "mlcore.labels",
    "feature_table": "mlcore.features",
    "five_class": "mlcore.labels",
    "forecast_quality": "mlcore.metrics",
    "forecast_from_store": "mlcore.store",
    "forward_return": "mlcore.labels",
    "read_bars": "mlcore.bars",
    "read_panel": "mlcore.panel",
    "triple_barrier": "mlcore.labels",
    "walk_forward": "mlcore.walkforward",
    "walk_forward_panel": "mlcore.panel",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlcore' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
