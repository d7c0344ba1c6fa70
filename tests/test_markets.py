"""What forecasts are of goes with them: through every way of making, keeping and trading them."""

from __future__ import annotations

import functools
from pathlib import Path

import pandas as pd
import pytest

from mlcore import WalkForward, direction, feature_table, forecast_from_store, read_bars, walk_forward
from mlcore.bars import market_of, name_market
from mlcore.bars.panel import read_panel
from mlcore.cache import Training, cached_walk_forward
from mlcore.calibration import calibrate
from mlcore.errors import BarwiseError
from mlcore.panel import walk_forward_panel
from strategies.backtest import backtest
from strategies.policy import target_weights
from strategies.portfolio import backtest_portfolio
from strategies.vbt.sweep import Grid, read_forecasts, sweep
from tests.conftest import random_bars

FOLDS = WalkForward(150, 60)
RECIPES = ("rsi", "log_return")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("markets")
    for seed, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        random_bars(400, seed=seed).to_parquet(folder / f"{symbol}_1h.parquet")
    return {symbol: folder / f"{symbol}_1h.parquet" for symbol in ("BTCUSDT", "ETHUSDT")}


@pytest.fixture(scope="module")
def forecasts(files, tmp_path_factory) -> pd.DataFrame:
    bars = read_bars(files["BTCUSDT"])
    features = feature_table(bars, RECIPES)
    store = tmp_path_factory.mktemp("store")
    return walk_forward(bars, "linear", label=direction(bars), features=features, folds=FOLDS, store=store).forecasts


def test_every_way_of_making_them_names_them(files, forecasts, tmp_path):
    bars = read_bars(files["BTCUSDT"])
    features, label = feature_table(bars, RECIPES), direction(bars)
    walk = functools.partial(walk_forward, label=label, features=features, folds=FOLDS)
    made = [
        forecasts,
        walk(bars, "linear", store=tmp_path / "store").forecasts,
        forecast_from_store(tmp_path / "store", bars, features),
        calibrate(forecasts, label, pd.DatetimeIndex(bars.index)).forecasts,
        *(cached_walk_forward(bars, Training("linear", train=150, test=60), tmp_path / "c").forecasts for _ in "ab"),
        walk(random_bars(400), "linear", symbol="BTCUSDT").forecasts,
    ]
    assert [market_of(one) for one in made] == ["BTCUSDT"] * len(made)
    assert market_of(walk(random_bars(400), "linear").forecasts) is None
    panel = read_panel(list(files.values()))
    pooled = walk_forward_panel(panel, "linear", label=direction, features=RECIPES, folds=FOLDS).forecasts
    assert {symbol: market_of(one) for symbol, one in pooled.items()} == {symbol: symbol for symbol in files}


def test_bars_of_another_market_with_the_same_stamps_are_refused_wherever_they_are_traded(files, forecasts, tmp_path):
    ether = read_bars(files["ETHUSDT"])
    forecasts.to_parquet(tmp_path / "forecasts.parquet")
    kept = read_forecasts(tmp_path / "forecasts.parquet")
    weights = pd.Series(0.5, ether.index)
    for trade in (
        lambda: target_weights(kept, ether),
        lambda: backtest(ether, weights, forecasts=kept),
        lambda: backtest_portfolio({"a": ether}, weights.to_frame("a"), forecasts={"a": kept}),
        lambda: sweep(kept, ether, Grid()),
    ):
        with pytest.raises(BarwiseError, match="`forecasts` are of BTCUSDT and `bars` of ETHUSDT"):
            trade()
    assert len(target_weights(kept, read_bars(files["BTCUSDT"]))) == len(target_weights(kept, random_bars(400)))
    kept.attrs.pop("symbol")  # the way out that the sentence names
    assert len(target_weights(kept, name_market(ether, "ETHUSDT"))) == len(kept)
