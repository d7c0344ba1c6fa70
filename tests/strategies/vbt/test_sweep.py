"""The sweep: the same numbers as one run, whatever the chunk, and no look-ahead let in."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError, LookAheadError
from strategies.costs import Costs
from strategies.orders import order_targets
from strategies.policy import Policy, target_weights
from strategies.result import METRICS
from strategies.vbt import sweep as sweep_module
from strategies.vbt.run import run_vectorbt
from strategies.vbt.sweep import PARAMETERS, Grid, parse_sizer, read_forecasts, sweep
from tests.conftest import random_bars
from tests.strategies.studies import fake_forecasts

START = 100


def market(n: int = 900, *, volatility: float = 0.02) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bars with missing hours and shocks, and forecasts that begin after a warm-up."""
    bars = random_bars(n, seed=4, volatility=volatility)
    bars = bars.drop(bars.index[400:431])
    return bars, fake_forecasts(bars, 5).iloc[START:]


def run_of(row: dict, forecasts: pd.DataFrame, bars: pd.DataFrame) -> dict:
    name, params = parse_sizer(row["sizer"])
    policy = Policy(**{key: row[key] for key in ("entry", "exit", "min_hold", "band", "side", "min_confidence")})
    weights = target_weights(forecasts, bars, policy=policy, sizer=name, sizer_params=params, days_per_year=252.0)
    costs = Costs(row["commission"], row["slippage"])
    span = bars.loc[weights.index]
    return run_vectorbt(span, weights, costs=costs, cash=500.0, days_per_year=252.0, forecasts=forecasts).metrics


GRID = Grid(
    entry=(0.0, 0.3, 2 / 3, 1.0),
    exit=(0.0, 0.1),
    min_hold=(0, 6),
    side=("both", "long"),
    sizer=("fixed", "study_rule:base=0.9,cap=1", "volatility_target"),
    commission=(0.0, 0.001),
    slippage=(0.0, 0.002),
)


def test_a_row_of_the_sweep_is_the_run_of_its_parameters() -> None:
    bars, forecasts = market()
    table = sweep(forecasts, bars, GRID, cash=500.0, days_per_year=252.0)
    seen = set()
    for row in table.iloc[::11].to_dict("records"):
        single = run_of(row, forecasts, bars)
        got = [row[name] for name in METRICS]
        wanted = [np.nan if single[name] is None else float(single[name]) for name in METRICS]  # type: ignore[arg-type]
        np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-11, err_msg=str(row))
        seen.add((single["n_orders"] == 0, (single["n_rejected"] or 0) > 0))
    assert len(seen) >= 2  # with and without orders


def test_a_ruined_account_has_no_return_in_the_table_either() -> None:
    bars, forecasts = market(volatility=0.4)
    row = sweep(forecasts, bars, Grid(), cash=500.0, days_per_year=252.0).to_dict("records")[0]
    single = run_of(row, forecasts, bars)
    assert single["total_return"] is None and np.isnan(row["total_return"])
    assert row["final_value"] == pytest.approx(single["final_value"])


def test_rejected_orders_are_counted_as_one_run_counts_them() -> None:
    bars, forecasts = market(600, volatility=0.25)
    grid = Grid(entry=(0.0, 0.2), sizer=("fixed",), commission=(0.0, 0.01, 0.1))
    table = sweep(forecasts, bars, grid, cash=500.0, days_per_year=252.0)
    assert table["n_rejected"].max() > 0
    for row in table.to_dict("records"):
        single = run_of(row, forecasts, bars)
        assert (row["n_orders"], row["n_rejected"]) == (single["n_orders"], single["n_rejected"])
        assert row["final_value"] == pytest.approx(single["final_value"], rel=1e-9)


def test_dust_is_no_order_as_in_one_run() -> None:
    """An account ruined by costs moves by less than an order is worth."""
    bars = random_bars(400, volatility=0.001)
    small = 1e-5 * np.random.default_rng(0).integers(1, 4, 300)
    weights = pd.Series(np.r_[np.tile([1.0, -1.0], 50), small], index=bars.index)
    single = run_vectorbt(bars, weights, costs=Costs(0.05, 0.0), cash=500.0).metrics
    market = sweep_module._Market(bars, 500.0, 365.0)
    swept = market.trade(order_targets(weights)[:, None], [Costs(0.05, 0.0)])
    assert single["n_orders"] < np.isfinite(order_targets(weights)).sum() - 50  # type: ignore[operator]
    assert (swept["n_orders"][0], swept["n_rejected"][0]) == (single["n_orders"], single["n_rejected"])


