"""Forecasts as vectorbt indicators, with the parameters of a policy broadcast."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import vectorbt as vbt

from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.kinds import check_kind, refuse_unknown
from strategies.policy import Policy, weights_of

RULES = ("entry", "exit", "min_hold", "band", "side", "min_confidence")
OWN_WORDS = ("param_product", "short_name", "hide_params", "hide_default", "keep_pd", "per_column", "return_cache")
OUTPUTS = ("weight", "entries", "exits", "short_entries", "short_exits")
NO_RULE = "Combinations whose `exit` is outside [-entry, entry] are no rules: their columns are flat (NaN weights)."


def _sized(signal: np.ndarray, confidence: np.ndarray, size: np.ndarray, *rule: float | int | str) -> tuple:
    """Return `OUTPUTS` of ``(N, columns)`` forecasts and sizes under one rule, in the order of `RULES`."""
    given = dict(zip(RULES, rule, strict=True))
    check_kind("exit", given["exit"], float)
    Policy(**{**given, "exit": 0.0})  # type: ignore[arg-type]  # what else is wrong is refused
    if abs(given["exit"]) > given["entry"]:  # type: ignore[arg-type,operator]
        warnings.warn(NO_RULE, BarwiseWarning, stacklevel=2)
        weights = np.full(signal.shape, np.nan)
    else:
        policy = Policy(**given)  # type: ignore[arg-type]
        columns = zip(signal.T, confidence.T, np.broadcast_to(size, signal.shape).T, strict=True)
        weights = np.column_stack([_weights(*column, policy) for column in columns])
    held = np.nan_to_num(np.sign(weights))
    before = np.vstack([np.zeros((1, held.shape[1])), held[:-1]])
    changed = held != before
    return (
        weights,
        changed & (held > 0),
        changed & (before > 0),
        changed & (held < 0),
        changed & (before < 0),
    )


def _weights(signal: np.ndarray, confidence: np.ndarray, size: np.ndarray, policy: Policy) -> np.ndarray:
    frame = pd.DataFrame({"signal": signal, "confidence": confidence})
    return weights_of(frame, np.ascontiguousarray(size), policy)


def _signals(signal: np.ndarray, confidence: np.ndarray, *given: float) -> tuple:
    *rule, size = given
    check_kind("size", size, float)
    return _sized(signal, confidence, np.full(signal.shape, float(size)), *rule)


def _asked(made: Any, told: str) -> Any:
    """Return an indicator, told of in words, whose `run` refuses in words what it is not to be given."""

    def run(cls: type, *inputs: Any, **params: Any) -> Any:
        named = dict(zip(made.input_names, inputs, strict=False)) | params
        for name in made.input_names:
            if name not in named:
                raise BarwiseError(
                    f"`{name}` is missing: {made.__name__}.run({', '.join(made.input_names)}, entry=0.2)."
                )
            check_kind(name, named[name], pd.Series | pd.DataFrame | np.ndarray)
        refuse_unknown(params, (*made.input_names, *made.param_names), made.__name__, also=OWN_WORDS)
        return made.run.__func__(cls, *inputs, **params)

    return type(made.__name__, (made,), {"run": classmethod(run), "__doc__": told, "__module__": __name__})


DEFAULTS = {name: getattr(Policy(), name) for name in RULES}

ForecastSignals = _asked(
    vbt.IndicatorFactory(
        class_name="ForecastSignals",
        short_name="forecast",
        input_names=["signal", "confidence"],
        param_names=[*RULES, "size"],
        output_names=list(OUTPUTS),
    ).from_apply_func(_signals, **DEFAULTS, size=1.0),
    """Entries, exits and target weights of forecasts, by the rules of `policy.Policy`.

``ForecastSignals.run(forecasts["signal"], forecasts["confidence"], entry=[0.1, 0.2, 0.3], min_hold=6)`` gives a
column per threshold (``param_product=True`` for all combinations; those whose `exit` is outside [-entry, entry] are
flat columns, and a warning says so). Parameters are `Policy`'s, and `size`, the share of equity of every position.
`weight` is side x `size`, NaN flat; `entries exits short_entries short_exits` are booleans. All are known at the bar's
close and are **not shifted**: `portfolio_from_weights(bars, signals.weight)` fills them at the next open; with
`Portfolio.from_signals` shift them yourself by one bar and give ``price=bars["open"]``.
""",
)

SizedSignals = _asked(
    vbt.IndicatorFactory(
        class_name="SizedSignals",
        short_name="sized",
        input_names=["signal", "confidence", "size"],
        param_names=list(RULES),
        output_names=list(OUTPUTS),
    ).from_apply_func(_sized, **DEFAULTS),
    """`ForecastSignals` whose sizes are an input, ``(N,)`` or a column each: those of `from_sizer`.

``SizedSignals.run(signal, confidence, from_sizer("study_rule").run(forecasts, bars, base=[0.1, 0.2]).size)``. A NaN
size means flat; while a position is held against its signal its size stays (`Policy`).
""",
)
