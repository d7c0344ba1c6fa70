"""Many trading rules over the same forecasts, in vectorbt: chunks of columns, of which only the metrics stay."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from mlcore.bars import bars_sha256
from mlcore.content import code_of, sha256_of
from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.kinds import check_settings, checked
from mlcore.plugins import SIZERS
from mlcore.store.folds import versions
from strategies.backtest import backtest
from strategies.costs import Costs
from strategies.measures import returns_per_year
from strategies.orders import check_forecasts_before, checked_cash, order_targets
from strategies.policy import VOLATILITY_WINDOW, Policy, annual_volatility, forecast_rows, target_weights, weights_of
from strategies.result import BacktestResult
from strategies.sizers import sizes_of
from strategies.tables import read_table
from strategies.vbt.accounts import Accounts, Orders
from strategies.vbt.kept import KeptChunks, drop_chunks
from strategies.vbt.run import FELL_BACK

# Bars x combinations of a chunk: about half a second of work, small beside what a worker needs to start.
CELLS_AT_A_TIME = 32_000_000


@dataclass(frozen=True)
class Grid:
    """What is tried: every combination of the values given.

    `sizer` entries are recipes, a name or a name with parameters: ``"fixed"``, ``"study_rule:base=0.1,cap=0.2"``.
    `delay` counts bars from the close that decides to the close that the order is given at, 0 being the same one; it
    fills at the next open. Combinations whose `exit` is outside [-entry, entry] are left out.
    """

    entry: Sequence[float] = (0.0,)
    exit: Sequence[float] = (0.0,)
    min_hold: Sequence[int] = (0,)
    band: Sequence[float] = (0.0,)
    side: Sequence[str] = ("both",)
    min_confidence: Sequence[float] = (0.0,)
    sizer: Sequence[str] = ("fixed",)
    commission: Sequence[float] = (0.001,)
    slippage: Sequence[float] = (0.0005,)
    delay: Sequence[int] = (0,)

    def __post_init__(self) -> None:
        check_settings(self)

    def rules(self) -> list[tuple[Policy, str]]:
        """Return the distinct trading rules, costs aside."""
        policies = [getattr(self, field.name) for field in fields(Policy)]
        kept = []
        for *values, sizer in itertools.product(*policies, self.sizer):
            rule = dict(zip([field.name for field in fields(Policy)], values, strict=True))
            if abs(rule["exit"]) <= rule["entry"] or rule["exit"] == rule["entry"]:
                kept.append((Policy(**rule), sizer))
        if not kept:
            raise BarwiseError("The grid is empty: every `exit` is above its `entry`. Lower `exit` or raise `entry`.")
        return list(dict.fromkeys(kept))

    def terms(self) -> list[tuple[Costs, int]]:
        """Return the distinct terms of trading that are no choice of the trader: costs and delay."""
        for delay in self.delay:
            if isinstance(delay, bool) or not isinstance(delay, int | np.integer) or delay < 0:
                raise BarwiseError(f"`delay` is {delay!r}: it must be a whole number of bars, 0 or more.")
        asked = itertools.product(self.commission, self.slippage, self.delay)
        return [(Costs(*cost), int(delay)) for *cost, delay in dict.fromkeys(asked)]


__all__ = ["Grid", "drop_chunks", "parse_sizer", "read_forecasts", "run_row", "sweep"]

PARAMETERS = tuple(field.name for field in fields(Grid))
Progress = Callable[[str, int, int], None]


@checked
def sweep(
    forecasts: pd.DataFrame,
    bars: pd.DataFrame,
    grid: Grid,
    *,
    cash: float = 10_000.0,
    days_per_year: float = 365.0,
    volatility_window: int = VOLATILITY_WINDOW,
    cells_at_a_time: int = CELLS_AT_A_TIME,
    n_jobs: int | None = None,
    work: str | Path | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> pd.DataFrame:
    """Trade every combination of `grid` over the span of `forecasts`; return one row each, in the order of the grid.

    Columns: the grid's parameters, then `METRICS`, the same numbers `run_vectorbt` gives (NaN where it gives None),
    ``sharpe_of_bars``, which is `vbt.Portfolio.sharpe_ratio()` (of bar returns; ``sharpe`` is of daily ones),
    `days`, the UTC days with a bar, and `years`, those days over the returns a year has (`strategies.measures`).
    The forecasts are not made again, and are refused where a model knew its own bar (`LookAheadError`).
    `bars` may begin before the forecasts, so that volatility is warm. `run_row` runs any row in full.

    Combinations that give the same orders at the same costs are traded once, and all count as tried. ``table.attrs``:
    ``tried``, ``traded`` (how many were simulated), ``kernel`` (``"rust"``, or ``"numba"``, with a warning), and the
    ``settings`` that `run_row` needs.

    Parameters
    ----------
    n_jobs : chunks traded at a time, by joblib; None is what `joblib.parallel_config` says (its ``backend="dask"``
        moves the chunks to a cluster), or 1. Any number, and any backend, gives the same bytes.
    work : folder to keep finished chunks in. The same sweep with the same `work` takes them from there, so a run that
        was killed goes on where it was. They stay there until `drop_chunks(work)`.
    progress : called as ``progress("sweep", done, total)``, in combinations.
    """
    check_forecasts_before(forecasts, bars)
    settings = {"cash": checked_cash(cash), "days_per_year": days_per_year, "volatility_window": volatility_window}
    rows = forecast_rows(forecasts, bars)
    volatility = annual_volatility(bars, volatility_window, days_per_year).iloc[rows]
    span = bars[["open", "close"]].iloc[rows]
    traded = _Traded(forecasts.reindex(span.index), volatility, span, settings["cash"], days_per_year)
    cells = list(itertools.product(grid.rules(), grid.terms()))
    _check_sizers(traded, grid)
    size = max(1, cells_at_a_time // len(span))
    chunks = [cells[begin : begin + size] for begin in range(0, len(cells), size)]
    kept = KeptChunks(work, "" if work is None else _key(traded, cells, size))
    found = _trade_all(traded, chunks, kept, n_jobs, lambda done: progress("sweep", done, len(cells)))
    days = span.index.floor("D").nunique()  # type: ignore[attr-defined]
    table = _table(cells, found).assign(days=days, years=days / returns_per_year(span, days_per_year))
    table.attrs["settings"] = settings
    if table.attrs["kernel"] != "rust":
        reason = next(part.attrs["fallback"] for part in found if part.attrs["fallback"])
        warnings.warn(FELL_BACK.format(reason=reason), BarwiseWarning, stacklevel=2)
    return table


@checked
def run_row(
    table: pd.DataFrame,
    row: int,
    forecasts: pd.DataFrame,
    bars: pd.DataFrame,
    *,
    engine: str = "both",
) -> dict[str, BacktestResult]:
    """Run one row of a sweep's table in full, in the engines of `backtest`: equity, orders, trades, everything.

    `row` is its position; `forecasts` and `bars` are those of the sweep. Cash, year and volatility are as they were.
    """
    if not 0 <= row < len(table):
        raise BarwiseError(f"`row` is {row}; the table has rows 0 to {len(table) - 1}.")
    one: Any = table.iloc[row].to_dict()
    settings = table.attrs["settings"]
    name, params = parse_sizer(one["sizer"])
    policy = Policy(**{field.name: one[field.name] for field in fields(Policy)})
    days, window = settings["days_per_year"], settings["volatility_window"]
    weights = target_weights(
        forecasts, bars, policy=policy, sizer=name, sizer_params=params, volatility_window=window, days_per_year=days
    )
    results, _ = backtest(
        bars.loc[weights.index],
        weights.shift(int(one["delay"])),
        engine=engine,  # type: ignore[arg-type]
        costs=Costs(one["commission"], one["slippage"]),
        cash=settings["cash"],
        days_per_year=days,
        forecasts=forecasts,
    )
    return results


def parse_sizer(recipe: str) -> tuple[str, dict[str, float]]:
    """Return name and parameters of a recipe.

    >>> parse_sizer("study_rule:base=0.1,cap=0.2")
    ('study_rule', {'base': 0.1, 'cap': 0.2})
    """
    name, _, rest = recipe.partition(":")
    params: dict[str, float] = {}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        try:
            params[key.strip()] = float(value)
        except ValueError:
            raise BarwiseError(
                f"`sizer` is {recipe!r}: {part!r} is not name=number. Write it as 'study_rule:base=0.1,cap=0.2'."
            ) from None
    return name.strip(), params


def read_forecasts(path: str | Path) -> pd.DataFrame:
    """Read `forecasts.parquet` as the main job writes it; refuse what is no forecasts frame."""
    return read_table(path, "forecasts")


@dataclass(frozen=True)
class _Traded:
    """What every chunk reads."""

    forecasts: pd.DataFrame
    volatility: pd.Series
    bars: pd.DataFrame
    cash: float
    days_per_year: float

    def sizes(self, sizer: str) -> np.ndarray:
        name, params = parse_sizer(sizer)
        return sizes_of(self.forecasts, self.volatility, name, params)


_Cell = tuple[tuple[Policy, str], tuple[Costs, int]]


def _trade_all(
    traded: _Traded,
    chunks: list[list[_Cell]],
    kept: KeptChunks,
    n_jobs: int | None,
    tell: Callable[[int], None],
) -> list[pd.DataFrame]:
    """Return the measures of every chunk, in order, from what is kept and from what is traded now."""
    found = {number: part for number in range(len(chunks)) if (part := kept.load(number)) is not None}
    missing = [number for number in range(len(chunks)) if number not in found]
    work = (delayed(_trade_chunk)(traded, number, chunks[number]) for number in missing)
    tell(sum(map(len, found.values())))
    for number, part in Parallel(n_jobs=n_jobs, return_as="generator_unordered")(work):
        kept.save(number, part)
        found[number] = part
        tell(sum(map(len, found.values())))
    return [found[number] for number in range(len(chunks))]


def _trade_chunk(traded: _Traded, number: int, cells: Sequence[_Cell]) -> tuple[int, pd.DataFrame]:
    """Return the chunk's number and its measures; what orders the same at the same costs is simulated once."""
    accounts = Accounts(traded.bars, traded.cash, traded.days_per_year)
    distinct: dict[tuple[bytes, bytes, Costs], int] = {}
    orders: list[Orders] = []
    positions = []
    for (_, (cost, _)), given in _given(traded, cells):
        key = (given.rows.tobytes(), given.targets.tobytes(), cost)
        if key not in distinct:
            distinct[key] = len(orders)
            orders.append(given)
        positions.append(distinct[key])
    part = accounts.trade(orders, [cost for *_, cost in distinct]).iloc[positions].reset_index(drop=True)
    part.attrs = {"traded": len(orders), "fallback": accounts.fallback}
    return number, part


