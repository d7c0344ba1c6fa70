"""What all ensembles share: members fitted on older rows, a combiner on what they then said of newer ones."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from mlcore.combiners import Combiner, centres, combine
from mlcore.errors import BarwiseWarning
from mlcore.forecasts import ReturnScale, signal_of
from mlcore.models.inputs import Validation, check_fit, check_windows, checked_predict, symbol_column
from mlcore.models.members import (
    INNER_SHARE,
    bars_touched,
    inner_split,
    make_members,
    member_names,
    newest_from,
    split_at,
    state_of,
    states_in_one,
)
from mlcore.scaling import Scaler
from mlcore.store.state import ModelState, task_of, task_values
from mlcore.stretches import check_finite
from mlcore.tasks import Task
from mlcore.windows import Windows

DEFAULT_MEMBERS = ("linear", "lightgbm", "tcn")  # cheap, and unlike each other: a line, trees, a network
TOLD = ("feature_names_in_", "bar_interval_")  # what the walk-forward tells a model, and an ensemble its members


class Ensemble(BaseEstimator, ABC):
    """Models that forecast together. A kind of ensemble gives its own parameters and `make_combiner`.

    `fit` fits the members on the training rows; the newest of these, purged, serve their early stopping. What the
    members then say of the `validation` rows, newer than all they were fitted on, is what the combiner learns from:
    out-of-sample forecasts whose labels had ended, and nothing else. Without `validation` a combiner that would
    learn weighs all members alike, with one BarwiseWarning.

    A window is as long as the longest member's; the others are given its newest bars. `own_features` and `clocks` are
    those of all members together. Where members that want raw features stand beside members that want scaled ones, the
    ensemble asks for raw ones and scales for the others itself, by its training rows. In a pool, members that read the
    symbol are told it, the others are not.

    Attributes
    ----------
    members_ : the fitted members, in order; each has a seed of its own, derived from `seed`.
    spreads_ : ``(M,)`` unit of each member's returns (`mlcore.forecasts.ReturnScale`), for its signal.
    combiner_ : what it combines by (`mlcore.combiners.Combiner`).
    """

    members: Any
    seed: int

    @abstractmethod
    def make_combiner(self) -> Combiner:
        """Return a combiner that has learnt nothing yet."""

    def member_models(self) -> list[Any]:
        """Return the members as new, unfitted models."""
        return make_members(self.members)

    def member_names(self) -> tuple[str, ...]:
        """Return a short name of each member."""
        return member_names(self.members)

    def market(self, windows: Windows) -> np.ndarray:
        """Return ``(N, D)``: what the combiner is to know of the market at the close of each window's newest bar."""
        return np.empty((len(windows), 0))

    @property
    def lookback(self) -> int:
        """Bars of a window: the longest member's."""
        return max(int(member.lookback) for member in self.member_models())

    @property
    def scaled(self) -> bool:
        """Whether the walk-forward is to scale the features: where all members want it."""
        return all(_wants_scaled(member) for member in self.member_models())

    @property
    def reads_symbol(self) -> bool:
        """Whether a pooled table is to tell the symbol: where a member reads it."""
        return any(map(_reads_symbol, self.member_models()))

    @property
    def own_features(self) -> tuple[Any, ...]:
        """Features that members ask for."""
        return _union(member.own_features for member in self.member_models() if hasattr(member, "own_features"))

    @property
    def clocks(self) -> tuple[str, ...]:
        """Slower clocks that members ask for."""
        return _union(member.clocks for member in self.member_models() if hasattr(member, "clocks"))

    def check_task(self, task: Task) -> None:
        """Refuse a task that a member refuses, before anything is fitted; warn where one member is all there is."""
        members = self.member_models()
        if len(members) == 1:
            (name,) = self.member_names()
            warnings.warn(
                f"`members` names one model, {name!r}: it has nothing to be combined with.",
                BarwiseWarning,
                stacklevel=2,
            )
        for member in members:
            if hasattr(member, "check_task"):
                member.check_task(task)

    def fit(self, windows: Windows, y: np.ndarray, *, task: Task, validation: Validation | None = None) -> Self:
        """Fit the members on `windows`, the combiner on `validation`."""
        y = check_fit(windows, y, task, lookback=self.lookback)
        check_finite(windows)
        self.combiner_ = self.make_combiner()
        self.market(windows.take(slice(0, 1)))  # what cannot be is refused before members are fitted for an hour
        self.task_, self.n_features_in_, self.members_ = task, windows.shape[2], self._new_members()
        self.scaler_ = None
        if not self.scaled and any(map(_wants_scaled, self.members_)):
            self.scaler_ = Scaler().fit(self._features(windows.last))
        if validation is not None and not len(validation[0]):
            validation = None
        if validation is not None:
            check_windows(validation[0], lookback=self.lookback, n_features=self.n_features_in_)
            check_finite(validation[0])
        split = None if validation is None else inner_split(windows, validation)
        for member in self.members_:
            self._fit_member(member, windows, y, split)
        self._fit_combiner(windows, validation)
        return self

    def _new_members(self) -> list[Any]:
        members = self.member_models()
        for number, member in enumerate(members):
            if "seed" in member.get_params(deep=False):
                own = np.random.SeedSequence([self.seed, number]).generate_state(1)[0] >> 1
                member.set_params(seed=int(own))
            for name in TOLD:
                if hasattr(self, name):
                    setattr(member, name, getattr(self, name))
            if self._told_symbol and not _reads_symbol(member):
                member.feature_names_in_ = self.feature_names_in_[:-1]  # type: ignore[attr-defined]
        return members

    @property
    def _told_symbol(self) -> bool:
        """Whether the last column is the symbol's code."""
        return symbol_column(self) is not None

    def _features(self, table: np.ndarray) -> np.ndarray:
        """Return the columns of `table` without the symbol's code, which is no number to scale or to weigh by."""
        return table[:, :-1] if self._told_symbol else table

    def _fit_member(self, member: Any, windows: Windows, y: np.ndarray, split: Any) -> None:
        seen = self._for_member(member, windows)
        if split is None:
            member.fit(seen, y, task=self.task_)
            return
        learn, stop = split
        member.fit(seen.take(learn), y[learn], task=self.task_, validation=(seen.take(stop), y[stop]))

    def _for_member(self, member: Any, windows: Windows) -> Windows:
        table = features = self._features(windows.table)
        if self.scaler_ is not None and _wants_scaled(member):
            table = self.scaler_.transform(features)
        if self._told_symbol and _reads_symbol(member):
            table = np.column_stack([table, windows.table[:, -1].astype(table.dtype)])
        return Windows(table, windows.rows, member.lookback, windows.moments)

    def _fit_combiner(self, windows: Windows, validation: Validation | None) -> None:
        if validation is None:
            self.spreads_ = self._spreads(self._say(windows))
            if self.combiner_.learns:
                warnings.warn(
                    f"`validation` is missing: {type(self).__name__} has no out-of-sample forecasts to learn from and "
                    "weighs its members alike.",
                    BarwiseWarning,
                    stacklevel=3,
                )
            return
        judged, y = validation
        raw, market = self._say(judged), self.market(judged)
        self.spreads_ = self._spreads(raw)
        order = np.argsort(judged.moments, kind="stable")
        purge, y = bars_touched(windows, judged) or self.lookback, np.asarray(y, dtype=np.float64)
        split = split_at(judged.take(order), newest_from(judged.moments, 2 * INNER_SHARE), purge)
        self.combiner_.fit(raw[order], y[order], self.task_, market[order], split)

    def _spreads(self, raw_NMK: np.ndarray) -> np.ndarray:
        if self.task_.kind == "classes":
            return np.ones(raw_NMK.shape[1])
        said_NM = centres(raw_NMK, self.task_)
        return np.array([ReturnScale.of(said, np.zeros(len(said))).spread for said in said_NM.T])

    def _say(self, windows: Windows) -> np.ndarray:
        """Return ``(N, M, K)``: the members' raw outputs."""
        said = [checked_predict(member, self._for_member(member, windows), self.task_) for member in self.members_]
        return np.stack(said, axis=1)

    def predict(self, windows: Windows) -> np.ndarray:
        """Return ``(N, n_outputs)`` float64 in the order of ``task.outputs``."""
        return self.predict_with_disagreement(windows)[0]

    def predict_with_disagreement(self, windows: Windows) -> tuple[np.ndarray, ...]:
        """Return raw outputs, the deviation of the members' signals ``(N,)``, and, of some, the gain ``(N,)``.

        A member's signal is what it would be in forecasts of its own: expected score, or return in units of its
        predictions' deviation on the validation rows, through tanh. The gain is a factor on the confidence.
        """
        check_windows(windows, lookback=self.lookback, n_features=self.n_features_in_)
        check_finite(windows)
        if not len(windows):
            return np.empty((0, self.task_.n_outputs)), np.empty(0)
        raw = self._say(windows)
        weights = self.combiner_.weights(raw, self.task_, self.market(windows))
        gain = self.combiner_.gain(raw, self.task_)
        said = combine(raw, weights, self.task_), self.signals(raw).std(axis=1)
        return said if gain is None else (*said, gain)

    def explain(self, windows: Windows) -> dict[str, pd.DataFrame]:
        """Return the members' weights over `windows`, one row a member: the mean, and the span where they vary."""
        weights = self.combiner_.weights(self._say(windows), self.task_, self.market(windows))
        names = self.member_names()
        rows = [f"{name} ({at + 1})" if names.count(name) > 1 else name for at, name in enumerate(names)]
        told = {"mean": weights.mean(axis=0)}
        if np.ptp(weights, axis=0).max() > 0:
            told |= {"least": weights.min(axis=0), "most": weights.max(axis=0)}
        return {"member_weights": pd.DataFrame(told, rows)}

    def signals(self, raw_NMK: np.ndarray) -> np.ndarray:
        """Return ``(N, M)``: the members' signals."""
        lead = self.task_.lead
        pairs = zip(np.moveaxis(raw_NMK, 1, 0), self.spreads_, strict=True)
        return np.stack([signal_of(raw[:, : lead.n_outputs], lead, spread) for raw, spread in pairs], axis=1)

    def get_state(self) -> ModelState:
        """The members' states in one, and what the combiner has learnt (`mlcore.store`)."""
        state = states_in_one(self.members_)
        arrays = dict(state.arrays) | {f"combiner.{name}": array for name, array in self.combiner_.state().items()}
        arrays["spreads"] = self.spreads_
        values = {"n_features": self.n_features_in_, "task": task_values(self.task_), "clip": None}
        if self.scaler_ is not None:
            arrays |= {"scaler.mean": self.scaler_.mean_, "scaler.scale": self.scaler_.scale_}
            values["clip"] = float(self.scaler_.clip)
        return ModelState(arrays, state.texts, dict(state.values) | values)

    def set_state(self, state: ModelState) -> Self:
        """Become the ensemble that `state` was taken of; parameters are set already."""
        self.task_, self.n_features_in_ = task_of(state.values["task"]), state.values["n_features"]
        self.members_ = self._new_members()
        for number, member in enumerate(self.members_):
            member.set_state(state_of(state, number))
        self.spreads_, self.combiner_ = state.arrays["spreads"], self.make_combiner()
        prefix = "combiner."
        learnt = {name: array for name, array in state.arrays.items() if name.startswith(prefix)}
        self.combiner_.restore({name.removeprefix(prefix): array for name, array in learnt.items()})
        self.scaler_ = None
        if state.values["clip"] is not None:
            self.scaler_ = Scaler(state.values["clip"])
            self.scaler_.mean_, self.scaler_.scale_ = state.arrays["scaler.mean"], state.arrays["scaler.scale"]
        return self


def _reads_symbol(member: Any) -> bool:
    return bool(getattr(member, "reads_symbol", False))


def _wants_scaled(member: Any) -> bool:
    return bool(getattr(member, "scaled", True))


def _union(lists: Any) -> tuple[Any, ...]:
    found: list[Any] = []
    for listed in lists:
        found += [one for one in listed if one not in found]
    return tuple(found)
