"""Every setting of a comparison: those of the main job, which model apart, and how it is judged."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mlcore import models
from mlcore.errors import BarwiseError, did_you_mean
from mlcore.models.make import ALIASES
from mlcore.plugins import MODELS
from strategies.config import ONE_SYMBOL, StudyConfig, flag
from strategies.main_job import MODEL_FLAGS, make_model

ALONE = "say `--models`, one name or several"
MEMBERS = "ensembles are compared with their own members; the main job (walk_forward.py) takes others"
PLAIN = "models are compared as they are; the main job (walk_forward.py) has it"


@dataclass(frozen=True)
class ComparisonConfig(StudyConfig):
    """Settings of one comparison. `preset` and `set` hold for every model that knows them.

    Models are compared as they are, ensembles with their own members: what the main job does besides (calibration, a
    store, warm starts) is no flag here.
    """

    bars: list[str] | str = field(
        metadata={"help": "Parquet or CSV file of bars of one symbol (of several: say `--symbol`), or `sp500`"}
    )
    symbol: str | None = flag(None, ONE_SYMBOL)
    preset: str | None = flag(None, "size of every model that has it: light, default, deep (others stay as they are)")
    set: dict[str, Any] | None = flag(None, "parameters of every model that knows them, over the preset: epochs=4")
    lookback: int | None = flag(None, "bars a model sees, of every model but ensembles (default: each model's own)")
    model: str = field(default="linear", metadata={"hidden": ALONE})
    calibration: Literal["none", "temperature", "platt", "isotonic"] = field(default="none", metadata={"hidden": PLAIN})
    interval: float | None = field(default=None, metadata={"hidden": PLAIN})
    batched: bool = field(default=False, metadata={"hidden": PLAIN})
    warm_start: bool = field(default=False, metadata={"hidden": PLAIN})
    incremental: str | None = field(default=None, metadata={"hidden": PLAIN})
    members: str | None = field(default=None, metadata={"hidden": MEMBERS})
    store: str | None = field(default=None, metadata={"hidden": PLAIN})
    models: str = flag("all", "names, comma separated; `all` is every model there is")
    skip: str = flag("", "names to leave out, comma separated")
    shuffled: str = flag("lightgbm", "the model that is trained on shuffled labels, as a baseline")
    stride: int = flag(
        1,
        "train networks that read windows (bilstm, informer, autoformer, modules by path) on every stride-th row; "
        "dense networks, trees and ensembles learn from all rows. The report says which",
    )
    resamples: int = flag(1000, "resamples of the bootstrap behind every interval")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("stride", 1), ("resamples", 100)):
            if getattr(self, name) < least:
                raise BarwiseError(f"`{name}` is {getattr(self, name)}; it must be at least {least}.")

    @property
    def names(self) -> tuple[str, ...]:
        """The models to train, in the order given (`all`: that of MODELS); unknown names are refused."""
        listed = list(MODELS) if self.models == "all" else _words(self.models)
        for option, given in (("models", listed), ("skip", _words(self.skip)), ("shuffled", [self.shuffled])):
            for name in given:
                _check_name(option, name)
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
        strange: dict[str, Any] = dict.fromkeys(name for name in MODEL_FLAGS if name not in known)
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
        for option in MODEL_FLAGS:
            if getattr(self, option) is not None and option not in known:
                raise BarwiseError(
                    f"`{option}` is {getattr(self, option)!r}, and none of the models has one: leave it out."
                )
        if self.stride > 1 and not any(reads_windows(make_model(name, self.of(name))) for name in self.names):
            raise BarwiseError(
                f"`stride` is {self.stride}, and none of the models reads windows: it would do nothing. Leave it out."
            )

    def told(self) -> list[str]:
        """Sentences on flags that hold for some of the models only, or not alike for all."""
        kinds = {name: inspect.signature(kind_of(name)).parameters for name in self.names}
        given = {f"`{name}`": [n for n in kinds if name in kinds[n]] for name in MODEL_FLAGS if getattr(self, name)}
        given |= {
            f"`{word}` of `set`": [n for n in kinds if _parameter(word, kinds[n]) in kinds[n]]
            for word in self.set or {}
        }
        if self.preset is not None:
            given["`preset`"] = [name for name in kinds if self.preset in getattr(kind_of(name), "presets", {})]
        if self.stride > 1:
            given["`stride`"] = [name for name in kinds if reads_windows(make_model(name, self.of(name)))]
        said = [
            f"{name} is for {', '.join(those)}; the other models have none and were trained as they are."
            for name, those in given.items()
            if len(those) < len(kinds)
        ]
        if self.entry or self.exit:
            said.append(
                f"`entry` {self.entry:g} and `exit` {self.exit:g} are held against every model's signals as they are "
                "(none is calibrated here), and models differ in how large their signals get: one whose signals are "
                "small trades less. Accounts judge model and threshold at once, the forecasts' numbers the model alone."
            )
        return said


def _check_name(flag: str, name: str) -> None:
    """Refuse an unknown name with the nearest known one, under the flag it was given by."""
    try:
        kind_of(name)
    except BarwiseError as error:
        raise BarwiseError(str(error).replace("`model`", f"`{flag}`", 1)) from None


def reads_windows(model: Any) -> bool:
    """Whether `model` is a network trained on windows, one a row, which a stride over the rows saves time for."""
    return getattr(model, "dense", None) is False


def kind_of(name: str) -> Any:
    """Return the class of a model: by its name, or by import path."""
    return models.by_path.face_of(name) if "." in name else MODELS[name]


def _parameter(word: str, known: Any) -> str:
    return word if word in known else ALIASES.get(word, word)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
