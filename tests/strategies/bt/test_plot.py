"""The picture of a backtrader run: true to the result, and quiet about the user's matplotlib."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from strategies.bt import ForecastStrategy
from strategies.bt.indicators import number_to_stamp
from strategies.bt.plot import (
    MOST_BARS,
    backtrader_figure,
    bars_per_drawn,
    drawn_bars,
    net_fills,
    plot_backtrader,
    plot_cerebro,
    strategy_figure,
)
from strategies.study import Study
from tests.strategies.bt.runs import BARS, cerebro_of, forecasts_of
from tests.strategies.bt.test_together import TOLD, cerebro_for
from tests.strategies.studies import fake_study

UNITS = ["account value", "weight\n(of equity)", "price", "signal\n| retrained", "confidence"]


def panes(study: Study) -> dict:
    figure = backtrader_figure(study.bars, study.results["backtrader"], study.forecasts)
    return {axes.get_ylabel(): axes for axes in figure.axes}


def test_every_pane_shows_what_the_result_holds() -> None:
    study = fake_study(400, n_folds=4)
    drawn, result = panes(study), study.results["backtrader"]
    assert list(drawn) == UNITS
    np.testing.assert_array_equal(drawn["account value"].lines[0].get_ydata(), result.equity)
    np.testing.assert_array_equal(drawn[UNITS[1]].lines[0].get_ydata(), result.weights.fillna(0.0))
    np.testing.assert_array_equal(drawn["price"].lines[0].get_ydata(), study.bars["close"])
    np.testing.assert_array_equal(drawn[UNITS[3]].lines[0].get_ydata(), study.forecasts["signal"])
    np.testing.assert_array_equal(drawn["confidence"].lines[0].get_ydata(), study.forecasts["confidence"])


def test_marks_stand_on_the_bars_that_filled_and_where_models_went_live() -> None:
    study = fake_study(400, n_folds=4)
    drawn, orders = panes(study), study.results["backtrader"].orders
    marks = {line.get_label().split("\n")[-1]: np.isfinite(line.get_ydata()) for line in drawn["price"].lines}
    bought = study.bars.index.isin(orders.loc[orders["size"] > 0, "timestamp"])
    sold = study.bars.index.isin(orders.loc[orders["size"] < 0, "timestamp"])
    assert bought.any() and sold.any()
    np.testing.assert_array_equal(marks["buy"], bought)
    np.testing.assert_array_equal(marks["sell"], sold)
    retrained = next(line for line in drawn[UNITS[3]].lines if line.get_marker() == "|")
    fold = study.forecasts["fold"].to_numpy()
    np.testing.assert_array_equal(
        np.flatnonzero(np.isfinite(retrained.get_ydata())), np.flatnonzero(np.diff(fold, prepend=-1))
    )


def test_a_retrain_that_a_rule_asked_for_has_a_mark_of_its_own() -> None:
    study = fake_study(400, n_folds=4)
    result, fold = study.results["backtrader"], study.forecasts["fold"].to_numpy()
    starts = np.flatnonzero(np.diff(fold, prepend=-1))
    events = [{"live": study.forecasts.index[row], "reason": "calendar", "note": None} for row in starts]
    events[1]["reason"], events[2]["reason"] = "inputs drifted", "calendar; old"
    failed = {"live": study.forecasts.index[5], "reason": "old", "note": "could not be fitted"}
    axes = panes(replace(study, results={"backtrader": replace(result, extras={"retrains": [*events, failed]})}))[
        UNITS[3]
    ]
    marks = {line.get_marker(): np.flatnonzero(np.isfinite(line.get_ydata())) for line in axes.lines}
    assert marks["|"].tolist() == starts[[0, 3]].tolist() and marks["x"].tolist() == starts[[1, 2]].tolist()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "retrained by the calendar",
        "because a rule asked",
    ]
    assert panes(study)[UNITS[3]].get_legend() is None


def test_rejected_orders_leave_no_mark() -> None:
    study = fake_study(400)
    result = study.results["backtrader"]
    turned_away = result.orders.assign(status="rejected", size=0.0, price=np.nan)
    assert not net_fills(turned_away, study.bars).any()
    figure = backtrader_figure(study.bars, replace(result, orders=turned_away), None)
    assert "rejected)" in figure.get_suptitle()


def test_many_bars_are_drawn_as_few_and_the_title_says_so() -> None:
    study = fake_study(5000, n_folds=3)
    figure = backtrader_figure(study.bars, study.results["backtrader"], study.forecasts)
    assert bars_per_drawn(5000) == 3
    assert "5,000 bars" in figure.get_suptitle() and "3 bars are drawn as one" in figure.get_suptitle()
    price = next(axes for axes in figure.axes if axes.get_ylabel() == "price").lines[0].get_ydata()
    assert len(price) == 1667 <= MOST_BARS
    np.testing.assert_array_equal(price, study.bars["close"].groupby(np.arange(5000) // 3).last())
    sure = next(axes for axes in figure.axes if axes.get_ylabel() == "confidence")
    highest = study.forecasts["confidence"].groupby(np.arange(5000) // 3).max()
    np.testing.assert_array_equal(sure.lines[2].get_ydata(), highest)


def test_drawn_bars_keep_ends_extremes_and_volume() -> None:
    bars = fake_study(4001).bars
    drawn = drawn_bars(bars)
    assert (drawn.index == bars.index[::3]).all()
    assert drawn["open"].iloc[0] == bars["open"].iloc[0] and drawn["close"].iloc[-1] == bars["close"].iloc[-1]
    assert drawn["high"].max() == bars["high"].max() and drawn["low"].min() == bars["low"].min()
    assert drawn["volume"].sum() == pytest.approx(bars["volume"].sum())


def test_net_fills_add_up_inside_a_drawn_bar() -> None:
    study = fake_study(6000)
    orders = study.results["backtrader"].orders
    net = net_fills(orders, study.bars)
    assert len(net) == 2000
    assert net.sum() == pytest.approx(orders["size"].sum())


@pytest.mark.parametrize("shape", [{"n": 60, "n_folds": 1}, {"trades": False}, {"interval": "1D"}, {"label": "return"}])
def test_a_picture_is_made_of_every_shape(shape: dict, tmp_path: Path) -> None:
    study = fake_study(**({"n": 300} | shape))
    path = plot_backtrader(study.bars, study.results["backtrader"], study.forecasts, tmp_path / "p.png")
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    image = plt.imread(path)
    assert image.shape[:2] == (1200, 1920)
    assert (image[..., :3].min(axis=2) < 0.9).mean() > 0.005  # something is drawn


def test_without_forecasts_or_with_silent_ones_there_is_still_a_picture() -> None:
    study = fake_study(200, trades=False)
    result = study.results["backtrader"]
    assert [axes.get_ylabel() for axes in backtrader_figure(study.bars, result, None).axes] == UNITS[:3]
    silent = study.forecasts.assign(signal=np.nan, confidence=np.nan)
    assert len(backtrader_figure(study.bars, result, silent).axes) == 5


def test_labels_of_time_are_on_the_foot_and_do_not_meet() -> None:
    study = fake_study(700)
    figure = backtrader_figure(study.bars, study.results["backtrader"], study.forecasts)
    figure.canvas.draw()
    foot = figure.axes[-1]
    boxes = [tick.label1.get_window_extent() for tick in foot.xaxis.get_major_ticks()]
    assert foot.xaxis.get_major_ticks()[0].label1.get_text() == f"{study.bars.index[0]:%Y-%m-%d %H:%M}"
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))


def test_the_users_matplotlib_stays_as_it_was() -> None:
    study = fake_study(200)
    mine = plt.figure(0)
    before = dict(matplotlib.rcParams), plt.get_fignums(), plt.get_backend()
    backtrader_figure(study.bars, study.results["backtrader"], study.forecasts)
    try:
        assert (dict(matplotlib.rcParams), plt.get_fignums(), plt.get_backend()) == before
        assert plt.gcf() is mine and not mine.axes
    finally:
        plt.close(mine)


def test_the_first_plot_of_a_process_chooses_no_backend_and_changes_no_scheme() -> None:
    script = """
