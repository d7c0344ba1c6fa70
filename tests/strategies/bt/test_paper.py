"""A paper account that is stopped and taken up again gives the orders of one that was not."""

import contextlib
import json
import pickle

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from mlcore.features import feature
from mlcore.folds import WalkForward
from mlcore.models import make_model
from mlcore.plugins import FEATURES
from mlcore.retraining import Decayed
from mlcore.store import StoreError
from strategies.bt import EquityCurve, OrderLog, ReplayFeed, WalkForwardStrategy, set_broker
from strategies.costs import Costs
from strategies.policy import Policy
from tests.strategies.bt.test_retraining import BARS as ALL
from tests.strategies.bt.test_retraining import GIVEN, old, result_of

BARS, LIVE = ALL.iloc[:240], 150
RULES = [old, Decayed(newest=5, before=10)]
POLICY = Policy(entry=0.1, exit=-0.1, min_hold=40)  # what is held reaches over retrains


class Killed(Exception):
    pass


class Mortal(WalkForwardStrategy):
    """Dies right after its `dies`-th bar was dealt with."""

    params = (("dies", None),)

    def next(self):
        super().next()
        if len(self.data) == self.p.dies:
            raise Killed


class Fewest(bt.Analyzer):
    """What each order was given with: the bar that decided it, its size, and the fewest units it may fill."""

    def create_analysis(self):
        self.rets = []

    def notify_order(self, order):
        if not order.alive():
            self.rets.append((order.plen - 1, order.created.size, order.info.get("min_units")))


def paper(folder, *, bars=BARS, live=LIVE, dies=None, sizer="confidence", feed=ReplayFeed, **params):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(feed(bars, live_from=bars.index[live] if live < len(bars) else "2100-01-01"))
    given = GIVEN | {"rules": RULES, "policy": POLICY, "sizer": sizer} | params
    cerebro.addstrategy(Mortal, state=folder, dies=dies, **given)
    for analyzer in (EquityCurve, OrderLog, Fewest):
        cerebro.addanalyzer(analyzer)
    set_broker(cerebro, costs=Costs())
    made = []
    cerebro.addanalyzer(type("Keep", (bt.Analyzer,), {"start": lambda self: made.append(self.strategy)}))
    with contextlib.suppress(Killed):
        cerebro.run()
    (strategy,) = made
    return strategy


def orders(strategy):
    return strategy.analyzers.orderlog.get_analysis()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return paper(tmp_path_factory.mktemp("whole"))


def test_nothing_is_ordered_before_it_is_live(undisturbed):
    assert len(orders(undisturbed)) > 20
    assert min(decided for decided, *_ in orders(undisturbed)) >= LIVE
    assert undisturbed.analyzers.equitycurve.get_analysis()[:LIVE] == [10_000.0] * LIVE
    assert set(undisturbed.weights) == set(range(len(BARS)))  # its models spoke of the past, too


def test_its_weights_are_those_of_the_batched_run(undisturbed):
    wanted = result_of(BARS, rules=RULES, policy=POLICY, sizer="confidence")
    found = [weight for _, weight in sorted(undisturbed.weights.items())]
    assert found == pytest.approx(wanted.weights.tolist(), abs=1e-6, nan_ok=True)
    assert [r.reason for r in undisturbed.retrains] == [event["reason"] for event in wanted.extras["retrains"]]


def some_stops(strategy):
    """Bars after which to stop: in the past, as an order is on its way, in between, as a retrain is pending."""
    decided = [row[0] for row in orders(strategy)]
    retrained = [strategy.data.datetime.array.index(bt.date2num(r.live)) for r in strategy.retrains]
    quiet = next(row for row in range(LIVE + 20, len(BARS)) if row not in decided)
    return [LIVE + 1, decided[5] + 1, quiet + 1, retrained[-1], len(BARS) - 1]


