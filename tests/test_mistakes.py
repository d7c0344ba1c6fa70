"""What a stranger gets wrong in Python costs one clear sentence, not a traceback from inside."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from mlcore import WalkForward, direction, feature_table, walk_forward, walk_forward_panel
from mlcore.errors import BarwiseError
from mlcore.models.linear import Linear
from mlcore.models.sklearn import Sklearn
from strategies.account.rules import RiskRules
from strategies.backtest import backtest
from strategies.bt import BarsFeed, ForecastStrategy, set_broker
from strategies.costs import Costs
from strategies.policy import Policy, target_weights
from strategies.portfolio import backtest_portfolio
from strategies.vbt import ForecastSignals
from strategies.vbt.sweep import Grid, sweep
from tests.conftest import random_bars
from tests.strategies.studies import fake_forecasts

BARS = random_bars(200)
COLUMN = BARS.reset_index()
FORECASTS = fake_forecasts(BARS, 3)
WEIGHTS = pd.Series(0.5, BARS.index)
PANEL, SHARES = {"a": BARS}, WEIGHTS.to_frame("a")
RECIPES: Any = ["rsi"]


def walked(**given: Any) -> Any:
    settings = {"label": direction(BARS), "features": feature_table(BARS, RECIPES), "folds": WalkForward(100, 50)}
    return walk_forward(**({"bars": BARS, "model": "linear"} | settings | given))


def trees(criterion: str) -> Sklearn:
    return Sklearn(ExtraTreesClassifier(criterion=criterion))


def pooled(model: Any) -> Any:
    return walk_forward_panel(PANEL, model, label=direction, folds=WalkForward(100, 50), features=RECIPES)


def run(answer: Any) -> None:
    class Answers(ForecastStrategy):
        def target_weight(self) -> float:
            return answer

    cerebro = bt.Cerebro()
    cerebro.adddata(BarsFeed(BARS))
    cerebro.addstrategy(Answers)
    set_broker(cerebro)
    cerebro.run()


signals = functools.partial(ForecastSignals.run, FORECASTS["signal"])
sized = functools.partial(signals, FORECASTS["confidence"])
shared = functools.partial(backtest_portfolio, PANEL)

MISTAKES: list[tuple[str, Callable[[], Any]]] = [
    ("`bars` have an index of int64", lambda: BarsFeed(COLUMN)),
    ("`bars` have an index of int64", lambda: feature_table(COLUMN)),
    ("`bars` have an index of int64", lambda: direction(COLUMN)),
    ("`bars` have an index of int64", lambda: backtest(COLUMN, WEIGHTS)),
    ("`bars` have an index of int64", lambda: backtest_portfolio({"a": COLUMN}, SHARES)),
    ("`bars` must have increasing, unique stamps", lambda: feature_table(BARS[::-1], RECIPES)),
    ("`bars` must have increasing, unique stamps", lambda: direction(pd.concat([BARS, BARS[-1:]]))),
    ("`bars` must have increasing, unique stamps", lambda: BarsFeed(BARS[::-1])),
    ("`features` is 'rsi'", lambda: feature_table(BARS, "rsi")),
    ("`bars` have no column 'open'", lambda: direction(BARS[["close"]])),
    ("`bars` have no column 'open'", lambda: backtest(BARS[["close"]], WEIGHTS)),
    ("`target_weight` is None; it must be a number", lambda: run(None)),
    ("`target_weight` is 'long'", lambda: run("long")),
    ("`target_weight` is a Series of 1", lambda: run(WEIGHTS.iloc[:1])),
    ("`entry` is [0.1]; it must be a number", lambda: Policy(entry=[0.1])),
    ("`band` is None", lambda: Policy(band=None)),
    ("`min_hold` is True", lambda: Policy(min_hold=True)),
    ("`commission` is [0.1]", lambda: Costs([0.1])),
    ("`reenter` is 'yes'; it must be true or false", lambda: RiskRules(reenter="yes")),
    ("`volatility_window` is '5'", lambda: RiskRules(volatility_window="5")),
    ("`expanding` is 'yes'", lambda: WalkForward(60, 5, expanding="yes")),
    ("`weights` is a list of 200; it must be a Series", lambda: backtest(BARS, [0.1] * 200)),
    ("`weights` is a list of 200", lambda: backtest(BARS, [0.1] * 200, rules=RiskRules())),
    ("`weights` is a ndarray of 200", lambda: backtest(BARS, np.ones(200))),
    ("`weights` are of type", lambda: backtest(BARS, pd.Series("long", BARS.index))),
    ("`bars` is a Series of 200", lambda: backtest(WEIGHTS, BARS)),
    ("`rules` is 0.02; it must be a `RiskRules`", lambda: backtest(BARS, WEIGHTS, rules=0.02)),
    ("`funding` is 0.1", lambda: backtest(BARS, WEIGHTS, funding=0.1)),
    ("`days_per_year` is 0; it is the trading days", lambda: backtest(BARS, WEIGHTS, days_per_year=0)),
    ("`forecasts` is a Series of 200", lambda: backtest(BARS, WEIGHTS, forecasts=WEIGHTS)),
    ("`cots` is no parameter of 'backtest'. Did you mean 'costs'", lambda: backtest(BARS, WEIGHTS, cots=1)),
    ("`features` is ['rsi']; it must be a DataFrame", lambda: walked(features=RECIPES)),
    ("`label` is a Series of 200; it must be a `Label`. A function", lambda: walked(label=WEIGHTS)),
    ("`folds` is (100, 50); it must be a `WalkForward`", lambda: walked(folds=(100, 50))),
    ("`validation` is 2; the validation share", lambda: walked(validation=2)),
    ("`n_jobs` is 0", lambda: walked(n_jobs=0)),
    ("`model` is a ExtraTreesClassifier", lambda: walked(model=ExtraTreesClassifier())),
    ("`model` is the class Linear; give a model made of it: `Linear()`", lambda: walked(model=Linear)),
    ("`model` ExtraTreesClassifier cannot be fitted: The 'criterion' parameter", lambda: walked(model=trees("ginny"))),
    ("`model` ExtraTreesClassifier cannot be", lambda: pooled(trees("ginny"))),
    ("`lookback` is 0; it is a count of bars", lambda: walked(model=Linear(lookback=0))),
    ("`lookback` is '3'; it must be a whole number", lambda: walked(model=Linear(lookback="3"))),
    ("`model` is a NoneType", lambda: walked(model=None)),
    (
        "`panel` is a DataFrame of 200 x 5",
        lambda: walk_forward_panel(BARS, "linear", label=direction, folds=WalkForward(9, 9)),
    ),
    ("`forecasts` lack signal, confidence; make them", lambda: target_weights(BARS, FORECASTS)),
    (
        "`policy` is {'entry': 0.1}; it must be a `Policy`",
        lambda: target_weights(FORECASTS, BARS, policy={"entry": 0.1}),
    ),
    ("`signal` is [1]; it must be a Series", lambda: ForecastSignals.run([1], [1])),
    ("`confidence` is missing: ForecastSignals.run(signal, confidence", signals),
    ("`entri` is no parameter of 'ForecastSignals'. Did you mean 'entry'", lambda: sized(entri=0.1)),
    ("`entry` is 'x'; it must be a number", lambda: sized(entry="x")),
    ("`exit` is 'x'; it must be a number", lambda: sized(exit="x")),
    ("`size` is 'x'; it must be a number", lambda: sized(size="x")),
    ("`grid` is {'entry': [0.1]}; it must be a `Grid`", lambda: sweep(FORECASTS, BARS, {"entry": [0.1]})),
    ("`entry` is 0.1; it must be several, each a number. Give it as (0.1,)", lambda: Grid(entry=0.1)),
    ("`side` is 'both'; it must be several", lambda: Grid(side="both")),
    ("`bars` is a DataFrame of 200 x 5; it must be a mapping", lambda: backtest_portfolio(BARS, SHARES)),
    ("`bars` is a DataFrame of 200 x 1", lambda: backtest_portfolio(SHARES, PANEL)),
    ("`weights` is a Series of 200; it must be a DataFrame", lambda: shared(WEIGHTS)),
    ("`forecasts` name 'b', which has no bars", lambda: shared(SHARES, forecasts={"b": FORECASTS})),
]


@pytest.mark.parametrize(("said", "call"), MISTAKES, ids=[said[:40] for said, _ in MISTAKES])
def test_a_mistake_is_told(said: str, call: Callable[[], Any]) -> None:
    with pytest.raises(BarwiseError) as told:
        call()
    assert str(told.value).startswith(said)


def test_frames_that_were_swapped_are_told_so() -> None:
    for swapped in (lambda: sweep(BARS, FORECASTS, Grid()), lambda: target_weights(BARS, FORECASTS)):
        with pytest.raises(
            BarwiseError, match="`forecasts` lack signal, .* These are bars: are the two frames swapped"
        ):
            swapped()
