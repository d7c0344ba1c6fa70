"""The report on the model itself: how its training went, and what it says that it looks at."""

from __future__ import annotations

import re
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from strategies.report.figures import BLUE, styled, words_of
from strategies.report.page import figure, said
from strategies.study import Study

MOST_CURVES = 60  # lines in one figure: more only hide each other
MOST_ROWS = 20
MOST_BARS = 3  # columns drawn as bars beside each other; more are a heat map
MOST_LINES = 8
FEW_COLORS = (BLUE, "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#767676", "#000000")
KNOWN = {
    "importance": "Share of all loss gained in training by splits on each feature.",
    "shap": "Mean size of what each feature adds to a forecast (SHAP).",
    "coefficients": "What an output (log-odds of a class, or log return) moves by with one deviation of a feature.",
    "variable_weights": "Mean weight that variable selection gives to each feature.",
    "member_weights": "Weight of each member's forecast in the ensemble's.",
    "attention": "Mean share of its attention that the newest bar gives to each bar of its window.",
}


def explanation_body(study: Study) -> str:
    """Return what the last fold's model says of itself, as HTML; empty where it says nothing."""
    if not study.explanation:
        return ""
    told = f"fold {study.folds[-1]['fold']}" if study.folds and "fold" in study.folds[-1] else "the last fold"
    lead = said(f"What the model of {told} says of itself over its first forecasts: it tells what was used, not why.")
    parts = []
    for name, rows in study.explanation.items():
        caption = KNOWN.get(name, f"{words_of(name).capitalize()}.")
        if _is_over_bars(rows):
            if (rows.index < 0).any():
                caption += " Bars ahead of the newest are those to come, of which it is told the calendar only."
            drawn = bars_back_figure(rows)
        else:
            cut = top_rows(rows)
            caption += f" The {len(cut)} largest of {len(rows)}." if len(cut) < len(rows) else ""
            drawn = feature_figure(cut)
        anchor = re.sub(r"[^a-z0-9_]", "-", name.lower())
        parts.append(f"<h3>{escape(words_of(name).capitalize())}</h3>{figure(drawn, f'explanation-{anchor}', caption)}")
    return lead + "".join(parts)


def _is_over_bars(rows: pd.DataFrame) -> bool:
    return bool(pd.api.types.is_integer_dtype(rows.index.dtype))


def top_rows(rows: pd.DataFrame, most: int = MOST_ROWS) -> pd.DataFrame:
    """Return the `most` rows of the largest values, whatever their sign, largest first.

    >>> top_rows(pd.DataFrame({"x": [1.0, -3.0, 2.0]}, ["a", "b", "c"]), 2).index.tolist()
    ['b', 'c']
    """
    order = np.argsort(-rows.abs().max(axis=1).to_numpy(), kind="stable")
    return rows.iloc[order[:most]]


def feature_figure(rows: pd.DataFrame) -> go.Figure:
    """Features down, largest on top: bars for a few columns, a heat map for more."""
    if rows.shape[1] > MOST_BARS:
        return _heat_map(rows.iloc[::-1], 60 + 22 * len(rows))
    drawn = go.Figure()
    for at, column in enumerate(rows.columns):
        drawn.add_bar(
            y=[str(name) for name in rows.index],
            x=rows[column].to_numpy(),
            orientation="h",
            name=str(column),
            marker={"color": FEW_COLORS[at], "line_width": 0},
            hovertemplate="%{y}: %{x:.4g}<extra>" + str(column) + "</extra>",
        )
    drawn.update_yaxes(autorange="reversed", ticklabelstandoff=4, tickfont={"size": 11}, dtick=1)
    height = 70 + len(rows) * (10 + 13 * rows.shape[1])
    return styled(drawn, height).update_layout(showlegend=rows.shape[1] > 1, barmode="group", bargap=0.25)


def bars_back_figure(rows: pd.DataFrame) -> go.Figure:
    """Bars of the window across, the newest on the right: lines for a few columns, a heat map for more."""
    if rows.shape[1] > MOST_LINES:
        drawn = _heat_map(rows.T, 80 + 16 * min(rows.shape[1], 30))
    else:
        drawn = go.Figure()
        for at, column in enumerate(rows.columns):
            drawn.add_scatter(
                x=rows.index.to_numpy(),
                y=rows[column].to_numpy(),
                name=words_of(str(column)),
                mode="lines",
                line={"color": FEW_COLORS[at], "width": 1.8},
                customdata=[_place(int(back)) for back in rows.index],
                hovertemplate="%{customdata}: %{y:.4g}<extra>" + words_of(str(column)) + "</extra>",
            )
        drawn.update_yaxes(rangemode="tozero")
        styled(drawn, 320).update_layout(showlegend=rows.shape[1] > 1)
    back = rows.index.to_numpy()
    ahead = back.min() < 0
    title = "bars back (0: the newest)" + (", then bars ahead of it" if ahead else "")
    ticks = _ticks(int(back.min()), int(back.max()))
    drawn.update_xaxes(
        range=[back.max() + 0.5, back.min() - 0.5],
        title_text=title,
        tickvals=ticks,
        ticktext=[_place(at) for at in ticks],
        ticklabeloverflow="allow",
    )
    return drawn


