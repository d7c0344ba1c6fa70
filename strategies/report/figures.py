"""The report's plotly figures; each returns a Figure, titles and words are the page's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from strategies.report.numbers import drawdown
from strategies.report.thin import drawn_rows
from strategies.study import Traded

# Okabe and Ito's colours, which readers with any colour vision tell apart; grey for the plain rivals.
STYLES: dict[str, dict[str, Any]] = {
    "backtrader": {"color": "#0072B2", "width": 2.2},
    "vectorbt": {"color": "#E69F00", "width": 2.2, "dash": "5px,5px"},
    "buy_and_hold": {"color": "#767676", "width": 1.4},
    "flat": {"color": "#B4B4B4", "width": 1.4, "dash": "2px,3px"},
    "shuffled_label": {"color": "#CC79A7", "width": 1.4},
    "linear": {"color": "#009E73", "width": 1.4},
}
BLUE, GREEN, RED, GREY = "#0072B2", "#009E73", "#D55E00", "#767676"
WIDE = 20  # accounts further apart than this are drawn on a log scale: on a plain one the small lie on the axis
GONE = 1e-3  # share of the starting cash below which an account is not drawn on a log scale
OTHERS = ("#56B4E9", "#CC79A7", "#009E73", "#D55E00", "#8C6D31", "#5254A3", "#000000")  # rivals without a style


def styled(figure: go.Figure, height: int) -> go.Figure:
    """Give a figure the page's type, margins and quiet grid."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 12, "t": 8, "b": 8},
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13, "color": "#1f2937"},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "font": {"size": 12}},
        hoverlabel={"font": {"size": 12}},
        bargap=0.08,
    )
    axis = {"gridcolor": "#e8ebef", "zerolinecolor": "#c4cad3", "linecolor": "#9aa3af", "automargin": True}
    figure.update_xaxes(showline=True, ticks="outside", tickcolor="#9aa3af", **axis)
    figure.update_yaxes(title_standoff=6, **axis)
    return figure


def curves_of(study: Traded) -> pd.DataFrame:
    """Return equity of engines, then baselines: one column each, on the first engine's stamps."""
    results = {**study.results, **study.baselines}
    index = next(iter(study.results.values())).equity.index
    return pd.DataFrame({name: result.equity.reindex(index) for name, result in results.items()})


def equity_figure(study: Traded) -> go.Figure:
    """Equity above drawdown: engines bold, baselines thin, one shared time axis."""
    curves = curves_of(study)
    falls = curves.apply(drawdown)
    rows = drawn_rows(curves.to_numpy(np.float64))
    stamps = milliseconds(pd.DatetimeIndex(curves.index[rows]))
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.66, 0.34], vertical_spacing=0.05)
    others = [str(name) for name in curves if name not in STYLES]
    for name in curves:
        line, words = STYLES.get(str(name)) or _other(others.index(str(name))), words_of(str(name))
        above = 1 if name in study.results else 0  # the engines' lines lie over a baseline that is the same model
        shared = {"x": stamps, "mode": "lines", "zorder": above, "name": words, "legendgroup": words, "line": line}
        equity, fall = curves[name].to_numpy()[rows], -100 * falls[name].to_numpy()[rows]
        figure.add_scatter(y=equity, hovertemplate="%{y:,.2f}", row=1, col=1, **shared)
        figure.add_scatter(y=fall, hovertemplate="%{y:.2f}%", showlegend=False, row=2, col=1, **shared)
    figure.update_xaxes(type="date", hoverformat="%Y-%m-%d %H:%M")
    figure.update_xaxes(title_text="bar (UTC)", row=2, col=1)
    figure.update_yaxes(tickformat="~s", row=1, col=1, **_scale(curves))
    figure.update_yaxes(title_text="drawdown, %", row=2, col=1)
    return styled(figure, 560).update_layout(hovermode="x unified")


def _other(number: int) -> dict[str, Any]:
    """Return the style of the rival of that number: colours come again, broken."""
    line: dict[str, Any] = {"color": OTHERS[number % len(OTHERS)], "width": 1.4}
    return line if number < len(OTHERS) else line | {"dash": "3px,2px"}


def _scale(curves: pd.DataFrame) -> dict[str, Any]:
    """Return the axis of accounts: a log one where they are far apart, down to a thousandth of the starting cash."""
    most, least = float(curves.max().max()), float(curves.min().min())
    least = max(least, GONE * float(curves.iloc[0].max()))
    if most <= WIDE * least:
        return {"title_text": "account value"}
    reach = [float(np.log10(least)) - 0.05, float(np.log10(most)) + 0.05]
    step = 1 if reach[1] - reach[0] > 3 else "D2"  # powers of ten, or 1, 2, 5
    return {"type": "log", "title_text": "account value (log scale)", "range": reach, "dtick": step}


