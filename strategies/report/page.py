"""The page: one HTML file, one stylesheet, one copy of plotly; tables and figures as HTML."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

STYLE = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
LONG = 70  # letters of a value that has a line of its own; a hash has 64
FIGURE_CONFIG = {"responsive": True, "displayModeBar": False}
# A figure is drawn while the page is read, at the width that its place has then; figures beside it come later.
FIT = (
    "<script>addEventListener('load',()=>document.querySelectorAll('.js-plotly-plot')"
    ".forEach(p=>Plotly.Plots.resize(p)))</script>"
)
# On a screen that is touched, a finger on a figure must scroll the page, not draw a zoom box.
TOUCH = (
    "<script>if(matchMedia('(pointer: coarse)').matches)document.querySelectorAll('.js-plotly-plot')"
    ".forEach(p=>Plotly.relayout(p,{dragmode:false}))</script>"
)


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, as HTML; `anchor` is its name in the page's links."""

    anchor: str
    heading: str
    body: str


def page(title: str, sections: Sequence[Section]) -> str:
    """Return the whole HTML document."""
    first, *rest = sections
    links = "".join(f'<a href="#{part.anchor}">{escape(part.heading)}</a>' for part in rest)
    parts = "".join(
        f'<section id="{part.anchor}"><h2>{escape(part.heading)}</h2>{part.body}</section>' for part in rest
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><script>{get_plotlyjs()}</script></head>"
        f"<body><main><header><h1>{escape(title)}</h1>{first.body}<nav>{links}</nav></header>{parts}</main>{FIT}{TOUCH}</body></html>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1, tall: bool = False) -> str:
    """Return a table in a box that scrolls by itself; the first `words` columns are text, the rest numbers.

    Cells are text and are escaped; an interval in brackets behind a number stands below it. A `tall` table has a box of
    limited height with a fixed head.
    """

    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = (' class="w"' if at < words else "" for at in range(len(row)))
        return "".join(f"<{tag}{kind}>{_cell(cell)}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    box = "box tall" if tall else "box"
    whole = f"<table><thead><tr>{cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="{box}" tabindex="0">{whole}</div>'


def heat_table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    shades: Iterable[Sequence[float]],
    frames: Iterable[Sequence[bool]] | None = None,
) -> str:
    """Return a table whose cells have a colour: a shade in [-1, 1], red to green, NaN for none; framed where told."""
    lines = []
    rows = list(rows)
    framed = [[False] * len(row) for row in rows] if frames is None else frames
    for row, colours, boxed in zip(rows, shades, framed, strict=True):
        cells = (
            f"<td{_shade(colour)}{' class=own' if box else ''}>{_cell(cell)}</td>"
            for cell, colour, box in zip(row, colours, boxed, strict=True)
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    whole = f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return f'<div class="box heat" tabindex="0">{whole}</div>'


def _shade(value: float) -> str:
    """Return the style of a cell: green above 0, red below, stronger further out.

    >>> _shade(0.5), _shade(float("nan"))
    (' style="background:rgb(0 158 115/30%)"', '')
    """
    if value != value:
        return ""
    colour = "0 158 115" if value > 0 else "213 94 0"
    return f' style="background:rgb({colour}/{60 * min(abs(value), 1):.0f}%)"'


def _cell(text: str) -> str:
    """Return a cell's HTML: ``0.53 [0.50, 0.56]`` takes half the width with its interval on a line of its own."""
    number, bracket, rest = text.partition(" [")
    if not (bracket and rest.endswith("]")):
        return escape(text)
    return f'{escape(number)}<span class="interval"> [{escape(rest)}</span>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return names and values as a list that needs no width."""
    rows = "".join(
        f"<div{' class=long' if len(value) > LONG else ''}><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in pairs
    )
    return f'<dl class="facts">{rows}</dl>'


def checks(found: Iterable[tuple[str, str, str]]) -> str:
    """Return ``(state, name, words)`` as a list, one a line; the states are ``good``, ``look`` and ``bad``."""
    told = {"good": "fine", "look": "look", "bad": "WRONG"}
    lines = (
        f'<li class="{state}"><b>{told[state]}</b><span><strong>{escape(name)}</strong> {escape(words)}</span></li>'
        for state, name, words in found
    )
    return f'<ul class="checks">{"".join(lines)}</ul>'


def how_to(
    command: str | None, settings: Iterable[tuple[str, object]], versions: Mapping[str, str], inputs: str = ""
) -> str:
    """Return how a result is made again: the command that was typed, where one was, all settings, all versions.

    `inputs` is HTML that tells of what was read; it stands before the settings.
    """
    plain = [(name, _setting(value)) for name, value in settings]
    typed = ""
    if command is not None:
        words = " ".join(f"<span>{escape(shlex.quote(word))}</span>" for word in shlex.split(command))
        typed = f'<pre class="command">{words}</pre>'
        typed += said("As it was typed; paths are as they were given, so run it from the same folder.", "small")
    own = "<h3>Settings</h3>" + facts(plain) if plain else ""
    return typed + inputs + own + "<h3>Versions</h3>" + facts(versions.items())


def _setting(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "none" if value is None or value == "" else str(value)


def said(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text; `kind` is a class of the stylesheet (``good``, ``bad``, ``small``)."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def notes(lines: Iterable[str]) -> str:
    """Return sentences as a list, or nothing."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="notes">{items}</ul>' if items else ""


def figure(drawn: go.Figure, name: str, caption: str = "") -> str:
    """Return a figure's HTML; the library itself stands once in the page's head."""
    inside = drawn.to_html(
        full_html=False, include_plotlyjs=False, div_id=name, config=FIGURE_CONFIG, default_width="100%"
    )
    words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure aria-label="{escape(name)}">{inside}{words}</figure>'
