"""One fold on disk: scaler, model, the scale of returns, and the record of where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlcore.errors import BarwiseError
from mlcore.forecasts import ReturnScale
from mlcore.models import MODELS
from mlcore.scaling import Scaler
from mlcore.store.files import read_folder, write_folder
from mlcore.store.state import (
    StoreError,
    check_storable,
    from_plain,
    pack,
    pack_arrays,
    task_of,
    task_values,
    to_plain,
    unpack,
    unpack_arrays,
)
from mlcore.tasks import Task
from mlcore.versions import versions_of

FORMAT = 1
SCALER = "scaler.safetensors"
LIBRARIES = ("barwise", "numpy", "pandas", "torch", "lightgbm", "scikit-learn", "safetensors")
REQUIRED = (
    *("format", "model", "params", "state", "task", "features", "label", "memory", "max_gap", "fold", "train_start"),
    *("trained_through", "test_start", "bars_sha256", "seed", "scaler", "return_scale", "versions"),
)


@dataclass(frozen=True)
class StoredFold:
    """What a fold forecasts with.

    model
        Fitted. scaler: fitted, None for a model that wants raw features. scale: None for classes.
    record
        Where it comes from, JSON-able: ``features`` (columns in order), ``label`` (recipe, span), ``memory``,
        ``max_gap``, ``interval`` of the bars (ISO 8601), ``symbol`` (None where it is not known), ``fold``,
        ``train_start``, ``trained_through``, ``test_start`` (ISO stamps), ``bars_sha256`` (of the bars from the first
        one a training window touches to `trained_through`), ``seed``; when it was loaded also ``versions`` of the
        libraries that made it.
    """

    model: Any
    scaler: Scaler | None
    scale: ReturnScale | None
    task: Task
    record: Mapping[str, Any]


def model_name(model: Any) -> str:
    """Return the name in `MODELS` under which the model's class is found again; refuse one that cannot be stored."""
    check_storable(model)
    name = MODELS.name_of(type(model))
    if name is None:
        raise StoreError(
            f"`model` {type(model).__name__} has no name in MODELS, so a stored one could not be found again: "
            "enter its class there (`MODELS.register`)."
        )
    for member in model.member_models() if hasattr(model, "member_models") else ():
        model_name(member)
    params_to_plain(model)
    return name


def params_to_plain(model: Any) -> dict[str, Any]:
    """Return the constructor arguments of `model` as JSON can hold them; a model among them by its name and its own."""
    return to_plain({key: _nested(value) for key, value in model.get_params(deep=False).items()}, "params")


def _nested(value: Any) -> Any:
    if hasattr(value, "get_params"):
        return {"model": model_name(value), "params": {k: _nested(v) for k, v in value.get_params(deep=False).items()}}
    return type(value)(map(_nested, value)) if isinstance(value, list | tuple) else value


def _models_again(value: Any) -> Any:
    """Return what `_nested` was given; a model's class is looked up in `MODELS` by its name, like the stored one's."""
    if isinstance(value, dict) and set(value) == {"model", "params"}:
        return MODELS[value["model"]](**{key: _models_again(each) for key, each in value["params"].items()})
    return type(value)(map(_models_again, value)) if isinstance(value, list | tuple) else value


def save_fold(folder: str | Path, fold: StoredFold, name: str | None = None) -> Path:
    """Write a fold below `folder`; return ``folder/fold-0000-<hash>``, which appears whole or not at all.

    The same fold gives the same bytes and the same name. `name` is the model's in `MODELS` (looked up where not given).
    Raises `StoreError` for a model that cannot be stored without running code when it is read.
    """
    name = model_name(fold.model) if name is None else name
    state, scaler = fold.model.get_state(), fold.scaler
    files = pack(state)
    if scaler is not None:
        files[SCALER] = pack_arrays({"mean": scaler.mean_, "scale": scaler.scale_})
    manifest = {
        **fold.record,
        "format": FORMAT,
        "model": name,
        "params": params_to_plain(fold.model),
        "state": to_plain(dict(state.values), "state"),
        "task": to_plain(task_values(fold.task), "task"),
        "scaler": None if scaler is None else {"clip": float(scaler.clip)},
        "return_scale": None if fold.scale is None else to_plain(asdict(fold.scale), "return_scale"),
        "versions": versions(),
    }
    return write_folder(Path(folder), f"fold-{int(fold.record['fold']):04d}", manifest, files)


def load_fold(folder: str | Path) -> StoredFold:
    """Return the fold that `save_fold` wrote to `folder`.

    No code from the folder is run: the model's class is looked up in `MODELS` by its name, numbers are read as
    safetensors, JSON and LightGBM's text. Raises `StoreError`, with the reason, for a folder that is not whole,
    was changed, or was not written by this kit.
    """
    folder = Path(folder)
    manifest, files = read_folder(folder)
    _check_manifest(folder, manifest)
    try:
        return _fold(manifest, files)
    except StoreError:
        raise
    except (BarwiseError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StoreError(f"`folder` {str(folder)!r} does not hold a model of this kit: {error}") from error


def _check_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    missing = [key for key in REQUIRED if key not in manifest]
    if missing:
        raise StoreError(f"`manifest.json` in {str(folder)!r} lacks {missing[0]!r}: it was not written by this store.")
    if manifest["format"] != FORMAT:
        raise StoreError(
            f"`manifest.json` in {str(folder)!r} has format {manifest['format']!r}; this kit reads {FORMAT}."
        )


def _fold(manifest: Mapping[str, Any], files: dict[str, bytes]) -> StoredFold:
    scaler = None
    if manifest["scaler"] is not None:
        held = unpack_arrays(SCALER, files.pop(SCALER))
        scaler = Scaler(manifest["scaler"]["clip"])
        scaler.mean_, scaler.scale_ = held["mean"], held["scale"]
        _check_scaler(scaler, len(manifest["features"]))
    scale = manifest["return_scale"]
    params = from_plain(manifest["params"])
    model = MODELS[manifest["model"]](**{key: _models_again(value) for key, value in params.items()})
    model.feature_names_in_ = tuple(manifest["features"])
    model.set_state(unpack(files, from_plain(manifest["state"])))
    task = task_of(from_plain(manifest["task"]))
    made = ("format", "model", "params", "state", "task", "scaler", "return_scale")
    record = {key: value for key, value in manifest.items() if key not in made}
    return StoredFold(model, scaler, None if scale is None else ReturnScale(**scale), task, record)


def _check_scaler(scaler: Scaler, n_features: int) -> None:
    for name, array in (("mean", scaler.mean_), ("scale", scaler.scale_)):
        if array.dtype != np.float64 or array.shape != (n_features,):
            raise StoreError(f"`{SCALER}` has a {name} of {array.dtype} {array.shape} for {n_features} features.")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that a stored model's bits depend on."""
    return versions_of(*LIBRARIES)
