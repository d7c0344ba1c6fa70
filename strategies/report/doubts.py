"""The report on what could be wrong: every check that was made, with what it found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mlcore.barriers import PROFIT, STOP
from mlcore.errors import LookAheadError
from mlcore.forecasts import check_forecasts
from strategies.account.plan import REASONS
from strategies.report import numbers
from strategies.report.page import checks, notes, said, table
from strategies.report.spans import named, span_checks, spans_table
from strategies.report.words import many, shown, stamp
from strategies.result import BacktestResult
from strategies.study import Study, Traded

MOST_ORDERS = 200
CELL_RTOL = 1e-9
Check = tuple[str, str, str]


def doubts_body(study: Traded) -> str:
    """Return the checks, the orders that were not filled whole, and what the run said."""
    own = _of_model(study) if isinstance(study, Study) else _of_account(study)
    found = [*_engines(study), *_knowledge(study), *own, *_orders(study), *span_checks(study)]
    heading = "<h3>What the run said</h3>" if study.notes else ""
    said_so = heading + notes(study.notes)
    return checks(found) + spans_table(study) + said_so + "<h3>Orders not filled whole</h3>" + _clipped(study)


def _of_model(study: Study) -> Iterator[Check]:
    yield from _causality(study)
    yield from _grid(study)


def _engines(study: Traded) -> Iterator[Check]:
    found = study.reconciliation
    if found is None:
        yield "look", "Two engines.", f"Only {' and '.join(study.results)} ran: nothing was held against it."
        return
    gap = shown(found.get("max_relative_difference"), "{:.1e}")
    worst = [f"{word} {stamp(found[key])}" for word, key in WORST.items() if found.get(key) is not None]
    where = f"; furthest apart: {', '.join(worst)}" if worst else ""
    words = f"Their equity and their orders differ by {gap} at most, relative to their size{where}."
    yield "good" if found.get("agrees") else "bad", "Two engines.", words


WORST = {"the bar": "worst_bar", "the order filled": "worst_order"}


def knowledge(study: Traded) -> tuple[int, int | None]:
    """Return how many forecasts there are, and the fewest bars between one's bar and the last that its model knew.

    1 is the bar just before; 0 or less knows its own bar; None where no forecast was made.
    """
    found = [_known(forecasts) for forecasts in study.views.values()]
    fewest = [bars for _, bars in found if bars is not None]
    return sum(count for count, _ in found), min(fewest, default=None)


def _known(forecasts: pd.DataFrame) -> tuple[int, int | None]:
    made = forecasts[forecasts["signal"].notna()]
    stamps = pd.DatetimeIndex(forecasts.index)
    if made.empty:
        return 0, None
    known = pd.DatetimeIndex(made["trained_through"])
    at = stamps.get_indexer(pd.DatetimeIndex(made.index))
    return len(made), int((at - stamps.searchsorted(known, side="right") + 1).min())


def _knowledge(study: Traded) -> Iterator[Check]:
    count, fewest = knowledge(study)
    if not study.views:
        yield "look", "In-sample guard.", "No forecasts were given: nothing tells what the weights knew."
        return
    if fewest is None:
        yield "look", "In-sample guard.", "No forecast was made."
        return
    if study.in_sample or fewest < 1:
        yield "bad", "In-sample guard.", "Models forecast bars that they were trained on, because it was asked for."
        return
    refused = guard_refuses(study)
    words = (
        f"Each of {many(count, 'forecast')} is of a model that knew no bar later than the one before it"
        f"{'' if fewest == 1 else f' (by {fewest} bars at least)'}. The same forecasts, told to know their own bar, "
        f"are {'refused' if refused else 'NOT refused'}."
    )
    yield "good" if refused else "bad", "In-sample guard.", words


def guard_refuses(study: Traded) -> bool:
    """Tell whether the engines' guard refuses the forecasts of each symbol once they claim to know their own bar."""
    return all(
        _refuses(forecasts.assign(trained_through=forecasts.index), study.panel[symbol])
        for symbol, forecasts in study.views.items()
        if forecasts["signal"].notna().any()
    )


def _refuses(forecasts: pd.DataFrame, bars: pd.DataFrame) -> bool:
    try:
        check_forecasts(forecasts, bars)
    except LookAheadError:
        return True
    return False


def _causality(study: Study) -> Iterator[Check]:
    found = study.causality
    if found is None:
        yield "look", "Causality.", "Features were not made again without later bars."
    elif found["differs"] is not None:
        yield "bad", "Causality.", f"A feature knows later bars: {found['differs']}."
    else:
        yield (
            "good",
            "Causality.",
            f"All {found['columns']} features, made again without the bars after {many(len(found['cuts']), 'cut')}, "
            f"are the same to the bit on {many(found['rows'], 'row')}.",
        )