def test_chunks_of_any_size_give_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    bars, forecasts = market()
    grid = Grid(entry=(0.0, 0.3, 1.0), sizer=("fixed", "study_rule"), commission=(0.0, 0.001))
    whole = sweep(forecasts, bars, grid)
    pd.testing.assert_frame_equal(sweep(forecasts, bars, grid, cells_at_a_time=1), whole, rtol=1e-12)
    monkeypatch.setattr(sweep_module, "ORDERS_AT_A_TIME", 50)
    pd.testing.assert_frame_equal(sweep(forecasts, bars, grid, cells_at_a_time=9000), whole, rtol=1e-12)


def test_every_combination_stands_once_in_the_table() -> None:
    bars, forecasts = market(400)
    table = sweep(forecasts, bars, GRID)
    assert list(table.columns) == [*PARAMETERS, *METRICS, "days", "years"]
    assert not table.duplicated(list(PARAMETERS)).any()
    assert len(table) == (4 + 3) * 2 * 2 * 3 * 4  # exit 0.1 goes with three of the four entries
    assert (table["exit"] <= table["entry"]).all()
    assert (table["days"] == forecasts.index.floor("D").nunique()).all()
    assert (table["years"] == table["days"] / 365.0).all()


def test_repeated_values_are_tried_once() -> None:
    assert len(Grid(entry=(0.1, 0.1), sizer=("fixed", "fixed")).rules()) == 1
    assert len(Grid(commission=(0.0, 0.0)).costs()) == 1


def test_more_cost_never_earns_more() -> None:
    bars, forecasts = market()
    table = sweep(forecasts, bars, Grid(entry=(0.4,), commission=(0.0, 0.001, 0.005)))
    assert table["final_value"].is_monotonic_decreasing


def test_progress_counts_to_the_end() -> None:
    bars, forecasts = market(300)
    told: list[tuple[str, int, int]] = []
    sweep(forecasts, bars, Grid(entry=(0.0, 0.1, 0.2)), cells_at_a_time=1, progress=lambda *word: told.append(word))
    assert told == [("sweep", 0, 3), ("sweep", 1, 3), ("sweep", 2, 3), ("sweep", 3, 3)]


def test_forecasts_that_know_their_own_bar_are_refused() -> None:
    bars, forecasts = market(300)
    late = forecasts.assign(trained_through=forecasts.index)
    with pytest.raises(LookAheadError, match="trained through"):
        sweep(late, bars, Grid())


@pytest.mark.parametrize(
    ("grid", "word"),
    [
        ({"entry": (0.1,), "exit": (0.2,)}, "grid is empty"),
        ({"entry": (1.5,)}, "`entry` is 1.5"),
        ({"sizer": ("fixd",)}, "Did you mean 'fixed'"),
        ({"sizer": ("fixed:size",)}, "not name=number"),
        ({"sizer": ("fixed:sise=1",)}, "Did you mean 'size'"),
        ({"commission": (-0.1,)}, "`commission`"),
    ],
)
def test_bad_grids_are_refused(grid: dict, word: str) -> None:
    bars, forecasts = market(300)
    with pytest.raises(BarwiseError, match=word):
        sweep(forecasts, bars, Grid(**grid))


def test_files_that_are_no_forecasts_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BarwiseError, match="no such file"):
        read_forecasts(tmp_path / "x.parquet")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(BarwiseError, match="not readable Parquet"):
        read_forecasts(tmp_path / "cut.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "plain.parquet")
    with pytest.raises(BarwiseError, match="no UTC stamps"):
        read_forecasts(tmp_path / "plain.parquet")


def test_weekly_bars_are_swept_as_they_are_run() -> None:
    bars = random_bars(200, seed=1, interval="7D", volatility=0.03)
    forecasts = fake_forecasts(bars, 2)
    row = sweep(forecasts, bars, Grid(), cash=500.0, days_per_year=252.0).to_dict("records")[0]
    assert row["sharpe"] == pytest.approx(run_of(row, forecasts, bars)["sharpe"], rel=1e-11)
    assert row["years"] == pytest.approx(row["days"] * 7 / 365)
