"""What a sweep found: the best rows beside the number tried, and heatmaps and surfaces of all."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from mlcore.stats import expected_maximum_sharpe
from strategies.report.figures import styled
from strategies.report.page import Section, figure, notes, page, said
from strategies.result import METRICS

COSTS = ["commission", "slippage", "delay"]
MOST_PANELS = 6
MOST_NUMBERS = 16  # columns of a heatmap with room for numbers in its cells


def best_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the best row at each cost, with what luck alone would have shown; costs are no choice of the trader.

    ``tried`` counts the rules traded at that cost, ``defined`` those with a Sharpe ratio, ``spread`` is the sample
    deviation of theirs, ``best`` the row of the highest (None where no rule has one). ``best_by_luck`` is what
    `expected_maximum_sharpe` expects of as many rules without skill, free of cost and independent, whose ratios
    vary by 1 / years as those of independent returns do (rules alike show less). ``varied`` names the parameters with
    more than one value.
    """
    found = []
    varied = [name for name in parameters_of(table) if len(table[name].unique()) > 1]
    for cost, tried in table.groupby(COSTS, sort=False):
        sharpe = tried["sharpe"].dropna()
        found.append(
            {
                **dict(zip(COSTS, cost, strict=True)),
                "tried": len(tried),
                "varied": varied,
                "defined": len(sharpe),
                "spread": float(sharpe.std(ddof=1)) if len(sharpe) > 1 else None,
                "best": None if sharpe.empty else tried.loc[[sharpe.idxmax()]].to_dict("records")[0],
                "best_by_luck": expected_maximum_sharpe(len(tried), 1.0 / tried["years"].iloc[0]),
            }
        )
    return found


def sentence(found: dict[str, Any]) -> str:
    """Return one of `best_rows` in words."""
    cost = f"At commission {found['commission']:.3%} and slippage {found['slippage']:.3%}"
    cost += f", {found['delay']} bars late" if found["delay"] else ""
    if found["best"] is None:
        return f"{cost}: none of {found['tried']:,} rules tried has a Sharpe ratio."
    best = found["best"]
    rule = ", ".join(f"{name} {best[name]}" for name in found["varied"] or parameters_of(best))
    return (
        f"{cost}, the best of {found['tried']:,} rules tried has a Sharpe ratio of {best['sharpe']:.2f} ({rule}). As "
        f"many rules without skill would show a best of {found['best_by_luck']:.2f} by luck over {best['days']:,} days."
    )


def write_sweep(table: pd.DataFrame, config: dict[str, Any], folder: Path) -> None:
    """Write ``sweep.parquet``, ``sweep.json``, ``heatmap.html`` and ``heatmap.png`` into `folder`."""
    table.to_parquet(folder / "sweep.parquet", index=False)
    best = best_rows(table)
    found = {"tried": len(table), "best": best, "config": config}
    text = json.dumps(found, indent=2, default=lambda value: value.item())
    (folder / "sweep.json").write_text(text + "\n")
    panels = panels_of(table, heatmap_axes(table))
    (folder / "heatmap.html").write_text(_html(table, best, panels), encoding="utf-8")
    png_heatmap(panels, f"{len(table):,} combinations tried").savefig(folder / "heatmap.png", dpi=120)


def print_sweep(table: pd.DataFrame, console: Console) -> None:
    """Print the best row at each cost, and how many were tried."""
    found = best_rows(table)
    shown = Table(title=f"{len(table):,} combinations tried; the best at each cost, after that cost")
    for name in ("fee", "slippage", "bars late", "tried", "Sharpe", "by luck", "return", "drawdown", "orders"):
        shown.add_column(name, justify="right")
    for one in found:
        best = one["best"]
        cost = (f"{one['commission']:.3%}", f"{one['slippage']:.3%}", str(one["delay"]), f"{one['tried']:,}")
        if best is None:
            shown.add_row(*cost, "undefined")
            continue
        earned = (f"{best['total_return']:+.1%}", f"{best['max_drawdown']:.1%}", f"{best['n_orders']:,}")
        shown.add_row(*cost, f"{best['sharpe']:.2f}", f"{one['best_by_luck']:.2f}", *earned)
    console.print(shown)
    for one in found:
        console.print(sentence(one), highlight=False, markup=False)


