"""Every setting of a comparison: those of the main job, which model apart, and how it is judged."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mlcore import models
from mlcore.errors import BarwiseError, did_you_mean
from mlcore.models.make import ALIASES
from mlcore.plugins import MODELS
from strategies.config import StudyConfig, _flag
from strategies.main_job import MODEL_FLAGS


@dataclass(frozen=True)
class ComparisonConfig(StudyConfig):
    """Settings of one comparison. `preset` and `set` hold for every model that knows them.

    Models are compared as they are, ensembles with their own members: what the main job does besides (calibration, a
    store, warm starts) is no flag here.
    """

    model: str = field(default="linear", metadata={"hidden": True})
    calibration: Literal["none", "temperature", "platt", "isotonic"] = field(default="none", metadata={"hidden": True})
    interval: float | None = field(default=None, metadata={"hidden": True})
    batched: bool = field(default=False, metadata={"hidden": True})
    warm_start: bool = field(default=False, metadata={"hidden": True})
    incremental: str | None = field(default=None, metadata={"hidden": True})
    members: str | None = field(default=None, metadata={"hidden": True})
    store: str | None = field(default=None, metadata={"hidden": True})
    models: str = _flag("all", "names, comma separated; `all` is every model there is")
    skip: str = _flag("", "names to leave out, comma separated")
    shuffled: str = _flag("lightgbm", "the model that is trained on shuffled labels, as a baseline")
    stride: int = _flag(1, "train networks that read windows on every stride-th row (dense ones and trees on all)")
    resamples: int = _flag(1000, "resamples of the bootstrap behind every interval")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("stride", 1), ("resamples", 100)):
            if getattr(self, name) < least:
                raise BarwiseError(f"`{name}` is {getattr(self, name)}; it must be at least {least}.")

    @property
    def names(self) -> tuple[str, ...]:
        """The models to train, in the order given (`all`: that of MODELS); unknown names are refused."""
        listed = list(MODELS) if self.models == "all" else _words(self.models)
        for name in (*listed, *_words(self.skip), self.shuffled):
            kind_of(name)  # refuses an unknown name with the nearest known one
        chosen = tuple(dict.fromkeys(name for name in listed if name not in _words(self.skip)))
        if not chosen:
            raise BarwiseError(f"`models` {self.models!r} less `skip` {self.skip!r} leaves none to compare.")
        return chosen

    def of(self, name: str) -> StudyConfig:
        """Return the settings for one model: the preset, and those flags and parameters that it knows."""
        kind = kind_of(name)
        known = inspect.signature(kind).parameters
        given = {word: value for word, value in (self.set or {}).items() if _parameter(word, known) in known}
        preset = self.preset if self.preset in getattr(kind, "presets", {}) else None
        strange: dict[str, Any] = dict.fromkeys(flag for flag in MODEL_FLAGS if flag not in known)
        return replace(self, model=name, preset=preset, set=given, **strange)

    def check_set(self) -> None:
        """Refuse a preset or a parameter that none of the models knows: it would be left out everywhere in silence."""
        kinds = [kind_of(name) for name in self.names]
        presets = {word for kind in kinds for word in getattr(kind, "presets", {})}
        known = {word for kind in kinds for word in inspect.signature(kind).parameters}
        if self.preset is not None and self.preset not in presets:
            raise BarwiseError(
                f"`preset` is {self.preset!r}, which none of the models has.{did_you_mean(self.preset, presets)}"
            )
        for word in self.set or {}:
            if _parameter(word, known) not in known:
                raise BarwiseError(
                    f"`set`: {word!r} is a parameter of none of the models.{did_you_mean(word, sorted(known))}"
                )
        for flag in MODEL_FLAGS:
            if getattr(self, flag) is not None and flag not in known:
                raise BarwiseError(
                    f"`{flag}` is {getattr(self, flag)!r}, and none of the models has one: leave it out."
                )


def kind_of(name: str) -> Any:
    """Return the class of a model: by its name, or by import path."""
    return models.by_path.face_of(name) if "." in name else MODELS[name]


def _parameter(word: str, known: Any) -> str:
    return word if word in known else ALIASES.get(word, word)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
