"""Finished folds of a walk-forward that is still running, so that one that was killed goes on where it was."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlcore.forecasts import ReturnScale

if TYPE_CHECKING:
    from mlcore.refit import Outcome

_RAW, _MORE = "raw ", "more "
_FACTS = ("number", "curve", "n_updates", "n_validation", "best_epoch", "seconds", "failure")
_TUPLES = ("warnings", "left_out")


class KeptFolds:
    """The outcomes of one walk-forward's folds below `folder`, one Parquet file each; its owner sees to it that they
    are of the same bars, model, schedule and seed (`mlcore.cache` does, by the folder's name).

    A file appears under its name only when it is whole. What a model says of itself (`Outcome.explanation`) and the
    model are not kept.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def load(self, number: int) -> Outcome | None:
        """Return the outcome of fold `number`, or None where it is not kept."""
        from mlcore.refit import Outcome  # refit imports the store

        path = self._path(number)
        if not path.exists():
            return None
        table = pd.read_parquet(path)
        facts: Any = dict(table.attrs)
        columns = list(map(str, table))
        scale = facts.pop("scale")
        given: Any = {name: tuple(value) if name in _TUPLES else value for name, value in facts.items()}
        return Outcome(
            raw=table[[name for name in columns if name.startswith(_RAW)]].to_numpy(np.float64),
            through=table["through"].to_numpy(np.int64),
            scale=None if scale is None else ReturnScale(**scale),
            more={name.removeprefix(_MORE): table[name].to_numpy() for name in columns if name.startswith(_MORE)},
            **given,
        )

    def save(self, outcome: Outcome) -> None:
        """Keep the outcome of a fold."""
        columns = {f"{_RAW}{at}": outcome.raw[:, at] for at in range(outcome.raw.shape[1])}
        more = {f"{_MORE}{name}": values for name, values in outcome.more.items()}
        table = pd.DataFrame({**columns, "through": outcome.through, **more})
        scale = None if outcome.scale is None else {name: float(held) for name, held in vars(outcome.scale).items()}
        facts: Any = {name: _plain(getattr(outcome, name)) for name in (*_FACTS, *_TUPLES)}
        table.attrs = {**facts, "scale": scale}
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self.folder / f".{uuid.uuid4().hex}"
        table.to_parquet(beside)
        os.replace(beside, self._path(outcome.number))

    def _path(self, number: int) -> Path:
        return self.folder / f"fold-{number:04d}.parquet"


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(held) for held in value]
    return value.item() if isinstance(value, np.generic) else value
