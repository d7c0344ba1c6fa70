"""What a pooled job found, symbol by symbol: one row each, as a table and as a page that leads to the reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from strategies.command import typed_command
from strategies.config import StudyConfig
from strategies.main_job import versions
from strategies.report.page import STYLE, how_to, notes
from strategies.study import Study

SUMMARY = (
    *("symbol", "bars", "first", "last", "forecasts", "orders", "total_return", "buy_and_hold", "sharpe"),
    *("buy_and_hold_sharpe", "max_drawdown", "rank_ic", "hit_rate", "agrees", "max_relative_difference"),
)
HEADS = {"total_return": "net return", "buy_and_hold": "buy and hold", "sharpe": "Sharpe", "rank_ic": "rank IC"} | {
    "buy_and_hold_sharpe": "buy and hold's Sharpe",
    "max_drawdown": "largest drawdown",
    "agrees": "engines agree",
    "max_relative_difference": "differ by",
}
FORMS = {
    **{name: "{:,}" for name in ("bars", "forecasts", "orders")},
    **{name: "{:+.1%}" for name in ("total_return", "buy_and_hold")},
    **{
        "max_drawdown": "{:.1%}",
        "sharpe": "{:.2f}",
        "buy_and_hold_sharpe": "{:.2f}",
        "rank_ic": "{:+.3f}",
        "hit_rate": "{:.1%}",
    },
    "max_relative_difference": "{:.0e}",
}


def summary_row(symbol: str, bars: pd.DataFrame, study: Study | None) -> dict[str, Any]:
    """Return one row of the summary, the numbers of both engines' agreed account; None where nothing was traded."""
    row: dict[str, Any] = dict.fromkeys(SUMMARY)
    row |= {"symbol": symbol, "bars": len(bars), "first": bars.index[0], "last": bars.index[-1], "forecasts": 0}
    if study is None:
        return row
    metrics = next(iter(study.results.values())).metrics
    agreement = study.reconciliation or {}
    return row | {
        "forecasts": int(study.forecasts["signal"].notna().sum()),
        "orders": metrics["n_orders"],
        **{name: metrics[name] for name in ("total_return", "sharpe", "max_drawdown")},
        **{name: study.forecast[name] for name in ("rank_ic", "hit_rate")},
        "buy_and_hold": study.baselines["buy_and_hold"].metrics["total_return"],
        "buy_and_hold_sharpe": study.baselines["buy_and_hold"].metrics["sharpe"],
        "agrees": agreement.get("agrees"),
        "max_relative_difference": agreement.get("max_relative_difference"),
    }


def write_index(
    summary: pd.DataFrame, config: StudyConfig, folds: Sequence[Any], said: Sequence[str], path: Path
) -> None:
    """Write the page: how it was done, the symbols with a link to each report, the notes."""
    title = f"{config.model}, one model for {len(summary)} symbols"
    told = (
        f"{len(folds)} folds, cut at one moment for all symbols: train {config.train}, test {config.test}, label "
        f"{config.label} {config.horizon} bars ahead. Every symbol is an account of its own, after commission of "
        f"{config.commission:.2%} and slippage of {config.slippage:.2%} a fill. {_median(summary)}"
    )
    how = how_to(typed_command(), config.as_dict().items(), versions())
    head = "".join(f"<th{_kind(name)}>{escape(head_of(name))}</th>" for name in SUMMARY)
    body = "".join(_line(row) for row in summary.to_dict("records"))
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main><header><h1>{escape(title)}</h1>"
        f"<p>{escape(told)}</p></header><section><h2>Symbols</h2>"
        f'<div class="box" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f"</section><section><h2>Notes</h2>{notes(said) or '<p>None.</p>'}</section>"
        f"<section><h2>How to make it again</h2>{how}</section></main></body></html>\n"
    )
    path.write_text(page, encoding="utf-8")


def _median(summary: pd.DataFrame) -> str:
    names = ("rank_ic", "total_return", "buy_and_hold")
    ranks, returns, held = (pd.to_numeric(summary[name]).dropna() for name in names)
    if not len(ranks) or not len(returns):
        return "Nothing was traded."
    more = int((returns > held.reindex(returns.index)).sum())
    return (
        f"Median over symbols: rank IC {ranks.median():+.3f} (above 0 for {(ranks > 0).sum()} of {len(ranks)}), "
        f"net return {returns.median():+.1%} (above 0 for {(returns > 0).sum()} of {len(returns)}), buy and hold "
        f"{held.median():+.1%} (the model earned more on {more} of {len(returns)})."
    )


def _line(row: Mapping[Any, Any]) -> str:
    traded = row["orders"] is not None and not pd.isna(row["orders"])
    symbol = escape(str(row["symbol"]))
    name = f'<a href="{symbol}/report.html">{symbol}</a>' if traded else symbol
    cells = "".join(f"<td{_kind(column)}>{escape(shown(column, row[column]))}</td>" for column in SUMMARY[1:])
    return f'<tr><td class="w">{name}</td>{cells}</tr>'


def head_of(column: str) -> str:
    """Return a column's name as words."""
    return HEADS.get(column, column.replace("_", " "))


def shown(column: str, value: Any) -> str:
    """Return a cell as text; what is not defined is a dash."""
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return "-"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    form = FORMS.get(column)
    if form is None:
        return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    return form.format(int(value) if form == "{:,}" else value)


def _kind(column: str) -> str:
    return ' class="w"' if column in ("symbol", "first", "last", "agrees") else ""
