"""Many accounts over one span of bars: fills by vectorbt's own kernels, of which only the metrics are kept."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import vectorbt as vbt
from vectorbt._engine import is_rust_available
from vectorbt.portfolio.enums import OrderStatus, OrderStatusInfo

from strategies.costs import Costs
from strategies.measures import returns_per_year, sharpe_or_note
from strategies.orders import CLIP_TOLERANCE, MIN_ACCOUNT, checked_cash, checked_prices
from strategies.policy import bars_per_year
from strategies.result import METRICS
from strategies.vbt.paths import Paths, account_paths
from strategies.vbt.portfolio import Scale, execution
from strategies.vbt.run import stats_kernel

# Of a batch that vectorbt fills at once: columns x the most orders of one, and orders (it logs some 300 bytes each).
CELLS_AT_A_TIME, ORDERS_AT_A_TIME = 1_000_000, 100_000
MEASURED = (*METRICS, "sharpe_of_bars")
MISSING = "vectorbt-rust is missing or of another version"


class Orders(NamedTuple):
    """The orders of one column: ``(K,)`` rows that decided them, increasing, and the target weights."""

    rows: np.ndarray
    targets: np.ndarray

    @classmethod
    def of(cls, targets: np.ndarray) -> Orders:
        """Return those of `order_targets`, ``(N,)``; what the last bar decides fills nowhere."""
        rows = np.flatnonzero(~np.isnan(targets[:-1]))
        return cls(rows, targets[rows])

    def late(self, bars: int, n: int) -> Orders:
        """Return these orders given so many bars later, of N; what the last bar gives fills nowhere."""
        kept = slice(0, int(np.searchsorted(self.rows + bars, n - 1)))
        return Orders(self.rows[kept] + bars, self.targets[kept]) if bars else self


class Accounts:
    """One span of bars and one starting cash, to trade many columns of orders over.

    Between two fills an account is its cash and units: vectorbt is given the rows with orders only, and equity on the
    other bars is one multiplication (`strategies.vbt.paths`). The numbers are those of `run_vectorbt` over all bars, to
    1e-9. `kernel` is ``"rust"``, or ``"numba"`` with the reason in `fallback`.
    """

    def __init__(self, bars: pd.DataFrame, cash: float, days_per_year: float) -> None:
        checked_prices(bars)
        self.cash, self.per_year = checked_cash(cash), returns_per_year(bars, days_per_year)
        self.bars_per_year = bars_per_year(bars, days_per_year) if len(bars) > 1 else math.nan
        self.scale = Scale.of(bars, self.cash)
        self.fallback = "" if is_rust_available() else MISSING
        days = pd.DatetimeIndex(bars.index).tz_localize(None).floor("D")
        self.last_of_day = np.flatnonzero(np.r_[days[1:] != days[:-1], True])
        self.opened, self.close = (bars[name].to_numpy(np.float64) * self.scale.price for name in ("open", "close"))

    @property
    def kernel(self) -> str:
        """The kernel of vectorbt that fills."""
        return "numba" if self.fallback else "rust"

    def trade(self, orders: Sequence[Orders], costs: Sequence[Costs]) -> pd.DataFrame:
        """Return `MEASURED`, one row a column; NaN where `run_vectorbt` gives None."""
        table: dict[str, np.ndarray] = {name: np.empty(len(orders)) for name in MEASURED}
        for batch in _batches([len(one.rows) for one in orders]):
            chosen = [orders[column] for column in batch]
            log, decided = self._fill(chosen, [costs[column] for column in batch])
            filled = np.flatnonzero(log["res_status"] == OrderStatus.Filled)
            filled = filled[np.argsort(log["col"][filled], kind="stable")]
            col = log["col"][filled]
            rows = decided[log["idx"][filled], col] + 1
            walked = account_paths(
                self.close, np.searchsorted(col, np.arange(len(batch) + 1)), rows, log["new_cash"][filled],
                log["new_position"][filled], self.cash * self.scale.money, self.last_of_day,
            )  # fmt: skip
            found = self._of_paths(walked) | self._of_log(log, filled, rows, len(batch))
            for name, values in found.items():
                table[name][batch] = values
        counts = {"n_orders": np.int64, "n_rejected": np.int64}
        return pd.DataFrame(table).astype(counts)

    def _fill(self, orders: Sequence[Orders], costs: Sequence[Costs]) -> tuple[np.ndarray, np.ndarray]:
        """Return vectorbt's log, and the rows that decided by row and column of what it was given; padded by row 0."""
        shape = max((len(one.rows) for one in orders), default=0) or 1, len(orders)
        decided, ordered = np.zeros(shape, np.int64), np.full(shape, np.nan)
        for column, one in enumerate(orders):
            decided[: len(one.rows), column], ordered[: len(one.rows), column] = one
        after = np.minimum(decided + 1, len(self.close) - 1)
        close = self.close[decided]
        settings = {
            **execution(ordered, self.opened[after], close, self.cash * self.scale.money),
            "fees": np.array([[cost.commission for cost in costs]]),
            "slippage": np.array([[cost.slippage for cost in costs]]),
            "log": ~np.isnan(ordered),
        }
        priced, sizes = pd.DataFrame(close), pd.DataFrame(ordered)
        if not self.fallback:
            try:
                return vbt.Portfolio.from_orders(priced, sizes, engine="rust", **settings).log_records, decided
            except ValueError as error:
                if "Rust engine" not in str(error):
                    raise
                self.fallback = str(error)
        return vbt.Portfolio.from_orders(priced, sizes, engine="numba", **settings).log_records, decided

    def _of_paths(self, walked: Paths) -> dict[str, np.ndarray]:
        daily = pd.DataFrame(walked.daily.T / self.scale.money)
        returns = vbt.returns.accessors.ReturnsDFAccessor.from_value(
            daily,
            init_value=self.cash,
            engine=stats_kernel(self.kernel),
            freq="1D",
            year_freq=pd.Timedelta(days=self.per_year),
        )
        columns = daily.shape[1]
        own = returns.sharpe_ratio().to_numpy() if len(daily) > 1 else np.full(columns, np.nan)
        lowest, moves = walked.lowest / self.scale.money / self.cash, returns.obj.to_numpy()
        sharpe = [sharpe_or_note(float(own[k]), moves[:, k], float(lowest[k]))[0] for k in range(columns)]
        final = walked.final / self.scale.money
        with np.errstate(invalid="ignore", divide="ignore"):  # an account that never moved: vectorbt says inf
            of_bars = np.where(walked.deviation == 0, np.inf, walked.mean / walked.deviation)
        return {
            "sharpe": np.array([np.nan if value is None else value for value in sharpe]),
            "max_drawdown": np.maximum(-walked.fall, 0.0),
            "total_return": np.where(lowest <= MIN_ACCOUNT, np.nan, final / self.cash - 1),
            "final_value": final,
            "sharpe_of_bars": of_bars * math.sqrt(self.bars_per_year),
        }

    def _of_log(self, log: np.ndarray, filled: np.ndarray, rows: np.ndarray, columns: int) -> dict[str, np.ndarray]:
        """Count and sum the log as `run_vectorbt` reads it."""
        turned = log[log["res_status"] == OrderStatus.Rejected]
        wanted = np.abs(turned["req_size"] * turned["value"] / turned["val_price"] - turned["position"])
        broke = turned["res_status_info"] == OrderStatusInfo.ValueZeroNeg
        turned = turned[broke | (wanted >= turned["req_min_size"] * (1 - CLIP_TOLERANCE))]  # the rest is dust
        rejected = np.bincount(turned["col"], minlength=columns)
        lots, price, col = log["res_size"][filled], log["res_price"][filled], log["col"][filled]
        amounts = {
            "turnover": lots * price / log["value"][filled],
            "slippage_paid": lots * np.abs(price - self.opened[rows]) / self.scale.money,
            "commission_paid": log["res_fees"][filled] / self.scale.money,
        }
        sums = {name: np.bincount(col, weights=amount, minlength=columns) for name, amount in amounts.items()}
        return {"n_orders": np.bincount(col, minlength=columns) + rejected, "n_rejected": rejected, **sums}


def _batches(lengths: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield columns, those of like length together: what is padded to the longest of a batch is lost work."""
    order = np.argsort(lengths, kind="stable")
    batch: list[int] = []
    given = 0
    for column in order.tolist():
        length = max(lengths[column], 1)
        if batch and ((len(batch) + 1) * length > CELLS_AT_A_TIME or given + length > ORDERS_AT_A_TIME):
            yield np.array(batch)
            batch, given = [], 0
        batch.append(column)
        given += length
    if batch:
        yield np.array(batch)