import os
os.environ.pop("MPLBACKEND", None)
import matplotlib
from tests.strategies.studies import fake_study
from strategies.bt.plot import backtrader_figure
study = fake_study(100)
backtrader_figure(study.bars, study.results["backtrader"], study.forecasts)
assert matplotlib.get_backend(auto_select=False) is None, matplotlib.get_backend(auto_select=False)
import backtrader.plot
assert backtrader.plot.Plot().p.scheme.volume and backtrader.plot.Plot().p.scheme.rowsmajor == 5
"""
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("last", "scale"), [(9000.0, "linear"), (100.0, "log"), (-3.0, "log")])
def test_an_account_that_moved_far_is_on_a_log_scale(last: float, scale: str) -> None:
    study = fake_study(200)
    result = study.results["backtrader"]
    equity = pd.Series(np.linspace(10_000.0, last, 200), index=result.equity.index)
    figure = backtrader_figure(study.bars, replace(result, equity=equity), None)
    figure.canvas.draw()
    assert (figure.axes[0].get_yscale(), figure.axes[2].get_yscale()) == (scale, "linear")
    assert len([tick for tick in figure.axes[0].get_yticklabels() if tick.get_text()]) >= 2


def test_stamps_of_daily_bars_have_no_hours() -> None:
    study = fake_study(60, interval="1D")
    figure = backtrader_figure(study.bars, study.results["backtrader"], study.forecasts)
    assert figure.axes[-1].xaxis.get_major_ticks()[0].label1.get_text() == str(pd.Timestamp("2024-01-01").date())


def test_a_cerebro_is_drawn_to_a_file_without_a_screen_and_cerebros_own_plot_lives_on(tmp_path: Path) -> None:
    script = """
