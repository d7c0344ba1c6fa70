"""The sweep: the same numbers as one run, whatever the chunk, and no look-ahead let in."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config

from mlcore.errors import BarwiseError, BarwiseWarning, LookAheadError
from strategies.costs import Costs
from strategies.orders import order_targets
from strategies.policy import Policy, target_weights
from strategies.result import METRICS
from strategies.vbt import accounts
from strategies.vbt.accounts import MEASURED, Accounts, Orders
from strategies.vbt.run import run_vectorbt
from strategies.vbt.sweep import PARAMETERS, Grid, drop_chunks, parse_sizer, read_forecasts, run_row, sweep
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
    swept = Accounts(bars, 500.0, 365.0).trade([Orders.of(order_targets(weights))], [Costs(0.05, 0.0)])
    assert single["n_orders"] < np.isfinite(order_targets(weights)).sum() - 50  # type: ignore[operator]
    assert (swept["n_orders"][0], swept["n_rejected"][0]) == (single["n_orders"], single["n_rejected"])


def test_chunks_of_any_size_give_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    bars, forecasts = market()
    grid = Grid(entry=(0.0, 0.3, 1.0), sizer=("fixed", "study_rule"), commission=(0.0, 0.001))
    whole = sweep(forecasts, bars, grid)
    pd.testing.assert_frame_equal(sweep(forecasts, bars, grid, cells_at_a_time=1), whole, rtol=1e-12)
    monkeypatch.setattr(accounts, "ORDERS_AT_A_TIME", 50)
    pd.testing.assert_frame_equal(sweep(forecasts, bars, grid, cells_at_a_time=9000), whole, rtol=1e-12)


def test_every_combination_stands_once_in_the_table() -> None:
    bars, forecasts = market(400)
    table = sweep(forecasts, bars, GRID)
    assert list(table.columns) == [*PARAMETERS, *MEASURED, "days", "years"]
    assert not table.duplicated(list(PARAMETERS)).any()
    assert len(table) == (4 + 3) * 2 * 2 * 3 * 4  # exit 0.1 goes with three of the four entries
    assert (table["exit"] <= table["entry"]).all()
    assert (table["days"] == forecasts.index.floor("D").nunique()).all()
    assert (table["years"] == table["days"] / 365.0).all()


def test_repeated_values_are_tried_once() -> None:
    assert len(Grid(entry=(0.1, 0.1), sizer=("fixed", "fixed")).rules()) == 1
    assert len(Grid(commission=(0.0, 0.0), delay=(1, 1)).terms()) == 1


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
        ({"delay": (-1,)}, "`delay` is -1"),
        ({"delay": (0.5,)}, "`delay` is 0.5"),
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


def small_grid() -> Grid:
    return Grid(entry=(0.0, 0.2, 0.4), exit=(0.0, 0.1), min_hold=(0, 3), sizer=("fixed", "confidence"))


def test_a_row_is_run_again_in_full_in_both_engines() -> None:
    bars, forecasts = market()
    table = sweep(forecasts, bars, GRID, cash=500.0, days_per_year=252.0)
    row = int(table["n_orders"].idxmax())
    results = run_row(table, row, forecasts, bars)
    assert set(results) == {"backtrader", "vectorbt"}
    for name in METRICS:
        assert results["vectorbt"].metrics[name] == pytest.approx(table.loc[row, name], rel=1e-9)
    assert len(results["vectorbt"].orders) == table.loc[row, "n_orders"]
    with pytest.raises(BarwiseError, match="`row` is -1"):
        run_row(table, -1, forecasts, bars)


@pytest.mark.parametrize("delay", [1, 3, 10_000])
def test_a_delay_gives_the_same_orders_so_many_bars_later(delay: int) -> None:
    bars, forecasts = market()
    table = sweep(forecasts, bars, Grid(entry=(0.3,), delay=(0, delay)), cash=500.0)
    weights = target_weights(forecasts, bars, policy=Policy(entry=0.3))
    single = run_vectorbt(bars.loc[weights.index], weights.shift(delay), cash=500.0).metrics
    for name in METRICS:
        assert table[name][1] == pytest.approx(single[name], rel=1e-9)
    again = run_row(table, 1, forecasts, bars, engine="vectorbt")["vectorbt"]
    assert again.metrics["final_value"] == pytest.approx(table["final_value"][1], rel=1e-9)
    assert (table["n_orders"][1] == 0) == (delay > len(bars))


def test_a_table_read_from_disk_can_be_run_again(tmp_path: Path) -> None:
    bars, forecasts = market(300)
    sweep(forecasts, bars, Grid(), cash=77.0).to_parquet(tmp_path / "sweep.parquet")
    result = run_row(pd.read_parquet(tmp_path / "sweep.parquet"), 0, forecasts, bars, engine="vectorbt")["vectorbt"]
    assert result.equity.iloc[0] == 77.0


def test_rules_that_order_the_same_are_traded_once_and_all_count_as_tried() -> None:
    bars, forecasts = market()
    top = float(forecasts["signal"].abs().max())
    table = sweep(forecasts, bars, Grid(entry=(0.3, (top + 1) / 2, 1.0), min_hold=(0, 1), commission=(0.0, 0.001)))
    assert top < 1 and (table["n_orders"] == 0).sum() == 8  # above every signal nothing is traded
    assert table.attrs["tried"] == len(table) == 12
    assert table.attrs["traded"] == 2 * 2  # 0.3 (a hold of 0 or 1 bars is the same), and nothing; at two costs
    alone = sweep(forecasts, bars, Grid(entry=(1.0,), commission=(0.001,)))
    pd.testing.assert_frame_equal(table.tail(1).reset_index(drop=True), alone.assign(min_hold=1), check_exact=True)


def test_a_sweep_that_fell_back_to_numba_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    bars, forecasts = market(300)
    monkeypatch.setattr(accounts.Accounts, "trade", _fallen(accounts.Accounts.trade))
    with pytest.warns(BarwiseWarning, match="numba, not on Rust.*for a reason"):
        table = sweep(forecasts, bars, Grid())
    assert table.attrs["kernel"] == "numba"
    monkeypatch.undo()
    assert sweep(forecasts, bars, Grid()).attrs["kernel"] == "rust"


def _fallen(real: Callable) -> Callable:
    def trade(self: Accounts, *args: object) -> pd.DataFrame:
        made = real(self, *args)
        self.fallback = "for a reason"
        return made

    return trade


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_any_backend_and_number_of_jobs_gives_the_same_table(backend: str) -> None:
    bars, forecasts = market(300)
    alone = sweep(forecasts, bars, small_grid(), cells_at_a_time=1200)
    with parallel_config(backend=backend, n_jobs=2):
        both = sweep(forecasts, bars, small_grid(), cells_at_a_time=1200)
    pd.testing.assert_frame_equal(both, alone, check_exact=True)
    assert both.attrs == alone.attrs


# A sweep of 24 chunks in a process of its own;
CHILD = """
import sys, time
from pathlib import Path
import pandas as pd
from strategies.vbt import accounts
from strategies.vbt.sweep import sweep
from tests.strategies.vbt.test_sweep import market, small_grid
if len(sys.argv) > 3:  # slow enough to be killed in the middle
    real = accounts.Accounts.trade
    accounts.Accounts.trade = lambda *args: (time.sleep(0.05), real(*args))[1]
