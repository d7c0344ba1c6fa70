"""The report on confidence: do probabilities come true as often as they say, do intervals hold what they promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from strategies.report.figures import BLUE, GREY, RED, milliseconds, styled, words_of
from strategies.report.numbers import wilson
from strategies.report.page import figure, said, table
from strategies.study import Study

FEWEST_IN_BIN = 10  # forecasts; a bin with fewer is not drawn: what came is chance
STYLES = {"as forecast": GREY, "calibrated": BLUE}
CLASS_ROWS = {
    "brier_score": ("Brier score (0 best, 2 worst)", "{:.4f}"),
    "brier_of_shares": ("Brier score of the classes' own shares", "{:.4f}"),
    "log_loss": ("log loss, nats", "{:.4f}"),
    "calibration_error": ("mean distance of probability and frequency", "{:.2%}"),
}
INTERVAL_ROWS = {
    "promised": ("labels that the interval promises to hold", "{:.1%}"),
    "coverage": ("labels that it held", "{:.1%}"),
    "width": ("mean width, log return", "{:.4g}"),
}


def reliability_body(study: Study) -> str:
    """Return the section as HTML, empty where nothing is known of the labels."""
    found = study.reliability
    if not found or not found["before"]["n"]:
        return ""
    tracks = _tracks(found)
    drawn = _class_figures(tracks) if found["before"]["kind"] == "classes" else _level_figure(tracks)
    return said(_lead(found)) + _numbers(tracks) + drawn + _drift(study, tracks)


def _tracks(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    names = zip(STYLES, ("before", "after"), strict=True)
    return {name: found[key] for name, key in names if found[key] is not None}


def _lead(found: dict[str, Any]) -> str:
    n, method = found["before"]["n"], found["method"]
    if found["after"] is not None:
        left = "; the raw forecasts are in forecasts_raw.parquet"
        return (
            f"Traded were the calibrated forecasts ({words_of(method)}: fitted, fold by fold, on earlier out-of-sample "
            f"forecasts only). Both tracks below are over the same {n:,} forecasts, those of the folds that could be "
            f"calibrated{left}."
        )
    asked = f"Calibration ({method}) was asked for, and no fold had enough of a past for it. " if method else ""
    interval = found["before"]["kind"] == "interval"
    way = "--interval" if interval else "--calibration"
    return f"{asked}Over {n:,} forecasts as the model made them; {way} would correct them by their own past."


def _numbers(tracks: dict[str, dict[str, Any]]) -> str:
    rows = CLASS_ROWS if next(iter(tracks.values()))["kind"] == "classes" else INTERVAL_ROWS
    cells = [
        [words, *["undefined" if track[key] is None else form.format(track[key]) for track in tracks.values()]]
        for key, (words, form) in rows.items()
    ]
    return table(["", *tracks], cells)


def _class_figures(tracks: dict[str, dict[str, Any]]) -> str:
    outputs = list(dict.fromkeys(row["output"] for row in tracks["as forecast"]["curve"]))
    reach = max(_reach(tracks, output) for output in outputs)  # one scale for all classes: they can be compared
    parts = [
        figure(
            reliability_figure(tracks, output, reach),
            f"reliability-{output}",
            f"Class {words_of(output.removeprefix('p_'))}.",
        )
        for output in outputs
    ]
    words = (
        "How often a class came (up) where it was given a probability (across), in bins of a tenth; on the dashed line "
        "the probability means what it says. Bars are 95% intervals for independent forecasts (labels that overlap "
        f"make them too narrow); bins of fewer than {FEWEST_IN_BIN} forecasts are left out."
    )
    return f'<div class="grid">{"".join(parts)}</div>' + said(words, "small")


def _bins(track: dict[str, Any], output: str) -> pd.DataFrame:
    """Return the bins of a class that hold enough forecasts to be drawn, with the interval of their frequency."""
    rows = pd.DataFrame([row for row in track["curve"] if row["output"] == output and row["n"] >= FEWEST_IN_BIN])
    if len(rows):
        rows["low"], rows["high"] = wilson(rows["frequency"], rows["n"])
    return rows


def _reach(tracks: dict[str, dict[str, Any]], output: str) -> float:
    """Return up to where both axes of a class must go to show all of it, the bars of intervals included."""
    most = [_bins(track, output) for track in tracks.values()]
    found = [float(rows[["forecast", "high"]].max().max()) for rows in most if len(rows)]
    return min(1.04 * max([0.1, *found]), 1.02)


def reliability_figure(tracks: dict[str, dict[str, Any]], output: str, reach: float) -> go.Figure:
    """One class: frequency over probability, a line a track, both axes from 0 to `reach`."""
    drawn = go.Figure()
    for name, track in tracks.items():
        rows = _bins(track, output)
        if rows.empty:
            continue
        newest = name == list(tracks)[-1]
        apart = {"array": rows["high"] - rows["frequency"], "arrayminus": rows["frequency"] - rows["low"]}
        drawn.add_scatter(
            x=rows["forecast"],
            y=rows["frequency"],
            customdata=rows["n"],
            name=name,
            mode="lines+markers",
            line={"color": STYLES[name], "width": 1.6},
            marker={"size": 7},
            error_y={**apart, "symmetric": False, "color": STYLES[name], "thickness": 1} if newest else None,
            hovertemplate="said %{x:.3f}, came %{y:.3f} of %{customdata:,}<extra>" + name + "</extra>",
        )
    line = {"color": RED, "dash": "4px,4px", "width": 1.2}
    drawn.add_scatter(x=[0, reach], y=[0, reach], mode="lines", line=line, hoverinfo="skip", showlegend=False)
    axis = {"range": [0, reach], "dtick": 0.1 if reach <= 0.6 else 0.2}
    drawn.update_xaxes(title_text="probability", **axis)
    drawn.update_yaxes(title_text="frequency", **axis)
    return styled(drawn, 320).update_layout(showlegend=len(tracks) > 1)


def _level_figure(tracks: dict[str, dict[str, Any]]) -> str:
    if not tracks["as forecast"]["curve"]:
        return ""
    drawn = go.Figure()
    for name, track in tracks.items():
        rows = pd.DataFrame(track["curve"])
        line = {"color": STYLES[name], "width": 1.6}
        drawn.add_scatter(
            x=rows["forecast"], y=rows["frequency"], name=name, mode="lines+markers", line=line, marker={"size": 8},
            hovertemplate="level %{x:.2f}, below %{y:.3f}<extra>" + name + "</extra>",
        )  # fmt: skip
    line = {"color": RED, "dash": "4px,4px", "width": 1.2}
    drawn.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, hoverinfo="skip", showlegend=False)
    axis = {"range": [0, 1.02], "dtick": 0.2}
    drawn.update_xaxes(title_text="level of the quantile", **axis)
    drawn.update_yaxes(title_text="labels at or below it", **axis)
    caption = "Share of labels at or below each quantile; on the dashed line a quantile means what it says."
    return figure(styled(drawn, 300).update_layout(showlegend=len(tracks) > 1), "level-figure", caption)


def _drift(study: Study, tracks: dict[str, dict[str, Any]]) -> str:
    """Draw what each fold's promise was worth, where there are folds enough for a line."""
    first = tracks["as forecast"]
    key, words, form = (
        ("brier_score", "Brier score", ".4f") if first["kind"] == "classes" else ("coverage", "coverage", ".1%")
    )
    starts = {fold["fold"]: pd.Timestamp(fold["test_start"]) for fold in study.folds if "test_start" in fold}
    folds = [fold["fold"] for fold in first["folds"] if fold["fold"] in starts]
    if len(folds) < 3:
        return ""
    stamps = milliseconds(pd.DatetimeIndex([starts[number] for number in folds]))
    drawn = go.Figure()
    for name, track in tracks.items():
        by_fold = {fold["fold"]: fold[key] for fold in track["folds"]}
        values = np.array([np.nan if by_fold.get(k) is None else by_fold[k] for k in folds], dtype=np.float64)
        drawn.add_scatter(
            x=stamps,
            y=values,
            name=name,
            mode="lines+markers" if len(folds) <= 60 else "lines",
            line={"color": STYLES[name], "width": 1.6},
            hovertemplate="%{y:" + form + "}<extra>" + name + "</extra>",
        )
    if first["kind"] == "interval":
        drawn.add_hline(y=first["promised"], line={"color": RED, "dash": "4px,4px", "width": 1.2})
        drawn.update_yaxes(tickformat=".0%")
    drawn.update_xaxes(type="date", title_text="first test bar of the fold (UTC)", hoverformat="%Y-%m-%d %H:%M")
    drawn.update_yaxes(title_text=words)
    caption = f"Does it drift: {words} of each fold" + (
        "; dashed: what is promised." if first["kind"] == "interval" else "; lower is better."
    )
    return figure(styled(drawn, 280).update_layout(showlegend=len(tracks) > 1), "drift-figure", caption)
