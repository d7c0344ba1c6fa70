"""Numbers the report needs beyond those a `Study` holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError
from mlcore.labels import forward_return
from mlcore.metrics import hit_rate, rank_ic
from strategies.measures import returns_per_year
from strategies.result import BacktestResult
from strategies.sharpe import SharpeRatios, sharpe_ratios
from strategies.study import Study, Traded

GONE = 1e-4  # an account below this share of the starting cash is gone


def drawdown(equity: pd.Series) -> pd.Series:
    """Return the fall of equity from its highest so far (the first row is the starting cash), as a positive fraction.

    >>> drawdown(pd.Series([100.0, 120.0, 90.0, 150.0])).tolist()
    [0.0, 0.0, 0.25, 0.0]
    """
    peak = equity.cummax()
    return (peak - equity) / peak


def first_result(study: Traded) -> BacktestResult:
    """Return the engine's result that fold and cost numbers are read from: the first that ran."""
    return next(iter(study.results.values()))


def costs_of(result: BacktestResult) -> dict[str, float | None]:
    """Return what trading cost and the commission at which nothing would be left, all in account currency.

    traded
        value of all fills.
    before_costs
        profit had the same fills, and the holding, been free: net + commission + slippage + funding + borrow (no
        compounding of what was saved).
    break_even
        commission, as a fraction of a fill, at which the same fills would earn nothing after their slippage (funding,
        borrow); None without fills, negative where even free commission loses.
    """
    net = float(result.equity.iloc[-1] - result.equity.iloc[0])
    commission = float(result.metrics["commission_paid"] or 0.0)
    slippage = float(result.metrics["slippage_paid"] or 0.0)
    funding, borrow = (float(result.metrics.get(name) or 0.0) for name in ("funding_paid", "borrow_paid"))
    traded = float((result.orders["size"] * result.orders["price"]).abs().sum())
    return {
        "before_costs": net + commission + slippage + funding + borrow,
        "commission": commission,
        "slippage": slippage,
        "funding": funding,
        "borrow": borrow,
        "net": net,
        "traded": traded,
        "break_even": (net + commission) / traded if traded > 0 else None,
    }


def label_returns(study: Study) -> np.ndarray | None:
    """Return ``(N,)`` log returns each forecast's trade would have had, or None where the config does not say."""
    horizon, entry = study.config.get("horizon"), study.config.get("label_entry", "next_open")
    if horizon is None:
        return None
    try:
        returns = pd.Series(forward_return(study.bars, horizon, entry=entry).returns, index=study.bars.index)
    except BarwiseError:
        return None
    return returns.reindex(study.forecasts.index).to_numpy(np.float64)


def fold_rows(study: Study) -> list[dict[str, Any]]:
    """Return one dict a fold: the fold's own, its forecasts' quality, and what its bars earned.

    ``net_return`` is equity at the close of the fold's last bar over that at the close of the bar before its
    first (the starting cash for the first fold), None where the account was gone by then; ``orders`` counts those
    decided inside it.
    """
    result, returns = first_result(study), label_returns(study)
    signal = study.forecasts["signal"].to_numpy(np.float64)
    stamps, equity = study.forecasts.index, result.equity
    decided = pd.DatetimeIndex(result.orders["decided"])
    rows = []
    for number, fold in enumerate(study.folds):
        start, end = pd.Timestamp(fold["test_start"]), pd.Timestamp(fold["test_end"])
        inside = slice(stamps.searchsorted(start), stamps.searchsorted(end, side="right"))
        held = slice(max(equity.index.searchsorted(start) - 1, 0), equity.index.searchsorted(end, side="right"))
        curve = equity.iloc[held]
        rows.append(
            {
                **fold,
                "fold": fold.get("fold", number),
                "orders": int(((decided >= start) & (decided <= end)).sum()),
                "net_return": _return(curve, float(equity.iloc[0])),
                "rank_ic": None if returns is None else rank_ic(signal[inside], returns[inside]),
                "hit_rate": None if returns is None else hit_rate(signal[inside], returns[inside]),
            }
        )
    return rows


