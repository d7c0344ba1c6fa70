"""A walk-forward that is told where the clock stands: calendar and rules, forecasts block by block."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mlcore.confidence import check_confidence
from mlcore.folds import Block, Fold, WalkForward
from mlcore.incremental import check_warm_start, refuse_incremental
from mlcore.models.make import as_model
from mlcore.refit import Inputs, Outcome, Shared, fitted, forecast_block, judge, outcome_of, watched
from mlcore.retraining.clock import Retrain, RetrainClock, Said
from mlcore.retraining.rules import Rule, Standing, right
from mlcore.stack import Layout, Member, Stack, stack
from mlcore.tasks import Label
from mlcore.walkforward import WalkForwardRun, check_stride, forecasts_of, shared_of, stitch

AHEAD = 1024  # bars forecast at a time where a rule may end a block early


@dataclass
class Live:
    """A model as it serves: what it forecasts with, and what it has forecast so far, part by part."""

    fold: Fold
    outcome: Outcome
    inputs: Inputs | None
    model: Any
    stop: int  # row after the last one that it could be asked for
    parts: list[tuple[np.ndarray, Outcome, pd.DataFrame]]


class RetrainedWalk(RetrainClock):
    """Walk forward under a clock; with the calendar alone the forecasts are those of `walk_forward`, to the bit.

    The tables may be made of all bars at once, since each row of them knows its own past only. What a fit is handed
    ends at the clock: rows before the bar at which the model goes live, labels that have ended; of the others not even
    the value is there. Forecasts are made block by block ahead, each row from its own past, and said when their bar
    closes.

    Parameters
    ----------
    bars, model, label, features, max_gap, seed, validation, confidence, stride, warm_start, shuffle_labels : as for
        `walk_forward`.
    folds : the calendar: ``WalkForward(train, test, expanding, latency)``. Every block of `test` opens with a new
        model; ``test`` longer than the bars leaves all retrains but the first to the rules.
    rules : one rule or several (`Rule`); the first that speaks has a new model fitted, on the train window that ends
        then.
    incremental : None; there are no updates between refits under a clock.
    """

    def __init__(
        self,
        bars: pd.DataFrame,
        model: Any,
        *,
        label: Label,
        features: pd.DataFrame,
        folds: WalkForward,
        rules: Sequence[Rule] | Rule = (),
        max_gap: int = 3,
        seed: int = 0,
        validation: float = 0.15,
        confidence: str | None = None,
        stride: int = 1,
        warm_start: bool = False,
        incremental: None = None,
        shuffle_labels: bool = False,
    ) -> None:
        super().__init__(folds, rules)
        model = as_model(model)
        check_confidence(confidence, label.task, model)
        check_warm_start(warm_start, model)
        refuse_incremental(incremental)
        self.stacked = stack({"": Member(bars, features, label)}, model.lookback, max_gap)
        self.shared = shared_of(
            self.stacked, model, (), validation=validation, shuffle_labels=shuffle_labels, seed=seed,
            confidence=confidence, stride=check_stride(stride), warm_start=warm_start,
        )  # fmt: skip
        one = self.stacked
        self.usable = folds.usable(one.clock, one.ends, one.whole & one.known)
        self._blocks = {block.start: block for block in folds.openings(one.clock, self.usable)}
        self._stop = 0  # row after the calendar's block
        self._lives: list[Live] = []

    def _opens(self, row: int) -> Block | None:
        return self._blocks.get(row)

    def _retrain(self, row: int, block: Block | None, reason: str) -> None:
        if block is not None:
            self._stop = block.stop
        live = self._fit(block or Block(row, self._stop, self.stacked.clock[row]))
        one, fold, outcome = self.stacked, live.fold, live.outcome
        clock, began = one.clock, row - 1 - self.folds.latency
        self.retrains.append(
            Retrain(
                fold.number, reason, clock[max(began, 0)], clock[row], clock[fold.trained_through], len(fold.train),
                outcome.seconds, outcome.failure,
            )
        )  # fmt: skip
        self._number += 1
        if outcome.failure is None or block is not None:
            self._lives.append(live)

    def _fit(self, block: Block) -> Live:
        """Fit on what is known where `block` opens; a fit that fails ends up in the outcome."""
        fold = self.folds.fold(self.stacked.clock, self.usable, self._number, block)
        shared, outcome = known_by(self.shared, block.start, self.folds.latency), outcome_of(self.shared, fold)
        start = next((live.model for live in reversed(self._lives) if live.model is not None), None)
        inputs = model = None
        with watched(outcome):
            rows, model = fitted(shared, fold, start if self.shared.warm_start else None)
            judge(shared, rows, model, outcome)
            inputs = copy.copy(rows.inputs)
            inputs.shared = self.shared  # fitted; from here on it only reads the rows that are forecast
        return Live(fold, outcome, inputs, None if outcome.failure else model, block.stop, [])

    def _say(self, row: int) -> Said | None:
        if not self._lives:
            return None
        live = self._lives[-1]
        if not live.parts or row > live.parts[-1][0][-1]:
            self._forecast(live, row)
        rows, outcome, frame = live.parts[-1]
        i = row - int(rows[0])
        signal, confidence = (float(frame[name].to_numpy()[i]) for name in ("signal", "confidence"))
        return Said(signal, confidence, outcome.raw[i], live.fold.number)

    def _forecast(self, live: Live, row: int) -> None:
        """Forecast the live model's next rows: its whole block, or `AHEAD` of it where a rule may end it early."""
        stop = min(live.stop, row + AHEAD) if self.rules else live.stop
        rows = np.arange(row, stop)
        part = replace(live.fold, test=rows)
        blank = outcome_of(self.shared, part)
        outcome = replace(live.outcome, raw=blank.raw, through=blank.through, more={})
        if live.model is not None and live.inputs is not None:
            with watched(outcome):
                forecast_block(self.shared, part, live.inputs, live.model, outcome)
        live.outcome.seconds, live.outcome.warnings = outcome.seconds, outcome.warnings
        if outcome.failure is not None and live.outcome.failure is None:
            live.outcome.failure = outcome.failure
        live.parts.append((rows, outcome, forecasts_of(self.stacked, part, outcome, self.shared.confidence)))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the raw outputs."""
        return self.stacked.task.outputs

    @property
    def ahead(self) -> tuple[np.ndarray, pd.DataFrame]:
        """The rows that were forecast together with the last one said, and their forecasts, each from its own past.

        Those of later bars are not said yet: a new model may come before them.
        """
        rows, _, frame = self._lives[-1].parts[-1]
        return rows, frame

    def _serves(self) -> bool:
        return self._lives[-1].model is not None

    def _standing(self, row: int, said: Said) -> Standing:
        live, one = self._lives[-1], self.stacked
        first = int(live.parts[0][0][0])
        return Standing(
            stamp=one.clock[row], row=row, fold=live.fold.number, bars_live=row - first + 1, signal=said.signal,
            confidence=said.confidence, inputs=one.table[row].copy(), columns=one.columns,
            _hits=lambda: self._hits(live, row), _trained_on=lambda: one.table[live.fold.train],
        )  # fmt: skip

    def _hits(self, live: Live, row: int) -> np.ndarray:
        """Return whether the live model's forecasts up to `row` came true: those whose label ended by `row`."""
        one = self.stacked
        rows = np.arange(int(live.parts[0][0][0]), row + 1)
        raw = np.concatenate([outcome.raw for _, outcome, _ in live.parts])[: len(rows)]
        signal = np.concatenate([frame["signal"].to_numpy() for *_, frame in live.parts])[: len(rows)]
        return settled(rows, raw, signal, row, one)

    def finish(self) -> WalkForwardRun:
        """Return what `walk_forward` would: the forecasts of all bars stepped, and the folds they come from.

        Raises BarwiseError where no model was fitted.
        """
        if not self._lives:
            index = self.stacked.clock[: self._row + 1]
            usable = (self.stacked.whole & self.stacked.known)[: len(index)]
            self.folds.split(index, self.stacked.ends[: len(index)], usable)  # says what is missing
        ends = [int(later.parts[0][0][0]) for later in self._lives[1:]] + [self._row + 1]
        served = [_served(live, end) for live, end in zip(self._lives, ends, strict=True)]
        plan, outcomes = [fold for fold, _ in served], [outcome for _, outcome in served]
        return stitch(self.stacked, plan, outcomes, self.shared.confidence)


