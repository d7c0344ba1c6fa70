"""A strategy to subclass: say what weight to hold, and orders follow."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.kinds import check_kind
from strategies.bt.heard import Forecasts, Heard
from strategies.bt.indicators import ForecastIndicator, StampRows
from strategies.bt.quiet import QuietStrategy
from strategies.orders import CLIP_TOLERANCE, MIN_ACCOUNT, is_dust_change, smallest_units, snap


class ForecastStrategy(QuietStrategy):
    """Trades to a target weight: override `target_weight`, or give `weights` or `forecasts`.

    weights
        Series of target weights by stamp, as `policy.target_weights` gives them; bars without one are flat.
    forecasts
        frame of `walk_forward`; becomes ``self.forecast`` (`ForecastIndicator`) for `target_weight` to read.

    At each bar's close `target_weight` is asked; an order goes out only where the answer changed since the
    last order, and fills at the next open. Changes below `orders.MIN_WEIGHT_CHANGE` are none, nor are orders
    below `orders.MIN_ORDER_SHARE` of the starting cash. Use with `set_broker`.
    """

    params: Any = (("weights", None), ("forecasts", None))

    def __init__(self) -> None:
        self.forecast = None
        if self.p.forecasts is not None:
            self.forecast = ForecastIndicator(self.data, forecasts=self.p.forecasts)
        self._rows = None if self.p.weights is None else StampRows(self.p.weights.index)
        self._last_target = 0.0
        self._last_order: Any = None
        self._forecasts: Forecasts | None = None

    def start(self) -> None:
        """Look the given weights up for all bars at once where the feed is preloaded."""
        self._now = self.data.lines.datetime
        self._ready: list[float] | None = None
        if self._rows is None:
            return
        self._given = np.r_[self.p.weights.to_numpy(np.float64, na_value=np.nan), np.nan]
        if self.data.buflen() > 1:
            self._ready = self._given[self._rows.rows(np.array(self._now.array))].tolist()

    def heard(self) -> Heard | None:
        """Return the forecast of the bar that has just closed, None where there is none; observers read it."""
        if self.p.forecasts is None:
            return None
        if self._forecasts is None:
            self._forecasts = Forecasts(self.p.forecasts)
        return self._forecasts.at(self.data.datetime[0])

    def target_weight(self) -> float:
        """Return the weight to hold from the next open on, in [-1, 1]; NaN is flat. Override this.

        Called at each bar's close. By default the given weights, else ``signal`` of the forecasts.
        """
        if self._ready is not None:
            return self._ready[self._now.lencount - 1]
        if self._rows is not None:
            return float(self._given[self._rows.row(self._now[0])])
        if self.forecast is not None:
            return self.forecast.signal[0]
        raise BarwiseError("`target_weight` is not defined: override it, or give `weights` or `forecasts`.")

    def next(self) -> None:
        self.trade_to(self.target_weight())

    def trade_to(self, weight: float) -> None:
        """Order what brings the position to `weight` at the next open, where that is another than last ordered."""
        if not isinstance(weight, float):  # of every bar's answer: quick
            check_kind("target_weight", weight, float)
        if weight == self._last_target or (weight != weight and not self._last_target):
            return
        if abs(weight) > 1:
            raise BarwiseError(f"`target_weight` is {weight!r}: it must be in [-1, 1], NaN for flat.")
        target = 0.0 if weight != weight else float(snap(np.float64(weight)))
        if not is_dust_change(target, self._last_target):
            self._last_target = target
            self._order(target)

    def _order(self, target: float) -> None:
        close, value = self.data.close[0], self.broker.getvalue()
        smallest = float(smallest_units(close, self.broker.startingcash, target))
        units = target * value / close - self.position.size
        if value <= MIN_ACCOUNT * self.broker.startingcash:
            self._last_order = self.sell(size=abs(units) or 1.0)  # the broker turns it away, and the order log says so
        elif abs(units) >= smallest * (1 - CLIP_TOLERANCE):
            self._last_order = self.order_target_percent(target=target, min_units=smallest)
            if self._last_order is None:
                warnings.warn(
                    f"{units:.6g} units were wanted and none ordered: the broker's commission scheme buys whole units. "
                    "`set_broker(cerebro)` trades fractions.",
                    BarwiseWarning,
                    stacklevel=2,
                )