def _given(traded: _Traded, cells: Sequence[_Cell]) -> Iterator[tuple[_Cell, Orders]]:
    """Yield each cell with its orders; costs vary fastest, so an answer is kept until the rule changes."""
    sizes: dict[str, np.ndarray] = {}
    last, orders = None, None
    for rule, terms in cells:
        policy, sizer = rule
        if sizer not in sizes:
            sizes = {sizer: traded.sizes(sizer)} if len(sizes) > 8 else sizes | {sizer: traded.sizes(sizer)}
        if rule != last:
            weights = pd.Series(weights_of(traded.forecasts, sizes[sizer], policy), traded.bars.index)
            last, orders = rule, Orders.of(order_targets(weights))
        assert orders is not None
        yield (rule, terms), orders.late(terms[1], len(traded.bars))


def _table(cells: Sequence[_Cell], found: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return parameters and measures side by side, with how many were tried, traded, and by which kernel."""
    tried = pd.DataFrame(
        [{**vars(policy), "sizer": sizer, **vars(cost), "delay": delay} for (policy, sizer), (cost, delay) in cells]
    )
    table = pd.concat([tried[list(PARAMETERS)], pd.concat(found, ignore_index=True)], axis=1)
    table.attrs = {
        "tried": len(table),
        "traded": sum(part.attrs["traded"] for part in found),
        "kernel": "numba" if any(part.attrs["fallback"] for part in found) else "rust",
    }
    return table


def _check_sizers(traded: _Traded, grid: Grid) -> None:
    """Refuse a sizer that cannot be used before any chunk is given out."""
    for sizer in dict.fromkeys(grid.sizer):
        traded.sizes(sizer)


def _key(traded: _Traded, cells: Sequence[_Cell], size: int) -> str:
    """Return what kept chunks must agree in to be this sweep's."""
    forecasts = traded.forecasts.select_dtypes("number").assign(volatility=traded.volatility)
    given = [
        [*asdict(policy).values(), sizer, *asdict(cost).values(), delay] for (policy, sizer), (cost, delay) in cells
    ]
    frames = [bars_sha256(forecasts), bars_sha256(traded.bars)]
    code = code_of(Accounts, *(SIZERS[parse_sizer(sizer)[0]] for sizer in dict.fromkeys(s for (_, s), _ in cells)))
    return sha256_of([frames, traded.cash, traded.days_per_year, given, size, code, versions()])[:32]
