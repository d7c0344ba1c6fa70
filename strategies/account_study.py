"""From a traded account to all that its report tells."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mlcore.bars import bars_sha256
from mlcore.errors import BarwiseError
from strategies.account.plan import AccountPlan
from strategies.allocation import allocate
from strategies.command import typed_command
from strategies.main_job import describe, versions
from strategies.result import BacktestResult
from strategies.study import AccountStudy


def study_account(
    results: Mapping[str, BacktestResult],
    reconciliation: dict[str, Any] | None,
    *,
    title: str,
    rivals: Mapping[str, BacktestResult] | None = None,
    config: Mapping[str, Any] | None = None,
    days_per_year: float = 365.0,
    seed: int = 0,
    seconds: float = 0.0,
    notes: tuple[str, ...] = (),
) -> AccountStudy:
    """Return what `backtest_portfolio` found, held against buying and holding all symbols alike, and against nothing.

    Both are traded here, by the first engine of `results`: the same bars, costs, funding and cash, no rules but
    `borrow`. `strategies.output.write_study` writes the folder, `strategies.report.write_report` the page alone.

    Parameters
    ----------
    results, reconciliation : as `backtest_portfolio` returned them (or `backtest` with rules). Forecasts that it was
        given are told of, too.
    rivals : other accounts that were traded and could have been chosen, by name; each counts as a configuration tried.
    config : settings of the script, for the run card.
    days_per_year : as it was given to `backtest_portfolio`.
    seed, seconds : of the run, for the run card.

    Raises `BarwiseError` for results that are not an account's.
    """
    first = next(iter(results.values()), None)
    if first is None or "plan" not in first.extras:
        raise BarwiseError(
            "`results` are not an account's: give those of `backtest_portfolio`, or `backtest(rules=...)`."
        )
    plan: AccountPlan = first.extras["plan"]
    forecasts = _by_symbol(first.forecasts)
    return AccountStudy(
        title=title,
        plan=plan,
        forecasts=forecasts,
        results=dict(results),
        baselines={**_baselines(plan, first.engine, days_per_year), **(rivals or {})},
        reconciliation=reconciliation,
        data=_data(plan),
        config=dict(config or {}),
        days_per_year=days_per_year,
        versions=versions(),
        seed=seed,
        seconds=seconds,
        notes=notes,
        tried=1 + len(rivals or {}),
        in_sample=any((frame["trained_through"] >= frame.index).any() for frame in forecasts.values()),
        command=typed_command(),
    )


Account = tuple[dict[str, BacktestResult], dict[str, Any] | None]  # as `backtest_portfolio` returns it


def study_one_of(accounts: Mapping[str, Account], name: str, **options: Any) -> AccountStudy:
    """Return the study of the account of that `name`, all others its rivals; `options` are those of `study_account`."""
    rivals = {other: next(iter(results.values())) for other, (results, _) in accounts.items() if other != name}
    return study_account(*accounts[name], rivals=rivals, **options)


def _baselines(plan: AccountPlan, engine: str, days_per_year: float) -> dict[str, BacktestResult]:
    """Trade what needs no view: all symbols held alike, and nothing."""
    if engine == "backtrader":
        from strategies.bt.account import run_account_backtrader as run  # an engine is imported only to run
    else:
        from strategies.vbt.account import run_account_vectorbt as run
    views = {symbol: pd.Series(1.0, bars.index) for symbol, bars in plan.bars.items()}
    alike = allocate(views, plan.bars)
    weights = {"buy_and_hold": alike, "flat": pd.DataFrame(0.0, alike.index, alike.columns)}
    return {name: run(plan.of_weights(asked), days_per_year=days_per_year) for name, asked in weights.items()}


def _by_symbol(forecasts: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    if forecasts is None:
        return {}
    return {str(name): made.drop(columns="symbol") for name, made in forecasts.groupby("symbol", sort=False)}


def _data(plan: AccountPlan) -> dict[str, Any]:
    """Return what was traded: of all symbols together, and of each; with hashes of all that both engines were given."""
    each = {symbol: describe(bars) for symbol, bars in plan.bars.items()}
    digest = hashlib.sha256("".join(f"{name} {one['sha256']}\n" for name, one in each.items()).encode()).hexdigest()
    given = {"weights": plan.asked, "funding": plan.market.funding, "slippage": plan.market.slippage}
    hashes = {
        f"{name}_sha256": bars_sha256(pd.DataFrame(array, plan.clock, plan.symbols)) for name, array in given.items()
    }
    return {
        "symbols": len(each),
        "rows": sum(one["rows"] for one in each.values()),
        "gaps": sum(one["gaps"] for one in each.values()),
        "first": plan.clock[0].isoformat(),
        "last": plan.clock[-1].isoformat(),
        "sha256": digest,
        **hashes,
        "by_symbol": each,
    }
