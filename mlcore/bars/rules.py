"""The rules bars obey, and the repairs offered. A rule finds rows; a repair is done only when asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlcore.bars.columns import PRICES, REQUIRED
from mlcore.errors import BarsError, BarwiseError, BarwiseWarning, did_you_mean

REPAIRS = {
    "widen_range": "widens high and low to hold open and close",
    "drop_bad_rows": "drops such rows",
    "sort": "sorts the rows by stamp",
    "drop_duplicates": "keeps the last row of each stamp",
}


@dataclass(frozen=True)
class Raw:
    """Bars on the way in: values as float64 (NaN where unreadable), stamps (NaT likewise), and what stood there."""

    bars: pd.DataFrame
    original: pd.DataFrame
    stamps: pd.Series | pd.Index

    def take(self, rows: np.ndarray) -> Raw:
        """Return these rows, in this order."""
        stamps = self.stamps.iloc[rows] if isinstance(self.stamps, pd.Series) else self.stamps[rows]
        return Raw(self.bars.iloc[rows], self.original.iloc[rows], stamps)


@dataclass(frozen=True)
class Rule:
    """One rule: which rows break it (bool mask), what stands there, and the repair that would help."""

    broken: Callable[[Raw], np.ndarray]
    told: Callable[[Raw, int], str]
    must: str
    repair: str


def _values(raw: Raw, names: Iterable[str]) -> np.ndarray:
    return raw.bars[list(names)].to_numpy()


def _told_first(raw: Raw, row: int, names: Iterable[str], bad: Callable[[np.ndarray], np.ndarray]) -> str:
    names = list(names)
    name = names[int(bad(_values(raw, names)[row]).argmax())]
    return f"`{name}` is {_shown(raw.original[name].iloc[row])}"


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return "empty" if pd.isna(value) else str(value)  # type: ignore[call-overload]


def _prices(raw: Raw, row: int) -> str:
    return ", ".join(f"{name} {raw.bars[name].iloc[row]:.12g}" for name in PRICES)


def _disordered(raw: Raw) -> np.ndarray:
    stamps = raw.bars.index.asi8  # type: ignore[attr-defined]
    known = np.flatnonzero(raw.bars.index.notna())
    disordered = np.zeros(len(stamps), dtype=bool)
    disordered[known[1:]] = np.diff(stamps[known]) < 0
    return disordered


def _outside(raw: Raw) -> np.ndarray:
    opened, high, low, close = _values(raw, PRICES).T
    return (high >= low) & ((opened > high) | (close > high) | (opened < low) | (close < low))


def _infinite(values: np.ndarray) -> np.ndarray:
    return ~np.isfinite(values)


def _any_column(mask: np.ndarray) -> np.ndarray:
    return np.asarray(mask.any(axis=1))


def _not_positive(values: np.ndarray) -> np.ndarray:
    return values <= 0


RULES: tuple[Rule, ...] = (
    Rule(
        lambda raw: np.asarray(raw.bars.index.isna()),
        lambda raw, row: f"the stamp is {_shown(_at(raw.stamps, row))}",
        "every stamp must be readable: epoch s, ms, us or ns from 1970 on, or a date",
        "drop_bad_rows",
    ),
    Rule(
        lambda raw: _any_column(_infinite(_values(raw, REQUIRED))),
        lambda raw, row: _told_first(raw, row, REQUIRED, _infinite),
        "every price and volume must be a finite number",
        "drop_bad_rows",
    ),
    Rule(
        lambda raw: _any_column(_not_positive(_values(raw, PRICES))),
        lambda raw, row: _told_first(raw, row, PRICES, _not_positive),
        "prices must be above 0",
        "drop_bad_rows",
    ),
    Rule(
        lambda raw: raw.bars["high"].to_numpy() < raw.bars["low"].to_numpy(),
        lambda raw, row: f"`high` {raw.bars['high'].iloc[row]:.12g} is below `low` {raw.bars['low'].iloc[row]:.12g}",
        "high must not be below low",
        "drop_bad_rows",
    ),
    Rule(_outside, _prices, "open and close must lie between low and high", "widen_range"),
    Rule(
        lambda raw: raw.bars["volume"].to_numpy() < 0,
        lambda raw, row: f"`volume` is {raw.bars['volume'].iloc[row]}",
        "volume must not be negative",
        "drop_bad_rows",
    ),
    Rule(
        _disordered,
        lambda raw, row: f"its stamp is before that of the row above ({raw.bars.index[:row].dropna()[-1]})",
        "stamps must increase",
        "sort",
    ),
    Rule(
        lambda raw: np.asarray(raw.bars.index.duplicated() & raw.bars.index.notna()),
        lambda raw, row: "its stamp stands in a row above already",
        "stamps must be unique",
        "drop_duplicates",
    ),
)
_BAD_ROW_RULES = tuple(rule for rule in RULES if rule.repair in ("drop_bad_rows", "widen_range"))


def enforce(raw: Raw) -> None:
    """Raise `BarsError` with row, value, rule and repair of the first broken rule, and name the other ones."""
    broken = [(rule, np.flatnonzero(rule.broken(raw))) for rule in RULES]
    broken = [(rule, rows) for rule, rows in broken if rows.size]
    if not broken:
        return
    rule, rows = broken[0]
    row = int(rows[0])
    repair = f"`--repair {rule.repair}` {REPAIRS[rule.repair]}."
    if len(rows) == len(raw.bars) and rule.repair == "drop_bad_rows":
        repair = "Dropping them would leave none: look at the column, not at its rows."
    also = "; ".join(f"{len(others)} rows: {other.must}" for other, others in broken[1:])
    raise BarsError(
        f"row {row} ({raw.bars.index[row]}): {rule.told(raw, row)}; {rule.must} "
        f"({len(rows):,} of {len(raw.bars):,} rows break this). {repair}" + (f" Also broken: {also}." if also else "")
    )


def repaired(raw: Raw, repair: Iterable[str]) -> Raw:
    """Return the bars after the repairs asked for, each with a warning that says what it did."""
    wanted = check_repairs(repair)
    if "widen_range" in wanted and (outside := _outside(raw)).any():
        _say("widen_range", f"widened {outside.sum():,} rows", raw, np.flatnonzero(outside))
        bars = raw.bars.copy()
        bars["high"] = bars[list(PRICES)].max(axis=1).where(outside, bars["high"])
        bars["low"] = bars[list(PRICES)].min(axis=1).where(outside, bars["low"])
        raw = Raw(bars, raw.original, raw.stamps)
    if "drop_bad_rows" in wanted:
        bad = np.logical_or.reduce([rule.broken(raw) for rule in _BAD_ROW_RULES])
        if bad.any():
            _say("drop_bad_rows", f"dropped {bad.sum():,} rows", raw, np.flatnonzero(bad))
            raw = raw.take(np.flatnonzero(~bad))
    if "sort" in wanted and (disordered := _disordered(raw)).any():
        _say("sort", f"sorted {len(raw.bars):,} rows", raw, np.flatnonzero(disordered))
        raw = raw.take(np.argsort(raw.bars.index.asi8, kind="stable"))  # type: ignore[attr-defined]
    if "drop_duplicates" in wanted:
        repeated = np.asarray(raw.bars.index.duplicated(keep="last"))
        if repeated.any():
            _say("drop_duplicates", f"dropped {repeated.sum():,} rows", raw, np.flatnonzero(repeated))
            raw = raw.take(np.flatnonzero(~repeated))
    return raw


def check_repairs(repair: Iterable[str] | str) -> tuple[str, ...]:
    """Return the repairs named (also as one text, ``"sort,drop_duplicates"``); refuse unknown ones."""
    given = repair.split(",") if isinstance(repair, str) else repair
    names = tuple(name.strip() for name in given if name.strip())
    for name in names:
        if name not in REPAIRS:
            raise BarwiseError(
                f"`repair` names {name!r}, which is not known.{did_you_mean(name, REPAIRS)} "
                f"Known: {'; '.join(f'{known} ({what})' for known, what in REPAIRS.items())}."
            )
    return names


def _say(name: str, what: str, raw: Raw, rows: np.ndarray) -> None:
    row = int(rows[0])
    warnings.warn(
        f"`repair` {name} {what}, the first is row {row} ({raw.bars.index[row]}). The file itself is as it was.",
        BarwiseWarning,
        stacklevel=2,
    )


def _at(values: pd.Series | pd.Index, row: int) -> object:
    return values.iloc[row] if isinstance(values, pd.Series) else values[row]
