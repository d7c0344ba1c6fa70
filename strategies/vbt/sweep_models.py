"""Grids of models and labels, each distinct training done once, then traded by a grid of rules."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mlcore.cache import Trained, Training, cached_walk_forward
from mlcore.errors import BarwiseError, did_you_mean
from mlcore.kinds import checked
from strategies.policy import VOLATILITY_WINDOW
from strategies.vbt.sweep import CELLS_AT_A_TIME, Grid, Progress, sweep

_PARAMETERS_OF = {"model": "params", "label": "label_params"}
_SETTINGS = tuple(field.name for field in fields(Training) if field.name not in _PARAMETERS_OF.values())


@dataclass(frozen=True)
class TrainingGrid:
    """Every combination of what is varied, over `base`.

    vary
        What -> the values to try: a setting of `Training` (``model label features train test seed`` ...), or a
        parameter of the model or label after a dot: ``{"model.num_leaves": (15, 31), "label.horizon": (5, 20)}``.

    >>> grid = TrainingGrid(Training("lightgbm"), {"model.max_depth": (3, 6), "label.horizon": (5, 20)})
    >>> [(t.params["max_depth"], t.label_params["horizon"]) for t, _ in grid.trainings()]
    [(3, 5), (3, 20), (6, 5), (6, 20)]
    """

    base: Training = field(default_factory=Training)
    vary: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def trainings(self) -> list[tuple[Training, dict[str, Any]]]:
        """Return the trainings and what was varied of each, in the order of the grid."""
        for name, values in self.vary.items():
            if name.partition(".")[0] not in (_PARAMETERS_OF if "." in name else _SETTINGS):
                known = (*_SETTINGS, "model.<parameter>", "label.<parameter>")
                raise BarwiseError(
                    f"`vary` names {name!r}, which is no setting of a training.{did_you_mean(name, _SETTINGS)} "
                    f"It may name: {', '.join(known)}."
                )
            if isinstance(values, str) or not len(values):
                raise BarwiseError(f"`vary` {name!r} is {values!r}: give the values to try, as ({values!r},).")
            if name == "features" and any(isinstance(value, str) for value in values):
                raise BarwiseError(
                    f"`vary` 'features' is {values!r}: each value to try is a list of recipes, as (['rsi'], ['rsi', "
                    "'volatility']); on a command line features cannot be varied."
                )
        found = [dict(zip(self.vary, values, strict=True)) for values in itertools.product(*self.vary.values())]
        return [(self._with(varied), varied) for varied in found]

    def _with(self, varied: Mapping[str, Any]) -> Training:
        training = self.base
        for name, value in varied.items():
            owner, _, parameter = name.partition(".")
            changed: dict[str, Any] = {name: value}
            if parameter:
                of_owner = _PARAMETERS_OF[owner]
                changed = {of_owner: {**getattr(training, of_owner), parameter: value}}
            training = replace(training, **changed)
        return training


@checked
def sweep_models(
    bars: pd.DataFrame,
    trainings: TrainingGrid,
    grid: Grid,
    *,
    cache: str | Path,
    cash: float = 10_000.0,
    days_per_year: float = 365.0,
    volatility_window: int = VOLATILITY_WINDOW,
    cells_at_a_time: int = CELLS_AT_A_TIME,
    n_jobs: int | None = None,
    work: str | Path | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> pd.DataFrame:
    """Train every combination of `trainings` once, trade each by every rule of `grid`; return one row a pair.

    Columns: what `trainings` varies, ``forecasts`` (the key of the training in `cache`), then those of `sweep`. All are
    walked forward, so every row is out of sample; rows whose trainings begin to forecast later have fewer `days`.
    ``table.attrs``: ``tried``, ``traded``, ``kernel`` and ``settings`` as in `sweep`; ``trained`` how many were trained
    now; ``cache`` one ``{key, hit, why}`` a training, in order, where ``why`` says what a miss differs in from what
    was there. `table_forecasts` gives a row's forecasts, for `run_row`.

    Parameters
    ----------
    cache : folder of forecasts (`mlcore.cache.cached_walk_forward`). A run that was killed goes on in the middle of a
        walk-forward.
    n_jobs, work, progress : as in `sweep`; folds are fitted and chunks are traded so many at a time. `progress` has the
        stages ``"trainings"``, ``"folds"`` and ``"sweep"``.
    """
    asked = trainings.trainings()
    for training, _ in asked:  # what one of them refuses is refused before hours of the others
        training.content(bars.iloc[:0])
        training.make_label(bars)
    parts, seen = [], []
    for number, (training, varied) in enumerate(asked):
        progress("trainings", number, len(asked))
        trained = cached_walk_forward(bars, training, cache, n_jobs=n_jobs, progress=_folds(progress))
        seen.append({"key": trained.key, "hit": trained.hit, "why": trained.why})
        part = sweep(
            trained.forecasts,
            bars,
            grid,
            cash=cash,
            days_per_year=days_per_year,
            volatility_window=volatility_window,
            cells_at_a_time=cells_at_a_time,
            n_jobs=n_jobs,
            work=work,
            progress=progress,
        )
        parts.append(_beside(varied, trained, part))
    progress("trainings", len(asked), len(asked))
    table = pd.concat(parts, ignore_index=True)
    kernels = sorted({part.attrs["kernel"] for part in parts})
    table.attrs = {
        "tried": len(table),
        "traded": sum(part.attrs["traded"] for part in parts),
        "trained": sum(not one["hit"] for one in seen),
        "kernel": kernels[0],  # numba where any fell back
        "cache": seen,
        "settings": parts[0].attrs["settings"],
    }
    return table


def table_forecasts(table: pd.DataFrame, row: int, cache: str | Path) -> pd.DataFrame:
    """Return the forecasts that row `row` of a table of `sweep_models` was traded from."""
    return pd.read_parquet(Path(cache).expanduser() / str(table["forecasts"].iloc[row]) / "forecasts.parquet")


def _folds(progress: Progress) -> Callable[[int, int, float], None]:
    return lambda done, total, seconds: progress("folds", done, total)


def _beside(varied: Mapping[str, Any], trained: Trained, part: pd.DataFrame) -> pd.DataFrame:
    """Return a sweep's table with what made its forecasts in front; what is no number or word as text."""
    front = {name: value if isinstance(value, int | float | str) else str(value) for name, value in varied.items()}
    left = pd.DataFrame({**front, "forecasts": trained.key}, index=part.index)
    beside = pd.concat([left, part], axis=1)
    beside.attrs = part.attrs
    return beside