bars, forecasts = market(300)
sweep(forecasts, bars, small_grid(), cells_at_a_time=1, work=sys.argv[1]).to_parquet(sys.argv[2])
"""


def test_a_sweep_killed_in_the_middle_goes_on_and_writes_the_same_bytes(tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "out.parquet"
    words = [sys.executable, "-c", CHILD, str(work), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    child = subprocess.Popen([*words, "slowly"], env=environment)
    while len(list(work.glob("sweep-*/chunk-*.parquet"))) < 4:
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    kept = {path: path.stat().st_mtime_ns for path in work.glob("sweep-*/chunk-*.parquet")}
    assert 4 <= len(kept) < 20 and not out.exists()
    bars, forecasts = market(300)
    told: list[int] = []
    again = sweep(
        forecasts, bars, small_grid(), cells_at_a_time=1, work=work, progress=lambda _, done, __: told.append(done)
    )
    assert told[0] == len(kept)  # nothing kept is traded again
    drop_chunks(work)
    assert not work.exists()
    again.to_parquet(tmp_path / "again.parquet")
    sweep(forecasts, bars, small_grid(), cells_at_a_time=1).to_parquet(tmp_path / "undisturbed.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "undisturbed.parquet").read_bytes()


@pytest.mark.parametrize("other", ["bars", "forecasts", "cash", "grid"])
def test_chunks_of_another_sweep_are_not_taken(tmp_path: Path, other: str) -> None:
    bars, forecasts = market(300)
    sweep(forecasts, bars, small_grid(), work=tmp_path)
    told: list[int] = []
    options = {"work": tmp_path, "progress": lambda _, done, __: told.append(done)}
    given = {
        "bars": bars.assign(open=bars["open"] * 1.01) if other == "bars" else bars,
        "grid": Grid() if other == "grid" else small_grid(),
    }
    given["forecasts"] = forecasts.assign(confidence=0.5) if other == "forecasts" else forecasts
    sweep(**given, cash=500.0 if other == "cash" else 10_000.0, **options)  # type: ignore[arg-type]
    assert told[0] == 0
    told.clear()
    sweep(forecasts, bars, small_grid(), **options)  # type: ignore[arg-type]
    assert told[0] == told[-1]


def test_what_else_is_in_the_work_folder_stays(tmp_path: Path) -> None:
    bars, forecasts = market(300)
    (tmp_path / "notes.txt").write_text("mine")
    sweep(forecasts, bars, Grid(), work=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    drop_chunks(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    drop_chunks(tmp_path / "never made")
