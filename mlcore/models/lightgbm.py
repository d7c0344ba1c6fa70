"""Gradient-boosted trees by LightGBM, with defaults for noisy labels."""

from __future__ import annotations

from functools import partial
from typing import Any

import lightgbm
import numpy as np
from sklearn.base import BaseEstimator

from mlcore.losses import Loss, choose_loss, class_weights_of, row_weights, without_weights
from mlcore.models.horizons import PerHorizon
from mlcore.models.inputs import Validation, flatten, predict_in_parts, spread_over_classes
from mlcore.store.state import ModelState, StoreError
from mlcore.tasks import Task
from mlcore.windows import Windows

Rows = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # flat windows, targets, weights
KNOWN_LOSSES = ("cross_entropy", "squared", "huber", "weighted_squared", "pinball")


class LightGBM(PerHorizon, BaseEstimator):
    """Boosted trees: classes, returns or quantiles (one booster a quantile, sorted so they cannot cross).

    Small steps, few leaves, many rows in each and half of the rows per tree, because most of a financial label is
    noise: on planted markets 4 leaves keep more of the edge than 8, and 8 more than 15. With `validation`
    boosting stops after `patience` rounds without a gain and the best round is restored (`best_epoch_`, one a
    booster); without it `n_estimators` rounds are made. One thread and LightGBM's deterministic mode: the same
    seed gives the same trees. A class missing from the training rows gets probability 0. Several horizons
    have boosters of their own.

    Parameters
    ----------
    lookback : bars a window holds; more than one are laid side by side.
    n_estimators : rounds at most.
    min_child_share : share of the training rows that a leaf holds at least (never under 20 rows), so that one
        default means the same on 1,000 rows and on 100,000.
    learning_rate, num_leaves, feature_fraction, bagging_fraction, l2 : LightGBM's own.
    patience : rounds without a better validation loss before stopping.
    seed : of bagging and feature sampling.
    loss, loss_params, class_weights : as in `mlcore.losses`; focal is not known here.
    """

    def __init__(
        self,
        lookback: int = 1,
        n_estimators: int = 400,
        learning_rate: float = 0.05,
        num_leaves: int = 4,
        min_child_share: float = 0.02,
        feature_fraction: float = 1.0,
        bagging_fraction: float = 0.5,
        l2: float = 1.0,
        patience: int = 30,
        seed: int = 0,
        loss: str | None = None,
        loss_params: dict[str, float] | None = None,
        class_weights: str | tuple[float, ...] | None = None,
    ) -> None:
        self.lookback = lookback
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_child_share = min_child_share
        self.feature_fraction = feature_fraction
        self.bagging_fraction = bagging_fraction
        self.l2 = l2
        self.patience = patience
        self.seed = seed
        self.loss = loss
        self.loss_params = loss_params
        self.class_weights = class_weights

    def check_task(self, task: Task) -> Loss:
        """Return the loss that `task` is trained by; refuse one that does not fit it."""
        return choose_loss(task, self.loss, self.loss_params, self.class_weights, known=KNOWN_LOSSES)

    def _fit_one(self, windows: Windows, y: np.ndarray, task: Task, validation: Validation | None) -> None:
        loss = self.check_task(task)
        self.weights_ = None
        if task.kind == "classes":
            self.weights_ = class_weights_of(y, task.n_outputs, loss.class_weights)
        weigh = partial(row_weights, loss, weights=self.weights_)
        targets, held_out = self._targets(y, validation)
        judge = None
        if held_out is not None and len(held_out[0]):
            labels = self._labels(held_out[1])
            judge = flatten(held_out[0]), held_out[1], weigh(labels)
        rows = flatten(windows), targets, weigh(y)
        self.boosters_ = [self._boost(rows, judge, objective) for objective in self._objectives(loss)]
        self.best_epoch_ = tuple(booster.current_iteration() for booster in self.boosters_)

    def _labels(self, targets: np.ndarray) -> np.ndarray:
        """Targets of LightGBM as the labels they were made of."""
        if self.task_.kind == "classes":
            return self.classes_[targets.astype(np.int64)]
        return targets * self.unit_ + self.center_

    def _targets(self, y: np.ndarray, validation: Validation | None) -> tuple[np.ndarray, Validation | None]:
        """Labels as LightGBM wants them: codes without holes, or returns in units of their own deviation."""
        if self.task_.kind == "classes":
            self.classes_ = np.unique(y).astype(np.int64)
            if validation is not None:  # a class that was never trained on has no probability to be judged by
                known = np.isin(validation[1], self.classes_)
                validation = validation[0].take(known), np.searchsorted(self.classes_, validation[1][known])
            return np.searchsorted(self.classes_, y), validation
        self.center_, self.unit_ = float(np.mean(y)), float(np.std(y)) or 1.0
        if validation is not None:
            validation = validation[0], (validation[1] - self.center_) / self.unit_
        return (y - self.center_) / self.unit_, validation

    def _objectives(self, loss: Loss) -> list[dict[str, Any]]:
        if self.task_.kind == "quantiles":
            return [{"objective": "quantile", "alpha": q} for q in self.task_.quantiles]
        if loss.name == "huber":
            return [{"objective": "huber", "alpha": loss.numbers["delta"]}]
        if self.task_.kind == "regression":
            return [{"objective": "regression"}]
        if len(self.classes_) == 2:
            return [{"objective": "binary"}]
        return [{"objective": "multiclass", "num_class": len(self.classes_)}]

    def _boost(self, rows: Rows, held_out: Rows | None, objective: dict[str, Any]) -> lightgbm.Booster:
        x, targets, weight = rows
        options = self._options(len(targets)) | objective
        train = lightgbm.Dataset(x, targets, weight=weight, params=options)
        if held_out is None:
            return lightgbm.train(options, train, self.n_estimators)
        judge = lightgbm.Dataset(held_out[0], held_out[1], weight=held_out[2], reference=train)
        stop = lightgbm.early_stopping(self.patience, verbose=False)
        # What `train` returns ends with the best round: later ones are not kept.
        return lightgbm.train(options, train, self.n_estimators, valid_sets=[judge], callbacks=[stop])

    def _options(self, n_rows: int) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": max(20, round(self.min_child_share * n_rows)),
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction,
            "bagging_freq": 1,
            "lambda_l2": self.l2,
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        }

    def _get_state(self) -> ModelState:
        """The boosters as LightGBM writes them, and the labels' scale (`mlcore.store`)."""
        values: dict[str, Any] = {"best_epoch": self.best_epoch_, "weights": self.weights_}
        if self.task_.kind == "classes":
            values["classes"] = self.classes_.tolist()
        else:
            values |= {"center": self.center_, "unit": self.unit_}
        texts = {f"booster-{i}": booster.model_to_string() for i, booster in enumerate(self.boosters_)}
        return ModelState(texts=texts, values=values)

    def _set_state(self, state: ModelState) -> None:
        values = state.values
        self.best_epoch_, self.weights_ = values["best_epoch"], values.get("weights")
        if self.task_.kind == "classes":
            self.classes_ = np.asarray(values["classes"], dtype=np.int64)
        else:
            self.center_, self.unit_ = values["center"], values["unit"]
        texts = [_whole(state.texts[f"booster-{i}"]) for i in range(len(self._objectives(self.check_task(self.task_))))]
        try:
            self.boosters_ = [lightgbm.Booster(model_str=text) for text in texts]
        except (lightgbm.basic.LightGBMError, ValueError) as error:
            raise StoreError(f"`booster` is no LightGBM model: {error}") from None

    def _predict_one(self, windows: Windows) -> np.ndarray:
        return predict_in_parts(self._predict, windows, np.float32)

    def _predict(self, x: np.ndarray) -> np.ndarray:
        raw = [np.asarray(booster.predict(x, num_threads=1), dtype=np.float64) for booster in self.boosters_]
        if self.task_.kind != "classes":
            columns = np.stack(raw, axis=1) * self.unit_ + self.center_
            return np.sort(columns, axis=1) if self.task_.kind == "quantiles" else columns
        probabilities = np.stack([1.0 - raw[0], raw[0]], axis=1) if raw[0].ndim == 1 else raw[0]
        return without_weights(spread_over_classes(probabilities, self.classes_, self.task_.n_outputs), self.weights_)


def _whole(text: str) -> str:
    """Return the text of a booster; refuse one that is cut short, on which LightGBM 4 ends the whole process."""
    head, found, _ = text.partition("\ntree_sizes=")
    sizes = text[len(head) + len(found) :].split("\n", 1)[0].split()
    at = text.find("Tree=0\n")
    if not (head.startswith("tree\n") and found and at > 0 and sizes and all(size.isdecimal() for size in sizes)):
        raise StoreError("`booster` is no LightGBM model: its text does not begin as one.")
    for number, size in enumerate(sizes):
        if not text.startswith(f"Tree={number}\n", at):
            raise StoreError(f"`booster` is no whole LightGBM model: tree {number} is not in its place.")
        at += int(size)
    if not text.startswith("end of trees\n", at) or "\nend of parameters\n" not in text[at:]:
        raise StoreError("`booster` is no whole LightGBM model: it ends too early.")
    return text
