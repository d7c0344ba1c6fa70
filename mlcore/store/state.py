"""A fitted model as plain data: arrays, texts and JSON values, and nothing that could run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from mlcore.errors import BarwiseError
from mlcore.tasks import Task

ARRAYS = "model.safetensors"


class StoreError(BarwiseError):
    """A stored model that is not whole, not ours, or cannot be stored at all."""


@dataclass(frozen=True)
class ModelState:
    """What a model's ``get_state()`` returns and its ``set_state(state)`` takes, on a clone with the same parameters.

    arrays
        Numbers, bit for bit (written as safetensors).
    texts
        The model in its library's own text format, by a short name (``booster-0``).
    values
        The rest: what JSON can hold; tuples come back as tuples, floats bit for bit.
    """

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


def check_storable(model: Any) -> None:
    """Refuse a model that does not say what it is made of."""
    if not all(callable(getattr(model, name, None)) for name in ("get_state", "set_state")):
        raise StoreError(
            f"`model` {type(model).__name__} cannot be stored: it has no `get_state` and `set_state` "
            "(mlcore.store.ModelState tells what they hold). A pickle would run code when it is read."
        )


def pack(state: ModelState) -> dict[str, bytes]:
    """Return the files of a state, name to bytes; `values` are not in them (they go into the manifest)."""
    files = {f"{name}.txt": text.encode() for name, text in state.texts.items()}
    if state.arrays:
        files[ARRAYS] = pack_arrays(state.arrays)
    return files


def unpack(files: Mapping[str, bytes], values: Mapping[str, Any]) -> ModelState:
    """Return the state that `pack` made these files of."""
    texts = {name.removesuffix(".txt"): _text(name, held) for name, held in files.items() if name.endswith(".txt")}
    return ModelState(unpack_arrays(ARRAYS, files[ARRAYS]) if ARRAYS in files else {}, texts, values)


def pack_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return arrays as safetensors, in C order."""
    strange = [name for name, array in arrays.items() if np.asarray(array).dtype.kind not in "fiub"]
    if strange:
        raise StoreError(f"`{strange[0]}` has dtype {np.asarray(arrays[strange[0]]).dtype}: only numbers are stored.")
    return save_arrays({name: np.array(array, order="C") for name, array in arrays.items()})


def unpack_arrays(name: str, held: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file; `name` is for the error."""
    try:
        return load_arrays(held)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"`{name}` is no safetensors file ({error}): it was not written by this store.") from None


def _text(name: str, held: bytes) -> str:
    try:
        return held.decode()
    except UnicodeDecodeError:
        raise StoreError(f"`{name}` is no text: it was not written by this store.") from None


def to_plain(value: Any, name: str) -> Any:
    """Return `value` as JSON can hold it; tuples are marked, so that `from_plain` gives them back.

    >>> to_plain({"edges": (0.5, 1)}, "params")
    {'edges': {'tuple': [0.5, 1]}}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, tuple):
        return {"tuple": [to_plain(item, name) for item in value]}
    if isinstance(value, list):
        return [to_plain(item, name) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value) and set(value) != {"tuple"}:
        return {key: to_plain(item, f"{name}.{key}") for key, item in value.items()}
    raise StoreError(f"`{name}` is {value!r}, which cannot be stored: numbers, text, lists and dicts of them can.")


def from_plain(value: Any) -> Any:
    """Return what `to_plain` was given.

    >>> from_plain({"edges": {"tuple": [0.5, 1]}})
    {'edges': (0.5, 1)}
    """
    if isinstance(value, dict):
        if set(value) == {"tuple"} and isinstance(value["tuple"], list):
            return tuple(from_plain(item) for item in value["tuple"])
        return {key: from_plain(item) for key, item in value.items()}
    return [from_plain(item) for item in value] if isinstance(value, list) else value


def task_values(task: Task) -> dict[str, Any]:
    """Return a task as plain values."""
    return asdict(task)


def task_of(values: Mapping[str, Any]) -> Task:
    """Return the task that `task_values` told of."""
    horizons = tuple(values.get("horizons", ()))  # a store made before there were several has none
    outputs, scores, quantiles = (tuple(values[name]) for name in ("outputs", "scores", "quantiles"))
    return Task(values["kind"], outputs, scores, quantiles, horizons)


def in_and_out(state: ModelState) -> ModelState:
    """Return `state` as it comes back from a disk: packed, and unpacked again."""
    values = json.dumps(to_plain(dict(state.values), "values"), allow_nan=False)
    return unpack(pack(state), from_plain(json.loads(values)))
