"""Finished chunks of a sweep on disk, so that a run that was killed goes on where it was."""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

import pandas as pd

_PREFIX = "sweep-"


class KeptChunks:
    """Chunks of one sweep, below `folder` in a folder named by `key`; nothing is kept where `folder` is None.

    A chunk appears under its name only when it is whole, so whatever is there after a kill can be used.
    """

    def __init__(self, folder: str | Path | None, key: str) -> None:
        self.parent = None if folder is None else Path(folder)
        self.folder = None if self.parent is None else self.parent / f"{_PREFIX}{key}"

    def load(self, number: int) -> pd.DataFrame | None:
        """Return chunk `number`, or None where it is not kept."""
        path = self._path(number)
        return pd.read_parquet(path) if path is not None and path.exists() else None

    def save(self, number: int, chunk: pd.DataFrame) -> None:
        """Keep a chunk."""
        path = self._path(number)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
        chunk.to_parquet(beside)
        os.replace(beside, path)

    def _path(self, number: int) -> Path | None:
        return None if self.folder is None else self.folder / f"chunk-{number:05d}.parquet"


def drop_chunks(folder: str | Path) -> None:
    """Remove what sweeps kept below `folder`, and the folder if it holds no more; call it when the result is safe."""
    for held in Path(folder).glob(f"{_PREFIX}*"):
        shutil.rmtree(held)
    with suppress(OSError):  # it was never made, or what else is there is not ours
        Path(folder).rmdir()
