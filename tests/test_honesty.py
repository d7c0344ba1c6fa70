"""The promises of the whole way: nothing is found where nothing is, an edge is found where one is planted, and no
forecast, weight, order or equity depends on a bar that came after it."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlcore.checks.laws import changed
from mlcore.checks.models import SMALL as CUT
from mlcore.checks.models import shrink
from mlcore.features import feature_table, table_for
from mlcore.folds import WalkForward
from mlcore.labels import direction, forward_return
from mlcore.metrics import rank_ic
from mlcore.models import MODELS
from mlcore.synthetic import planted_market, random_market
from mlcore.walkforward import walk_forward
from strategies.backtest import backtest
from strategies.costs import Costs
from strategies.policy import Policy, target_weights
from strategies.vbt.run import run_vectorbt

SMALL = CUT | {
    "lookback": 12,
    "epochs": 3,
    "width": 32,
}  # networks: few bars, few epochs, few units; the laws are the same
TABLE = ("close_pct_change", "high_low_range", "atr_normalized", ("volatility", {"window": 10}))
LABEL = functools.partial(direction, horizon=5, threshold=0.005)
SEEDS = range(20)


def small(name: str) -> Any:
    return shrink(MODELS[name](), SMALL)


def sharpes(model: Any, leak: int = 0) -> np.ndarray:
    """``(20, 2)``: Sharpe ratios without and with costs, one market a row. `leak` puts a later return in the table."""
    found = []
    for seed in SEEDS:
        bars = random_market(900, interval="15min", seed=seed).bars
        features = table_for(model, bars, TABLE)
        if leak:
            features["leak"] = bars["close"].pct_change(leak).shift(-leak).fillna(0.0)
        folds = WalkForward(train=600, test=150)
        forecasts = walk_forward(bars, model, label=LABEL(bars), features=features, folds=folds, seed=seed).forecasts
        weights = target_weights(forecasts, bars)
        traded = bars.loc[weights.index]
        found.append([run_vectorbt(traded, weights, costs=costs).metrics["sharpe"] for costs in (Costs(0, 0), Costs())])
    return np.array(found, dtype=float)


def beyond_chance(values: np.ndarray) -> np.ndarray:
    """Mean over markets in standard errors."""
    return values.mean(axis=0) / (values.std(axis=0, ddof=1) / np.sqrt(len(values)))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_where_there_is_no_edge_none_is_found(name):
    gross, net = beyond_chance(sharpes(small(name)))
    assert net <= 3.0
    assert gross <= 3.0  # the sharper question: costs alone would hide a leak


def test_a_leak_would_be_seen():
    gross, _ = beyond_chance(sharpes(MODELS["linear"](), leak=3))
    assert gross > 6.0


@pytest.mark.parametrize("label", [forward_return, LABEL], ids=["return", "direction"])
@pytest.mark.parametrize(("kind", "name"), [("linear", "linear"), ("linear", "lightgbm"), ("nonlinear", "lightgbm")])
def test_a_planted_edge_is_found_to_seventy_percent(kind, name, label):
    reached, possible = np.transpose([edge_found(kind, name, label, seed) for seed in range(3)])
    assert possible.mean() > 0.1
    assert reached.mean() >= 0.7 * possible.mean()


def edge_found(kind: str, name: str, label: Any, seed: int) -> tuple[float, float]:
    """Rank IC of the model, all default features before it, and of the oracle, on the same bars."""
    market = planted_market(30_000, edge=0.2, kind=kind, seed=seed)
    run = walk_forward(
        market.bars,
        MODELS[name](),
        label=label(market.bars),
        features=feature_table(market.bars),
        folds=WalkForward(train=20_000, test=10_000),
    )
    stamps = run.forecasts.index
    returns = pd.Series(forward_return(market.bars).returns, index=market.bars.index).loc[stamps].to_numpy()
    return rank_ic(run.forecasts["signal"].to_numpy(), returns), rank_ic(market.oracle.loc[stamps].to_numpy(), returns)


def way(bars: pd.DataFrame, model: Any, sizer: str, n_jobs: int = 1) -> tuple[pd.DataFrame, pd.Series, dict]:
    """The whole way from bars to both engines' results, over the out-of-sample span."""
    run = walk_forward(
        bars,
        model,
        label=LABEL(bars),
        features=table_for(model, bars, TABLE),
        folds=WalkForward(train=250, test=60),
        n_jobs=n_jobs,
        seed=3,
    )
    weights = target_weights(run.forecasts, bars, policy=Policy(entry=0.02, min_hold=2), sizer=sizer)
    results, _ = backtest(bars.loc[weights.index], weights, forecasts=run.forecasts, costs=Costs())
    return run.forecasts, weights, results


def equal_before(stamp: pd.Timestamp, one: Any, other: Any) -> None:
    (forecasts, weights, results), (forecasts2, weights2, results2) = one, other
    pd.testing.assert_frame_equal(before(stamp, forecasts), before(stamp, forecasts2), check_exact=True)
    pd.testing.assert_series_equal(before(stamp, weights), before(stamp, weights2), check_exact=True)
    for engine, result in results.items():
        again = results2[engine]
        pd.testing.assert_series_equal(before(stamp, result.equity), before(stamp, again.equity), check_exact=True)
        filled, refilled = (orders[orders["timestamp"] < stamp] for orders in (result.orders, again.orders))
        pd.testing.assert_frame_equal(filled.reset_index(drop=True), refilled.reset_index(drop=True), check_exact=True)


def before(stamp: pd.Timestamp, frame: Any) -> Any:
    return frame[frame.index < stamp]


@pytest.mark.parametrize(
    ("name", "sizer"), [("linear", "volatility_target"), ("lightgbm", "study_rule"), ("tcn", "fixed")]
)
def test_other_bars_after_a_cut_change_nothing_before_it(name, sizer):
    """Cuts in the features' warm-up, in the first training span, in the sizer's warm-up, in blocks, at the last bar."""
    bars = random_market(460, interval="15min", seed=8).bars
    model = small(name)
    whole = way(bars, model, sizer)
    first = bars.index.get_loc(whole[0].index[0])
    assert len(whole[2]["backtrader"].orders) >= 5
    for cut in (3, 120, first + 1, first + 17, first + 61, 459):
        other = way(changed(bars, slice(cut, None), 1.7), model, sizer)
        equal_before(bars.index[cut], whole, other)
        if cut < 459:
            assert not other[2]["vectorbt"].equity.equals(whole[2]["vectorbt"].equity)  # it did change what came after


@pytest.mark.parametrize("name", sorted(MODELS))
def test_one_seed_with_one_job_and_with_two_writes_the_same_bytes(name, tmp_path):
    bars = random_market(460, interval="15min", seed=8).bars
    written = []
    for jobs in (1, 2):
        forecasts, weights, results = way(bars, small(name), "confidence", n_jobs=jobs)
        equity = pd.DataFrame({engine: result.equity for engine, result in results.items()} | {"weight": weights})
        paths = [tmp_path / f"forecasts{jobs}.parquet", tmp_path / f"equity{jobs}.parquet"]
        forecasts.to_parquet(paths[0])
        equity.to_parquet(paths[1])
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
