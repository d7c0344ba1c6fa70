"""From the views of many symbols to shares of one account: pure functions, known at the same closes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError, did_you_mean
from strategies.account.market import Bars, clock_of
from strategies.policy import VOLATILITY_WINDOW, annual_volatility, apply_band

Way = Literal["equal", "confidence", "inverse_volatility"]
WAYS: tuple[Way, ...] = ("equal", "confidence", "inverse_volatility")


def allocate(
    views: Mapping[str, pd.Series],
    bars: Bars,
    *,
    way: Way = "equal",
    forecasts: Mapping[str, pd.DataFrame] | None = None,
    gross: float = 1.0,
    net: float | None = None,
    band: float = 0.0,
    volatility_window: int = VOLATILITY_WINDOW,
) -> pd.DataFrame:
    """Return target weights of one account, one column a symbol, on the clock of `bars` (`clock_of`).

    Each symbol that has a view or says flat on a row holds a share of `gross`, and its weight is that share times its
    view: symbols share alike (``equal``), or by the inverse of their volatility. ``confidence``: alike, times the
    forecast's confidence. So what one symbol does not use stays cash, and no symbol's view trades the others; the
    shares change where one begins, and with each move of the volatilities. A symbol that ends keeps its share, as one
    in a gap does: that no bar will come is known only in hindsight.

    Parameters
    ----------
    views : symbol to target weights in [-1, 1], NaN for flat, by stamp (`policy.target_weights`), none empty. A
        symbol has a share from its first view on; where it has no bar, what was said last stands.
    forecasts : symbol to forecasts, for ``confidence``.
    gross : most that the sizes add up to.
    net : most that longs less shorts may be, either way; the longer side is scaled down to it.
    band : a new weight nearer than this to the symbol's last one is not taken (`policy.apply_band`).
    """
    if way not in WAYS:
        raise BarwiseError(f"`way` is {way!r}.{did_you_mean(str(way), WAYS)} Known: {', '.join(WAYS)}.")
    for name, limit in (("gross", gross), ("net", net)):
        if limit is not None and not 0 < limit < np.inf:
            raise BarwiseError(f"`{name}` is {limit!r}: it is a sum of weights above 0 (1.0 is the whole account).")
    if list(views) != list(bars):
        raise BarwiseError(f"`views` holds {list(views)} and `bars` {list(bars)}: give the same symbols in one order.")
    if way == "confidence" and forecasts is None:
        raise BarwiseError("`forecasts` are missing: the way 'confidence' reads them.")
    if empty := [name for name, view in views.items() if not len(view)]:
        raise BarwiseError(f"`views` of {empty[0]!r} is empty: leave the symbol out.")
    clock = clock_of(bars)
    wanted = _on_clock({name: view.fillna(0.0) for name, view in views.items()}, bars, clock)
    shares = _shares(way, wanted, bars, forecasts or {}, clock, volatility_window)
    weights = _netted((wanted * shares).to_numpy(np.float64) * gross, net)
    ordered = np.column_stack([apply_band(np.nan_to_num(column), band) for column in weights.T])
    return pd.DataFrame(np.where(ordered == 0, np.nan, ordered), clock, columns=list(bars))


def _on_clock(columns: Mapping[str, pd.Series], bars: Bars, clock: pd.DatetimeIndex) -> pd.DataFrame:
    """Return one column a symbol: the newest value at each stamp, NaN before its first one."""
    made = {name: values.reindex(clock[clock >= values.index[0]]).ffill() for name, values in columns.items()}
    return pd.DataFrame(made, index=clock, columns=list(bars))


def _shares(
    way: Way,
    wanted: pd.DataFrame,
    bars: Bars,
    forecasts: Mapping[str, pd.DataFrame],
    clock: pd.DatetimeIndex,
    window: int,
) -> pd.DataFrame:
    """Return shares that add up to 1 over the symbols there are (less, by confidence); NaN where there is none."""
    there = wanted.notna()
    alike = there.astype(np.float64).where(there)
    if way == "inverse_volatility":
        volatility = _on_clock({name: annual_volatility(frame, window) for name, frame in bars.items()}, bars, clock)
        alike = (1 / volatility.where(volatility > 0)).where(there)
    shares = alike.div(alike.sum(axis=1), axis=0)
    if way == "confidence":
        sure = {name: forecasts[name]["confidence"] for name in bars}
        shares = shares * _on_clock(sure, bars, clock)
    return shares


def _netted(weights: np.ndarray, net: float | None) -> np.ndarray:
    """Return ``(N, S)`` weights whose longs and shorts differ by at most `net`."""
    if net is None:
        return weights
    longs, shorts = np.nansum(np.maximum(weights, 0.0), axis=1), np.nansum(np.maximum(-weights, 0.0), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        up = np.where(longs - shorts > net, (net + shorts) / longs, 1.0)
        down = np.where(shorts - longs > net, (net + longs) / shorts, 1.0)
    return weights * np.where(weights > 0, up[:, None], down[:, None])
