"""Other clocks, joined by when they were known: a 1h bar stamped 10:00 is known at 11:00."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd

from mlcore.bars.clock import bar_interval
from mlcore.errors import BarsError, BarwiseError, LookAheadError

_SUMMED = ("volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume")
_SAME_PRICE, _SAME_MARKET = 1e-6, 0.9  # closes this near are one price; of one market where so many rows agree
_REGULAR = 5  # as many equal long steps in a row are a clock, not gaps
FIRST_MONDAY = pd.Timestamp("1970-01-05", tz="UTC")  # so that weeks start on Mondays


def resample(
    bars: pd.DataFrame, interval: str | pd.Timedelta, *, incomplete: Literal["drop", "flag"] = "drop"
) -> pd.DataFrame:
    """Return longer bars, stamped at their open like all bars; each is known one `interval` after its stamp.

    Open first, high max, low min, close last, volumes and trades summed, other extras their last value. A
    stretch without bars gives none.

    Parameters
    ----------
    interval : length of the new bars, a multiple of the old. They start on whole multiples of it from a Monday
        00:00 UTC on; a bar that ends after its new bar (stamps at half past, to hours) is refused.
    incomplete : the first or last bar may lack its beginning or end: ``"drop"`` leaves it out, ``"flag"`` keeps
        it and adds a bool column `complete`.
    """
    try:
        longer = pd.Timedelta(interval)
    except ValueError:
        raise BarwiseError(f"`interval` is {interval!r}; it must be a duration, as 15m, 1h or 1D.") from None
    step = bar_interval(bars)
    if longer < step or longer.value % step.value:
        raise BarwiseError(f"`interval` is {longer}; it must be a multiple of the bars' own {step}.")
    if incomplete not in ("drop", "flag"):
        raise BarwiseError(f"`incomplete` is {incomplete!r}; known: drop, flag.")
    _require_grid(pd.DatetimeIndex(bars.index), step, longer)
    groups = bars.resample(longer, closed="left", label="left", origin=FIRST_MONDAY)
    made = groups.agg(_how(bars))[list(bars.columns)].loc[(groups.size() > 0).to_numpy()]
    complete = pd.Series(True, index=made.index)
    complete.iloc[0] = bars.index[0] == made.index[0]
    complete.iloc[-1] &= bars.index[-1] + step >= made.index[-1] + longer
    made = made.assign(complete=complete) if incomplete == "flag" else made[complete]
    return made.rename_axis("timestamp")


def one_bar(bars: pd.DataFrame) -> dict[str, float]:
    """Return the longer bar that all of `bars` make, by column; as `resample` makes it, to the last bit."""
    made = bars.groupby(np.zeros(len(bars))).agg(_how(bars))
    return {str(name): float(made[name].iloc[0]) for name in bars.columns}


def _how(bars: pd.DataFrame) -> dict[str, str]:
    how = {"open": "first", "high": "max", "low": "min", "close": "last"}
    return how | {name: "sum" if name in _SUMMED else "last" for name in bars.columns if name not in how}


def _require_grid(stamps: pd.DatetimeIndex, step: pd.Timedelta, longer: pd.Timedelta) -> None:
    """Refuse a bar that closes after the longer bar it falls into: that one would be known before its last part."""
    ends = stamps - (stamps - FIRST_MONDAY) % longer + longer
    late = np.flatnonzero(np.asarray(stamps + step > ends))
    if len(late):
        at = late[0]
        raise BarwiseError(
            f"`interval` is {longer}, but the bar stamped {stamps[at]} closes at {stamps[at] + step}, after the longer "
            f"bar it falls into ends ({ends[at]}); {len(late)} bars do so. Drop a stray bar; where the whole clock is "
            "off the grid, start from shorter bars whose closes meet it."
        )


def known_at(bars: pd.DataFrame, interval: str | pd.Timedelta | None = None) -> pd.DatetimeIndex:
    """Return when each row is known: its open stamp plus the interval (default: the usual step).

    For values stamped by the day they describe (sentiment, on-chain) give the delay until they are out.
    """
    length = bar_interval(bars) if interval is None else pd.Timedelta(interval)
    if length < pd.Timedelta(0):
        raise BarwiseError(f"`interval` is {length}; nothing is known before its stamp.")
    return pd.DatetimeIndex(bars.index + length, name="known_at")


def join_known(
    bars: pd.DataFrame,
    other: pd.DataFrame,
    *,
    interval: str | pd.Timedelta | None = None,
    max_age: str | pd.Timedelta | None = None,
    prefix: str = "",
    same_market: bool = False,
) -> pd.DataFrame:
    """Return `bars` with the columns of `other` as they were known at the close of each bar.

    The row of `other` beside bar `t` is the newest one whose `known_at` is at or before the close of `t`: the
    stamp of `t` plus the bars' interval, or the next bar's stamp where that is earlier (the decision of `t` fills
    at that bar's open). NaN before the first. Never joined by stamp.

    Parameters
    ----------
    other : increasing open stamps, UTC; another interval, coin, or source.
    interval : when a row of `other` is known, after its stamp (default: its usual step; refused where longer steps
        are no whole multiple of it, or stand five in a row: those are longer bars, not gaps, and known later. A
        lone longer bar cannot be told from a gap: give the longest step where `other` may hold some).
    max_age : a row known longer ago than this gives NaN (default: never too old).
    prefix : put before the names of the joined columns.
    same_market : `other` are longer bars of the same market: their closes are held against those of `bars`, and stamps
        that run ahead, so that a row would be joined before it was known, are refused (`LookAheadError`).
    """
    if not other.index.is_monotonic_increasing or other.index.has_duplicates:
        raise BarsError("`other` must have increasing, unique stamps; sort it first.")
    if same_market:
        _require_same_clock(bars, other, interval)
    joined = other.add_prefix(prefix)
    if clash := [name for name in joined.columns if name in bars.columns]:
        raise BarwiseError(f"`other` and `bars` both have the column {clash[0]!r}; give a `prefix`.")
    if interval is None:
        _require_one_step(other)
    right = joined.set_axis(known_at(other, interval).as_unit("ns"), axis=0)
    closes = pd.DataFrame(index=_closes(bars))
    age = None if max_age is None else pd.Timedelta(max_age)
    found = pd.merge_asof(closes, right, left_index=True, right_index=True, direction="backward", tolerance=age)
    return pd.concat([bars, found.set_axis(bars.index, axis=0)], axis=1)


def _closes(bars: pd.DataFrame) -> pd.DatetimeIndex:
    """Return the close of each bar: a bar shorter than usual closes when the next one opens."""
    closes = known_at(bars).as_unit("ns")
    following = pd.DatetimeIndex(bars.index).as_unit("ns")[1:].append(closes[-1:])
    return pd.DatetimeIndex(closes.where(closes < following, following))


def _require_same_clock(bars: pd.DataFrame, other: pd.DataFrame, interval: str | pd.Timedelta | None) -> None:
    """Refuse longer bars whose closes are those of `bars` at other moments than their stamps say."""
    known, step = known_at(other, interval).as_unit("ns"), bar_interval(other)
    closes = bars["close"].set_axis(_closes(bars), axis=0)

    def agreeing(ahead: int) -> float:
        ratio = other["close"].to_numpy(np.float64) / closes.reindex(known + ahead * step).to_numpy(np.float64)
        both = np.isfinite(ratio)
        return float(np.mean(np.abs(ratio[both] - 1) < _SAME_PRICE)) if both.any() else 0.0

    shares = {ahead: agreeing(ahead) for ahead in (0, 1, 2, -1)}
    ahead = max(shares, key=lambda one: shares[one])
    if shares[0] >= _SAME_MARKET:
        return
    if shares[ahead] < _SAME_MARKET:
        raise BarsError(
            f"`other` closes where `bars` do on {shares[0]:.0%} of its rows: they are not of one market, or stamped by "
            "other rules. Leave `same_market` out for another market."
        )
    late = ahead < 0
    raise (BarsError if late else LookAheadError)(
        f"`other` is stamped {abs(ahead)} bar(s) too {'late' if late else 'early'}: its row of {other.index[0]} closes "
        f"as `bars` do at {known[0] + ahead * step}. "
        + ("Stamp it at its open." if late else "Joined like this it would be known before it happened.")
    )


def _require_one_step(other: pd.DataFrame) -> None:
    """Refuse longer steps that no missing bars explain: the row before each would be joined before it was known."""
    usual = bar_interval(other).value
    steps = np.diff(pd.DatetimeIndex(other.index).as_unit("ns").asi8)
    odd = np.flatnonzero((steps > usual) & (steps % usual != 0))
    runs = np.flatnonzero(np.diff(steps, prepend=-1, append=-1))  # where a step differs from the one before
    regular = [at for at, end in pairwise(runs) if end - at >= _REGULAR and steps[at] > usual]
    if found := [*odd[:1].tolist(), *regular[:1]]:
        at = min(found)
        raise BarwiseError(
            f"`other` mixes steps: {pd.Timedelta(usual)} mostly, but {pd.Timedelta(int(steps[at]))} after "
            f"{other.index[at]}, which is no gap of missing rows. Say with `interval` how long after its stamp a row "
            f"is known: the longest step ({pd.Timedelta(int(steps[[*odd, *regular]].max()))}) is never too early."
        )
