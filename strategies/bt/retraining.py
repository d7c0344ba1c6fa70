"""A strategy that retrains its model while Cerebro runs, and the run of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError
from mlcore.features import DEFAULT_FEATURES, table_for
from mlcore.folds import WalkForward
from mlcore.kinds import checked
from mlcore.models import MODELS
from mlcore.retraining import CALENDAR, Retrain, RetrainedWalk, Rule, Said, StrictWalk
from mlcore.tasks import Label
from strategies.bt.analyzers import add_analyzers
from strategies.bt.broker import set_broker
from strategies.bt.feed import BarsFeed, columns_of
from strategies.bt.heard import Heard
from strategies.bt.indicators import StampRows, number_to_stamp
from strategies.bt.paper import FITTED, PaperState
from strategies.bt.replay import is_live
from strategies.bt.run import result_of
from strategies.bt.strategies import ForecastStrategy
from strategies.costs import Costs
from strategies.measures import returns_per_year
from strategies.orders import checked_cash, checked_prices, make_plan
from strategies.policy import VOLATILITY_WINDOW, Policy, PolicyWalk, annual_volatility
from strategies.result import BacktestResult
from strategies.sizers import sizes_of

LabelOf = Callable[[pd.DataFrame], Label]


class WalkForwardStrategy(ForecastStrategy):
    """Fits its model as the engine's clock says, and trades what the live model forecasts.

    ``cerebro.addstrategy(WalkForwardStrategy, model="lightgbm", label=functools.partial(direction, horizon=5),
    folds=WalkForward(train="60D", test="7D", latency=2), rules=[Decayed()])``

    model, folds, rules
        as for `RetrainedWalk`: the calendar is `folds`, and rules ask for more.
    label
        function of bars to a `Label`. features: recipes of the table.
    bars
        the frame of the feed's bars, past ones before its first included; default the frame of a `BarsFeed`. Tables
        are made of it once; what a fit is handed ends at the engine's clock.
    policy, sizer, sizer_params, days_per_year
        from forecast to weight as `strategies.policy.target_weights` does it; without `policy` the signal is the
        weight, as in `ForecastStrategy`.
    options
        further arguments of `RetrainedWalk` (`StrictWalk`) by name: ``{"seed": 1, "confidence": "entropy"}``.
    strict
        bar by bar, from the open, high, low, close, volume and further lines of the feed (`BarsFeed` tells how it gets
        them) that the engine has shown, and nothing else: the same up to rounding. A live feed is always run so. On a
        live feed orders go out once it is ``LIVE``; what it shows before is the past.
    state
        folder of a strict run: models and what else is needed to go on are kept there, saved after every bar on which
        orders may go out. Where it holds a run, that one is taken up again: the feed shows the bars from the first
        one on once more, and from the bar after the last one saved orders go out as if there had been no stop. The
        paper account (cash, position, the order on its way) is put back at that bar. Bars missed while it stood
        still are heard, not traded. Only the orders of `target_weight` are kept, none that a subclass gives besides.

    To subclass, override `target_weight`: ``self.said`` is what the live model says of the bar that has just closed
    (`Said`; None before the first model), ``self.retrains`` are the retrains so far. `on_retrain` is called at the
    first bar of every new model, before `target_weight`.
    """

    params = (
        ("model", None),
        ("label", None),
        ("features", DEFAULT_FEATURES),
        ("folds", None),
        ("rules", ()),
        ("bars", None),
        ("policy", None),
        ("sizer", "fixed"),
        ("sizer_params", None),
        ("days_per_year", 365.0),
        ("options", None),
        ("strict", False),
        ("state", None),
    )

    said: Said | None = None
    _heard = -1
    _walk: Any
    _sized: pd.Index | None = None  # the rows that `_sizes` are of

    def start(self) -> None:
        super().start()
        for name in ("model", "label", "folds"):
            if getattr(self.p, name) is None:
                raise BarwiseError(f"`{name}` is not given: `WalkForwardStrategy` needs model, label and folds.")
        if not callable(self.p.label):
            raise BarwiseError(
                f"`label` is {type(self.p.label).__name__}: give a function of bars, as "
                "`functools.partial(direction, horizon=5)`."
            )
        self.weights: dict[int, float] = {}  # by the bar's row, as `target_weight` gave them
        self._policy = None if self.p.policy is None else PolicyWalk(self.p.policy)
        self._strict = self.p.strict or self.p.state is not None or self.data.islive()
        self._paper = None
        self._columns = columns_of(self.data)
        if self._strict:
            self._walk = StrictWalk(
                self.p.model, label=self.p.label, folds=self.p.folds, features=self.p.features, rules=self.p.rules,
                store=None if self.p.state is None else Path(self.p.state) / FITTED, **(self.p.options or {}),
            )  # fmt: skip
            if self.p.state is not None:
                self._paper = PaperState(self.p.state, self, self._walk)
        else:
            self._make_walk()

    def _make_walk(self) -> None:
        bars = getattr(self.data.p, "dataname", None) if self.p.bars is None else self.p.bars
        if not isinstance(bars, pd.DataFrame):
            raise BarwiseError(
                "`bars` are not given and the feed is no `BarsFeed` with a frame of its own: give the frame that the "
                "feed shows."
            )
        model = MODELS[self.p.model]() if isinstance(self.p.model, str) else self.p.model
        features = table_for(model, bars, self.p.features)
        self._index, self._row_of = bars.index, StampRows(pd.DatetimeIndex(bars.index))
        self._walk = RetrainedWalk(
            bars, model, label=self.p.label(bars), features=features, folds=self.p.folds, rules=self.p.rules,
            **(self.p.options or {}),
        )  # fmt: skip
        if self._policy is not None:
            self._volatility = annual_volatility(bars, VOLATILITY_WINDOW, self.p.days_per_year)

    @property
    def retrains(self) -> list[Retrain]:
        """The retrains so far, in time."""
        return self._walk.retrains

    def heard(self) -> Heard | None:
        if self.said is None:
            return None
        outputs = dict(zip(self._walk.outputs, self.said.outputs.tolist(), strict=True))
        return Heard(self.said.signal, self.said.confidence, float(self.said.fold), outputs)

    def prenext(self) -> None:
        self._hear()

    def next(self) -> None:
        if not self._hear():
            return
        if self._paper is not None and self._paper.resumes(self._heard):
            return
        weight = self.target_weight()
        self.weights[self._heard] = weight
        if is_live(self.data):
            self.trade_to(weight)
            if self._paper is not None:
                self._paper.save()

    def on_retrain(self, retrain: Retrain) -> None:
        """Called when a new model has gone live. Override this."""

    def _hear(self) -> bool:
        """Let the model speak of the bar that has just closed; False where this feed has no new one."""
        row = len(self.data) - 1 if self._strict else self._row()
        if row == self._heard:
            return False
        before, self._heard = len(self.retrains), row
        self.said = self._walk.show(self._stamp(), self._bar()) if self._strict else self._walk.step(row)
        for retrain in self.retrains[before:]:
            self.on_retrain(retrain)
        self._weight = self._weight_of(self.said) if self.said is not None else float("nan")
        return True

    def _row(self) -> int:
        row = self._row_of.row(self.data.datetime[0])
        if row < 0:
            raise BarwiseError(
                f"`bars` have no bar stamped {bt.num2date(self.data.datetime[0])} UTC, which the feed shows: give the "
                "frame of this feed."
            )
        return row

    def _stamp(self) -> pd.Timestamp:
        return number_to_stamp(self.data.datetime[0])

    def _bar(self) -> dict[str, float]:
        return {name: float(getattr(self.data, name)[0]) for name in self._columns}

    def _weight_of(self, said: Said) -> float:
        if self._policy is None:
            return said.signal
        signal, confidence = np.array([[said.signal], [said.confidence]])
        return float(self._policy.on(signal, confidence, np.array([self._size()]))[0])

    def _size(self) -> float:
        """Return what the sizer says of the bar heard last; it is asked once for all bars forecast at once."""
        rows, forecasts = self._walk.ahead
        if self._sized is not forecasts.index:
            self._sized = forecasts.index
            self._sizes = sizes_of(forecasts, self._volatility_of(rows), self.p.sizer, self.p.sizer_params or {})
        return float(self._sizes[self._heard - int(rows[0])])

    def _volatility_of(self, rows: np.ndarray) -> pd.Series:
        if not self._strict:
            return self._volatility.iloc[rows]
        newest = self._walk.bars(slice(-VOLATILITY_WINDOW - 1, None))
        if len(newest) < 2:  # no interval yet
            return pd.Series(np.nan, newest.index)
        return annual_volatility(newest, VOLATILITY_WINDOW, self.p.days_per_year).iloc[-1:]

    def target_weight(self) -> float:
        """Return the weight to hold from the next open on, in [-1, 1]; NaN is flat. Override this."""
        return self._weight


@checked
def run_retraining(
    bars: pd.DataFrame,
    model: Any,
    *,
    label: LabelOf,
    folds: WalkForward,
    features: Sequence[Any] = DEFAULT_FEATURES,
    rules: Sequence[Rule] | Rule = (),
    policy: Policy | None = None,
    sizer: str = "fixed",
    sizer_params: Mapping[str, Any] | None = None,
    costs: Costs | None = None,
    cash: float = 10_000.0,
    days_per_year: float = 365.0,
    symbol: str = "asset",
    **options: Any,
) -> BacktestResult:
    """Run `WalkForwardStrategy` over `bars` in Cerebro; parameters as there, `options` those of `RetrainedWalk`.

    The result's `forecasts` are those of the models that were live, its `weights` what was decided at each close, so
    that the same weights can be traded in another engine. ``extras["retrains"]`` has one dict a retrain (`Retrain`),
    a note sums them up. Raises BarwiseError where no model could be fitted.
    """
    cash = checked_cash(cash)
    checked_prices(bars)
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(BarsFeed(bars))
    set_broker(cerebro, costs=costs, cash=cash)
    cerebro.addstrategy(
        WalkForwardStrategy, model=model, label=label, folds=folds, features=features, rules=rules,
        policy=policy or Policy(), sizer=sizer, sizer_params=sizer_params, days_per_year=days_per_year,
        options=options,
    )  # fmt: skip
    add_analyzers(cerebro, returns_per_year(bars, days_per_year))
    strategy = cerebro.run()[0]
    run = strategy._walk.finish()
    weights = pd.Series(strategy.weights, dtype=np.float64).reindex(range(len(bars))).set_axis(bars.index)
    plan = make_plan(bars, weights, costs, cash)
    notes = (retrain_note(strategy.retrains), *run.notes)
    extras = {"retrains": [retrain.as_row() for retrain in strategy.retrains], "folds": run.folds}
    return result_of(plan, strategy, run.forecasts, symbol, notes, extras)


def retrain_note(retrains: Sequence[Retrain]) -> str:
    """Return a sentence on the retrains of a run.

    >>> stamp = pd.Timestamp("2024-01-01", tz="UTC")
    >>> retrain_note([Retrain(0, reason, stamp, stamp, stamp, 90, 0.1) for reason in (CALENDAR, "90 bars old")])
    '2 retrains: 1 by the calendar, 1 because a rule asked'
    """
    asked = sum(retrain.reason != CALENDAR for retrain in retrains)
    told = f"{len(retrains)} retrains: {len(retrains) - asked} by the calendar, {asked} because a rule asked"
    failed = sum(retrain.note is not None for retrain in retrains)
    return told + (f"; {failed} could not be fitted" if failed else "")
