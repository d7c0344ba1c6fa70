"""cerebro's own plot of a result: account and weight above the price with its fills, forecasts below it.

Works with and without a screen, and leaves the user's matplotlib as it was: the picture is drawn on a canvas of
its own, never through pyplot. What is drawn is the `BacktestResult`, read from arrays; nothing trades again.
"""

from __future__ import annotations

import sys
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import backtrader as bt
import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import setp
from matplotlib.backends import BackendFilter, backend_registry
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from mlcore.errors import BarwiseError
from mlcore.retraining import CALENDAR
from strategies.bt.feed import BarsFeed
from strategies.bt.indicators import number_to_stamp
from strategies.bt.panes import AccountPane, ConfidencePane, FillMarks, SignalPane, WeightPane
from strategies.result import BacktestResult

MOST_BARS = 2000  # on a picture 1,900 pixels wide more bars than this only hide each other
ROW_INCHES = 0.6  # of the smallest pane, which holds one line of legend
LEGEND_INCHES = 0.25
WIDE = 5  # a price or an account that moved by more than this factor is drawn on a log scale


def plot_backtrader(
    bars: pd.DataFrame,
    result: BacktestResult,
    forecasts: pd.DataFrame | None,
    path: str | Path,
) -> Path:
    """Write `result` over `bars` as a picture (the suffix of `path` says which kind) drawn by ``Cerebro.plot``.

    Above `MOST_BARS` bars, runs of equally many bars are drawn as one, and the title says so: its price is the
    last close, the account its last value, weight, signal and confidence their means (within a shade from the
    lowest to the highest), and a mark the net of its fills. Without `forecasts` there are no panes under the price.
    """
    backtrader_figure(bars, result, forecasts).savefig(path, dpi=120)
    return Path(path)


def backtrader_figure(bars: pd.DataFrame, result: BacktestResult, forecasts: pd.DataFrame | None) -> Figure:
    """Return the figure that `plot_backtrader` saves: account, weight, price, and with forecasts signal, confidence."""
    cerebro = _cerebro(bars, result, forecasts)
    picture = _picture_class()()
    cerebro.plot(plotter=picture, iplot=False)
    picture.finish(_title(bars, result), bars.index[:: bars_per_drawn(len(bars))])
    return picture.figure


def plot_cerebro(cerebro: bt.Cerebro, path: str | Path | None = None, **options: Any) -> list[Path]:
    """Draw every strategy of a run as ``cerebro.plot`` does and return the files; no screen is needed.

    path
        picture to write (its suffix says which kind); of several strategies the second one's has ``-2`` in its name,
        and so on. None shows the pictures on the screen, by ``cerebro.plot()`` itself.
    options
        of backtrader's plotter: ``style="candle"``, ``volume=False``, ...

    Raises BarwiseError without `path` where there is no screen, and for a run that keeps no bars to draw: with
    ``exactbars=1``, or of `optstrategy` with ``optreturn=True``. After a call, ``cerebro.plot()`` does not fail either
    where there is no screen: it draws and shows nothing.
    """
    _import_plot()
    if cerebro._exactbars > 0:
        raise BarwiseError("`exactbars` is above 0: such a run keeps no bars to draw; run with exactbars=-2.")
    runs = list(chain.from_iterable(cerebro.runstrats))
    if any(isinstance(run, bt.OptReturn) for run in runs):
        raise BarwiseError("`optreturn` is on: only analyses come back from `optstrategy`; run with optreturn=False.")
    if path is None:
        if not _has_screen():
            raise BarwiseError("`path` is not given and there is no screen: give a file, as `path='run.png'`.")
        cerebro.plot(**options)
        return []
    written = []
    for number, strategy in enumerate((run for run in runs if len(run)), 1):
        target = Path(path) if number == 1 else Path(path).with_stem(f"{Path(path).stem}-{number}")
        strategy_figure(strategy, **options).savefig(target, dpi=120)
        written.append(target)
    return written