def fold_figure(folds: list[dict[str, Any]]) -> go.Figure:
    """Net return of every fold, in the order of time."""
    starts = milliseconds(pd.DatetimeIndex([pd.Timestamp(fold["test_start"]) for fold in folds]))
    ends = milliseconds(pd.DatetimeIndex([pd.Timestamp(fold["test_end"]) for fold in folds]))
    widths = 0.95 * np.maximum(ends - starts, 1)  # each bar over the block that it tells of
    net = np.array([np.nan if fold["net_return"] is None else 100 * fold["net_return"] for fold in folds])
    hover = [
        f"fold {fold['fold']}: {value:+.2f}%, {fold['orders']} orders" for fold, value in zip(folds, net, strict=True)
    ]
    colors = [GREEN if value >= 0 else RED for value in net]
    figure = go.Figure(
        go.Bar(
            x=starts,
            y=net,
            width=widths,
            offset=0,
            marker={"color": colors, "line_width": 0},
            hovertext=hover,
            hoverinfo="text",
        )
    )
    figure.update_xaxes(type="date", title_text="test block of the fold (UTC)")
    figure.update_yaxes(title_text="net return, %")
    return styled(figure, 280).update_layout(showlegend=False)


MOST_SYMBOLS = 40  # bars in the figure of symbols; of more, the best and the worst


def symbol_figure(symbols: pd.DataFrame) -> go.Figure:
    """Net profit of every symbol, longs and shorts beside each other, the best on top (`trips.symbols_of`)."""
    cut = MOST_SYMBOLS // 2
    rows = symbols if len(symbols) <= MOST_SYMBOLS else pd.concat([symbols.iloc[:cut], symbols.iloc[-cut:]])
    drawn = go.Figure()
    for name, color in (("long", BLUE), ("short", "#E69F00")):
        drawn.add_bar(
            y=rows.index.tolist(),
            x=rows[name].to_numpy(np.float64),
            orientation="h",
            name=name,
            marker={"color": color, "line_width": 0},
            hovertemplate="%{y}, " + name + ": %{x:+,.2f}<extra></extra>",
        )
    drawn.add_scatter(
        y=rows.index.tolist(),
        x=rows["net"].to_numpy(np.float64),
        mode="markers",
        name="net",
        marker={"color": "#1f2937", "symbol": "diamond", "size": 7},
        hovertemplate="%{y}, net: %{x:+,.2f}<extra></extra>",
    )
    drawn.update_yaxes(autorange="reversed", dtick=1, tickfont={"size": 11}, ticklabelstandoff=4)
    drawn.update_xaxes(title_text="net profit, account currency", tickformat="~s")
    return styled(drawn, 110 + 22 * len(rows)).update_layout(barmode="relative", bargap=0.3)


def confidence_figure(forecasts: pd.DataFrame) -> go.Figure:
    """How often the model was how sure."""
    sure = forecasts["confidence"].dropna().to_numpy(np.float64)
    counts, edges = np.histogram(sure, bins=40, range=(0.0, 1.0))
    used = np.flatnonzero(counts)
    last = max(int(used[-1]) + 1 if len(used) else 40, 4)
    middles, width = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
    figure = go.Figure(
        go.Bar(
            x=middles[:last],
            y=counts[:last],
            width=width * 0.94,
            marker_color=BLUE,
            hovertemplate="confidence %{x:.3f}: %{y:,} forecasts<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="confidence", range=[0, edges[last]])
    figure.update_yaxes(title_text="forecasts")
    return styled(figure, 300)


def bucket_figure(buckets: pd.DataFrame) -> go.Figure:
    """Do surer calls hit more often: hit rate by confidence, with its 95% interval."""
    share = 100 * buckets
    apart = {"array": share["high"] - share["hit_rate"], "arrayminus": share["hit_rate"] - share["low"]}
    hover = "confidence %{x:.3f}: %{y:.1f}% of %{customdata:,} calls hit<extra></extra>"
    drawn = _by_confidence(buckets, share["hit_rate"], {**apart, "symmetric": False}, hover)
    drawn.add_hline(y=50, line={"color": GREY, "dash": "4px,4px", "width": 1.2})
    return drawn.update_yaxes(title_text="hit rate, %")


def earned_figure(buckets: pd.DataFrame, fee: float) -> go.Figure:
    """Do surer calls earn more: mean return of calls in basis points by confidence, beside what a round trip costs."""
    points = 1e4 * buckets
    hover = "confidence %{x:.3f}: %{y:+.2f} basis points, %{customdata:,} calls<extra></extra>"
    drawn = _by_confidence(buckets, points["earned"], {"array": points["error"]}, hover)
    drawn.add_hline(y=1e4 * fee, line={"color": RED, "dash": "4px,4px", "width": 1.2})
    return drawn.update_yaxes(title_text="return a call, basis points")


def _by_confidence(buckets: pd.DataFrame, values: pd.Series, apart: dict[str, Any], hover: str) -> go.Figure:
    figure = go.Figure(
        go.Scatter(
            x=buckets["confidence"],
            y=values,
            mode="lines+markers",
            line={"color": BLUE, "width": 1.5},
            marker={"size": 8},
            customdata=buckets["calls"],
            error_y={"type": "data", "color": GREY, "thickness": 1.2, **apart},
            hovertemplate=hover,
        )
    )
    figure.update_xaxes(title_text="mean confidence of the bucket")
    return styled(figure, 300).update_layout(showlegend=False)


def words_of(name: str) -> str:
    """Return a name as words: ``buy_and_hold`` as ``buy and hold``."""
    return name.replace("_", " ")


def milliseconds(index: pd.DatetimeIndex) -> np.ndarray:
    """Return stamps as floats, which plotly carries as bytes and draws as dates: a fifth of the size of text."""
    return index.as_unit("ms").asi8.astype(np.float64)
