"""Folders of the store: whole or not there, named by what they hold, read with suspicion."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlcore.store.state import StoreError

MANIFEST = "manifest.json"
_SAFE = re.compile(r"[a-z0-9][a-z0-9_-]*\.(safetensors|txt)")  # no slash, no dots in front: a file of the folder itself
_DIGITS = 32  # of a SHA-256, in a folder's name: 128 bits


def sha256(held: bytes) -> str:
    """Return the SHA-256 of bytes, as hex."""
    return hashlib.sha256(held).hexdigest()


def to_json(value: Mapping[str, Any]) -> bytes:
    """Return the one way in which the store writes `value`: equal values, equal bytes."""
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def write_folder(parent: Path, label: str, manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> Path:
    """Write `files` and a manifest with their hashes to ``parent/<label>-<hash of the manifest>``; return it.

    The folder appears under its name only when it is whole. The same content again leaves the folder as it is.
    """
    listed = {name: {"sha256": sha256(held), "bytes": len(held)} for name, held in files.items()}
    manifest_bytes = to_json({**manifest, "files": listed})
    target = parent / f"{label}-{sha256(manifest_bytes)[:_DIGITS]}"
    if target.exists():
        read_folder(target)  # refuses what was tampered with
        return target
    beside = parent / f".{label}-{uuid.uuid4().hex}"
    try:
        beside.mkdir(parents=True)
        for name, held in {**files, MANIFEST: manifest_bytes}.items():
            (beside / name).write_bytes(held)
        beside.rename(target)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        if not target.exists():  # another process may have written the same meanwhile
            raise StoreError(f"`store` cannot be written in {str(parent)!r}: {error.strerror}.") from None
    return target


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` with the hash of itself to `path`, whole or not at all."""
    beside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        beside.write_bytes(to_json({**value, "sha256": sha256(to_json(value))}))
        beside.rename(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise StoreError(f"`store` cannot be written in {str(path.parent)!r}: {error.strerror}.") from None


def read_json(path: Path) -> dict[str, Any]:
    """Return what `write_json` wrote; refuse a file that was changed since."""
    value = _parsed(path, _bytes(path))
    told = value.pop("sha256", None)
    if told != sha256(to_json(value)):
        raise StoreError(f"`{path.name}` in {str(path.parent)!r} was changed since it was written: its hash differs.")
    return value


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return (manifest, files) of a folder that `write_folder` wrote.

    Refused (`StoreError`): no manifest, a name that is not the manifest's hash, a file that is missing, cut, changed,
    foreign, or not in the folder itself. Hashes tell accidents and edits; whoever rewrites all of a folder, name
    included, can store another model, but no code: nothing that is read here is ever run.
    """
    if not folder.is_dir():
        raise StoreError(f"`folder` is {str(folder)!r}, which is no folder of the store.")
    manifest_bytes = _bytes(folder / MANIFEST)
    manifest = _parsed(folder / MANIFEST, manifest_bytes)
    if folder.resolve().name.rpartition("-")[2] != sha256(manifest_bytes)[:_DIGITS]:
        raise StoreError(
            f"`folder` {folder.name!r} is not named by the hash of its manifest: the manifest was changed, or "
            "the folder renamed. Store the model again, or give the folder its name back."
        )
    listed = manifest.pop("files", None)
    if not isinstance(listed, dict):
        raise StoreError(f"`{MANIFEST}` in {str(folder)!r} lists no files: it was not written by this store.")
    _refuse_foreign(folder, listed)
    return manifest, {name: _checked(folder, name, told) for name, told in listed.items()}


def _refuse_foreign(folder: Path, listed: Iterable[str]) -> None:
    for name in listed:
        if not _SAFE.fullmatch(name):
            raise StoreError(f"`{MANIFEST}` in {str(folder)!r} names the file {name!r}: that is no file of a store.")
    foreign = sorted({entry.name for entry in folder.iterdir()} - {MANIFEST, *listed})
    if foreign:
        raise StoreError(f"`{foreign[0]}` in {str(folder)!r} is foreign: the manifest does not name it.")


def _checked(folder: Path, name: str, told: Any) -> bytes:
    held = _bytes(folder / name)
    if not isinstance(told, dict) or told != {"sha256": sha256(held), "bytes": len(held)}:
        size = told.get("bytes") if isinstance(told, dict) else None
        raise StoreError(
            f"`{name}` in {str(folder)!r} was changed since it was written: {len(held)} bytes, the manifest says "
            f"{size}, or other content. Store the model again."
        )
    return held


def _bytes(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise StoreError(f"`{path.name}` is missing in {str(path.parent)!r}, or is no plain file.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"`{path.name}` in {str(path.parent)!r} cannot be read: {error.strerror}.") from None


def _parsed(path: Path, held: bytes) -> dict[str, Any]:
    try:
        value = json.loads(held)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise StoreError(f"`{path.name}` in {str(path.parent)!r} is no JSON object: it was not written by this store.")
    return value