import os, sys, warnings
for name in ("MPLBACKEND", "DISPLAY", "WAYLAND_DISPLAY"):
    os.environ.pop(name, None)
from pathlib import Path
from strategies.bt.plot import plot_cerebro
from tests.strategies.bt.test_together import cerebro_for
cerebro = cerebro_for("three", Path(sys.argv[1]).with_suffix(".parquet"), {"stdstats": True})
cerebro.run()
(path,) = plot_cerebro(cerebro, sys.argv[1], style="candle")
assert path.stat().st_size > 20_000
try:
    plot_cerebro(cerebro)
except Exception as error:
    assert "no screen" in str(error), error
else:
    raise SystemExit("a screen?")
warnings.simplefilter("ignore")  # matplotlib: nothing is shown here
figures = cerebro.plot()
assert len(figures[0][0].axes) > 15
"""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", script, str(tmp_path / "run.png")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert plt.imread(tmp_path / "run.png").std() > 0.01


DRAWN = [
    *(("between", {}), ("between", {"runonce": False}), ("three", {}), ("three", {"exactbars": -2})),
    *(("one", {}), ("slower", {"preload": False})),
]


@pytest.mark.parametrize(("feeds", "options"), DRAWN, ids=str)
def test_everything_attached_is_drawn_over_its_own_bars(feeds: str, options: dict, tmp_path: Path) -> None:
    strategy = cerebro_for(feeds, tmp_path / "run.parquet", {"stdstats": True, **options}).run()[0]
    figure = strategy_figure(strategy)
    figure.canvas.draw()
    steps = [number_to_stamp(number) for number in strategy.lines.datetime.plot()]
    drawn = {line.get_label(): line for axes in figure.axes for line in axes.lines}
    marks = drawn["retrained\ncalendar"]
    there = np.flatnonzero(np.isfinite(marks.get_ydata()))
    assert [steps[int(marks.get_xdata()[i])] for i in there] == BARS.index[[20, 60, 100]].tolist()
    np.testing.assert_array_equal(marks.get_ydata()[there], BARS["high"].iloc[[20, 60, 100]])
    sure = next(line for label, line in drawn.items() if label.startswith("confidence\nconfidence"))
    wanted = TOLD["confidence"].reindex(BARS.index)
    for x, y in zip(sure.get_xdata(), sure.get_ydata(), strict=True):
        assert np.isnan(y) or y == wanted.asof(steps[int(x)])
    for axes in figure.axes:
        if legend := axes.get_legend():
            box, pane = legend.get_window_extent(), axes.get_window_extent()
            assert pane.y0 - 2 <= box.y0 and box.x1 <= pane.x1  # in its own pane, and no wider
            assert not any("\n" in text.get_text() for text in legend.get_texts())
    heights = [axes.get_window_extent().height / figure.dpi for axes in figure.axes]
    assert min(heights) > 0.45


def test_several_strategies_are_several_pictures_and_a_run_without_bars_is_refused(tmp_path: Path) -> None:
    cerebro = cerebro_of(forecasts=forecasts_of())
    cerebro.addstrategy(ForecastStrategy, weights=BARS["close"] * 0)
    cerebro.run()
    assert plot_cerebro(cerebro, tmp_path / "a.png") == [tmp_path / "a.png", tmp_path / "a-2.png"]
    cerebro = cerebro_of(forecasts=forecasts_of(), options={"exactbars": 1})
    cerebro.run()
    with pytest.raises(BarwiseError, match="exactbars"):
        plot_cerebro(cerebro, tmp_path / "b.png")


@pytest.mark.parametrize("maxcpus", [1, 2])
def test_runs_of_an_optimisation_are_drawn_where_they_come_back(maxcpus: int, tmp_path: Path) -> None:
    for optreturn in (True, False):
        cerebro = cerebro_of(options={"maxcpus": maxcpus, "optreturn": optreturn})
        cerebro.strats.clear()
        cerebro.optstrategy(ForecastStrategy, weights=[BARS["close"] * 0, BARS["close"] * 0 + 0.5])
        cerebro.run()
        if optreturn:
            with pytest.raises(BarwiseError, match="`optreturn` is on"):
                plot_cerebro(cerebro, tmp_path / "a.png")
        else:
            assert len(plot_cerebro(cerebro, tmp_path / "a.png")) == 2
