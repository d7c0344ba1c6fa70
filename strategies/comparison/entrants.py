"""One model of a comparison, trained: its forecasts, what it took, how quick and how large it is."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlcore.bars import missing_bars
from mlcore.confidence import check_confidence
from mlcore.errors import BarwiseError
from mlcore.features import DEFAULT_FEATURES, table_for
from mlcore.features.recipes import Recipe
from mlcore.folds import WalkForward
from mlcore.gaps import finite_windows, window_mask
from mlcore.live import LiveForecaster
from mlcore.store import StoreError, load_fold
from mlcore.store.run import check_store
from mlcore.store.state import check_storable
from mlcore.tasks import Label
from mlcore.walkforward import walk_forward
from strategies.comparison.config import ComparisonConfig, reads_windows
from strategies.main_job import make_model
from strategies.output import plain

KEYS = ("train", "test", "expanding", "latency", "max_gap", "seed", "confidence")
LATENCY_REPEATS = 200
WARM_UP_REPEATS = 5


@dataclass(frozen=True)
class Entrant:
    """A model that was tried.

    forecasts
        Of all folds, or None where it failed. failure: why it has none.
    seconds
        Of one core, all folds: fitting and forecasting.
    latency
        Seconds of each of the last 200 decisions of the last fold's model, bar in to forecast out, one thread.
    size
        Bytes of the last fold in the store; None, with a note, for a model that cannot be stored.
    stride
        Of its training rows.
    """

    name: str
    forecasts: pd.DataFrame | None = None
    seconds: float | None = None
    latency: tuple[float, ...] = ()
    size: int | None = None
    stride: int = 1
    folds: int = 0
    notes: tuple[str, ...] = ()
    failure: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """What all entrants have in common."""

    config: ComparisonConfig
    bars: pd.DataFrame
    label: Label
    bars_sha256: str
    features: Sequence[Recipe] = DEFAULT_FEATURES

    def folds(self) -> WalkForward:
        """The schedule of refits."""
        config = self.config
        return WalkForward(config.train, config.test, expanding=config.expanding, latency=config.latency)


def first_rows(
    bars: pd.DataFrame, models: Iterable[Any], max_gap: int, features: Sequence[Recipe] = DEFAULT_FEATURES
) -> list[int]:
    """Return the first row that each model has a whole window at; the number of bars for one that never has.

    A model that the bars cannot serve (a slow clock shorter than they are) never has; `enter` tells why.
    """
    missing = missing_bars(pd.DatetimeIndex(bars.index))
    found = []
    for model in models:
        try:
            table = table_for(model, bars, features)
        except BarwiseError:
            found.append(len(bars))
            continue
        length = model.lookback + int(table.attrs.get("memory", 0))
        whole = window_mask(missing, length, max_gap) & finite_windows(table.to_numpy(np.float64), model.lookback)
        found.append(int(whole.argmax()) if whole.any() else len(bars))
    return found


def one_start(label: Label, first: int) -> Label:
    """Return `label` without the rows before `first`, so that models that can begin there have the same folds.

    The clock of a walk-forward starts at the first row that can be trained on, which a long lookback puts off.
    """
    values = np.array(label.values)
    values[:first] = np.nan
    return replace(label, values=values)


Told = Callable[[str, int, int], None]


def enter(protocol: Protocol, name: str, work: Path, progress: Told, *, shuffle_labels: bool = False) -> Entrant:
    """Train one model, or take what an earlier, interrupted run left of it in `work`; never raises for its failure.

    A model that fails must not cost the others: whatever it raises ends up in `failure`.
    """
    entered = "shuffled_label" if shuffle_labels else name
    try:
        model = make_model(name, protocol.config.of(name))
        key = _fingerprint(protocol, name, model, shuffle_labels)
        kept = _kept(work, entered, key)
        if kept is not None:
            return kept
        found = _train(protocol, entered, model, progress, shuffle_labels)
        _keep(work, found, key)
        return found
    except Exception as error:  # noqa: BLE001 - see above
        return Entrant(entered, failure=f"{type(error).__name__}: {error}")


def stride_of(model: Any, stride: int) -> int:
    """Return the stride that saves `model` time: all of it for a network that reads windows, none for others."""
    return stride if reads_windows(model) else 1


def _train(protocol: Protocol, entered: str, model: Any, progress: Told, shuffle_labels: bool) -> Entrant:
    config = protocol.config
    features = table_for(model, protocol.bars, protocol.features)
    stride = stride_of(model, config.stride)
    with tempfile.TemporaryDirectory() as folder:
        store, notes = Path(folder) / "store", []
        try:
            check_storable(model)
            check_store(store, model)
        except StoreError as error:
            store, notes = None, [f"size and latency are not measured: {error}"]  # type: ignore[assignment]
        rule = _confidence(config.confidence, protocol.label, model)
        if rule != config.confidence:
            notes.append(
                f"`confidence` {config.confidence!r} is not for this model: it speaks by its label's own rule."
            )
        run = walk_forward(
            protocol.bars,
            model,
            label=protocol.label,
            features=features,
            folds=protocol.folds(),
            max_gap=config.max_gap,
            n_jobs=config.n_jobs,
            seed=config.seed,
            shuffle_labels=shuffle_labels,
            store=store,
            stride=stride,
            confidence=rule,
            progress=lambda done, total, *_: progress(entered, done, total),
        )
        stored = [fold["stored"] for fold in run.folds if fold.get("stored")] if store else []
        size: int | None = None
        latency: tuple[float, ...] = ()
        if store and stored:
            size = sum(path.stat().st_size for path in (store / stored[-1]).iterdir())
            try:
                latency = decision_latency(store / stored[-1], protocol.bars, protocol.features)
            except Exception as error:  # noqa: BLE001 - its forecasts are there, and are not lost for a clock
                notes = [*notes, f"latency is not measured: {type(error).__name__}: {error}"]
    return Entrant(
        entered,
        run.forecasts,
        float(sum(fold["seconds"] for fold in run.folds)),
        latency,
        size,
        stride,
        len(run.folds),
        (*run.notes, *notes),
        None,
        plain(model.get_params(deep=False)),
    )


def _confidence(name: str | None, label: Label, model: Any) -> str | None:
    """The rule asked for, or the label's own for a model that cannot speak by it."""
    try:
        check_confidence(name, label.task, model)
    except BarwiseError:
        return None
    return name