def own_cell(study: Study) -> float | None:
    """Return how far the grid's own cell (no delay, the costs charged) is from the final value; None without it."""
    grid, engine = study.cost_grid, study.results.get("vectorbt")
    if grid is None or engine is None:
        return None
    own = (study.config.get("commission"), study.config.get("slippage"))
    cell = grid[(grid["delay"] == 0) & (grid["commission"] == own[0]) & (grid["slippage"] == own[1])]
    final = float(engine.metrics["final_value"] or np.nan)
    return abs(float(cell["final_value"].iloc[0]) / final - 1) if len(cell) else None


def _grid(study: Study) -> Iterator[Check]:
    apart = own_cell(study)
    if apart is None:
        return
    words = f"Traded again for the grid of costs, the account ends where it did{f', to {apart:.1e}' if apart else ''}."
    yield "good" if apart <= CELL_RTOL else "bad", "Grid of costs.", words


def _orders(study: Traded) -> Iterator[Check]:
    result = numbers.first_result(study)
    status = result.orders["status"].value_counts()
    partial, rejected = int(status.get("partial", 0)), int(status.get("rejected", 0))
    words = f"{many(len(result.orders), 'order')}: {partial:,} filled in part, {rejected:,} rejected (below)."
    yield "look" if partial + rejected else "good", "Orders.", words
    if not all("volume" in bars for bars in study.panel.values()) or not len(result.orders):
        return
    filled_on = result.orders.groupby("symbol")["timestamp"]
    volume = np.concatenate([study.panel[str(s)]["volume"].reindex(pd.Index(at)).to_numpy() for s, at in filled_on])
    empty = int((volume <= 0).sum())
    words = f"{many(empty, 'order') if empty else 'No order'} of {len(volume):,} met a bar without volume"
    words += ", on which nobody traded." if empty else "."
    yield "look" if empty else "good", "Fills.", words


RESTING = (REASONS[STOP], REASONS[PROFIT])  # orders of the account's own, which wait from the entry on


def waited_orders(result: BacktestResult) -> int:
    """Return how many orders met no bar of their symbol at the stamp after they were decided, and waited for one."""
    orders = result.orders[~result.orders["reason"].str.startswith(RESTING)]
    clock = pd.DatetimeIndex(result.equity.index)
    decided, filled = (clock.get_indexer(pd.DatetimeIndex(orders[name])) for name in ("decided", "timestamp"))
    return int((filled - decided > 1).sum())


def _of_account(study: Traded) -> Iterator[Check]:
    """What only an account has: orders that waited, and limits that cut."""
    result = numbers.first_result(study)
    waited, waiting = waited_orders(result), list(result.extras["waiting"])
    words = f"{many(waited, 'order')} of {len(result.orders):,} waited for the next bar of a symbol with a gap"
    words += f"; what {named(waiting)} decided last never met a bar." if waiting else "."
    yield "look" if waited else "good", "Waiting.", words
    cuts = dict(result.extras["cuts"])
    entries, halts = cuts.pop("entries"), cuts.pop("halts")
    told = [
        f"{name} cut {many(n, 'order') if name in BY_ORDER else f'at {n:,} closes'}" for name, n in cuts.items() if n
    ]
    words = (
        f"{'; '.join(told) or 'No limit of risk or exposure cut an order'}; {many(entries, 'order')} opened a position."
    )
    words += f" The drawdown limit was met {many(halts, 'time')}." if halts else ""
    yield "good", "Limits.", words


BY_ORDER = ("max_position", "risk_per_trade")  # limits that look at one order; the others at all of a close


def _clipped(study: Traded) -> str:
    counts = []
    for name, result in study.results.items():
        status = result.orders["status"].value_counts()
        counts.append([name, *[f"{int(status.get(kind, 0)):,}" for kind in ("filled", "partial", "rejected")]])
    body = table(["", "filled", "partial", "rejected"], counts)
    body += said(
        "A buy that cash cannot pay for whole is filled as far as cash goes, and rejected where there is none.", "small"
    )
    clipped = pd.concat([result.orders[result.orders["status"] != "filled"] for result in study.results.values()])
    if clipped.empty:
        given = any(len(result.orders) for result in study.results.values())
        return body + said("Every order was filled whole." if given else "No order was given.")
    several = len(study.panel) > 1
    head = ["engine", "status", "symbol", "decided", "fill bar", "size", "price", "commission", "reason"]
    rows = [_clipped_cells(order) for order in clipped.head(MOST_ORDERS).itertuples()]
    if not several:
        head, rows = [head[:2] + head[3:], [row[:2] + row[3:] for row in rows]]
    more = (
        f"The first {MOST_ORDERS} of {len(clipped):,}; orders.parquet holds all." if len(clipped) > MOST_ORDERS else ""
    )
    return body + table(head, rows, words=2 + several, tall=len(rows) > 10) + (said(more, "small") if more else "")


def _clipped_cells(order: Any) -> list[str]:
    words = [str(order.engine), str(order.status), str(order.symbol), stamp(order.decided), stamp(order.timestamp)]
    amounts = [shown(order.size), shown(order.price, "{:,.6g}"), shown(order.commission, "{:,.2f}")]
    return [*words, *amounts, str(order.reason)]
