import backtrader as bt
import numpy as np
import pytest

from mlcore.errors import BarwiseError
from strategies.bt import BarsFeed, FractionalCommission, NextOpenBroker, OrderLog, set_broker
from strategies.costs import Costs
from tests.conftest import random_bars


class Scripted(bt.Strategy):
    """Calls ``script[bar](self)`` at that bar's close and keeps cash and value of each bar."""

    params = (("script", {}),)

    def __init__(self):
        self.account, self.told = [], []

    def notify_order(self, order):
        self.told.append((len(self), order.getstatusname(), order.executed.size))

    def next(self):
        self.account.append((self.broker.getcash(), self.broker.getvalue(), self.position.size))
        if len(self) in self.p.script:
            self.p.script[len(self)](self)


def run(script, bars=None, costs=None, cash=10_000.0, change=None):
    bars = random_bars(12) if bars is None else bars
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(BarsFeed(bars))
    cerebro.addstrategy(Scripted, script=script)
    cerebro.addanalyzer(OrderLog)
    broker = set_broker(cerebro, costs=costs or Costs(0.001, 0.0005), cash=cash)
    if change:
        change(broker)
    strategy = cerebro.run()[0]
    return strategy, strategy.analyzers.orderlog.get_analysis(), bars


def test_a_buy_beyond_cash_is_filled_to_the_last_cent_and_the_rest_is_gone():
    strategy, log, bars = run({2: lambda s: s.buy(size=1e6)})
    assert len(log) == 1 and log[0][:2] == (1, 2) and log[0][5] == "partial" and "dropped" in log[0][6]
    price = bars["open"].iloc[2] * 1.0005
    assert log[0][3] == price
    assert log[0][2] == pytest.approx(10_000 / price / 1.001, rel=1e-14)
    assert strategy.account[-1][0] == 0.0
    assert [name for _, name, _ in strategy.told] == ["Accepted", "Partial", "Canceled"]


def test_with_nothing_to_pay_an_order_is_rejected():
    _, log, _ = run({2: lambda s: s.buy(size=1e6), 4: lambda s: s.buy(size=1)})
    assert log[1][2] == 0.0 and np.isnan(log[1][3]) and log[1][5] == "rejected" and "no cash" in log[1][6]


def test_cash_never_falls_below_zero_whatever_is_bought():
    rng, statuses = np.random.default_rng(0), set()
    for seed in range(30):
        bars = random_bars(40, seed=seed, volatility=0.2)
        sizes = rng.normal(0, 200, 40)
        script = {
            bar: (lambda s, size=size: s.buy(size=size) if size > 0 else s.sell(size=-size))
            for bar, size in enumerate(sizes)
        }
        strategy, log, _ = run(script, bars)
        assert min(cash for cash, _, _ in strategy.account) >= 0
        statuses |= {row[5] for row in log}
        held = np.cumsum([row[2] for row in log])
        assert strategy.account[-1][2] == pytest.approx(held[-1], abs=1e-9)
    assert statuses == {"filled", "partial", "rejected"}


def test_an_account_below_zero_turns_every_order_away():
    bars = random_bars(12)
    bars.iloc[5:, :4] *= 30
    script = {2: lambda s: s.sell(size=90), 7: lambda s: s.close(), 8: lambda s: s.buy(size=1)}
    strategy, log, _ = run(script, bars)
    assert [row[5] for row in log] == ["filled", "rejected", "rejected"] and "zero" in log[2][6]
    assert log[1][:2] == (6, 7) and strategy.account[-1][2] == -90


def test_a_reversal_is_one_whole_fill():
    strategy, log, _ = run({2: lambda s: s.buy(size=0.1), 4: lambda s: s.sell(size=0.3), 6: lambda s: s.buy(size=0.2)})
    assert [row[5] for row in log] == ["filled"] * 3
    assert strategy.account[-1][2] == pytest.approx(0.0, abs=1e-15)


def test_the_quiet_path_values_the_account_like_backtraders_own(monkeypatch):
    script = {2: lambda s: s.buy(size=50.5), 6: lambda s: s.sell(size=80.25)}
    quick = run(script)[0]
    monkeypatch.setattr(NextOpenBroker, "_is_plain", lambda self: False)
    slow = run(script)[0]
    np.testing.assert_allclose(quick.account, slow.account, rtol=1e-14)
    for name in ("_valuemkt", "_valuelever", "_valuemktlever", "_fundval", "_leverage", "_unrealized"):
        assert getattr(quick.broker, name) == pytest.approx(getattr(slow.broker, name), rel=1e-12), name


def test_other_schemes_keep_their_interest_and_margins():
    def with_interest(broker):
        broker.addcommissioninfo(FractionalCommission(commission=0.0, interest=0.5))

    bars = random_bars(60, interval="1D")
    script = {2: lambda s: s.sell(size=10)}
    plain, dear = run(script, bars)[0], run(script, bars, change=with_interest)[0]
    assert dear.account[-1][0] < plain.account[-1][0] - 50


def test_added_cash_arrives():
    strategy, _, _ = run({3: lambda s: s.broker.add_cash(500.0)})
    assert strategy.account[1][1] == 10_000 and strategy.account[-1][1] == 10_500


def test_limit_and_stop_orders_still_wait_for_their_price():
    bars = random_bars(12)
    low = bars["low"].iloc[3:].min()
    limit = {2: lambda s: s.buy(size=1, exectype=bt.Order.Limit, price=low)}
    _, log, _ = run(limit, bars)
    assert len(log) == 1 and log[0][5] == "filled" and log[0][1] >= 3
    never = {2: lambda s: s.buy(size=1, exectype=bt.Order.Limit, price=low / 2)}
    assert run(never, bars)[1] == []


def test_costs_reach_the_broker():
    cerebro = bt.Cerebro()
    broker = set_broker(cerebro, costs=Costs(0.002, 0.003), cash=5.0)
    assert cerebro.broker is broker and broker.startingcash == 5.0 and broker.p.slip_perc == 0.003
    assert broker.comminfo[None].p.commission == 0.002


@pytest.mark.parametrize(
    ("given", "said"),
    [({"costs": 0.001}, "`costs` is 0.001: give"), ({"cash": "1"}, "`cash` is '1'"), ({"cash": 0}, "`cash`")],
)
def test_costs_and_cash_that_are_none_are_refused_in_words(given, said):
    with pytest.raises(BarwiseError, match=said):
        set_broker(bt.Cerebro(), **given)