def decision_latency(
    folder: Path, bars: pd.DataFrame, recipes: Sequence[Recipe], repeats: int = LATENCY_REPEATS
) -> tuple[float, ...]:
    """Return the seconds that each of the last decisions takes, bar in to forecast out, its features included.

    By the fold stored in `folder`, one thread, over the newest `repeats` bars after its training (fewer where there
    are fewer); weights and orders are not in it. A few are made before the clock starts.
    """
    fold = load_fold(folder)
    after = int(bars.index.searchsorted(pd.Timestamp(fold.record["trained_through"]), side="right"))
    first = max(after, len(bars) - repeats - WARM_UP_REPEATS)
    live = LiveForecaster(fold, bars.iloc[:first], recipes)
    taken = []
    rows: list[Any] = bars.iloc[first:].to_dict("records")
    for stamp, bar in zip(bars.index[first:], rows, strict=True):
        started = time.perf_counter()
        live.step(stamp, bar)
        taken.append(time.perf_counter() - started)
    return tuple(taken[WARM_UP_REPEATS:])


def _fingerprint(protocol: Protocol, name: str, model: Any, shuffle_labels: bool) -> str:
    """What a kept entrant must agree in to be the one asked for."""
    config = protocol.config
    said = {
        "model": name,
        "kind": f"{type(model).__module__}.{type(model).__qualname__}",
        "parameters": plain(model.get_params(deep=False)),
        "bars": protocol.bars_sha256,
        "label": protocol.label.recipe,
        "features": [str(recipe) for recipe in protocol.features],
        "first_label": int(np.isfinite(protocol.label.values).argmax()),
        "shuffle_labels": shuffle_labels,
        "stride": stride_of(model, config.stride),
    }
    said |= {key: getattr(config, key) for key in KEYS}
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def _keep(work: Path, entrant: Entrant, key: str) -> None:
    work.mkdir(parents=True, exist_ok=True)
    assert entrant.forecasts is not None
    entrant.forecasts.to_parquet(work / f"{entrant.name}.parquet")
    rest = {name: value for name, value in asdict(entrant).items() if name != "forecasts"}
    partial = work / f"{entrant.name}.json.part"
    partial.write_text(json.dumps({"key": key, "entrant": plain(rest)}))
    partial.rename(work / f"{entrant.name}.json")  # last, and whole: what it names is there


def _kept(work: Path, name: str, key: str) -> Entrant | None:
    told = work / f"{name}.json"
    if not told.exists():
        return None
    held = json.loads(told.read_text())
    if held["key"] != key:
        return None
    rest = held["entrant"] | {word: tuple(held["entrant"][word]) for word in ("latency", "notes")}
    return Entrant(forecasts=pd.read_parquet(work / f"{name}.parquet"), **rest)


__all__ = ["Entrant", "Protocol", "decision_latency", "enter", "stride_of"]