def _return(curve: pd.Series, cash: float) -> float | None:
    """Return what `curve` earned, None where the account it began with was gone: next to nothing has no return."""
    if not len(curve) or curve.iloc[0] <= GONE * cash:
        return None
    return float(curve.iloc[-1] / curve.iloc[0] - 1)


def confidence_buckets(study: Study, buckets: int = 10) -> pd.DataFrame | None:
    """Return what came of calls by confidence, or None where nothing was called.

    Directional calls with a known return, cut into `buckets` of equal count by confidence. Columns: ``confidence`` (the
    bucket's mean), ``hit_rate``, ``calls``, ``low high`` (the Wilson 95% interval of the hit rate), ``earned`` (the
    mean log return in the direction of the call, before costs) and ``error`` (half its 95% interval); both intervals
    take calls for independent (overlapping labels are not).
    """
    returns = label_returns(study)
    if returns is None:
        return None
    signal, sure = (study.forecasts[name].to_numpy(np.float64) for name in ("signal", "confidence"))
    called = np.isfinite(signal) & (signal != 0) & np.isfinite(returns) & np.isfinite(sure)
    if called.sum() < 2 * buckets or np.ptp(sure[called]) == 0:
        return None
    side = np.sign(signal)
    calls = pd.DataFrame({"confidence": sure, "hit": side == np.sign(returns), "earned": side * returns})[called]
    groups = calls.groupby(pd.qcut(calls["confidence"], buckets, duplicates="drop"), observed=True)
    table = groups.agg(
        confidence=("confidence", "mean"),
        hit_rate=("hit", "mean"),
        calls=("hit", "size"),
        earned=("earned", "mean"),
        error=("earned", lambda gained: 1.96 * gained.std(ddof=1) / np.sqrt(len(gained))),
    )
    if len(table) < min(buckets, 2):
        return None  # nearly all calls are equally sure: one dot says nothing
    low, high = wilson(table["hit_rate"], table["calls"])
    return table.assign(low=low, high=high).reset_index(drop=True)


def wilson(share: pd.Series, n: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return the ends of Wilson's 95% interval of a share of `n` independent trials.

    >>> [round(float(end.iloc[0]), 4) for end in wilson(pd.Series([0.5]), pd.Series([20]))]
    [0.2993, 0.7007]
    """
    z = 1.959964
    middle, half = (share + z**2 / (2 * n)) / (1 + z**2 / n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half / (1 + z**2 / n), middle + half / (1 + z**2 / n)


def luck_of(study: Traded) -> tuple[int, float]:
    """Return days with a bar out of sample, and the annual Sharpe ratio within which 95 of 100 rules without skill end.

    1.96 x sqrt(returns per year / returns): the standard error of a Sharpe ratio near 0 for independent returns.
    """
    index = pd.DatetimeIndex(first_result(study).equity.index)
    days = int(index.floor("D").nunique())
    per_year = returns_per_year(index, study.days_per_year)
    return days, 1.96 * float(np.sqrt(per_year / days))


def ratios_of(study: Traded) -> SharpeRatios:
    """Return the Sharpe ratios of the engines and of all rivals, the first engine held against the others."""
    index = first_result(study).equity.index
    per_year = returns_per_year(pd.DatetimeIndex(index), study.days_per_year)
    return sharpe_ratios({**study.results, **study.baselines}, per_year)


def month_returns(equity: pd.Series) -> pd.Series:
    """Return what each UTC month earned: last equity over that of the month before (the starting cash for the first).

    Index: monthly Period; NaN where the account was gone before the month began.
    """
    months = pd.DatetimeIndex(equity.index).tz_localize(None).to_period("M")
    last = equity.groupby(months).last()
    before = last.shift(1, fill_value=float(equity.iloc[0]))
    return (last / before - 1).where(before > GONE * float(equity.iloc[0]))
