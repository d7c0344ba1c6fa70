"""Features, labels and sizers by name as vectorbt indicators: classes whose `run` broadcasts their parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import vectorbt as vbt

import mlcore.features
import mlcore.labels  # noqa: F401  (both enter the kit's own in the tables)
from mlcore.errors import BarwiseError, LookAheadError
from mlcore.features import column_name, feature_table
from mlcore.kinds import check_kind, refuse_unknown
from mlcore.plugins import FEATURES, LABELS, SIZERS
from mlcore.synthetic import random_market
from strategies.policy import VOLATILITY_WINDOW, annual_volatility, forecast_rows
from strategies.sizers import sizes_of
from strategies.vbt.indicators import OWN_WORDS

PROBE_BARS = 600  # a feature's columns are found on so many made-up bars


def from_feature(name: str, bars: pd.DataFrame | None = None) -> Any:
    """Return feature `name` as an indicator: ``from_feature("rsi").run(bars, window=[7, 14]).rsi``.

    Every parameter of the feature is one of the indicator; lists are broadcast (``param_product=True`` for all
    combinations). Its outputs are the feature's columns. A value is known at its bar's close, and is what
    `feature_table` gives. `bars` are only needed for a feature that reads more than open, high, low, close, volume.
    """
    function = FEATURES[name]
    probe = random_market(PROBE_BARS).bars if bars is None else bars
    found = list(feature_table(probe, [name]).columns)
    outputs = {column: column.removeprefix(f"{name}_") for column in found}

    def apply(close: np.ndarray, *values: Any, given_: pd.DataFrame) -> Any:
        params = dict(zip(_parameters(function), values, strict=True))
        table = feature_table(given_, [(name, params)])
        recipe = column_name(name, params)
        columns = [recipe if part == name else f"{recipe}_{part}" for part in outputs.values()]
        made = tuple(table[column].to_numpy()[:, None] for column in columns)
        return made if len(made) > 1 else made[0]

    return _face(name, function, list(outputs.values()), apply)


def from_label(name: str, *, look_ahead: bool = False) -> Any:
    """Return label `name` as an indicator: ``from_label("direction").run(bars, horizon=[5, 20]).settled``.

    A label at a bar is made of bars after it. ``settled`` is the label that a bar's close settled: of the newest row
    whose label ended by then, so that a rule may read it. The label on its own row (``future``) and the log return it
    was made from (``future_return``) are there with ``look_ahead=True`` only, to study and not to trade: whoever trades
    them sees the future, and no engine can tell.

    Raises `LookAheadError` where ``future`` is asked of an indicator made without.
    """
    function = LABELS[name]
    outputs = ["settled", *(["future", "future_return"] if look_ahead else [])]

    def apply(close: np.ndarray, *values: Any, given_: pd.DataFrame) -> Any:
        label = function(given_, **dict(zip(_parameters(function), values, strict=True)))
        if label.values.ndim > 1:
            raise BarwiseError("`horizon` names several horizons for one column: give a list, a column each.")
        settled = _settled(label.values, label.ends)[:, None]
        return (settled, label.values[:, None], label.returns[:, None]) if look_ahead else settled

    face = _face(name, function, outputs, apply, prefix="LookAhead" if look_ahead else "Settled")
    if not look_ahead:
        for hidden in ("future", "future_return"):
            setattr(face, hidden, property(_refuse_future))
    return face


def from_sizer(name: str) -> Any:
    """Return sizer `name` as an indicator: ``from_sizer("study_rule").run(forecasts, bars, base=[0.1, 0.2]).size``.

    Sizes stand on the bars from the first forecast to the last and are known at their closes; NaN means flat. They go
    into `SizedSignals`, which decides when to hold. `volatility_window` and `days_per_year` are those of
    `strategies.policy.annual_volatility`.
    """
    function = SIZERS[name]

    def apply(signal: np.ndarray, *values: Any, given_: tuple[pd.DataFrame, pd.Series]) -> np.ndarray:
        return sizes_of(*given_, name, dict(zip(_parameters(function), values, strict=True)))[:, None]

    made = _factory(name, function, ["signal"], ["size"], apply, "Sizer")

    def run(
        cls: type,
        forecasts: pd.DataFrame,
        bars: pd.DataFrame,
        *,
        volatility_window: int = VOLATILITY_WINDOW,
        days_per_year: float = 365.0,
        **params: Any,
    ) -> Any:
        rows = forecast_rows(forecasts, bars)
        spanned = forecasts.reindex(bars.index[rows])
        volatility = annual_volatility(bars, volatility_window, days_per_year).iloc[rows]
        _check(name, function, params)
        return made.run.__func__(cls, spanned["signal"], given_=(spanned, volatility), **params)

    return type(made.__name__, (made,), {"run": classmethod(run), "__doc__": function.__doc__})


def _face(name: str, function: Callable, outputs: list[str], apply: Callable, prefix: str = "") -> Any:
    """Return an indicator whose `run` takes bars."""
    made = _factory(name, function, ["close"], outputs, apply, prefix)

    def run(cls: type, bars: pd.DataFrame, **params: Any) -> Any:
        check_kind("bars", bars, pd.DataFrame)
        _check(name, function, params)
        return made.run.__func__(cls, bars["close"], given_=bars, **params)

    return type(made.__name__, (made,), {"run": classmethod(run), "__doc__": function.__doc__})


def _factory(name: str, function: Callable, inputs: list[str], outputs: list[str], apply: Callable, prefix: str) -> Any:
    parameters = inspect.signature(function).parameters
    defaults = {word: parameters[word].default for word in _parameters(function)}
    tuples = {word: {"is_tuple": True} for word, default in defaults.items() if isinstance(default, tuple)}
    return vbt.IndicatorFactory(
        class_name=prefix + "".join(part.capitalize() for part in name.split("_")),
        short_name=name,
        input_names=inputs,
        param_names=list(defaults),
        output_names=outputs,
    ).from_apply_func(apply, param_settings=tuples, **defaults)


def _parameters(function: Callable) -> list[str]:
    """Return the parameters that have a default: all but what a feature, label or sizer is computed from."""
    parameters = inspect.signature(function).parameters.values()
    return [one.name for one in parameters if one.default is not one.empty]


def _check(name: str, function: Callable, params: Iterable[str]) -> None:
    refuse_unknown(params, _parameters(function), name, also=OWN_WORDS)


def _settled(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return at each row the value of the newest row whose label ended at that row or before; NaN before the first."""
    rows = np.flatnonzero(~np.isnan(values))
    newest = np.full(len(values), -1)
    np.maximum.at(newest, ends[rows], rows)
    newest = np.maximum.accumulate(newest)
    return np.where(newest >= 0, values[newest], np.nan)


def _refuse_future(face: Any) -> None:
    raise LookAheadError(
        "`future` is the label on its own row, made of bars that come after it. Read `settled`, or make the indicator "
        "with `from_label(..., look_ahead=True)` to study it."
    )
