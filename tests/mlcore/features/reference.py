"""Closed-form bars whose indicator values other libraries agree on, and the public spreadsheet set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def closed_form_bars() -> pd.DataFrame:
    """60 bars, formulas only."""
    t = np.arange(60)
    close = 100 + 5 * np.sin(0.3 * t) + 0.1 * t
    opened = np.r_[close[0], close[:-1]]
    high = np.maximum(opened, close) + 0.5 + 0.2 * np.cos(t)
    low = np.minimum(opened, close) - 0.5 - 0.2 * np.sin(1.7 * t) ** 2
    volume = 1000 + 100 * np.sin(0.7 * t)
    stamps = pd.date_range("2024-01-01", periods=60, freq="1h", tz="UTC", name="timestamp")
    return pd.DataFrame({"open": opened, "high": high, "low": low, "close": close, "volume": volume}, index=stamps)


def spreadsheet_bars(folder: Path) -> pd.DataFrame:
    """502 daily bars worked by hand in the spreadsheets of Stock.Indicators (Apache-2.0)."""
    bars = pd.read_csv(folder / "reference" / "skender_default.csv", index_col="date", parse_dates=True)
    return bars.astype(np.float64).tz_localize("UTC").rename_axis("timestamp")
