"""The feature table: one row per bar, one column per recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mlcore.bars.identity import market_of, name_market
from mlcore.errors import BarsError, BarwiseError
from mlcore.features.recipes import Recipe, column_name, parse_recipe
from mlcore.kinds import checked
from mlcore.plugins import FEATURES

DEFAULT_FEATURES: tuple[Recipe, ...] = (
    "close_pct_change",
    "volume_ma_ratio",
    "rsi",
    "macd_signal",
    "bollinger_position",
    "atr_normalized",
    "obv_slope",
    "log_return",
    "volatility",
    "volatility_ratio",
    "bollinger_width",
    "momentum",
    "roc",
    "stochastic_k",
    "stochastic_d",
    "cci",
    ("ema_distance", {"window": 10}),
    ("ema_distance", {"window": 30}),
    ("ema_distance", {"window": 200}),
    "high_low_range",
    "time_of_day",
    "day_of_week",
)


@checked
def feature_table(bars: pd.DataFrame, features: Sequence[Recipe] = DEFAULT_FEATURES) -> pd.DataFrame:
    """Return the features of N bars, ``(N, F)`` float64 on the bars' index; row `t` is known at the close of bar `t`.

    Parameters
    ----------
    bars : checked bars (`mlcore.bars.check_bars`): one NaN would poison TA-Lib's recursions in silence.
    features : names, ``(name, params)``, or columns' names (``"rsi_window7"``).

    Returns
    -------
    DataFrame
        NaN only in the warm-up rows on top. ``attrs["memory"]`` is the largest number of bars before its own
        that a value depends on; recursive features (RSI, MACD, ATR, EMA distances) have no end and do not count.

    Raises
    ------
    BarwiseError
        Unknown names or parameters, bars that were not checked, a feature that breaks its contract.
    """
    _require_finite(bars)
    columns: dict[str, np.ndarray] = {}
    memory = 0
    for recipe in features:
        name, params = parse_recipe(recipe)
        for column, values in _columns(bars, name, params):
            if column in columns:
                raise BarwiseError(f"`features` names the column {column!r} twice; leave one of them out.")
            warm_up = _warm_up(column, values)
            if not getattr(FEATURES[name], "recursive", False):
                memory = max(memory, warm_up)
            columns[column] = values
    if not columns:
        raise BarwiseError("`features` is empty; name one at least.")
    names = list(columns)
    block = np.empty((len(names), len(bars)))
    for i, name in enumerate(names):
        block[i] = columns.pop(name)  # each column is let go as it is copied: the peak stays at two tables
    table = pd.DataFrame(block.T, index=bars.index, columns=names, copy=False)
    table.attrs["memory"] = memory
    return name_market(table, market_of(bars))


def _columns(bars: pd.DataFrame, name: str, params: dict[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    column = column_name(name, params)
    try:
        made = FEATURES[name](bars, **params)
    except KeyError as error:
        raise BarwiseError(f"`features`: {name!r} needs the column {error}, which the bars do not have.") from None
    if len(made) != len(bars):
        raise BarwiseError(
            f"`features`: {column!r} gave {len(made)} rows for {len(bars)} bars; it must give one a bar."
        )
    if isinstance(made, pd.DataFrame):
        for part in made.columns:
            yield f"{column}_{part}", made[part].to_numpy(dtype=np.float64)
    else:
        yield column, made.to_numpy(dtype=np.float64)


def _warm_up(column: str, values: np.ndarray) -> int:
    """Return the number of NaN rows on top; refuse any later one."""
    finite = np.isfinite(values)
    warm_up = int(finite.argmax()) if finite.any() else len(values)
    if not finite[warm_up:].all() or not np.isnan(values[:warm_up]).all():
        bad = np.flatnonzero(~finite & (np.isinf(values) | (np.arange(len(values)) >= warm_up)))[0]
        raise BarwiseError(
            f"`features`: {column!r} is {values[bad]} in row {bad}; "
            "NaN may stand only in the warm-up on top, inf nowhere."
        )
    return warm_up


def _require_finite(bars: pd.DataFrame) -> None:
    for name in ("open", "high", "low", "close", "volume"):
        if name in bars and not np.isfinite(bars[name].to_numpy().sum()):
            raise BarsError(f"`bars`: column {name!r} holds NaN or inf; run `check_bars` first, it says where.")
