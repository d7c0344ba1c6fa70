"""Several horizons for a model that knows one: a clone of it for each."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import clone

from mlcore.models.inputs import Validation, check_fit, check_windows
from mlcore.store.state import ModelState, task_of, task_values
from mlcore.tasks import Task
from mlcore.windows import Windows

TOLD = ("feature_names_in_", "bar_interval_")  # by the walk-forward; no parameters, so not cloned


class PerHorizon:
    """A base that gives a model `fit`, `predict`, `get_state` and `set_state` for one horizon or several.

    The model gives `_fit_one(windows, y, task, validation)` on checked labels ``(N,)``, `_predict_one(windows)` on at
    least one window, and `_get_state` and `_set_state`. For several horizons a clone of it is fitted for each, on the
    same windows; `horizon_models_` holds them, the lead's first, and is empty for one horizon. `check_task` may refuse
    a task before anything is fitted.
    """

    lookback: int
    task_: Task
    n_features_in_: int
    horizon_models_: tuple[Any, ...]

    def check_task(self, task: Task) -> Any:
        """Refuse a task that the model's parameters do not fit."""

    def fit(self, windows: Windows, y: np.ndarray, *, task: Task, validation: Validation | None = None) -> Self:
        """Fit on `windows` and labels `y`, ``(N,)`` or ``(N, H)``."""
        self.check_task(task)
        y = check_fit(windows, y, task, lookback=self.lookback)
        self.task_, self.n_features_in_ = task, windows.shape[2]
        self.horizon_models_ = self._clones()
        if not self.horizon_models_:
            self._fit_one(windows, y, task, validation)
            return self
        for i, (model, part) in enumerate(zip(self.horizon_models_, task.parts(), strict=True)):
            judge = None if validation is None else (validation[0], np.asarray(validation[1])[:, i])
            model.fit(windows, y[:, i], task=part, validation=judge)
        if all(hasattr(model, "best_epoch_") for model in self.horizon_models_):
            self.best_epoch_ = tuple(epoch for model in self.horizon_models_ for epoch in model.best_epoch_)
        return self

    def _clones(self) -> tuple[Any, ...]:
        models = tuple(clone(self) for _ in range(self.task_.n_horizons if self.task_.n_horizons > 1 else 0))
        for model in models:
            for name in TOLD:
                if hasattr(self, name):
                    setattr(model, name, getattr(self, name))
        return models

    def predict(self, windows: Windows) -> np.ndarray:
        """Return ``(N, n_outputs)`` float64 in the order of ``task.outputs``."""
        check_windows(windows, lookback=self.lookback, n_features=self.n_features_in_)
        if not len(windows):
            return np.empty((0, self.task_.n_outputs))
        if not self.horizon_models_:
            return self._predict_one(windows)
        return np.concatenate([model.predict(windows) for model in self.horizon_models_], axis=1)

    def get_state(self) -> ModelState:
        """What was learned, as plain data (`mlcore.store`); a horizon's arrays and texts begin with its number."""
        states = [model.get_state() for model in self.horizon_models_]
        state = self._get_state() if not states else ModelState()
        common = {"task": task_values(self.task_), "n_features": self.n_features_in_}
        return ModelState(
            {f"h{i}-{name}": array for i, one in enumerate(states) for name, array in one.arrays.items()}
            | dict(state.arrays),
            {f"h{i}-{name}": text for i, one in enumerate(states) for name, text in one.texts.items()}
            | dict(state.texts),
            dict(state.values) | common | ({"horizons": tuple(dict(one.values) for one in states)} if states else {}),
        )

    def set_state(self, state: ModelState) -> Self:
        """Become the model that `state` was taken of; parameters are set already."""
        self.task_, self.n_features_in_ = task_of(state.values["task"]), state.values["n_features"]
        self.horizon_models_ = self._clones()
        if not self.horizon_models_:
            self._set_state(state)
        for i, model in enumerate(self.horizon_models_):
            model.set_state(_part(state, i))
        return self

    def _fit_one(self, windows: Windows, y: np.ndarray, task: Task, validation: Validation | None) -> Any:
        raise NotImplementedError

    def _predict_one(self, windows: Windows) -> np.ndarray:
        raise NotImplementedError

    def _get_state(self) -> ModelState:
        raise NotImplementedError

    def _set_state(self, state: ModelState) -> Any:
        raise NotImplementedError


def _part(state: ModelState, i: int) -> ModelState:
    prefix = f"h{i}-"
    arrays = {name.removeprefix(prefix): held for name, held in state.arrays.items() if name.startswith(prefix)}
    texts = {name.removeprefix(prefix): held for name, held in state.texts.items() if name.startswith(prefix)}
    return ModelState(arrays, texts, state.values["horizons"][i])
