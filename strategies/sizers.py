"""From a signal to the share of equity it deserves: pure functions, one name each in `SIZERS`.

A sizer is ``f(forecasts, volatility, /, **params) -> Series`` on the forecasts' index: the target weight
at each bar's close, signed like the signal, in [-1, 1]; NaN where it cannot speak, which means flat.
`volatility` is the annualised deviation of log returns known at the close of the same bar
(`strategies.policy.annual_volatility`), as a fraction: 0.2 is 20% a year. NaN volatility (its warm-up)
gives NaN. Volatility 0 is taken at its limit: the cap of the sizer binds.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError, LookAheadError, did_you_mean
from mlcore.plugins import SIZERS

Sizer = Callable[..., pd.Series]


def _share(name: str, value: float, *, sizer: str) -> float:
    if not 0 < value <= 1:
        raise BarwiseError(f"`{name}` of sizer {sizer!r} is {value!r}: it must be in (0, 1], a share of equity.")
    return value


def _positive(name: str, value: float, *, sizer: str) -> float:
    if not 0 < value < np.inf:
        raise BarwiseError(f"`{name}` of sizer {sizer!r} is {value!r}: it must be above 0 (0.2 = 20% a year).")
    return value


@SIZERS.add
def fixed(forecasts: pd.DataFrame, volatility: pd.Series, /, *, size: float = 1.0) -> pd.Series:
    """Give every view the same share of equity, `size`.

    >>> fixed(pd.DataFrame({"signal": [0.3, -0.1, np.nan]}), pd.Series(dtype=float), size=0.5).tolist()
    [0.5, -0.5, nan]
    """
    return np.sign(forecasts["signal"]) * _share("size", size, sizer="fixed")


@SIZERS.add
def confidence(forecasts: pd.DataFrame, volatility: pd.Series, /, *, size: float = 1.0) -> pd.Series:
    """Grow linearly with confidence: `size` at confidence 1, nothing at 0.

    >>> confidence(pd.DataFrame({"signal": [0.3, -0.1], "confidence": [0.5, 1.0]}), pd.Series(dtype=float)).tolist()
    [0.5, -1.0]
    """
    return np.sign(forecasts["signal"]) * forecasts["confidence"] * _share("size", size, sizer="confidence")


@SIZERS.add
def volatility_target(
    forecasts: pd.DataFrame, volatility: pd.Series, /, *, target: float = 0.2, cap: float = 1.0
) -> pd.Series:
    """Hold so much that the position's own volatility is `target` (annualised), at most `cap` of equity.

    >>> volatility_target(pd.DataFrame({"signal": [0.3, -0.1]}), pd.Series([0.8, 0.1])).tolist()
    [0.25, -1.0]
    """
    _positive("target", target, sizer="volatility_target")
    _share("cap", cap, sizer="volatility_target")
    return np.sign(forecasts["signal"]) * (target / volatility).clip(upper=cap)


@SIZERS.add
def study_rule(
    forecasts: pd.DataFrame,
    realised: pd.Series,
    /,
    *,
    base: float = 0.02,
    volatility: float = 0.2,
    cap: float = 0.05,
) -> pd.Series:
    """Size as the studies did: ``base x |signal| x confidence x min(1, volatility / realised)``, at most `cap`.

    `realised` is the annualised volatility at the bar's close, `volatility` the level (also annualised)
    above which positions shrink.

    >>> view = pd.DataFrame({"signal": [1.0, -0.5], "confidence": [1.0, 0.8]})
    >>> study_rule(view, pd.Series([0.1, 0.4])).tolist()
    [0.02, -0.004]
    """
    _share("base", base, sizer="study_rule")
    _share("cap", cap, sizer="study_rule")
    calm = (_positive("volatility", volatility, sizer="study_rule") / realised).clip(upper=1.0)
    size = (base * forecasts["signal"].abs() * forecasts["confidence"] * calm).clip(upper=cap)
    return np.sign(forecasts["signal"]) * size


def sizes_of(
    forecasts: pd.DataFrame, volatility: pd.Series, sizer: str | Sizer, params: Mapping[str, Any]
) -> np.ndarray:
    """Return ``(N,)`` sizes of a sizer, its word on every bar; refuse unknown parameters and sizes beyond 1.

    Raises `LookAheadError` if the first half of the rows, or of that half, and so on down to one row, is sized
    otherwise where the rest is not there: the last cuts lie in the warm-up, and before the largest value of a column.
    """
    name = sizer if isinstance(sizer, str) else getattr(sizer, "__name__", "sizer")
    function: Sizer = SIZERS[sizer] if isinstance(sizer, str) else sizer
    known = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for param in params:
        if param not in known:
            raise BarwiseError(
                f"`sizer_params` names {param!r}, which sizer {name!r} does not take."
                f"{did_you_mean(param, known)} It takes: {', '.join(known) or 'nothing'}."
            )
    sizes = np.asarray(function(forecasts, volatility, **params), dtype=np.float64)
    if sizes.shape != (len(forecasts),) or (np.abs(sizes) > 1).any():
        worst = np.nanmax(np.abs(sizes), initial=0.0)
        raise BarwiseError(
            f"`sizer` {name!r} gave {sizes.shape} sizes up to {worst}: it must give one in [-1, 1] for each of "
            f"{len(forecasts)} forecasts."
        )
    cut = len(forecasts)
    while cut := cut // 2:
        alone = np.asarray(function(forecasts.iloc[:cut], volatility.iloc[:cut], **params), dtype=np.float64)
        if not np.array_equal(alone, sizes[:cut], equal_nan=True):
            raise LookAheadError(
                f"`sizer` {name!r} sizes the first {cut} of {len(forecasts)} forecasts otherwise where the later ones "
                "are not there: it looks at other rows. Size each row from its own forecast and volatility."
            )
    return sizes
