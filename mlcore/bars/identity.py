"""What makes two frames the same bars."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd


def bars_sha256(bars: pd.DataFrame) -> str:
    """Return the SHA-256 of stamps (ns), column names and float64 values.

    Equal for equal bars, whatever file they came in.
    """
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(bars.index.as_unit("ns").asi8, dtype="<i8").data)  # type: ignore[attr-defined]
    for name in bars.columns:
        digest.update(f"\0{name}\0".encode())
        digest.update(np.ascontiguousarray(bars[name].to_numpy(), dtype="<f8").data)
    return digest.hexdigest()