def strategy_figure(strategy: bt.Strategy, **options: Any) -> Figure:
    """Return one strategy of a run as ``cerebro.plot`` draws it; the more panes, the higher. `options` as above."""
    picture = _off_screen_class(_import_plot().Plot_OldSync)(**options)
    picture.plot(strategy, iplot=False)
    figure, n = picture.figure, len(strategy)
    figure.set_figheight(max(figure.get_figheight(), ROW_INCHES * picture.pinf.nrows))
    lowest = min(figure.axes, key=lambda axes: axes.get_position().y0)
    _times(lowest, pd.DatetimeIndex([number_to_stamp(number) for number in strategy.lines.datetime.plot()]))
    lowest.set_xlim(-0.01 * n, 1.05 * n - 1)  # the tags of the last values stand on the right
    for axes in figure.axes:
        _flat_legend(axes)
    return figure


def _has_screen() -> bool:
    import matplotlib.pyplot as pyplot  # chooses a backend, as cerebro.plot() does

    return pyplot.get_backend().lower() in {
        name.lower() for name in backend_registry.list_builtin(BackendFilter.INTERACTIVE)
    }


def bars_per_drawn(n: int) -> int:
    """Return how many of `n` bars are drawn as one.

    >>> [bars_per_drawn(n) for n in (500, 2000, 2001, 130_000)]
    [1, 1, 2, 65]
    """
    return -(-n // MOST_BARS)


def drawn_bars(bars: pd.DataFrame) -> pd.DataFrame:
    """Return bars of `bars_per_drawn` bars each, stamped at the first one's open; the last may be shorter."""
    many = bars_per_drawn(len(bars))
    groups = bars.groupby(np.arange(len(bars)) // many)
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    drawn = groups.agg({name: how[name] for name in how if name in bars.columns})
    return drawn.set_index(bars.index[::many])


def net_fills(orders: pd.DataFrame, bars: pd.DataFrame) -> np.ndarray:
    """Return ``(D,)`` net units filled inside each drawn bar (a rejected order has size 0)."""
    many = bars_per_drawn(len(bars))
    rows = bars.index.get_indexer(pd.DatetimeIndex(orders["timestamp"])) // many
    return np.bincount(rows, weights=orders["size"].to_numpy(np.float64), minlength=-(-len(bars) // many))


def _cerebro(bars: pd.DataFrame, result: BacktestResult, forecasts: pd.DataFrame | None) -> bt.Cerebro:
    many, drawn = bars_per_drawn(len(bars)), drawn_bars(bars)
    cerebro = bt.Cerebro(stdstats=False)
    feed = BarsFeed(drawn)
    feed.plotinfo.plotname = "price"
    cerebro.adddata(feed, name="price")
    cerebro.addobserver(AccountPane, values=[_of(result.equity, bars, many, "last")])
    cerebro.addobserver(WeightPane, values=[_of(result.weights.fillna(0.0), bars, many, "mean")])
    cerebro.addobserver(FillMarks, values=_marks(result.orders, bars, drawn))
    if forecasts is not None:
        signal, sure = (_spread(forecasts[name], bars, many) for name in ("signal", "confidence"))
        top = 1.2 * float(np.nanmax(np.abs(signal), initial=0.05))
        marks = (_retrains(forecasts, bars, many), _asked(result, bars, many))
        marked = [np.where(there, top, np.nan) for there in (marks[0] & ~marks[1], marks[1])]
        cerebro.addindicator(SignalPane, values=[*signal, *marked])
        cerebro.addindicator(ConfidencePane, values=[*sure])
    cerebro.addstrategy(bt.Strategy)
    cerebro.run(runonce=False)
    return cerebro


def _of(values: pd.Series, bars: pd.DataFrame, many: int, how: str) -> np.ndarray:
    return values.reindex(bars.index).groupby(np.arange(len(bars)) // many).agg(how).to_numpy(np.float64)


def _spread(values: pd.Series, bars: pd.DataFrame, many: int) -> np.ndarray:
    """Return mean, lowest and highest of each drawn bar, ``(3, D)``."""
    return np.array([_of(values, bars, many, how) for how in ("mean", "min", "max")])


def _retrains(forecasts: pd.DataFrame, bars: pd.DataFrame, many: int) -> np.ndarray:
    fold = forecasts["fold"].to_numpy()
    first = pd.Series(np.r_[True, fold[1:] != fold[:-1]][: len(fold)].astype(np.float64), index=forecasts.index)
    return _of(first, bars, many, "max") == 1.0


def _asked(result: BacktestResult, bars: pd.DataFrame, many: int) -> np.ndarray:
    """Return where a model went live that a rule had asked for (`strategies.bt.retraining`)."""
    events = [event for event in result.extras.get("retrains", ()) if event["reason"] != CALENDAR and not event["note"]]
    asked = pd.Series(1.0, index=pd.DatetimeIndex([event["live"] for event in events], tz="UTC"))
    return _of(asked, bars, many, "max") == 1.0


def _marks(orders: pd.DataFrame, bars: pd.DataFrame, drawn: pd.DataFrame) -> list[np.ndarray]:
    """Return the rows of buy and sell marks: a little under and over the close, so the line stays in sight."""
    net, close = net_fills(orders, bars), drawn["close"].to_numpy(np.float64)
    off = 1 + (0.02 * float(np.ptp(np.log(close))) or 0.01)
    return [np.where(net > 0, close / off, np.nan), np.where(net < 0, close * off, np.nan)]


def _title(bars: pd.DataFrame, result: BacktestResult) -> str:
    many, status = bars_per_drawn(len(bars)), result.orders["status"]
    rejected = int((status == "rejected").sum())
    words = (
        f"{result.engine}: {len(bars):,} bars from {bars.index[0]:%Y-%m-%d %H:%M} to {bars.index[-1]:%Y-%m-%d %H:%M}"
    )
    words += f" UTC, {len(status):,} orders" + (f" ({rejected:,} rejected)" if rejected else "")
    if many > 1:
        words += f"\n{many} bars are drawn as one: mean and range of the forecasts, mean weight, marks for net fills"
    return words


@cache
def _off_screen_class(plotter: Any) -> Any:
    class OffScreen(plotter):
        """A plotter of backtrader on a canvas that pyplot never hears of."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._canvas = _OffScreen()

        @property
        def mpyplot(self) -> _OffScreen:
            return self._canvas

        @mpyplot.setter
        def mpyplot(self, pyplot: Any) -> None:
            """Turn pyplot away: the plotter sets it on every plot."""

        @property
        def figure(self) -> Figure:
            return self._canvas.drawn

        def show(self) -> None:
            """Show nothing: the picture is saved."""

    return OffScreen


class _OffScreen:
    """The four things cerebro's plotter asks of pyplot, for one figure that pyplot never hears of."""

    def __init__(self) -> None:
        self.drawn = Figure(figsize=(16, 10))
        FigureCanvasAgg(self.drawn)
        self._grids: dict[tuple[int, int], GridSpec] = {}

    def figure(self, number: int) -> Figure:
        return self.drawn

    def subplot2grid(self, shape: tuple[int, int], loc: tuple[int, int], rowspan: int, sharex: Any) -> Any:
        grid = self._grids.setdefault(shape, GridSpec(*shape, figure=self.drawn))
        return self.drawn.add_subplot(grid[loc[0] : loc[0] + rowspan, loc[1]], sharex=sharex)

    def setp(self, *artists: Any, **settings: Any) -> Any:
        return setp(*artists, **settings)

    def autoscale(self, **settings: Any) -> None:
        self.drawn.axes[-1].autoscale(**settings)


@cache
def _picture_class() -> Any:
    plot = _import_plot()

    class Picture(_off_screen_class(plot.Plot_OldSync)):  # type: ignore[misc]
        """cerebro's plotter with a scheme and a canvas of its own."""

        # A scheme of our own: what is set on the default one would change the user's later plots.
        params = (("scheme", plot.PlotScheme()),)

        def __init__(self) -> None:
            super().__init__(volume=False, zdown=False, valuetags=False, rowsmajor=4, plotdist=0.08, loc="#374151")

        def finish(self, title: str, stamps: pd.DatetimeIndex) -> None:
            """Give the picture its title, the axes their names, times along the foot and one legend on the price."""
            for thing, axes in self.pinf.daxis.items():
                axes.set_ylabel(getattr(thing, "unit", "price"), fontsize=9)
                axes.grid(True, color="#e5e7eb", linewidth=0.6)
                axes.set_axisbelow(True)
                axes.set_xlim(-0.5, len(stamps) - 0.5)
                if axes.get_ylabel() in ("price", AccountPane.unit):
                    _log_where_wide(axes)
                if axes.get_legend():
                    axes.get_legend().remove()
                _legend(axes)
                _legend_of_retrains(axes)
            _times(axes, stamps)
            self.figure.suptitle(title, fontsize=11, x=0.045, y=0.985, ha="left", va="top")
            top = 0.93 if "\n" in title else 0.95
            self.figure.subplots_adjust(top=top, left=0.045, right=0.945, bottom=0.05)

    return Picture


def _legend(axes: Any) -> None:
    """Name the price and its marks; many marks are drawn smaller."""
    marks = [line for line in axes.lines if line.get_marker() in ("^", "v")]
    if not marks:
        return
    count = sum(int(np.isfinite(mark.get_ydata()).sum()) for mark in marks)
    for mark in marks:
        mark.set_markersize(5.5 if count <= 300 else 3.5)
    price = next(line for line in axes.lines if line not in marks)
    axes.legend([price, *marks], ["close", "bought", "sold"], loc="best", ncols=3, fontsize=9, framealpha=0.85)


def _flat_legend(axes: Any) -> None:
    """Put backtrader's legend on a line, on white: its columns of words stand over the lines and in the next pane."""
    legend = axes.get_legend()
    if legend is None:
        return
    words = []
    for text in legend.get_texts():
        name, _, line = text.get_text().partition("\n")
        words.append(line if line.startswith(name) else f"{name} {line}".strip())
    settings = {"fontsize": 8, "framealpha": 0.8, "edgecolor": "none", "borderpad": 0.2, "columnspacing": 1.2}
    handles = legend.legend_handles
    flat = axes.legend(handles, words, loc="upper left", ncols=len(words), numpoints=1, **settings)
    flat.set_zorder(1000)  # the tags and marks go up to some hundreds
    inches = axes.get_position().height * axes.figure.get_figheight()
    if axes.get_yscale() == "linear":
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + (high - low) * LEGEND_INCHES / inches)


def _legend_of_retrains(axes: Any) -> None:
    """Tell the marks of retrains apart where there are two kinds."""
    marks = [line for line in axes.lines if line.get_marker() in ("|", "x")]
    if not any(mark.get_marker() == "x" and np.isfinite(mark.get_ydata()).any() for mark in marks):
        return
    words = {"|": "retrained by the calendar", "x": "because a rule asked"}
    names = [words[mark.get_marker()] for mark in marks]
    axes.legend(marks, names, loc="lower left", ncols=2, fontsize=9, framealpha=0.85)


def _log_where_wide(axes: Any) -> None:
    """Draw a line whose ends are far apart on a log scale, down to a thousandth of where it began."""
    values = axes.lines[0].get_ydata()
    least, most = max(float(np.min(values)), 1e-3 * float(values[0])), float(np.max(values))
    if most <= WIDE * least:
        return
    axes.set_ylim(least / 1.1, most * 1.1)
    axes.set_yscale("log")
    powers = 10.0 ** np.arange(np.floor(np.log10(least)), np.log10(most) + 1)
    ticks = np.outer(powers, [1.0, 2.0, 5.0]).ravel() if most <= 100 * least else powers
    ticks = ticks[(ticks >= least / 1.1) & (ticks <= most * 1.1)]
    axes.minorticks_off()
    axes.set_ylabel(f"{axes.get_ylabel()}\n(log scale)", fontsize=9)
    axes.set_yticks(ticks, [f"{tick:,.10g}" for tick in ticks])


def _times(axes: Any, stamps: pd.DatetimeIndex) -> None:
    at = np.unique(np.linspace(0, len(stamps) - 1, 8).round().astype(np.int64))
    days = len(stamps) > 1 and stamps[1] - stamps[0] >= pd.Timedelta(days=1)
    axes.set_xticks(at, [f"{stamps[row]:%Y-%m-%d}" if days else f"{stamps[row]:%Y-%m-%d %H:%M}" for row in at])
    labels = [tick.label1 for tick in axes.xaxis.get_major_ticks()]
    for label in labels:
        label.set(visible=True, rotation=0, fontsize=9)
    labels[0].set_horizontalalignment("left")
    labels[-1].set_horizontalalignment("right")


def _import_plot() -> Any:
    """Import `backtrader.plot`, which asks for TkAgg on the way, and give matplotlib its backend back."""
    settings = matplotlib.rcParams
    before = dict.__getitem__(settings, "backend")  # settings["backend"] would choose one where none is chosen
    import backtrader.plot

    if dict.__getitem__(settings, "backend") != before:
        if isinstance(before, str) and "matplotlib.pyplot" in sys.modules:
            matplotlib.use(before)
        else:
            dict.__setitem__(settings, "backend", before)
    return backtrader.plot