def _ticks(least: int, most: int) -> list[int]:
    """Return about eight places between, on round steps, the last bar ahead among them.

    >>> _ticks(0, 59), _ticks(-5, 19)
    ([0, 10, 20, 30, 40, 50], [-5, 0, 5, 10, 15])
    """
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**9) if (most - least) / step <= 8)
    inside = list(range(-(-least // step) * step, most + 1, step))
    return inside if inside[0] == least else [least, *(at for at in inside if at - least > step / 2)]


def _place(back: int) -> str:
    """Return how a bar of the window is called on the axis.

    >>> _place(10), _place(-5)
    ('10', '5 ahead')
    """
    return f"{-back} ahead" if back < 0 else str(back)


def _heat_map(rows: pd.DataFrame, height: int) -> go.Figure:
    values = rows.to_numpy(np.float64)
    reach = float(np.abs(values).max()) or 1.0
    signed = (values < 0).any()
    drawn = go.Figure(
        go.Heatmap(
            z=values,
            x=[str(column) for column in rows.columns] if rows.columns.dtype == object else rows.columns.to_numpy(),
            y=[str(name) for name in rows.index],
            colorscale="RdBu" if signed else "Blues",
            zmin=-reach if signed else 0.0,
            zmax=reach,
            colorbar={"thickness": 12, "len": 0.9},
            hovertemplate="%{y}, %{x}: %{z:.4g}<extra></extra>",
        )
    )
    drawn.update_yaxes(tickfont={"size": 11}, dtick=1)
    return styled(drawn, height)


def training_body(study: Study) -> str:
    """Return the training curves of the folds as HTML; empty where no model kept one."""
    curves = {fold["fold"]: _curve(fold["curve"]) for fold in study.folds if fold.get("curve")}
    if not curves:
        return ""
    shown = _spread(list(curves), MOST_CURVES)
    parts = [
        figure(training_figure({k: curves[k] for k in shown}, column), f"training-{column}", caption)
        for column, caption in (
            ("loss", "Loss on training rows."),
            ("validation", "Loss on the newest rows, held out."),
        )
        if any(curves[k][column].notna().any() for k in shown)
    ]
    words = "One line a fold, the oldest lightest; a dot is the epoch that was kept."
    if len(shown) < len(curves):
        words += f" Drawn are {len(shown)} of {len(curves)} folds, evenly spread."
    return said(_lead(curves)) + f'<div class="pair">{"".join(parts)}</div>' + said(words, "small")


def _curve(entries: list[dict[str, Any]]) -> pd.DataFrame:
    rows = pd.DataFrame(entries).reindex(columns=["epoch", "loss", "validation"])
    return rows.apply(pd.to_numeric).set_index("epoch")


def _best(curve: pd.DataFrame) -> Any:
    """The epoch with the lowest validation loss; the last one where there was no validation."""
    judged = curve["validation"].dropna()
    return judged.idxmin() if len(judged) else curve.index[-1]


def _lead(curves: dict[int, pd.DataFrame]) -> str:
    best = [_best(curve) for curve in curves.values()]
    late = sum(kept == curve.index[-1] for kept, curve in zip(best, curves.values(), strict=True))
    made = [int(curve.index[-1] - curve.index[0]) + 1 for curve in curves.values()]  # long curves come thinned
    words = f"{len(curves)} fold{'s' * (len(curves) != 1)} trained for {min(made)} to {max(made)} epochs"
    words = words if min(made) != max(made) else words.replace(f"{min(made)} to ", "")
    if late:
        words += f"; in {late} of them the last epoch was the best: more epochs might have learned more"
    return words + "."


def _spread(numbers: list[int], most: int) -> list[int]:
    at = np.unique(np.linspace(0, len(numbers) - 1, min(len(numbers), most)).round().astype(int))
    return [numbers[k] for k in at]


def training_figure(curves: dict[int, pd.DataFrame], column: str) -> go.Figure:
    """One line a fold over its epochs, darker the newer, with a dot at the best epoch."""
    drawn = go.Figure()
    shades = sample_colorscale("Blues", np.linspace(0.35, 1.0, len(curves)).tolist())
    for shade, (number, curve) in zip(shades, curves.items(), strict=True):
        best = _best(curve)
        drawn.add_scatter(
            x=curve.index.to_numpy(),
            y=curve[column].to_numpy(),
            mode="lines+markers",
            line={"color": shade, "width": 1.4},
            marker={"size": [7 if epoch == best else 0.1 for epoch in curve.index], "color": shade, "line_width": 0},
            name=f"fold {number}",
            hovertemplate="epoch %{x}: %{y:.5g}<extra>fold " + str(number) + "</extra>",
        )
    whole = max(len(curve) for curve in curves.values()) <= 12
    drawn.update_xaxes(title_text="epoch", **({"dtick": 1} if whole else {}))
    drawn.update_yaxes(title_text="validation loss" if column == "validation" else "training loss")
    return styled(drawn, 320).update_layout(showlegend=False)
