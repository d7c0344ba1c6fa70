"""Walk-forwards that were done before are not done again: kept by the content of what they were made of."""

from __future__ import annotations

import inspect
import math
import os
import shutil
import sys
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

import mlcore.labels  # noqa: F401  (enters the kit's own labels in the table)
from mlcore.bars import bars_sha256, market_of, name_market
from mlcore.content import code_of, plain, sha256_of
from mlcore.errors import BarwiseError, did_you_mean
from mlcore.features import DEFAULT_FEATURES, table_for
from mlcore.features.recipes import Recipe, column_name, parse_recipe
from mlcore.folds import WalkForward
from mlcore.models.make import make_model
from mlcore.plugins import CONFIDENCES, FEATURES, LABELS
from mlcore.store.files import read_json, sha256, write_json
from mlcore.store.folds import versions
from mlcore.store.outcomes import KeptFolds
from mlcore.store.state import StoreError
from mlcore.tasks import Label
from mlcore.versions import versions_of
from mlcore.walkforward import Progress, walk_forward

FORMAT = 1
MANIFEST, FORECASTS = "manifest.json", "forecasts.parquet"
# Besides those of the store (`mlcore.store.folds.versions`): what features and models may call.
LIBRARIES = ("TA-Lib", "arch", "scipy", "xgboost", "xgboost-cpu")


@dataclass(frozen=True)
class Training:
    """What a walk-forward is made of, apart from the bars; equal content, equal forecasts.

    model
        A name in `MODELS`, or an unfitted model, with `params` over its own.
    label, label_params
        A name in `LABELS` and its parameters.
    features
        Recipes, as `feature_table` takes them; what the model needs besides is added (`table_for`).
    train, test, expanding, latency
        The schedule (`WalkForward`). The rest is as in `walk_forward`.
    """

    model: Any = "lightgbm"
    params: Mapping[str, Any] = field(default_factory=dict)
    label: str = "direction"
    label_params: Mapping[str, Any] = field(default_factory=dict)
    features: tuple[Recipe, ...] = DEFAULT_FEATURES
    train: Any = "60D"
    test: Any = "7D"
    expanding: bool = False
    latency: int = 0
    max_gap: int = 3
    seed: int = 0
    validation: float = 0.15
    stride: int = 1
    confidence: str | None = None
    shuffle_labels: bool = False

    def make_model(self) -> Any:
        """Return the model, unfitted; refuse what it does not take."""
        if isinstance(self.model, str):
            return make_model(self.model, **self.params)
        if not self.params:
            return self.model
        known = self.model.get_params(deep=False)
        return type(self.model)(**{**known, **_known("params", self.params, known)})

    def make_label(self, bars: pd.DataFrame) -> Label:
        """Return the labels of `bars`; refuse what the label does not take."""
        function = LABELS[self.label]
        known = list(inspect.signature(function).parameters)[1:]
        return function(bars, **_known("label_params", self.label_params, known))

    def folds(self) -> WalkForward:
        """Return the schedule."""
        return WalkForward(self.train, self.test, expanding=self.expanding, latency=self.latency)

    def content(self, bars: pd.DataFrame) -> dict[str, Any]:
        """Return what the forecasts over `bars` depend on, name by name: bars, parameters, code, versions."""
        model, schedule = self.make_model(), self.folds()
        recipes = [parse_recipe(recipe) for recipe in (*self.features, *getattr(model, "own_features", ()))]
        rule = () if self.confidence is None else (CONFIDENCES[self.confidence],)
        code = code_of(
            sys.modules[__name__], model, LABELS[self.label], *(FEATURES[name] for name, _ in recipes), *rule
        )
        rest = ("max_gap", "seed", "validation", "stride", "confidence", "shuffle_labels")
        return {
            "bars": bars_sha256(bars),
            "model": f"{type(model).__module__}:{type(model).__qualname__}",
            **{f"params.{name}": plain(value) for name, value in model.get_params(deep=False).items()},
            "label": self.label,
            **{f"label_params.{name}": plain(value) for name, value in self.label_params.items()},
            "features": [column_name(name, params) for name, params in recipes],
            **{name: str(getattr(schedule, name)) for name in ("train", "test", "expanding", "latency")},
            **{name: plain(getattr(self, name)) for name in rest},
            **{f"code of {module}": digest for module, digest in code.items()},
            **{f"version of {library}": version for library, version in _versions().items()},
        }


@dataclass(frozen=True)
class Trained:
    """Forecasts from the cache, whether they were there or had to be made.

    forecasts, folds, notes
        As in `WalkForwardRun`; the folds without their seconds.
    key
        Name of the entry, the hash of its content. hit: whether it was there. why: on a miss, in a sentence, in what
        it differs from the nearest entry of the same folder; "" on a hit.
    """

    forecasts: pd.DataFrame
    folds: list[dict[str, Any]]
    notes: tuple[str, ...]
    key: str
    hit: bool
    why: str