def known_by(shared: Shared, row: int, latency: int) -> Shared:
    """Return `shared` as it is known where a model that goes live at `row` is fitted: nothing later is in it."""
    ended = shared.ends[:row] + latency + 1 <= row
    mask = ended if shared.values.ndim == 1 else ended[:, None]
    return replace(
        shared,
        table=shared.table[:row],
        values=np.where(mask, shared.values[:row], np.nan),
        ends=shared.ends[:row],
        tradable=shared.tradable[:row],
        layout=Layout.of_one(row),
    )


def settled(rows: np.ndarray, raw: np.ndarray, signal: np.ndarray, row: int, one: Stack) -> np.ndarray:
    """Return whether the forecasts of `rows` that have settled at the close of `row` came true, as they settled."""
    ended = (one.ends[rows] <= row) & one.known[rows] & np.isfinite(signal)
    order = np.flatnonzero(ended)[np.argsort(one.ends[rows][ended], kind="stable")]
    return right(raw[order], signal[order], one.values[rows[order]], one.task)


def _served(live: Live, end: int) -> tuple[Fold, Outcome]:
    """Return the fold and the outcome of the rows that a model was live for, which end before row `end`."""
    rows = np.concatenate([rows for rows, *_ in live.parts])
    kept = rows < end
    parts = [outcome for _, outcome, _ in live.parts]
    more = {
        name: np.concatenate([part.more.get(name, np.full(len(part.raw), np.nan)) for part in parts])[kept]
        for name in dict.fromkeys(name for part in parts for name in part.more)
    }
    outcome = replace(
        live.outcome,
        raw=np.concatenate([part.raw for part in parts])[kept],
        through=np.concatenate([part.through for part in parts])[kept],
        more=more,
    )
    return replace(live.fold, test=rows[kept]), outcome