@pytest.mark.parametrize("place", range(5))
def test_the_same_orders_as_without_the_stop(undisturbed, tmp_path, place):
    k = some_stops(undisturbed)[place]
    before = paper(tmp_path, dies=k)
    after = paper(tmp_path)
    assert orders(before) + orders(after) == orders(undisturbed)  # to the bit
    assert {**before.weights, **after.weights} == pytest.approx(undisturbed.weights, abs=0, rel=0, nan_ok=True)
    equity = after.analyzers.equitycurve.get_analysis()
    assert equity[k:] == undisturbed.analyzers.equitycurve.get_analysis()[k:]
    assert after.broker.getcash() == undisturbed.broker.getcash()
    fewest = [each.analyzers.fewest.get_analysis() for each in (before, after, undisturbed)]
    assert fewest[0] + fewest[1] == fewest[2] and all(least is not None for *_, least in fewest[2])


class Funded(ReplayFeed):
    lines = ("funding_rate",)


FUNDED = BARS.assign(funding_rate=np.sin(np.arange(len(BARS)) / 9) / 1e3)


@pytest.fixture
def funded():
    """A model that reads a line of the feed's own, begun from the one before it."""

    def funding_change(bars, window=5):
        return pd.Series(np.asarray(bars["funding_rate"]), bars.index).diff(window)

    FEATURES.register("funding_change", feature(funding_change))
    model = make_model("tcn", lookback=5, levels=1, width=4, epochs=1)
    yield {
        **{"bars": FUNDED, "feed": Funded, "model": model, "rules": old, "options": {"warm_start": True}},
        "policy": Policy(),
        "features": ["log_return", "funding_change"],
    }
    FEATURES._entries.pop("funding_change")


def test_a_line_of_the_feed_s_own_and_warm_starts_go_on_too(funded, tmp_path):
    whole = paper(tmp_path / "whole", **funded)
    other = {name: value for name, value in funded.items() if name not in ("bars", "feed", "options")}
    wanted = result_of(FUNDED, sizer="confidence", warm_start=True, **other)
    found = [weight for _, weight in sorted(whole.weights.items())]
    assert found == pytest.approx(wanted.weights.tolist(), abs=1e-4, nan_ok=True)
    assert len(orders(whole)) > 5 and len(whole.retrains) > 3
    before, after = paper(tmp_path / "stopped", dies=200, **funded), paper(tmp_path / "stopped", **funded)
    assert orders(before) + orders(after) == orders(whole)
    with pytest.raises(BarwiseError, match="'funding_change' needs the column 'funding_rate'"):
        paper(tmp_path / "none", **funded | {"feed": ReplayFeed})


def test_stopped_again_and_again_it_ends_the_same(undisturbed, tmp_path):
    log = []
    for k in (*range(160, 230, 20), None):
        log += orders(paper(tmp_path, dies=k))
    assert log == orders(undisturbed)


def test_a_stop_before_it_was_live_leaves_nothing_to_take_up(tmp_path, undisturbed):
    paper(tmp_path, dies=190, live=200)
    assert not (tmp_path / "state.json").exists() and (tmp_path / "models").exists()
    assert orders(paper(tmp_path)) == orders(undisturbed)


def test_bars_missed_while_it_stood_still_are_heard_and_not_traded(tmp_path):
    before = paper(tmp_path, dies=200)
    after = paper(tmp_path, live=220)
    decided = [row[0] for row in orders(before) + orders(after)]
    assert not [row for row in decided if 200 <= row < 220] and max(decided) > 220
    assert set(range(200, 220)) <= set(after.weights)


def test_what_is_kept_is_plain_text_and_numbers(tmp_path):
    paper(tmp_path, dies=200)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    for path in files:
        with pytest.raises(Exception):  # noqa: B017  (whatever a pickle says of what is none)
            pickle.loads(path.read_bytes())
    json.loads((tmp_path / "state.json").read_text())


def test_what_cannot_be_taken_up_is_refused(tmp_path):
    paper(tmp_path, dies=200)
    held = (tmp_path / "state.json").read_text()
    (tmp_path / "state.json").write_text(held.replace('"last_target": ', '"last_target": 0'))
    with pytest.raises(StoreError):
        paper(tmp_path)
    (tmp_path / "state.json").write_text(held)
    with pytest.raises(StoreError, match="`folds` is"):
        paper(tmp_path, folds=WalkForward(train=120, test=61, latency=2))
    with pytest.raises(StoreError, match="not those shown before the stop"):
        paper(tmp_path, bars=BARS.iloc[1:], live=LIVE)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("x")
    with pytest.raises(BarwiseError, match="holds files and no run"):
        paper(tmp_path / "other")
