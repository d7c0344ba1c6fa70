"""Many trading rules over the same forecasts, in vectorbt: chunks of columns, of which only the metrics stay."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import vectorbt as vbt
from vectorbt._engine import is_rust_available
from vectorbt.portfolio.enums import OrderStatus, OrderStatusInfo

from mlcore.errors import BarwiseError
from strategies.costs import Costs
from strategies.measures import returns_per_year, sharpe_or_note
from strategies.orders import (
    CLIP_TOLERANCE,
    MIN_ACCOUNT,
    check_forecasts_before,
    checked_cash,
    checked_prices,
    order_targets,
)
from strategies.policy import VOLATILITY_WINDOW, Policy, annual_volatility, forecast_rows, sizes_of, weights_of
from strategies.result import METRICS
from strategies.vbt.portfolio import Scale, simulate

# A chunk holds at most so many bars x columns, and so many orders (vectorbt logs some 300 bytes each).
CELLS_AT_A_TIME, ORDERS_AT_A_TIME = 2_000_000, 500_000


@dataclass(frozen=True)
class Grid:
    """What is tried: every combination of the values given.

    `sizer` entries are recipes, a name or a name with parameters: ``"fixed"``, ``"study_rule:base=0.1,cap=0.2"``.
    Combinations whose `exit` is outside [-entry, entry] are left out.
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

    def costs(self) -> list[Costs]:
        """Return the distinct costs."""
        return [Costs(*pair) for pair in dict.fromkeys(itertools.product(self.commission, self.slippage))]


PARAMETERS = tuple(field.name for field in fields(Grid))
Progress = Callable[[str, int, int], None]


