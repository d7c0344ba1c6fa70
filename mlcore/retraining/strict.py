"""Retraining bar by bar, from nothing but the bars that were shown: for live use, stopped and taken up again."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlcore.bars import missing_bars
from mlcore.confidence import check_confidence
from mlcore.errors import BarwiseError
from mlcore.features import DEFAULT_FEATURES, table_for
from mlcore.features.recipes import Recipe
from mlcore.folds import Block, Fold, Usable, WalkForward
from mlcore.gaps import label_mask
from mlcore.incremental import check_warm_start, refuse_incremental
from mlcore.live import LiveForecaster
from mlcore.models.make import as_model
from mlcore.refit import Outcome, fitted, judge, outcome_of, watched
from mlcore.retraining.clock import Pending, Retrain, RetrainClock, Said
from mlcore.retraining.rules import Rule, Standing, right
from mlcore.retraining.walk import known_by
from mlcore.stack import Member, Stack, stack
from mlcore.store.folds import StoredFold, load_fold, model_name, params_to_plain, save_fold
from mlcore.store.run import fold_records
from mlcore.store.state import StoreError
from mlcore.tasks import Label
from mlcore.walkforward import check_stride, shared_of


class StrictWalk(RetrainClock):
    """A walk-forward under a clock that has no table of bars to come: `show` it every bar when it closes.

    What it says is what `RetrainedWalk` says over the same bars, up to rounding (`LiveForecaster`): it opens the same
    blocks, asks the same rules at the same closes and fits on the same rows, bit for bit.

    Parameters
    ----------
    model, folds, rules, max_gap, seed, validation, confidence, stride, warm_start : as for `RetrainedWalk`.
    label : function of bars to a `Label`. features: recipes of the table.
    store : folder that every fitted model is written to; it serves from there. Without one nothing is written and a
        run cannot be taken up again.

    The columns of the first bar are those of all: open, high, low, close, volume, and whatever else `features` and
    `label` read.

    A stop: `state` is all that is needed besides the store and the bars. To go on, make it anew with the same
    arguments, call `resume` with the state, and show it the bars again from the first one on: up to the last bar of
    the state nothing is fitted, from the next one on it goes on as if it had never stopped.
    """

    def __init__(
        self,
        model: Any,
        *,
        label: Callable[[pd.DataFrame], Label],
        folds: WalkForward,
        features: Sequence[Recipe] = DEFAULT_FEATURES,
        rules: Sequence[Rule] | Rule = (),
        max_gap: int = 3,
        seed: int = 0,
        validation: float = 0.15,
        confidence: str | None = None,
        stride: int = 1,
        warm_start: bool = False,
        incremental: None = None,
        store: str | Path | None = None,
    ) -> None:
        super().__init__(folds, rules)
        self.model = as_model(model)
        check_warm_start(warm_start, self.model)
        refuse_incremental(incremental)
        self.label, self.features, self.max_gap = label, features, max_gap
        self.store = None if store is None else Path(store)
        self._name = None if store is None else model_name(self.model)
        self._options: dict[str, Any] = {
            "validation": validation, "seed": seed, "confidence": confidence, "stride": check_stride(stride),
            "warm_start": warm_start,
        }  # fmt: skip
        self._stamps: list[int] = []
        self._columns: dict[str, list[float]] = {}
        self._digest = hashlib.sha256()
        self._said: list[LiveRow] = []  # of the live model
        self._live: LiveForecaster | None = None
        self._live_row: int | None = None  # of the live model's first bar; None before the first
        self._failed = False  # the live block's model could not be fitted
        self._folder: str | None = None  # the live model's in the store
        self._fitted: Any = None  # the newest model that could be fitted, which the next one may start from
        self._fitted_folder: str | None = None
        self._resumed: Mapping[str, Any] | None = None
        # No block opens before these, the row and the stamp.
        self._next_row = self.folds.train if isinstance(self.folds.train, int) else 1
        self._next_stamp = pd.Timestamp("1700-01-01", tz="UTC")

    def show(self, stamp: pd.Timestamp, bar: Mapping[str, float]) -> Said | None:
        """Take the bar that has just closed (`stamp` is its open, UTC) and say what the live model says of it."""
        if self._stamps and stamp.value <= self._stamps[-1]:
            raise BarwiseError(f"`stamp` {stamp} is not later than the last bar: show every bar once, in order.")
        if not self._stamps:
            self._columns = {name: [] for name in bar}
            if self._resumed is None and not isinstance(self.folds.train, int):
                self._next_stamp = stamp + self.folds.train
        lacking = [name for name in self._columns if name not in bar]
        if lacking:
            raise BarwiseError(f"`bar` {stamp} lacks {', '.join(lacking)}, which the bars before it have.")
        for name, values in self._columns.items():
            values.append(float(bar[name]))
        self._stamps.append(stamp.value)
        row = [values[-1] for values in self._columns.values()]
        self._digest.update(struct.pack(f"<q{len(row)}d", stamp.value, *row))
        if self._resumed is not None:
            return self._replay()
        return self.step(len(self._stamps) - 1)

    def bars(self, rows: slice = slice(None)) -> pd.DataFrame:
        """Return the bars shown so far."""
        index = pd.DatetimeIndex(self._stamps[rows], tz="UTC", name="timestamp").as_unit("ns")
        return pd.DataFrame({name: values[rows] for name, values in self._columns.items()}, index=index)

    def _bar(self, row: int) -> dict[str, float]:
        return {name: values[row] for name, values in self._columns.items()}

    def _stamp(self, row: int) -> pd.Timestamp:
        return pd.Timestamp(self._stamps[row], tz="UTC")

    def _stacked(self) -> tuple[Member, Stack, Usable]:
        bars = self.bars()
        member = Member(bars, table_for(self.model, bars, self.features), self.label(bars))
        one = stack({"": member}, self.model.lookback, self.max_gap)
        return member, one, self.folds.usable(one.clock, one.ends, one.whole & one.known)

    def _opens(self, row: int) -> Block | None:
        if row < self._next_row or self._stamp(row) < self._next_stamp:
            return None
        _, one, usable = self._stacked()
        blocks = self.folds.openings(one.clock, usable)
        if blocks:
            self._wait_after(blocks[-1])
            return blocks[-1] if blocks[-1].start == row else None
        if isinstance(self.folds.train, int):  # as if all labels ended at once: one bar may end those of many rows
            may_count = int(one.whole[: row - self.folds.latency].sum())
            self._next_row = row + max(1, self.folds.train - may_count)
        elif len(usable.known):
            self._next_stamp = one.clock[usable.known[0]] + self.folds.train
        return None

    def _wait_after(self, block: Block) -> None:
        if isinstance(self.folds.test, int):
            self._next_row = block.start + self.folds.test
        else:
            self._next_stamp = block.opened + self.folds.test

    def _retrain(self, row: int, block: Block | None, reason: str) -> None:
        member, one, usable = self._stacked()
        check_confidence(self._options["confidence"], one.task, self.model)
        opened = Block(row, row + 1, self._stamp(row) if block is None else block.opened)
        fold = self.folds.fold(one.clock, usable, self._number, opened)
        outcome, made = self._fit(member, one, fold, row)
        began = self._stamp(max(row - 1 - self.folds.latency, 0))
        through = one.clock[fold.trained_through]
        self.retrains.append(
            Retrain(
                fold.number, reason, began, self._stamp(row), through, len(fold.train), outcome.seconds, outcome.failure
            )
        )
        self._number += 1
        if made is not None or block is not None:
            self._trained_on, self._failed, self._folder = one.table[fold.train], made is None, None
            self._task, self._live_row, self._opened, self._said = one.task, row, opened.opened, []
            # A retrain that a rule asked for before the calendar's is still to come: no rule is asked until then.
            self._silent = [] if self._pending is None else [(row, self._pending.live)]
            self._live = None if made is None else self._served(made, row)

    def _fit(self, member: Member, one: Stack, fold: Fold, row: int) -> tuple[Outcome, StoredFold | None]:
        shared = known_by(
            shared_of(one, self.model, (), shuffle_labels=False, **self._options), row, self.folds.latency
        )
        outcome, made = outcome_of(shared, fold), None
        with watched(outcome):
            rows, model = fitted(shared, fold, self._fitted if shared.warm_start else None)
            judge(shared, rows, model, outcome)
            about = self._options | {"memory": member.memory, "max_gap": self.max_gap, "shuffle_labels": False}
            (record,) = fold_records(member.bars, member.features, member.label, [fold], self.model.lookback, about)
            made = StoredFold(model, rows.inputs.scalers[0], outcome.scale, one.task, record)
        return outcome, made

    def _served(self, made: StoredFold, row: int) -> LiveForecaster:
        """Return the forecaster that goes live at `row`: from the store where there is one, as after a stop."""
        if self.store is not None:
            path = save_fold(self.store, made, self._name)
            self._folder, made = path.name, load_fold(path)
        self._fitted, self._fitted_folder = made.model, self._folder
        return LiveForecaster(made, self.bars(slice(0, row)), self.features)

    def _say(self, row: int) -> Said | None:
        if self._live_row is None:
            return None
        if self._live is None:
            nothing = np.full(self._task.n_outputs, np.nan)
            said, through = Said(np.nan, np.nan, nothing, self._number - 1), self.retrains[-1].trained_through
        else:
            found = self._live.step(self._stamp(row), self._bar(row))
            said, through = Said(found.signal, found.confidence, found.outputs, found.fold), found.trained_through
        self._said.append((self._stamp(row), said, through))
        return said

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the raw outputs; none before the first model."""
        return () if self._live_row is None else self._task.outputs

    @property
    def forecasts(self) -> pd.DataFrame:
        """What the live model has said so far, as a frame of forecasts."""
        return frame_of(self._said, self.outputs)

    @property
    def ahead(self) -> tuple[np.ndarray, pd.DataFrame]:
        """The row said last and its forecast, as `RetrainedWalk.ahead`."""
        stamp, said, _ = self._said[-1]
        outputs = dict(zip(self._task.outputs, said.outputs, strict=True))
        values = {"signal": said.signal, "confidence": said.confidence, **outputs, "disagreement": np.nan}
        index = pd.DatetimeIndex([stamp], name="timestamp")
        return np.array([self._row]), pd.DataFrame(values, index=index)

    def _serves(self) -> bool:
        return not self._failed

    def _standing(self, row: int, said: Said) -> Standing:
        live = self._live
        assert live is not None and self._live_row is not None  # rules are asked of a fitted model only
        return Standing(
            stamp=self._stamp(row), row=row, fold=said.fold, bars_live=row - self._live_row + 1, signal=said.signal,
            confidence=said.confidence, inputs=live.inputs.copy(), columns=tuple(live.fold.record["features"]),
            _hits=self._hits, _trained_on=lambda: self._trained_on,
        )  # fmt: skip

    def _hits(self) -> np.ndarray:
        """Return whether the live model's settled forecasts came true, as they settled; labels of the bars shown."""
        bars, last = self.bars(), len(self._stamps) - 1
        label = self.label(bars)
        rows = np.arange(last + 1 - len(self._said), last + 1)
        signal = np.array([said.signal for _, said, _ in self._said])
        finite = np.isfinite(label.values[rows]).reshape(len(rows), -1).all(axis=1)
        known = finite & label_mask(missing_bars(pd.DatetimeIndex(bars.index)), label.ends, self.max_gap)[rows]
        at = np.flatnonzero((label.ends[rows] <= last) & known & np.isfinite(signal))
        at = at[np.argsort(label.ends[rows[at]], kind="stable")]
        raw = np.array([said.outputs for _, said, _ in self._said])
        return right(raw[at], signal[at], label.values[rows[at]], label.task)

    def state(self) -> dict[str, Any]:
        """Return what a run needs to be taken up again, as JSON can hold it; call it after `show`.

        Raises BarwiseError without a store.
        """
        if self.store is None:
            raise BarwiseError(
                "`store` is not given: without it no model is kept, and the run cannot be taken up again."
            )
        live = None if self._live_row is None else {
            "row": self._live_row, "folder": self._folder, "opened": self._opened.isoformat()
        }  # fmt: skip
        return {
            "setup": self._setup(),
            "bars": {"n": len(self._stamps), "sha256": self._digest.hexdigest()},
            "live": live,
            "fitted": self._fitted_folder,
            "next": self._number,
            "pending": None if self._pending is None else [self._pending.live, self._pending.reason],
            "silent": [list(rows) for rows in self._silent],
            "calendar": [self._next_row, self._next_stamp.isoformat()],
            "retrains": [
                {key: value.isoformat() if isinstance(value, pd.Timestamp) else value for key, value in row.items()}
                for row in (retrain.as_row() for retrain in self.retrains)
            ],
        }

    def _setup(self) -> dict[str, Any]:
        """Return what must be the same when the run is taken up again, as plain values."""
        features = [repr(recipe) for recipe in self.features]
        params = params_to_plain(self.model)
        setup = {"model": self._name, "params": params, "folds": repr(self.folds), "features": features}
        return setup | {"max_gap": self.max_gap, "options": self._options, "n_rules": len(self.rules)}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; to be called before the first `show`, which then begins with the first bar again.

        Raises StoreError where the run was made with other arguments than the one that was stopped.
        """
        if self.store is None or self._stamps:
            raise BarwiseError("`resume` wants a run with a `store` that no bar was shown to yet.")
        for name, value in self._setup().items():
            if state["setup"][name] != value:
                raise StoreError(
                    f"`{name}` is {value!r} and was {state['setup'][name]!r} before the stop: give what was given "
                    "then, or begin anew with another folder."
                )
        stamps = ("decided", "live", "trained_through")
        self.retrains = [
            Retrain(**{**row, **{name: pd.Timestamp(row[name]) for name in stamps}}) for row in state["retrains"]
        ]
        self._number, self._resumed = state["next"], state
        self._fitted_folder = state["fitted"]
        if self._options["warm_start"] and self._fitted_folder is not None:
            self._fitted = load_fold(self.store / self._fitted_folder).model
        self._pending = None if state["pending"] is None else Pending(*state["pending"])
        self._silent = [(first, stop) for first, stop in state["silent"]]
        self._next_row, self._next_stamp = state["calendar"][0], pd.Timestamp(state["calendar"][1])

    def _replay(self) -> Said | None:
        """Take in a bar from before the stop: the live model hears it, and so do the rules that were asked then."""
        assert self._resumed is not None
        state, row = self._resumed, len(self._stamps) - 1
        said, live = None, state["live"]
        self._row = row
        if live is not None and row == live["row"]:
            self._begin(live["folder"], row, pd.Timestamp(live["opened"]))
        if live is not None and row >= live["row"]:
            said = self._say(row)
            if not any(first <= row < stop for first, stop in self._silent):
                self._asked_then(row, said)
        if len(self._stamps) == state["bars"]["n"]:
            self._resumed = None
            if self._digest.hexdigest() != state["bars"]["sha256"]:
                raise StoreError(
                    f"The {len(self._stamps)} bars up to {self._stamp(row)} are not those shown before the stop: show "
                    "the same bars from the first one on, or begin anew with another folder."
                )
        return said

    def _asked_then(self, row: int, said: Said | None) -> None:
        pending, silent = self._pending, list(self._silent)
        self._ask(row, said)
        self._pending, self._silent = pending, silent

    def _begin(self, folder: str | None, row: int, opened: pd.Timestamp) -> None:
        """Have the stored model live from `row` on."""
        self._live_row, self._opened, self._failed, self._folder = row, opened, folder is None, folder
        _, one, usable = self._stacked()
        self._task = one.task
        if folder is not None and self.store is not None:
            made = load_fold(self.store / folder)
            self._live = LiveForecaster(made, self.bars(slice(0, row)), self.features)
            fold = self.folds.fold(one.clock, usable, 0, Block(row, row + 1, opened))
            self._trained_on = one.table[fold.train]


LiveRow = tuple[pd.Timestamp, Said, pd.Timestamp]  # stamp, what was said, trained_through


def frame_of(said: Sequence[LiveRow], outputs: Sequence[str]) -> pd.DataFrame:
    """Return what was said as a frame of forecasts (DESIGN.md, Contracts)."""
    index = pd.DatetimeIndex([stamp for stamp, *_ in said], tz="UTC", name="timestamp").as_unit("ns")
    raw = np.array([one.outputs for _, one, _ in said]).reshape(len(said), len(outputs))
    frame = pd.DataFrame(raw, index=index, columns=list(outputs))
    frame.insert(0, "confidence", [one.confidence for _, one, _ in said])
    frame.insert(0, "signal", [one.signal for _, one, _ in said])
    frame["disagreement"] = np.nan
    frame["fold"] = np.array([one.fold for _, one, _ in said], dtype=np.int64)
    through = pd.DatetimeIndex([through for *_, through in said], tz="UTC").as_unit("ns")
    frame["trained_through"] = pd.Series(through, index=index)
    return frame
