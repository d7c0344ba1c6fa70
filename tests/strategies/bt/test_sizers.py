from functools import partial

import backtrader as bt
import pandas as pd
import pytest

from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.labels import direction
from mlcore.plugins import SIZERS, UnknownPluginError
from strategies.bt import (
    BarsFeed,
    ConfidenceBuckets,
    EquityCurve,
    ForecastIndicator,
    ForecastSizer,
    ForecastStrategy,
    OrderLog,
    WeightSizer,
    set_broker,
)
from strategies.costs import Costs
from strategies.policy import annual_volatility
from tests.conftest import random_bars
from tests.strategies.bt.runs import BARS as ALL
from tests.strategies.bt.runs import MODES, cerebro_of, forecasts_of

BARS = random_bars(30)


def sizes(script, **params):
    class Plain(bt.Strategy):
        def next(self):
            if len(self) in script:
                getattr(self, script[len(self)])()

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(BarsFeed(BARS))
    cerebro.addstrategy(Plain)
    cerebro.addsizer(WeightSizer, **params)
    cerebro.addanalyzer(OrderLog)
    set_broker(cerebro, costs=Costs(0.0, 0.0))
    return [row[2] for row in cerebro.run()[0].analyzers.orderlog.get_analysis()]


def test_a_plain_buy_holds_the_weight_at_the_close_that_decided():
    bought = sizes({5: "buy"}, weight=0.5)
    assert bought == [pytest.approx(5_000 / BARS["close"].iloc[4])]


def test_buying_again_tops_up_or_does_nothing():
    # Half the account is under its weight after the price fell, over it after it rose.
    fell, rose = int(BARS["close"].iloc[6:].argmin()) + 6, int(BARS["close"].iloc[6:].argmax()) + 6
    first, more = sizes({5: "buy", fell + 1: "buy"}, weight=0.5)
    value = 10_000 + first * (BARS["close"].iloc[fell] - BARS["open"].iloc[5])
    assert first + more == pytest.approx(0.5 * value / BARS["close"].iloc[fell])
    assert len(sizes({5: "buy", rose + 1: "buy"}, weight=0.5)) == 1


def test_the_other_side_closes_and_with_reverse_goes_through():
    bought, sold = sizes({5: "buy", 9: "sell"}, weight=0.5)
    assert sold == -bought
    bought, sold = sizes({5: "buy", 9: "sell"}, weight=0.5, reverse=True)
    assert sold < -1.9 * bought
    assert sizes({5: "sell", 9: "close"}, weight=1.0)[0] < 0


def test_a_full_account_is_bought_whole():
    assert len(sizes({5: "buy", 9: "close"}, weight=1.0)) == 2


class Plain(ForecastStrategy):
    """Gives plain orders: buys or sells by the sign of what it heard, closes before it turns."""

    def next(self):
        heard = self.heard()
        if len(self) % 10 == 3 and heard is not None:
            (self.buy if heard.signal > 0 else self.sell)()
        elif len(self) % 10 == 0:
            self.close()


def forecast_sizes(sizer, options=(), window=12, **params):
    cerebro = cerebro_of(strategy=Plain, options=options, forecasts=forecasts_of())
    cerebro.addsizer(ForecastSizer, rule=sizer, sizer_params=params, volatility_window=window)
    cerebro.addanalyzer(OrderLog)
    cerebro.addanalyzer(EquityCurve)
    found = cerebro.run()[0].analyzers
    return found.orderlog.get_analysis(), found.equitycurve.get_analysis()


@pytest.mark.parametrize("sizer", sorted(SIZERS))
def test_every_sizer_by_name_gives_the_share_that_it_says(sizer):
    given = {"size": 0.5} if sizer == "fixed" else {}  # at 1.0 cash would not pay for the commission
    orders, equity = forecast_sizes(sizer, **given)
    volatility = annual_volatility(ALL, 12).reindex(forecasts_of().index)
    said = pd.Series(SIZERS[sizer](forecasts_of(), volatility, **given), forecasts_of().index).reindex(ALL.index)
    opened = orders[::2]  # every other one closes
    assert len(opened) >= 8
    for row, _, size, *_ in opened:
        assert size * ALL["close"].iloc[row] / equity[row] == pytest.approx(said.iloc[row], rel=1e-9), sizer
    assert [-shut[2] for shut in orders[1::2]] == [one[2] for one in opened][: len(orders[1::2])]


@pytest.mark.parametrize("options", [mode for mode in MODES if mode["exactbars"] < 1], ids=str)
def test_sizes_are_the_same_in_all_modes(options):
    assert forecast_sizes("volatility_target", options) == forecast_sizes("volatility_target")


def test_without_a_forecast_or_a_size_nothing_is_ordered_and_too_few_bars_are_told_of():
    assert forecast_sizes("volatility_target", window=119)[0] == []
    with pytest.raises(BarwiseError, match="`volatility_window` is 12 and backtrader keeps"):
        forecast_sizes("fixed", {"exactbars": 1})
    with pytest.raises(BarwiseError, match="`sizer_params` names 'sise'"):
        forecast_sizes("fixed", sise=0.5)
    with pytest.raises(UnknownPluginError, match="fixed"):
        forecast_sizes("fixd")


def test_a_strategy_of_backtrader_s_own_hears_its_forecast_indicator():
    forecasts = forecasts_of(ALL)

    class Own(bt.Strategy):
        def __init__(self):
            self.forecast = ForecastIndicator(self.data, forecasts=forecasts)

        def next(self):
            signal = self.forecast.signal[0]
            if len(self) % 10 == 3 and signal == signal:
                (self.buy if signal > 0 else self.sell)()

    class Ours(ForecastStrategy):
        next = Own.next

    ran = []
    for kind, params in ((Own, {}), (Ours, {"forecasts": forecasts})):
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.adddata(BarsFeed(ALL))
        cerebro.addstrategy(kind, **params)
        cerebro.addsizer(ForecastSizer, rule="study_rule")
        cerebro.addanalyzer(OrderLog)
        cerebro.addanalyzer(ConfidenceBuckets, label=partial(direction, horizon=3))
        set_broker(cerebro)
        analyzers = cerebro.run()[0].analyzers
        ran.append((analyzers.orderlog.get_analysis(), repr(analyzers.confidencebuckets.get_analysis())))
    assert ran[0] == ran[1] and len(ran[0][0]) > 4


def test_an_unknown_rule_is_refused_though_nothing_is_heard():
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(BarsFeed(BARS))
    cerebro.addstrategy(bt.Strategy)
    cerebro.addsizer(ForecastSizer, rule="kelly")
    with pytest.raises(UnknownPluginError, match="kelly"):
        cerebro.run()


def test_whole_units_that_buy_nothing_are_told():
    bars = ALL.assign(**{name: ALL[name] * 1e4 for name in ("open", "high", "low", "close")})
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(BarsFeed(bars))
    cerebro.addstrategy(ForecastStrategy, weights=pd.Series(0.5, bars.index))
    with pytest.warns(BarwiseWarning, match="whole units. `set_broker"):
        cerebro.run()
