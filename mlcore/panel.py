"""One model for many symbols: trained on all of their rows, forecasting each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mlcore.bars import market_of, name_market
from mlcore.bars.panel import read_panel, symbols_in
from mlcore.confidence import check_confidence
from mlcore.errors import BarwiseError
from mlcore.features import DEFAULT_FEATURES, table_for
from mlcore.folds import Fold, WalkForward
from mlcore.kinds import checked
from mlcore.models.make import as_model
from mlcore.refit import FEWEST_SCALER_ROWS, Outcome
from mlcore.stack import Member, Stack, stack
from mlcore.tasks import Label
from mlcore.walkforward import Progress, WalkForwardRun, check_stride, run_folds, shared_of, split, stitch

__all__ = ["PanelRun", "read_panel", "symbols_in", "walk_forward_panel"]


@dataclass(frozen=True)
class PanelRun:
    """What a pooled walk-forward leaves behind.

    forecasts
        Symbol -> forecasts, one row for each of its out-of-sample bars; a symbol without any is not here.
    labels
        Symbol -> its label, to hold the forecasts against.
    folds
        As in `WalkForwardRun`; the rows counted are those of all symbols, the stamps are of all symbols.
    notes, told
        Sentences the reader must see; ``told`` has those of single symbols again, by symbol.
    explanation
        As in `WalkForwardRun`: what the last fold's model looks at, the same for all symbols.
    """

    forecasts: dict[str, pd.DataFrame]
    labels: dict[str, Label]
    folds: list[dict[str, Any]]
    notes: tuple[str, ...] = field(default=())
    explanation: dict[str, pd.DataFrame] = field(default_factory=dict)
    told: dict[str, list[str]] = field(default_factory=dict)

    def of(self, symbol: str) -> WalkForwardRun:
        """Return what concerns one symbol: its forecasts, and the folds that hold bars of it, its own bars counted."""
        forecasts = self.forecasts[symbol]
        counts = forecasts.groupby("fold")["signal"].agg(["size", "count"])
        own = [
            fold | {"n_test": int(counts["size"][fold["fold"]]), "n_forecasts": int(counts["count"][fold["fold"]])}
            for fold in self.folds
            if fold["fold"] in counts.index
        ]
        others = {text for other, texts in self.told.items() if other != symbol for text in texts}
        notes = tuple(note for note in self.notes if note not in others)
        return WalkForwardRun(forecasts, own, notes, self.explanation)


@checked
def walk_forward_panel(
    panel: Mapping[str, pd.DataFrame],
    model: Any,
    *,
    label: Callable[[pd.DataFrame], Label],
    folds: WalkForward,
    features: Sequence[Any] | Callable[[pd.DataFrame], pd.DataFrame] = DEFAULT_FEATURES,
    max_gap: int = 3,
    n_jobs: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
    shuffle_labels: bool = False,
    validation: float = 0.15,
    confidence: str | None = None,
    stride: int = 1,
) -> PanelRun:
    """Refit one `model` for every fold on the past rows of all symbols, and forecast every bar of each of them.

    The rules are those of `walk_forward`, which is the case of one symbol, byte for byte. With several:

    - Folds are cut at one moment for all: a row of any symbol is trained on only where its label ended, plus the
      latency, before the first bar that any symbol is forecast on. So `trained_through` holds for all of them.
      Lengths in bars (`train`, `test`, `latency`) count the moments at which any symbol has a bar.
    - Validation rows are the newest moments' rows, purged likewise; a symbol delisted before has none there.
    - Features, labels, gaps and scalers are each symbol's own. Too few inner training rows (under 30): the scaler is
      fitted on all rows with a whole window that the symbol has in the training span, so a coin listed a few
      days ago is forecast by what was learnt from the others. Fewer than 30 of those too: the fold leaves the
      symbol out, and a note says so.
    - A model with ``reads_symbol = True`` gets one more column, ``symbol``, not scaled: 0, 1, ... for the symbols that
      the fold was trained on, -1 for one it was not. Networks embed it (the mean embedding for -1), LightGBM
      splits on it as a category. A model without it, `linear` and `naive` here, sees features only: a shift per
      symbol would be its mean return in the training span, which is noise.
    - The unit of predicted returns (`ReturnScale`) is one for all symbols.

    Parameters
    ----------
    panel : symbol -> checked bars, all of one interval (`read_panel`).
    label, features : made for each symbol from its bars; `features` are recipes or a function of the bars.

    The rest is told in `walk_forward`.

    Raises
    ------
    BarwiseError
        Symbols of different intervals, too few bars for one fold, no fold that could be fitted.
    """
    model = as_model(model)
    make = features if callable(features) else lambda bars: table_for(model, bars, features)
    members = {symbol: _member(symbol, bars, make, label) for symbol, bars in panel.items()}
    stacked = stack(members, model.lookback, max_gap)
    check_confidence(confidence, stacked.task, model)
    labels = {symbol: member.label for symbol, member in members.items()}
    del members  # the stack holds the tables now: at 400 symbols two copies would be felt
    plan = split(stacked, folds)
    shared = shared_of(
        stacked, model, plan, validation=validation, shuffle_labels=shuffle_labels, seed=seed, confidence=confidence,
        stride=check_stride(stride),
    )  # fmt: skip
    outcomes = run_folds(shared, plan, [None] * len(plan), n_jobs, progress)
    run = stitch(stacked, plan, outcomes, confidence)
    forecasts = _by_symbol(stacked, plan, run.forecasts)
    for symbol, made in forecasts.items():
        name_market(made, market_of(panel[symbol]))
    told = _left_out(stacked, outcomes, forecasts)
    notes = (*run.notes, *(text for texts in told.values() for text in texts))
    return PanelRun(forecasts, labels, run.folds, notes, run.explanation, told)


def _member(
    symbol: str,
    bars: pd.DataFrame,
    features: Callable[[pd.DataFrame], pd.DataFrame],
    label: Callable[[pd.DataFrame], Label],
) -> Member:
    try:
        return Member(bars, features(bars), label(bars))
    except BarwiseError as error:
        raise type(error)(f"{symbol}: {error}") from None


def _by_symbol(stacked: Stack, plan: Sequence[Fold], whole: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Part the forecasts, which stand in the order of the stack's rows."""
    rows = np.sort(np.concatenate([fold.test for fold in plan]))
    bounds = np.searchsorted(rows, stacked.layout.starts)
    return {
        symbol: whole.iloc[first:last]
        for symbol, first, last in zip(stacked.symbols, bounds, bounds[1:], strict=False)
        if last > first
    }


def _left_out(
    stacked: Stack, outcomes: Sequence[Outcome], forecasts: Mapping[str, pd.DataFrame]
) -> dict[str, list[str]]:
    """Say which symbols which folds leave out, and which have no bar out of sample."""
    folds: dict[int, list[str]] = {}
    for outcome in outcomes:
        for number in outcome.left_out:
            folds.setdefault(number, []).append(str(outcome.number))
    told: dict[str, list[str]] = {}
    for number, symbol in enumerate(stacked.symbols):
        if number in folds:
            told[symbol] = [
                f"{symbol} is not forecast in fold {', '.join(folds[number])}: fewer than {FEWEST_SCALER_ROWS} whole "
                "rows before it to be scaled by."
            ]
        if symbol not in forecasts:
            told[symbol] = [f"{symbol} has no bar out of sample: it is trained on where it can be."]
    return told