def _html(table: pd.DataFrame, best: list[dict[str, Any]], panels: dict[str, pd.DataFrame]) -> str:
    lead = f"{len(table):,} combinations tried over {table['days'].iloc[0]:,} days out of sample, in vectorbt."
    same = table.attrs.get("traded", len(table))
    if same < len(table):
        lead += f" {same:,} of them were traded: the others gave the same orders at the same costs, and count as tried."
    reach = _reach(panels)
    parts = [
        Section("top", "", said(lead)),
        Section("best", "The best, and how many were tried", notes(map(sentence, best))),
        Section("map", "All of them", _heatmaps(panels, reach, len(best))),
    ]
    axes = surface_axes(table)
    if axes is not None:
        parts.append(Section("surface", "As a surface", _surfaces(panels_of(table, axes), reach)))
    over = "models and trading rules" if "forecasts" in table else "trading rules over one set of forecasts"
    return page(f"Sweep of {over}", parts)


def _heatmaps(panels: dict[str, pd.DataFrame], reach: float, costs: int) -> str:
    first = next(iter(panels.values()))
    caption = (
        f"Sharpe ratio by {first.columns.name} and {first.index.name}; what else was varied is at its median. "
        "Grey: undefined."
    )
    caption += f" The {len(panels)} dearest of {costs} costs; sweep.parquet holds all." if len(panels) < costs else ""
    drawn = "".join(
        f"<h3>{name}</h3>{figure(html_heatmap(grid, reach), f'heatmap-{number}')}"
        for number, (name, grid) in enumerate(panels.items())
    )
    return drawn + said(caption, "small")


def _surfaces(panels: dict[str, pd.DataFrame], reach: float) -> str:
    first = next(iter(panels.values()))
    caption = (
        f"The same ratio over {first.columns.name} and {first.index.name}: a rule worth trusting stands on a plateau, "
        "one found by luck on a spike. Turn it by dragging. What else was varied is at its median; holes: undefined."
    )
    drawn = "".join(
        f"<div><h3>{name}</h3>{figure(html_surface(grid, reach), f'surface-{number}')}</div>"
        for number, (name, grid) in enumerate(panels.items())
    )
    whole = f'<div class="pair">{drawn}</div>' if len(panels) > 1 else drawn
    return whole + said(caption, "small")


def parameters_of(table: Iterable[Any]) -> list[str]:
    """Return the columns of a sweep's table that were chosen, of models and of rules; costs aside."""
    columns = list(map(str, table))
    return [name for name in columns[: columns.index(METRICS[0])] if name not in (*COSTS, "forecasts")]


def heatmap_axes(table: pd.DataFrame) -> tuple[str, str]:
    """Return the two parameters with the most values, costs aside (`entry` and `sizer` win ties)."""
    names = ("entry", "sizer", *parameters_of(table))
    x, y = sorted(dict.fromkeys(names), key=lambda name: -table[name].nunique())[:2]
    return x, y


def surface_axes(table: pd.DataFrame) -> tuple[str, str] | None:
    """Return the two numeric parameters with the most values, costs aside; None where two have not three each."""
    names = [name for name in parameters_of(table) if pd.api.types.is_numeric_dtype(table[name])]
    x, y = sorted(names, key=lambda name: -table[name].nunique())[:2]
    return (x, y) if table[y].nunique() >= 3 else None


def panels_of(table: pd.DataFrame, axes: tuple[str, str]) -> dict[str, pd.DataFrame]:
    """Return one grid of Sharpe ratios a cost, dearest first, at most `MOST_PANELS`: title -> values.

    Columns and rows are the two parameters in `axes`; what else was varied is taken at its median, so that a cell is
    what its parameters gave, not the luckiest of its rest.
    """
    x, y = axes
    costs = table[COSTS].drop_duplicates().sort_values(COSTS, ascending=False).head(MOST_PANELS)
    panels = {}
    for cost in costs.to_dict("records"):
        here = table[(table[COSTS] == pd.Series(cost)).all(axis=1)]
        grid = here.pivot_table(index=y, columns=x, values="sharpe", aggfunc="median", dropna=False, sort=False)
        late = f", {cost['delay']:.0f} bars late" if cost["delay"] else ""
        panels[f"commission {cost['commission']:.3%}, slippage {cost['slippage']:.3%}{late}"] = grid
    return panels