def cached_walk_forward(
    bars: pd.DataFrame,
    training: Training,
    cache: str | Path,
    *,
    n_jobs: int | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Return the forecasts of `training` over `bars`: from the folder `cache`, or made now and kept there.

    An entry is found by content alone: the bars, all parameters, the seed, the source code of the features, the label,
    the model and of all that they import that is not installed or is of this kit, and the versions of the libraries.
    Nothing is pickled: forecasts are Parquet, the rest is JSON, both with their hash. A walk-forward that was killed
    goes on at its last finished fold, and ends in the same bytes.

    Raises
    ------
    StoreError
        An entry whose files were changed; delete its folder to make it again.
    BarwiseError
        What `walk_forward` refuses, and parameters that cannot be told by their content.
    """
    folder = _checked(cache)
    content = training.content(bars)
    key = sha256_of(content)[:32]
    if (folder / key / MANIFEST).exists():
        return _read(folder / key, bars, hit=True)
    why = why_missed(folder, content)
    kept = KeptFolds(folder / f"{key}.folds")
    model = training.make_model()
    run = walk_forward(
        bars,
        model,
        label=training.make_label(bars),
        features=table_for(model, bars, training.features),
        folds=training.folds(),
        max_gap=training.max_gap,
        n_jobs=n_jobs,
        seed=training.seed,
        progress=progress,
        shuffle_labels=training.shuffle_labels,
        validation=training.validation,
        confidence=training.confidence,
        stride=training.stride,
        kept=kept,
    )
    folds = [{name: _told(value) for name, value in fold.items() if name != "seconds"} for fold in run.folds]
    _write(folder / key, run.forecasts, {"content": content, "folds": folds, "notes": list(run.notes)})
    shutil.rmtree(kept.folder, ignore_errors=True)
    return _read(folder / key, bars, hit=False, why=why)


def why_missed(cache: str | Path, content: Mapping[str, Any]) -> str:
    """Say in what `content` (`Training.content`) differs from the entry of `cache` that has most in common with it."""
    nearest: list[str] | None = None
    for path in sorted(Path(cache).glob(f"*/{MANIFEST}")):
        held = read_json(path)["content"]
        changed = [name for name in dict.fromkeys([*content, *held]) if content.get(name) != held.get(name)]
        if nearest is None or len(changed) < len(nearest):
            nearest = [_change(name, held, content) for name in changed]
    if nearest is None:
        return "the cache was empty"
    more = f" and {len(nearest) - 6} more" if len(nearest) > 6 else ""
    return f"the nearest entry differs in {', '.join(nearest[:6])}{more}"


def _change(name: str, held: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    if name == "bars" or name.startswith("code of "):
        return name
    return f"{name} ({held.get(name, 'absent')} there, {content.get(name, 'absent')} here)"


def _known(owner: str, params: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Return `params` if each is among `known`."""
    known = list(known)
    for name in params:
        if name not in known:
            raise BarwiseError(
                f"`{owner}` names {name!r}, which is not known.{did_you_mean(name, known)} Known: {', '.join(known)}."
            )
    return dict(params)


def _checked(cache: str | Path) -> Path:
    folder = Path(cache).expanduser()
    if folder.exists() and not folder.is_dir():
        raise BarwiseError(f"`cache` is {str(cache)!r}, which is a file: give a folder.")
    return folder


def _versions() -> dict[str, str]:
    return versions() | versions_of(*LIBRARIES)


def _write(entry: Path, forecasts: pd.DataFrame, manifest: dict[str, Any]) -> None:
    """Write an entry; it appears under its name only when it is whole."""
    beside = entry.with_name(f".{entry.name}-{uuid.uuid4().hex}")
    beside.mkdir(parents=True)
    try:
        forecasts.to_parquet(beside / FORECASTS)
        digest = sha256((beside / FORECASTS).read_bytes())
        write_json(beside / MANIFEST, {"format": FORMAT, **manifest, "forecasts_sha256": digest})
        with suppress(OSError):  # another process may have made the same meanwhile
            os.rename(beside, entry)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _read(entry: Path, bars: pd.DataFrame, *, hit: bool, why: str = "") -> Trained:
    manifest = read_json(entry / MANIFEST)
    if manifest["format"] != FORMAT:
        raise StoreError(f"`cache` entry {str(entry)!r} has format {manifest['format']!r}; this kit reads {FORMAT}.")
    if sha256((entry / FORECASTS).read_bytes()) != manifest["forecasts_sha256"]:
        raise StoreError(f"`{FORECASTS}` in {str(entry)!r} was changed since it was written: delete that folder.")
    forecasts = pd.read_parquet(entry / FORECASTS)
    forecasts.attrs.clear()  # equal bars may have had another name, or none, when the entry was made
    name_market(forecasts, market_of(bars))
    folds = [{name: _stamped(name, value) for name, value in fold.items()} for fold in manifest["folds"]]
    return Trained(forecasts, folds, tuple(manifest["notes"]), entry.name, hit, why)


_STAMPS = ("train_start", "trained_through", "test_start", "test_end")


def _told(value: Any) -> Any:
    """Return a fold's fact as JSON holds it; a number that is none, in a training curve, as null."""
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if isinstance(value, list) and all(isinstance(point, dict) for point in value):
        return [{key: None if math.isnan(held) else held for key, held in point.items()} for point in value]
    return plain(value)


def _stamped(name: str, value: Any) -> Any:
    """Return what `_told` was given."""
    if name == "curve":
        return [{key: math.nan if held is None else held for key, held in point.items()} for point in value]
    return pd.Timestamp(value) if name in _STAMPS else value
