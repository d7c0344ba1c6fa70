"""Every bar in a Parquet file, whole or not at all."""

import gc

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from strategies.bt import BarsFeed, Confidence, Exposure, FeatureIndicator, ForecastStrategy, ParquetWriter
from strategies.bt import writer as module
from strategies.policy import Policy
from tests.strategies.bt.runs import BARS, MODES, cerebro_of, forecasts_of


class Watching(ForecastStrategy):
    def __init__(self):
        super().__init__()
        self.moves = FeatureIndicator(self.data, feature="close_pct_change")


def written(path, *feeds, options=(), strategy=Watching):
    cerebro = cerebro_of(*feeds, options=options, strategy=strategy, forecasts=forecasts_of())
    cerebro.addobserver(Exposure)
    cerebro.addobserver(Confidence)
    cerebro.addwriter(ParquetWriter, path=path)
    cerebro.run()
    return pd.read_parquet(path)


@pytest.mark.parametrize("options", MODES, ids=str)
def test_all_modes_write_the_bars_and_what_was_told_of_them(options, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_ROWS", 50)  # in pieces
    table = written(tmp_path / "bars.parquet", options=options)
    assert list(tmp_path.iterdir()) == [tmp_path / "bars.parquet"]
    assert table["timestamp"].tolist() == BARS.index.tolist()
    for name in ("open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(table[f"feed.{name}"], BARS[name])
    told = forecasts_of().reindex(BARS.index)
    rows = slice(1, None)  # an indicator's minimum period is the strategy's
    np.testing.assert_array_equal(table["confidence.confidence"][rows], told["confidence"].iloc[rows])
    np.testing.assert_array_equal(table["forecast.signal"][rows], told["signal"].iloc[rows])
    moves = BARS["close"].pct_change()
    np.testing.assert_allclose(table["close_pct_change.value"][rows], moves.iloc[rows], rtol=1e-9)
    assert table["exposure.exposure"].abs().max() > 0.5


def test_feeds_of_one_name_are_told_apart_and_the_slower_one_repeats(tmp_path):
    slow = BARS.iloc[::4]
    table = written(tmp_path / "two.parquet", BarsFeed(BARS), BarsFeed(slow), strategy=ForecastStrategy)
    assert {"feed.close", "feed_2.close"} <= set(table)
    wanted = slow["close"].reindex(BARS.index).ffill()
    np.testing.assert_array_equal(table["feed_2.close"], wanted)


def test_a_run_that_breaks_leaves_no_file(tmp_path):
    class Breaking(ForecastStrategy):
        def next(self):
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        written(tmp_path / "bars.parquet", strategy=Breaking)
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written_it_is_said_before_the_run(tmp_path):
    for path in (None, tmp_path, tmp_path / "none" / "x.parquet"):
        cerebro = bt.Cerebro()
        cerebro.adddata(BarsFeed(BARS))
        cerebro.addwriter(ParquetWriter, path=path)
        with pytest.raises(BarwiseError, match="`path`"):
            cerebro.run()


class Shared(Watching):
    params = (("share", 1.0), ("policy", None))

    def target_weight(self):
        return self.p.share * self.forecast.signal[0]


def optimised(path, maxcpus=1, **varied):
    cerebro = cerebro_of(options={"maxcpus": maxcpus})
    cerebro.strats.clear()
    cerebro.optstrategy(Shared, **({"forecasts": [forecasts_of()], "share": [1.0, 0.5]} | varied))
    cerebro.addwriter(ParquetWriter, path=path)
    cerebro.run()


def test_every_run_of_an_optimisation_has_its_own_file(tmp_path):
    optimised(tmp_path / "{share}-{policy.entry:.2f}.parquet", policy=[Policy(entry=0.1)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.5-0.10.parquet", "1.0-0.10.parquet"]
    one, half = (pd.read_parquet(tmp_path / f"{share}-0.10.parquet") for share in (1.0, 0.5))
    np.testing.assert_array_equal(one["feed.close"], half["feed.close"])
    first = (tmp_path / "1.0-0.10.parquet").read_bytes()
    optimised(tmp_path / "{share}-{policy.entry:.2f}.parquet", policy=[Policy(entry=0.1)])
    assert (tmp_path / "1.0-0.10.parquet").read_bytes() == first  # replaced, by the same


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # backtrader leaves its pool open
@pytest.mark.parametrize("maxcpus", [1, 2])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("all.parquet", "several runs, which would all write to it"),
        ("{policy}.parquet", "is 'None.parquet' for two runs of this optimisation"),
        ("{shear}.parquet", "'shear'.*It has: weights, forecasts, share, policy"),
        ("{forecasts}.parquet", "DataFrame is no plain value"),
        ("{share.parquet", "cannot be filled in"),
    ],
)
def test_runs_that_would_share_a_file_are_refused(tmp_path, name, said, maxcpus):
    with pytest.raises(BarwiseError, match=said):
        optimised(tmp_path / name, maxcpus)
    gc.collect()
    assert {path.name for path in tmp_path.iterdir() if path.suffix == ".parquet"} <= {"None.parquet"}
