"""What a pooled job found, symbol by symbol: one row each, as a table and as a page that leads to the reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from strategies.config import StudyConfig
from strategies.report.page import STYLE, notes
from strategies.study import Study

SUMMARY = (
    *("symbol", "bars", "first", "last", "forecasts", "orders", "total_return", "sharpe", "max_drawdown", "rank_ic"),
    *("hit_rate", "buy_and_hold", "agrees", "max_relative_difference"),
)
FORMS = {
    **{name: "{:,}" for name in ("bars", "forecasts", "orders")},
    **{name: "{:+.1%}" for name in ("total_return", "buy_and_hold")},
    **{"max_drawdown": "{:.1%}", "sharpe": "{:.2f}", "rank_ic": "{:+.3f}", "hit_rate": "{:.1%}"},
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
    head = "".join(f"<th{_kind(name)}>{escape(name.replace('_', ' '))}</th>" for name in SUMMARY)
    body = "".join(_line(row) for row in summary.to_dict("records"))
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main><header><h1>{escape(title)}</h1>"
        f"<p>{escape(told)}</p></header><section><h2>Symbols</h2>"
        f'<div class="box" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f"</section><section><h2>Notes</h2>{notes(said) or '<p>None.</p>'}</section></main></body></html>\n"
    )
    path.write_text(page, encoding="utf-8")


def _median(summary: pd.DataFrame) -> str:
    ranks, returns = (pd.to_numeric(summary[name]).dropna() for name in ("rank_ic", "total_return"))
    if not len(ranks) or not len(returns):
        return "Nothing was traded."
    return (
        f"Median over symbols: rank IC {ranks.median():+.3f} (above 0 for {(ranks > 0).sum()} of {len(ranks)}), "
        f"net return {returns.median():+.1%} (above 0 for {(returns > 0).sum()} of {len(returns)})."
    )


def _line(row: Mapping[Any, Any]) -> str:
    traded = row["orders"] is not None and not pd.isna(row["orders"])
    symbol = escape(str(row["symbol"]))
    name = f'<a href="{symbol}/report.html">{symbol}</a>' if traded else symbol
    cells = "".join(f"<td{_kind(column)}>{escape(shown(column, row[column]))}</td>" for column in SUMMARY[1:])
    return f'<tr><td class="w">{name}</td>{cells}</tr>'


def shown(column: str, value: Any) -> str:
    """Return a cell as text; what is not defined is a dash."""
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return "-"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M}"
    form = FORMS.get(column)
    if form is None:
        return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    return form.format(int(value) if form == "{:,}" else value)


def _kind(column: str) -> str:
    return ' class="w"' if column in ("symbol", "first", "last", "agrees") else ""