def html_heatmap(grid: pd.DataFrame, reach: float) -> go.Figure:
    """Return one panel; white is 0, `reach` the end of the colours; numbers on hover."""
    hover = f"{grid.columns.name} %{{x}}<br>{grid.index.name} %{{y}}<br>Sharpe %{{z:.3f}}<extra></extra>"
    drawn = go.Figure(
        go.Heatmap(
            x=[str(name) for name in grid.columns],
            y=[str(name) for name in grid.index],
            z=grid.to_numpy(np.float64),
            colorscale="RdBu",
            zmin=-reach,
            zmax=reach,
            texttemplate="%{z:.2f}" if grid.shape[1] <= MOST_NUMBERS else None,
            hovertemplate=hover,
            colorbar={
                "orientation": "h",
                "thickness": 10,
                "title": {"text": "Sharpe ratio, a year", "side": "top", "font": {"size": 12}},
                "y": 1.0,
                "yanchor": "bottom",
                "nticks": 5,
            },
        )
    )
    drawn.update_xaxes(title_text=str(grid.columns.name), type="category")
    drawn.update_yaxes(title_text=str(grid.index.name), type="category", autorange="reversed")
    return styled(drawn, 190 + 28 * len(grid)).update_layout(plot_bgcolor="#e5e7eb")


_CAMERA = {"eye": {"x": 1.7, "y": -1.8, "z": 0.8}, "center": {"x": 0.0, "y": 0.0, "z": -0.15}}


def html_surface(grid: pd.DataFrame, reach: float) -> go.Figure:
    """Return one panel as a surface over its two numeric axes, in the colours of `html_heatmap`."""
    grid = grid.sort_index().sort_index(axis=1)
    hover = f"{grid.columns.name} %{{x}}<br>{grid.index.name} %{{y}}<br>Sharpe %{{z:.3f}}<extra></extra>"
    drawn = go.Figure(
        go.Surface(
            x=grid.columns.to_numpy(np.float64),
            y=grid.index.to_numpy(np.float64),
            z=grid.to_numpy(np.float64),
            colorscale="RdBu",
            cmin=-reach,
            cmax=reach,
            showscale=False,
            hovertemplate=hover,
            lighting={"ambient": 0.9},
            contours={axis: {"show": True, "color": "#9aa3af", "highlight": False} for axis in ("x", "y")},
        )
    )
    axes = {
        "xaxis": {"title": {"text": str(grid.columns.name)}, "nticks": 5},
        "yaxis": {"title": {"text": str(grid.index.name)}, "nticks": 5},
        "zaxis": {"title": {"text": "Sharpe"}, "nticks": 6},
    }
    return styled(drawn, 380).update_layout(scene={**axes, "camera": _CAMERA})


def png_heatmap(panels: dict[str, pd.DataFrame], title: str) -> Figure:
    """Return the panels as a picture, with numbers in the cells where there is room; grey is undefined."""
    rows = sum(len(grid) for grid in panels.values())
    columns = max(grid.shape[1] for grid in panels.values())
    size = (min(max(7.0, 2.5 + 0.75 * columns), 18.0), min(1.2 + 1.1 * len(panels) + 0.42 * rows, 40.0))
    picture = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(picture)
    ratios = [len(grid) + 1.5 for grid in panels.values()]
    axes = picture.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": ratios})[:, 0]
    reach = _reach(panels)
    image: Any = None
    for spot, (name, grid) in zip(axes, panels.items(), strict=True):
        values = grid.to_numpy(np.float64)
        spot.set_facecolor("#e5e7eb")
        image = spot.imshow(values, cmap="RdBu", norm=TwoSlopeNorm(0, -reach, reach), aspect="auto")
        spot.set_xticks(range(grid.shape[1]), [str(label) for label in grid.columns])
        spot.set_yticks(range(grid.shape[0]), [str(label) for label in grid.index])
        spot.set(xlabel=grid.columns.name, ylabel=grid.index.name)
        spot.set_title(name, fontsize=10, loc="left")
        if columns <= MOST_NUMBERS:
            _numbers(spot, values, reach)
    picture.suptitle(title, fontsize=11)
    picture.colorbar(image, ax=list(axes), label="Sharpe ratio, a year", fraction=0.04)
    return picture


def _numbers(spot: Any, values: np.ndarray, reach: float) -> None:
    for (row, column), value in np.ndenumerate(values):
        words, dark = ("-", False) if np.isnan(value) else (f"{value:.2f}", abs(value) > 0.6 * reach)
        spot.text(column, row, words, ha="center", va="center", fontsize=8, color="white" if dark else "black")


def _reach(panels: dict[str, pd.DataFrame]) -> float:
    """Return the largest size of a ratio, so that 0 is the middle of the colours."""
    sizes = np.abs(np.concatenate([grid.to_numpy(np.float64).ravel() for grid in panels.values()]))
    return max(float(np.nanmax(sizes, initial=0.0)), 0.1)
