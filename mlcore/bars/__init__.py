"""Bars: read, checked, and joined by when they were known."""

from mlcore.bars.check import check_bars
from mlcore.bars.clock import bar_interval, missing_bars
from mlcore.bars.identity import bars_sha256, check_market, market_of, name_market
from mlcore.bars.known import join_known, known_at, resample
from mlcore.bars.oddities import spikes
from mlcore.bars.read import read_bars
from mlcore.bars.rules import REPAIRS
from mlcore.bars.span import between, panel_between

__all__ = [
    "REPAIRS",
    "bar_interval",
    "bars_sha256",
    "between",
    "check_bars",
    "check_market",
    "join_known",
    "known_at",
    "market_of",
    "missing_bars",
    "name_market",
    "panel_between",
    "read_bars",
    "resample",
    "spikes",
]
