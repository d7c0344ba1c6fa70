"""What the bars of each symbol hold and lack: spans and gaps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mlcore.bars import missing_bars
from strategies.orders import MIN_ORDER_SHARE
from strategies.report.numbers import first_result
from strategies.report.page import table
from strategies.report.words import many, stamp
from strategies.study import Traded

FEW = 6  # names in a sentence; more are counted


def spans(study: Traded) -> pd.DataFrame:
    """Return a row a symbol, ``first last bars gaps missing longest longest_at``.

    ``longest_at`` is the bar that ends the longest gap, of ``longest`` missing bars.
    """
    rows = {}
    for symbol, bars in study.panel.items():
        missing = missing_bars(pd.DatetimeIndex(bars.index))
        at = int(np.argmax(missing))
        ends = {"first": bars.index[0], "last": bars.index[-1], "bars": len(bars)}
        holes = {"gaps": int((missing > 0).sum()), "missing": int(missing.sum()), "longest": int(missing[at])}
        rows[symbol] = ends | holes | {"longest_at": bars.index[at]}
    return pd.DataFrame.from_dict(rows, orient="index")


def span_checks(study: Traded) -> Iterator[tuple[str, str, str]]:
    """Return what there is to say of gaps, and of symbols that begin late or end early."""
    found = spans(study)
    places, worst = int(found["gaps"].sum()), int(found["longest"].argmax())
    words = f"{many(places, 'gap')} among the bars that were traded"
    if places:
        where = f" of {found.index[worst]}" if len(found) > 1 else ""
        words += f", {many(int(found['missing'].sum()), 'bar')} missing; the longest of "
        words += f"{found['longest'].iloc[worst]} at {stamp(found['longest_at'].iloc[worst])}{where}"
    yield "look" if places else "good", "Gaps.", words + "."
    if len(found) == 1:
        return
    late, early = (
        found.index[apart].tolist()
        for apart in (found["first"] > found["first"].min(), found["last"] < found["last"].max())
    )
    said = [f"{named(some)} {word}" for some, word in ((late, "begin late"), (early, "end early")) if some]
    words = f"{'; '.join(said)}. Buy and hold shares the cash among the symbols that have begun." if said else ""
    words += frozen_words(study, early)
    yield "look" if said else "good", "Spans.", words or f"All {len(found)} symbols begin and end together."


def frozen_words(study: Traded, early: list[str]) -> str:
    """Return a sentence on what is still held of symbols that ended `early`; nothing can sell it any more."""
    result = first_result(study)
    units = result.orders.groupby("symbol")["size"].sum().reindex(early, fill_value=0.0)
    value = units * [float(study.panel[symbol]["close"].iloc[-1]) for symbol in early]
    held = value[value.abs() > MIN_ORDER_SHARE * float(result.equity.iloc[0])]
    if not len(held):
        return ""
    shares = ", ".join(f"{symbol} {worth / float(result.equity.iloc[-1]):+.1%}" for symbol, worth in held.items())
    return (
        f" What was held of a symbol at its last bar stays, at its last close, for there is no bar to sell it in: "
        f"{shares} of the last equity. Let its weight be 0 some bars before the end."
    )


def named(symbols: list[str]) -> str:
    """Return how many symbols there are, and their names where they are few.

    >>> named(["A", "B"]), named(list("ABCDEFGH"))
    ('2 symbols (A, B)', '8 symbols')
    """
    return many(len(symbols), "symbol") + (f" ({', '.join(symbols)})" if len(symbols) <= FEW else "")


def spans_table(study: Traded) -> str:
    """Return the span and the gaps of every symbol, the most gaps first; nothing where there is one symbol."""
    if len(study.panel) == 1:
        return ""
    found = spans(study).sort_values(["gaps", "first"], ascending=False, kind="stable")
    rows = [
        [
            *(str(symbol), stamp(row["first"]), stamp(row["last"])),
            *(f"{row[name]:,}" for name in ("bars", "gaps", "missing")),
            f"{row['longest']:,} before {stamp(row['longest_at'])}" if row["gaps"] else "",
        ]
        for symbol, row in found.iterrows()
    ]
    head = ["symbol", "first bar", "last bar", "bars", "gaps", "bars missing", "longest gap"]
    return "<h3>Bars of each symbol</h3>" + table(head, rows, words=3, tall=len(rows) > 12)
