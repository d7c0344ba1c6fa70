"""The report on what could be wrong: every check that was made, with what it found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mlcore.bars import missing_bars
from mlcore.errors import LookAheadError
from mlcore.forecasts import check_forecasts
from strategies.report import numbers
from strategies.report.page import checks, notes, said, table
from strategies.report.words import many, shown, stamp
from strategies.study import Study

MOST_ORDERS = 200
CELL_RTOL = 1e-9
Check = tuple[str, str, str]


def doubts_body(study: Study) -> str:
    """Return the checks, the orders that were not filled whole, and what the run said."""
    found = [*_engines(study), *_knowledge(study), *_causality(study), *_grid(study), *_orders(study), *_bars(study)]
    heading = "<h3>What the run said</h3>" if study.notes else ""
    return checks(found) + heading + notes(study.notes) + "<h3>Orders not filled whole</h3>" + _clipped(study)


def _engines(study: Study) -> Iterator[Check]:
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


def knowledge(study: Study) -> tuple[int, int | None]:
    """Return how many forecasts there are, and the fewest bars between one's bar and the last that its model knew.

    1 is the bar just before; 0 or less knows its own bar; None where no forecast was made.
    """
    made = study.forecasts[study.forecasts["signal"].notna()]
    stamps = pd.DatetimeIndex(study.forecasts.index)
    if made.empty:
        return 0, None
    known = pd.DatetimeIndex(made["trained_through"])
    at = stamps.get_indexer(pd.DatetimeIndex(made.index))
    return len(made), int((at - stamps.searchsorted(known, side="right") + 1).min())


def _knowledge(study: Study) -> Iterator[Check]:
    count, fewest = knowledge(study)
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


def guard_refuses(study: Study) -> bool:
    """Tell whether the engines' guard refuses these forecasts once they claim to know their own bar."""
    told = study.forecasts.assign(trained_through=study.forecasts.index)
    try:
        check_forecasts(told, study.bars)
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


def _orders(study: Study) -> Iterator[Check]:
    result = numbers.first_result(study)
    status = result.orders["status"].value_counts()
    partial, rejected = int(status.get("partial", 0)), int(status.get("rejected", 0))
    words = f"{many(len(result.orders), 'order')}: {partial:,} filled in part, {rejected:,} rejected (below)."
    yield "look" if partial + rejected else "good", "Orders.", words
    if "volume" not in study.bars or not len(result.orders):
        return
    volume = study.bars["volume"].reindex(pd.Index(result.orders["timestamp"])).to_numpy(np.float64)
    empty = int((volume <= 0).sum())
    words = f"{many(empty, 'order') if empty else 'No order'} of {len(volume):,} met a bar without volume"
    words += ", on which nobody traded." if empty else "."
    yield "look" if empty else "good", "Fills.", words


def _bars(study: Study) -> Iterator[Check]:
    missing = missing_bars(pd.DatetimeIndex(study.bars.index))
    places = int((missing > 0).sum())
    words = f"{many(places, 'gap')} among the bars that were traded"
    if places:
        at = study.bars.index[int(np.argmax(missing))]
        words += f", {many(int(missing.sum()), 'bar')} missing; the longest of {int(missing.max())} at {stamp(at)}"
    yield "look" if places else "good", "Gaps.", words + "."


def _clipped(study: Study) -> str:
    counts = []
    for name, result in study.results.items():
        status = result.orders["status"].value_counts()
        counts.append([name, *[f"{int(status.get(kind, 0)):,}" for kind in ("filled", "partial", "rejected")]])
    body = table(["", "filled", "partial", "rejected"], counts)
    body += said(
        "A buy with all the account's cash cannot pay its own costs too: it is filled as far as cash goes.", "small"
    )
    clipped = pd.concat([result.orders[result.orders["status"] != "filled"] for result in study.results.values()])
    if clipped.empty:
        given = any(len(result.orders) for result in study.results.values())
        return body + said("Every order was filled whole." if given else "No order was given.")
    head = ["engine", "status", "decided", "fill bar", "size", "price", "commission", "reason"]
    rows = [_clipped_cells(order) for order in clipped.head(MOST_ORDERS).itertuples()]
    more = (
        f"The first {MOST_ORDERS} of {len(clipped):,}; orders.parquet holds all." if len(clipped) > MOST_ORDERS else ""
    )
    return body + table(head, rows, words=2, tall=len(rows) > 10) + (said(more, "small") if more else "")


def _clipped_cells(order: Any) -> list[str]:
    words = [str(order.engine), str(order.status), stamp(order.decided), stamp(order.timestamp)]
    amounts = [shown(order.size), shown(order.price, "{:,.6g}"), shown(order.commission, "{:,.2f}")]
    return [*words, *amounts, str(order.reason)]