def sweep(
    forecasts: pd.DataFrame,
    bars: pd.DataFrame,
    grid: Grid,
    *,
    cash: float = 10_000.0,
    days_per_year: float = 365.0,
    volatility_window: int = VOLATILITY_WINDOW,
    cells_at_a_time: int = CELLS_AT_A_TIME,
    progress: Progress = lambda stage, done, total: None,
) -> pd.DataFrame:
    """Trade every combination of `grid` over the span of `forecasts`; return one row each.

    Columns: the grid's parameters, then `METRICS`, the same numbers `run_vectorbt` gives (NaN where it gives None),
    `days`, the UTC days with a bar, and `years`, those days over the returns a year has (`strategies.measures`).
    The forecasts are not made again, and are refused where a model knew its own bar (`LookAheadError`).
    `bars` may begin before the forecasts, so that volatility is warm.
    """
    check_forecasts_before(forecasts, bars)
    rows = forecast_rows(forecasts, bars)
    market = _Market(bars.iloc[rows], checked_cash(cash), days_per_year)
    cells = list(itertools.product(grid.rules(), grid.costs()))
    volatility = annual_volatility(bars, volatility_window, days_per_year).iloc[rows]
    traded = _weigh(forecasts.reindex(bars.index[rows]), volatility)
    found: list[pd.DataFrame] = []
    for done, chunk in _chunks(cells, traded, cells_at_a_time // len(market.bars)):
        progress("sweep", done, len(cells))
        found.append(market.trade(*chunk))
    progress("sweep", len(cells), len(cells))
    tried = pd.DataFrame([{**vars(policy), "sizer": sizer, **vars(cost)} for (policy, sizer), cost in cells])
    table = pd.concat([tried[list(PARAMETERS)], pd.concat(found, ignore_index=True)], axis=1)
    return table.assign(days=len(market.last_of_day), years=len(market.last_of_day) / market.per_year)


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
    try:
        forecasts = pd.read_parquet(path)
    except FileNotFoundError:
        raise BarwiseError(f"`forecasts` is {str(path)!r}, and there is no such file.") from None
    except Exception as error:  # pyarrow raises its own kinds for a file cut short, empty, or of another format
        raise BarwiseError(f"`forecasts` is {str(path)!r}, which is not readable Parquet: {error}") from None
    index = forecasts.index
    if not (isinstance(index, pd.DatetimeIndex) and index.tz is not None):
        raise BarwiseError(f"`forecasts` is {str(path)!r}, whose index is no UTC stamps: give the main job's own file.")
    return forecasts


def _weigh(forecasts: pd.DataFrame, volatility: pd.Series) -> Callable[[Policy, str], np.ndarray]:
    """Return a function from rule to ``(N,)`` order targets that keeps the last answer (costs vary fastest)."""
    sizes: dict[str, np.ndarray] = {}
    last: dict[tuple[Policy, str], np.ndarray] = {}

    def traded(policy: Policy, sizer: str) -> np.ndarray:
        if (policy, sizer) not in last:
            if sizer not in sizes:
                name, params = parse_sizer(sizer)
                sizes[sizer] = sizes_of(forecasts, volatility, name, params)
            weights = pd.Series(weights_of(forecasts, sizes[sizer], policy), index=forecasts.index)
            last.clear()
            last[policy, sizer] = order_targets(weights)
        return last[policy, sizer]

    return traded


def _chunks(cells: list, traded: Callable, most: int) -> Iterator[tuple[int, tuple[np.ndarray, list[Costs]]]]:
    """Yield cells done before, and ``(targets, costs)`` of the next columns: as many as a chunk may hold."""
    columns: list[np.ndarray] = []
    costs: list[Costs] = []
    orders = 0
    for number, ((policy, sizer), cost) in enumerate(cells):
        targets = traded(policy, sizer)
        given = int(np.isfinite(targets).sum())
        if columns and (len(columns) >= most or orders + given > ORDERS_AT_A_TIME):
            yield number - len(columns), (np.column_stack(columns), costs)
            columns, costs, orders = [], [], 0
        columns.append(targets)
        costs.append(cost)
        orders += given
    yield len(cells) - len(columns), (np.column_stack(columns), costs)


class _Market:
    """One span of bars and one account, to trade many columns of targets over."""

    def __init__(self, bars: pd.DataFrame, cash: float, days_per_year: float) -> None:
        checked_prices(bars)
        # vectorbt turns an index with a time zone into objects on every wrap: 0.5 s each for 130,000 bars.
        self.bars = bars[["open", "close"]].set_axis(pd.DatetimeIndex(bars.index).tz_localize(None))
        self.cash, self.per_year = cash, returns_per_year(bars, days_per_year)
        self.scale = Scale.of(self.bars, cash)
        self.kernel = "rust" if is_rust_available() else "numba"
        days = pd.DatetimeIndex(self.bars.index).floor("D")
        self.last_of_day = np.flatnonzero(np.r_[days[1:] != days[:-1], True])
        self.days = days[self.last_of_day]
        self.opened = self.bars["open"].to_numpy(np.float64)

    def trade(self, targets: np.ndarray, costs: Sequence[Costs]) -> pd.DataFrame:
        """Return `METRICS` of ``(N, columns)`` targets, one row a column."""
        portfolio: vbt.Portfolio = simulate(
            self.bars,
            targets,
            costs[0],
            self.cash,
            scale=self.scale,
            columns=pd.RangeIndex(targets.shape[1]),
            log=True,
            engine=self.kernel,
            fees=np.array([[cost.commission for cost in costs]]),
            slippage=np.array([[cost.slippage for cost in costs]]),
        )
        equity = portfolio.value(engine=self.kernel).to_numpy() / self.scale.money
        return pd.DataFrame({**self._of_equity(equity), **self._of_log(portfolio.log_records, equity)})[list(METRICS)]

    def _of_equity(self, equity: np.ndarray) -> dict[str, np.ndarray]:
        daily = pd.DataFrame(equity[self.last_of_day], index=self.days)
        returns = vbt.returns.accessors.ReturnsDFAccessor.from_value(
            daily,
            init_value=self.cash,
            engine=self.kernel,
            freq="1D",
            year_freq=pd.Timedelta(days=self.per_year),
        )
        own = returns.sharpe_ratio().to_numpy() if len(daily) > 1 else np.full(equity.shape[1], np.nan)
        lowest, moves = equity.min(axis=0) / self.cash, returns.obj.to_numpy()
        sharpe = [sharpe_or_note(float(own[k]), moves[:, k], float(lowest[k]))[0] for k in range(len(own))]
        # The first bar fills nothing, so its equity is the starting cash and counts in the drawdown.
        falls = pd.DataFrame(equity).vbt.drawdown(engine=self.kernel).to_numpy()
        return {
            "sharpe": np.array([np.nan if value is None else value for value in sharpe]),
            "max_drawdown": np.maximum(-falls.min(axis=0), 0.0),
            "total_return": np.where(lowest <= MIN_ACCOUNT, np.nan, equity[-1] / self.cash - 1),
            "final_value": equity[-1],
        }

    def _of_log(self, log: np.ndarray, equity: np.ndarray) -> dict[str, np.ndarray]:
        """Count and sum the log as `run_vectorbt` reads it."""
        status, columns = log["res_status"], equity.shape[1]
        turned = log[status == OrderStatus.Rejected]
        wanted = np.abs(turned["req_size"] * turned["value"] / turned["val_price"] - turned["position"])
        broke = turned["res_status_info"] == OrderStatusInfo.ValueZeroNeg
        turned = turned[broke | (wanted >= turned["req_min_size"] * (1 - CLIP_TOLERANCE))]  # the rest is dust
        rejected = np.bincount(turned["col"], minlength=columns)
        names = ("col", "idx", "res_size", "res_price", "res_fees")
        col, idx, lots, scaled, fees = (log[name][status == OrderStatus.Filled] for name in names)
        value = lots * self.scale.lot * scaled / self.scale.price
        off = np.abs(scaled / self.scale.price - self.opened[idx])
        amounts = {
            "turnover": value / equity[idx - 1, col],
            "slippage_paid": lots * self.scale.lot * off,
            "commission_paid": fees / self.scale.money,
        }
        sums = {name: np.bincount(col, weights=amount, minlength=columns) for name, amount in amounts.items()}
        return {"n_orders": np.bincount(col, minlength=columns) + rejected, "n_rejected": rejected, **sums}
