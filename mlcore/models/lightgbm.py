"""Gradient-boosted trees by LightGBM, with defaults for noisy labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import lightgbm
import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError
from mlcore.losses import Loss
from mlcore.models.inputs import Validation, symbol_column
from mlcore.models.trees import NOT_NEGATIVE, SHARE, UPDATE_LEAF, UPDATE_ROUNDS, BoostedTrees, Rows
from mlcore.store.state import ModelState, StoreError
from mlcore.tasks import Task
from mlcore.windows import Windows


class LightGBM(BoostedTrees):
    """Boosted trees: classes, returns or quantiles (one booster a quantile, sorted so they cannot cross).

    Small steps, few leaves, many rows in each and half of the rows per tree, because most of a financial label is
    noise: on planted markets 4 leaves keep more of the edge than 8, and 8 more than 15. With `validation`
    boosting stops after `patience` rounds without a gain and the best round is restored (`best_epoch_`, one a
    booster); without it `n_estimators` rounds are made. One thread and LightGBM's deterministic mode: the same
    seed gives the same trees. A class missing from the training rows gets probability 0.

    Parameters
    ----------
    lookback : bars a window holds; summaries that it does not hold are left out.
    lags, rolling, momentum : the summaries of each feature that the trees are given beside its newest value
        (`mlcore.models.summaries`): values some bars before, mean and deviation of the newest bars, change over bars.
        On planted markets and on hourly bars more of them cost time and found no more.
    n_estimators : rounds at most.
    min_child_share : share of the training rows that a leaf holds at least (never under 20 rows), so that one
        default means the same on 1,000 rows and on 100,000.
    learning_rate, num_leaves, feature_fraction, bagging_fraction, l2 : LightGBM's own.
    patience : rounds without a better validation loss before stopping.
    seed : of bagging and feature sampling.
    loss, loss_params, class_weights : as in `mlcore.losses`; focal is not known here.

    A feature `symbol` (several symbols trained on together, `mlcore.panel`) is split on as a category.
    """

    known_losses = ("cross_entropy", "squared", "huber", "weighted_squared", "pinball")
    limits: ClassVar = {
        "num_leaves": pd.Interval(2, 131072, "both"),
        "feature_fraction": SHARE,
        "bagging_fraction": SHARE,
        "l2": NOT_NEGATIVE,
    }
    reads_symbol = True

    def __init__(
        self,
        lookback: int = 11,
        lags: Sequence[int] = (1, 2),
        rolling: Sequence[int] = (10,),
        momentum: Sequence[int] = (10,),
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
        self.lags = lags
        self.rolling = rolling
        self.momentum = momentum
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

    def _boost(self, train: Rows, held_out: Rows | None, objective: dict[str, Any]) -> tuple[lightgbm.Booster, int]:
        begun, rounds = self._begun()
        options = self._options(len(train[1])) | objective
        symbol = symbol_column(self)  # its newest value is the column of the same number
        categories = [] if symbol is None else [symbol]
        x, y, weight = train
        rows = lightgbm.Dataset(x, y, weight=weight, params=options, categorical_feature=categories)
        if held_out is None:
            booster = lightgbm.train(options, rows, rounds, init_model=begun)
        else:
            judge = lightgbm.Dataset(held_out[0], held_out[1], weight=held_out[2], reference=rows)
            stop = lightgbm.early_stopping(self.patience, verbose=False)
            losses: dict[str, Any] = {}
            calls: list[Any] = [stop, lightgbm.record_evaluation(losses)]
            # What `train` returns ends with the best round: later ones are not kept.
            booster = lightgbm.train(options, rows, rounds, valid_sets=[judge], callbacks=calls, init_model=begun)
            (told,) = losses["valid_0"].values()
            self.losses_.append((0 if begun is None else begun.current_iteration(), told))
        return booster, booster.current_iteration()

    def _begun(self) -> tuple[lightgbm.Booster | None, int]:
        """Return the next booster to go on from, where there is one, and the rounds to be made at most."""
        if not getattr(self, "start_", None):
            return None, self.n_estimators
        begun = self.start_.pop(0)
        return begun, self.n_estimators - begun.current_iteration()

    def _fit_one(self, windows: Windows, y: np.ndarray, task: Task, validation: Validation | None) -> None:
        """Fit, and keep the validation losses: `history_`, one entry a round, the mean of all boosters.

        A booster that has stopped keeps its last loss; training losses are not measured (NaN).
        """
        self.losses_: list[tuple[int, list[float]]] = []
        classes = getattr(self, "classes_", None)
        if classes is not None and not np.array_equal(classes, np.unique(y)):  # other classes are other trees
            self.start_: list[Any] = []
        super()._fit_one(windows, y, task, validation)
        self.start_ = []
        longest = max((len(told) for _, told in self.losses_), default=0)
        filled = [np.pad(told, (0, longest - len(told)), mode="edge") for _, told in self.losses_]
        first = max((rounds for rounds, _ in self.losses_), default=0)
        self.history_ = [
            {"epoch": float(first + i + 1), "loss": float("nan"), "validation": float(loss)}
            for i, loss in enumerate(np.mean(filled, axis=0) if filled else ())
        ]
        del self.losses_

    def warm_start_from(self, other: Any) -> LightGBM:
        """Let the next `fit` go on from the trees of `other`: new ones are added, `n_estimators` in all at most.

        Trees are never taken away, so a chain of warm starts grows; where fewer than `patience` rounds are left, or
        the rows have other classes, the fit starts from nothing.
        """
        if type(other) is not type(self) or not hasattr(other, "boosters_") or other.task_.n_horizons > 1:
            raise BarwiseError(
                f"`other` is {type(other).__name__}; LightGBM starts from a LightGBM fitted for one horizon."
            )
        most = max(booster.current_iteration() for booster in other.boosters_)
        self.start_ = list(other.boosters_) if most + self.patience <= self.n_estimators else []
        if hasattr(other, "classes_"):
            self.classes_ = other.classes_
        return self

    def _go_on(self, booster: Any, train: Rows, objective: dict[str, Any]) -> Any:
        few = {"min_data_in_leaf": UPDATE_LEAF, "bagging_fraction": 1.0}
        options = self._options(len(train[1])) | objective | few
        rows = lightgbm.Dataset(train[0], train[1], weight=train[2], params=options)
        return lightgbm.train(options, rows, UPDATE_ROUNDS, init_model=booster)

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

    def _raw(self, booster: lightgbm.Booster, x: np.ndarray) -> np.ndarray:
        return np.asarray(booster.predict(x, num_threads=1))

    def _contributions(self, booster: lightgbm.Booster, x: np.ndarray) -> np.ndarray:
        flat = np.asarray(booster.predict(x, pred_contrib=True, num_threads=1))
        return flat.reshape(len(x), -1, x.shape[1] + 1)

    def _gains(self, booster: lightgbm.Booster, n_columns: int) -> np.ndarray:
        return np.asarray(booster.feature_importance("gain"), dtype=np.float64)

    def _get_state(self) -> ModelState:
        """The boosters as LightGBM writes them, and the labels' scale (`mlcore.store`)."""
        texts = {f"booster-{i}": booster.model_to_string() for i, booster in enumerate(self.boosters_)}
        return ModelState(texts=texts, values=self._learnt())

    def _set_state(self, state: ModelState) -> None:
        self._set_learnt(state)
        n = len(self._objectives(self.check_task(self.task_)))
        texts = [_whole(state.texts[f"booster-{i}"]) for i in range(n)]
        try:
            self.boosters_ = [lightgbm.Booster(model_str=text) for text in texts]
        except (lightgbm.basic.LightGBMError, ValueError) as error:
            raise StoreError(f"`booster` is no LightGBM model: {error}") from None


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
