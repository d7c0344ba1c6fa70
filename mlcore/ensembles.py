"""Finished forecasts of several models made one: the cheap way to an ensemble, nothing is trained again.

What an ensemble in `MODELS` does inside a fold, with members of its own, is done here over the folds of walk-forwards
that have been run: the same rules, fitted for each fold on forecasts of EARLIER folds whose labels had ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlcore.combiners import Combiner, centres, combine, lead_values
from mlcore.confidence import check_confidence
from mlcore.errors import BarwiseError
from mlcore.forecasts import ReturnScale, check_trained_through, make_forecasts
from mlcore.models.ensemble import Ensemble
from mlcore.models.make import make_model
from mlcore.models.members import INNER_SHARE
from mlcore.plugins import MODELS
from mlcore.tasks import Label
from mlcore.windows import Windows

FEWEST_ROWS = 200


def combine_tracks(
    tracks: Mapping[str, pd.DataFrame],
    label: Label,
    index: pd.DatetimeIndex,
    *,
    rule: str = "average",
    sideways: Sequence[str] = (),
    features: pd.DataFrame | None = None,
    fewest_rows: int = FEWEST_ROWS,
    latency: int = 0,
    confidence: str | None = None,
    **params: Any,
) -> pd.DataFrame:
    """Return the forecasts of an ensemble of walk-forwards that have been run, over the stamps that all of them have.

    For each fold of the first track (for regime_stack, the first of those for trends), the rule is fitted on rows of
    earlier folds whose labels had ended before the fold's first bar (less `latency`): weights, and the scale that
    returns are measured by. `trained_through` is the last bar that any track's model or the rule's own fit touched,
    whichever is later. A row on which one track is silent is silent; `disagreement` is the deviation of the tracks'
    signals. A fold with fewer than `fewest_rows` such rows, as the first one, weighs all tracks alike, and a return's
    signal and confidence are then the means of the tracks'.

    Parameters
    ----------
    tracks : name -> forecasts of a walk-forward on the same label; their folds need not be the same.
    label : the label they were trained on, of the bars stamped `index`.
    rule : an ensemble's name in `MODELS`: average, vote, stack, regime_stack, meta.
    sideways : for regime_stack, the tracks that speak in sideways markets; the others speak in trends.
    features : table on `index`, for the rules that look at the market (meta, regime_stack).
    fewest_rows : past forecasts that a fold needs.
    latency : bars that the fit takes; labels must have ended that much earlier.
    confidence : rule of the forecasts' confidence, as in `walk_forward`.
    params : parameters of the rule: ``weights``, ``shrinkage``, ``bonus``, ``regime_window``, ...

    Raises
    ------
    BarwiseError
        Tracks without a common stamp, of another label, or in-sample; a rule that is none or needs `features`.
    """
    model = _rule(rule, tuple(tracks), tuple(sideways), params)
    frames = _common({name: tracks[name] for name in model.member_names()}, label, index)
    check_confidence(confidence, label.task, model)
    rows = index.get_indexer(pd.DatetimeIndex(frames[0].index))
    raw = np.stack([frame[list(label.task.outputs)].to_numpy(np.float64) for frame in frames], axis=1)
    market = _market(model, features, index, rows, np.isfinite(raw).all(axis=(1, 2)))
    work = _Work(model, label, index, rows, frames, raw, market, latency, fewest_rows, confidence)
    with threadpool_limits(1):  # the same bits on every machine
        return pd.concat([work.fold(number) for number in np.unique(work.numbers)])


@dataclass(frozen=True)
class _Work:
    """What all folds share, row by row of the stamps in common."""

    model: Ensemble
    label: Label
    index: pd.DatetimeIndex
    rows: np.ndarray  # (N,) of the bars
    frames: list[pd.DataFrame]
    raw: np.ndarray  # (N, M, K)
    market: np.ndarray  # (N, D)
    latency: int
    fewest_rows: int
    confidence: str | None

    @cached_property
    def numbers(self) -> np.ndarray:
        return self.frames[0]["fold"].to_numpy(np.int64)

    @cached_property
    def spoken(self) -> np.ndarray:
        return np.isfinite(self.raw).all(axis=(1, 2))

    @cached_property
    def values(self) -> np.ndarray:
        return self.label.values[self.rows]

    @cached_property
    def known(self) -> np.ndarray:
        return self.spoken & np.isfinite(self.values.reshape(len(self.rows), -1)).all(axis=1)

    @cached_property
    def ends(self) -> np.ndarray:
        return self.label.ends[self.rows]

    @cached_property
    def trained(self) -> pd.DatetimeIndex:
        stamps = [pd.DatetimeIndex(frame["trained_through"]).as_unit("ns").asi8 for frame in self.frames]
        return pd.DatetimeIndex(pd.to_datetime(np.max(stamps, axis=0), unit="ns", utc=True))

    def said(self, column: str) -> np.ndarray:
        """Return ``(N, M)``: a column of all tracks."""
        return np.stack([frame[column].to_numpy(np.float64) for frame in self.frames], axis=1)

    def fold(self, number: int) -> pd.DataFrame:
        """Return the forecasts of one fold."""
        mine = self.numbers == number
        past = np.flatnonzero(self.known & (self.numbers < number) & (self.ends + self.latency < self.rows[mine][0]))
        combiner, scale = self.model.make_combiner(), None
        trained = self.trained[mine]
        if len(past) >= max(self.fewest_rows, 1):
            scale = self._fit(combiner, past)
            through = self.index[int(self.ends[past].max())]
            trained = trained.where(trained > through, through)
        return self._forecasts(mine, combiner, scale, trained)

    def _fit(self, combiner: Combiner, past: np.ndarray) -> ReturnScale:
        """Fit the rule on past rows, and the scale on what it makes of them."""
        task, n_newer = self.label.task, max(1, round(2 * INNER_SHARE * len(past)))
        newer = np.arange(len(past) - n_newer, len(past))
        older = np.flatnonzero(self.ends[past] < self.rows[past][newer[0]])
        combiner.fit(self.raw[past], self.values[past], task, self.market[past], (older, newer))
        made = self._combined(combiner, past)
        if task.kind == "classes":
            return ReturnScale(0.0, 0.0)
        return ReturnScale.of(centres(made[:, None], task)[:, 0], lead_values(self.values[past]))

    def _combined(self, combiner: Combiner, rows: np.ndarray) -> np.ndarray:
        raw = self.raw[rows]
        return combine(raw, combiner.weights(raw, self.label.task, self.market[rows]), self.label.task)

    def _forecasts(
        self, mine: np.ndarray, combiner: Combiner, scale: ReturnScale | None, trained: pd.DatetimeIndex
    ) -> pd.DataFrame:
        task, n = self.label.task, int(mine.sum())
        spoken = self.spoken[mine]
        asked = np.flatnonzero(mine)[spoken]
        raw, more = np.full((n, task.n_outputs), np.nan), {"disagreement": np.full(n, np.nan)}
        if len(asked):
            raw[spoken] = self._combined(combiner, asked)
            more["disagreement"][spoken] = self.said("signal")[asked].std(axis=1)
            gain = combiner.gain(self.raw[asked], task)
            if gain is not None:
                more["gain"] = np.full(n, np.nan)
                more["gain"][spoken] = gain
        made = make_forecasts(
            raw, task, index=self.index[self.rows[mine]], fold=self.numbers[mine], trained_through=trained,
            scale=scale or ReturnScale(0.0, 0.0), confidence=self.confidence, **more,
        )  # fmt: skip
        if scale is None and task.kind != "classes":  # nothing in the past to measure returns by
            for column in ("signal", "confidence"):
                weights = combiner.weights(self.raw[asked], task, self.market[asked])
                made.loc[spoken, column] = (self.said(column)[asked] * weights).sum(axis=1)
        return made


def _rule(name: str, tracks: tuple[str, ...], sideways: tuple[str, ...], params: dict[str, Any]) -> Ensemble:
    if not tracks:
        raise BarwiseError("`tracks` is empty: give the forecasts of at least one model.")
    kind = MODELS[name]
    if not (isinstance(kind, type) and issubclass(kind, Ensemble)):
        known = sorted(known for known in MODELS if hasattr(MODELS[known], "make_combiner"))
        raise BarwiseError(f"`rule` is {name!r}, which is one model; ensembles are {', '.join(known)}.")
    if "members" in params:
        raise BarwiseError("`members` is given; the members are the tracks.")
    foreign = [track for track in sideways if track not in tracks]
    if foreign:
        raise BarwiseError(f"`sideways` names {foreign[0]!r}, which is no track; they are {', '.join(tracks)}.")
    model: Any = make_model(name, **params)
    trending = tuple(track for track in tracks if track not in sideways)
    if hasattr(model, "sideways"):
        if not sideways or not trending:
            raise BarwiseError(f"`sideways` is {sideways}; name some of the tracks, and leave one at least for trends.")
        return model.set_params(members=trending, sideways=sideways)
    if sideways:
        raise BarwiseError(f"`sideways` is {sideways}; {name!r} has no members for sideways markets.")
    return model.set_params(members=tracks)


def _common(tracks: Mapping[str, pd.DataFrame], label: Label, index: pd.DatetimeIndex) -> list[pd.DataFrame]:
    """Return the tracks over the stamps that all of them have."""
    for name, track in tracks.items():
        missing = [column for column in (*label.task.outputs, "signal", "fold") if column not in track.columns]
        if missing:
            raise BarwiseError(f"`tracks`: {name!r} lacks {missing[0]!r}: it was not forecast for this label.")
        check_trained_through(track)
        if not track.index.isin(index).all():
            raise BarwiseError(f"`tracks`: {name!r} holds stamps that are no bars of `index`.")
        if not (
            track.index.is_monotonic_increasing and track.index.is_unique and track["fold"].is_monotonic_increasing
        ):
            raise BarwiseError(f"`tracks`: {name!r} is not in time, fold after fold: give it as it was made.")
    first, *others = tracks.values()
    common = first.index
    for track in others:
        common = common.intersection(track.index)
    if not len(common):
        raise BarwiseError("`tracks` have no stamp in common: walk the models forward over the same bars.")
    return [track.loc[common] for track in tracks.values()]


def _market(
    model: Ensemble, features: pd.DataFrame | None, index: pd.DatetimeIndex, rows: np.ndarray, spoken: np.ndarray
) -> np.ndarray:
    """Return ``(N, D)``: what the rule is to know of the market at each row; 0 where nothing is said."""
    if type(model).market is Ensemble.market:
        return np.empty((len(rows), 0))
    if features is None or not features.index.equals(index):
        raise BarwiseError(
            f"`features` are {'missing' if features is None else 'not on `index`'}: {type(model).__name__} looks at "
            "the market; give the feature table of the bars."
        )
    lookback = getattr(model, "regime_window", 1)
    table = np.ascontiguousarray(features.to_numpy(np.float64))
    model.feature_names_in_ = tuple(map(str, features.columns))
    seen = model.market(Windows(table, np.maximum(rows, lookback - 1), lookback))
    broken = spoken & (~np.isfinite(seen).all(axis=1) | (rows < lookback - 1))
    if broken.any():
        raise BarwiseError(f"`features` are not known at {index[rows[broken][0]]}, which the tracks forecast.")
    return np.where(spoken[:, None], seen, 0.0)
