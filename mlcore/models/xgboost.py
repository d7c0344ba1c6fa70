"""Gradient-boosted trees by XGBoost (extra `xgboost`), with the same defaults as `LightGBM`, in its words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from mlcore.errors import BarwiseError
from mlcore.losses import Loss
from mlcore.models.trees import NOT_NEGATIVE, SHARE, UPDATE_LEAF, UPDATE_ROUNDS, BoostedTrees, Rows
from mlcore.store.state import ModelState, StoreError


class XGBoost(BoostedTrees):
    """Boosted trees: classes, returns or quantiles (one booster for all of them, sorted so they cannot cross).

    Grown leaf by leaf on histograms, as `LightGBM` grows them. With `validation` boosting stops after `patience` rounds
    without a gain and the best round is restored (`best_epoch_`); without it `n_estimators` rounds are made. One
    thread: the same seed gives the same trees. A class missing from the training rows gets probability 0.

    Parameters
    ----------
    lookback : bars a window holds; summaries that it does not hold are left out.
    lags, rolling, momentum : summaries of each feature (`mlcore.models.summaries`).
    n_estimators : rounds at most.
    min_child_share : share of the training rows that a leaf weighs at least (never under 20 rows; for classes a row
        weighs p (1 - p), at most a quarter, and so does the bound).
    learning_rate, max_leaves, colsample_bynode, subsample, reg_lambda : XGBoost's own.
    patience : rounds without a better validation loss before stopping.
    seed : of the rows and columns drawn.
    loss, loss_params, class_weights : as in `mlcore.losses`; focal and huber are not known here.

    Raises BarwiseError where XGBoost is not installed.
    """

    known_losses = ("cross_entropy", "squared", "weighted_squared", "pinball")
    limits: ClassVar = {
        "max_leaves": NOT_NEGATIVE,
        "colsample_bynode": SHARE,
        "subsample": SHARE,
        "reg_lambda": NOT_NEGATIVE,
    }

    def __init__(
        self,
        lookback: int = 11,
        lags: Sequence[int] = (1, 2),
        rolling: Sequence[int] = (10,),
        momentum: Sequence[int] = (10,),
        n_estimators: int = 400,
        learning_rate: float = 0.05,
        max_leaves: int = 4,
        min_child_share: float = 0.02,
        colsample_bynode: float = 1.0,
        subsample: float = 0.5,
        reg_lambda: float = 1.0,
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
        self.max_leaves = max_leaves
        self.min_child_share = min_child_share
        self.colsample_bynode = colsample_bynode
        self.subsample = subsample
        self.reg_lambda = reg_lambda
        self.patience = patience
        self.seed = seed
        self.loss = loss
        self.loss_params = loss_params
        self.class_weights = class_weights

    def _objectives(self, loss: Loss) -> list[dict[str, Any]]:
        if self.task_.kind == "quantiles":
            return [{"objective": "reg:quantileerror", "quantile_alpha": list(self.task_.quantiles)}]
        if self.task_.kind == "regression":
            return [{"objective": "reg:squarederror"}]
        if len(self.classes_) == 2:
            return [{"objective": "binary:logistic"}]
        return [{"objective": "multi:softprob", "num_class": len(self.classes_)}]

    def _boost(self, train: Rows, held_out: Rows | None, objective: dict[str, Any]) -> tuple[Any, int]:
        xgboost = _library()
        options = self._options(len(train[1])) | objective
        rows = xgboost.QuantileDMatrix(train[0], train[1], weight=train[2], nthread=1)
        if held_out is None:
            return xgboost.train(options, rows, self.n_estimators), self.n_estimators
        judge = xgboost.QuantileDMatrix(held_out[0], held_out[1], weight=held_out[2], ref=rows, nthread=1)
        stop = xgboost.callback.EarlyStopping(rounds=self.patience, save_best=True)
        booster = xgboost.train(
            options, rows, self.n_estimators, evals=[(judge, "validation")], callbacks=[stop], verbose_eval=False
        )
        return booster, booster.num_boosted_rounds()

    def _go_on(self, booster: Any, train: Rows, objective: dict[str, Any]) -> Any:
        few = {"min_child_weight": self._leaf_weight(UPDATE_LEAF), "subsample": 1.0}
        rows = _library().QuantileDMatrix(train[0], train[1], weight=train[2], nthread=1)
        options = self._options(len(train[1])) | objective | few
        return _library().train(options, rows, UPDATE_ROUNDS, xgb_model=booster)

    def _leaf_weight(self, n_rows: float) -> float:
        """Return what `n_rows` rows weigh at most in a leaf."""
        return (0.25 if self.task_.kind == "classes" else 1.0) * n_rows

    def _options(self, n_rows: int) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "tree_method": "hist",
            "grow_policy": "lossguide",
            "max_depth": 0,
            "max_leaves": self.max_leaves,
            "min_child_weight": self._leaf_weight(max(20, self.min_child_share * n_rows)),
            "colsample_bynode": self.colsample_bynode,
            "subsample": self.subsample,
            "reg_lambda": self.reg_lambda,
            "seed": self.seed,
            "nthread": 1,
        }

    def _raw(self, booster: Any, x: np.ndarray) -> np.ndarray:
        return np.asarray(booster.inplace_predict(x))

    def _contributions(self, booster: Any, x: np.ndarray) -> np.ndarray:
        rows = _library().DMatrix(x, nthread=1)
        found = np.asarray(booster.predict(rows, pred_contribs=True), dtype=np.float64)
        return found.reshape(len(x), -1, x.shape[1] + 1)

    def _gains(self, booster: Any, n_columns: int) -> np.ndarray:
        gains = np.zeros(n_columns)
        for name, gain in booster.get_score(importance_type="total_gain").items():  # "f12": columns have no names
            gains[int(name[1:])] = gain
        return gains

    def _get_state(self) -> ModelState:
        """The booster as XGBoost writes it (JSON), and the labels' scale (`mlcore.store`)."""
        texts = {f"booster-{i}": booster.save_raw("json").decode() for i, booster in enumerate(self.boosters_)}
        return ModelState(texts=texts, values=self._learnt())

    def _set_state(self, state: ModelState) -> None:
        self._set_learnt(state)
        n = len(self._objectives(self.check_task(self.task_)))
        self.boosters_ = [_booster(state.texts[f"booster-{i}"]) for i in range(n)]


def _booster(text: str) -> Any:
    xgboost = _library()
    try:
        json.loads(text)  # XGBoost's own reader says less of a file that is cut short
        return xgboost.Booster({"nthread": 1}, model_file=bytearray(text.encode()))
    except (xgboost.core.XGBoostError, ValueError) as error:
        raise StoreError(f"`booster` is no XGBoost model: {str(error).splitlines()[0]}") from None


def _library() -> ModuleType:
    try:
        import xgboost
    except ImportError:
        raise BarwiseError(
            "`model` 'xgboost' needs the library XGBoost: `pip install barwise[xgboost]` (its CPU build)."
        ) from None
    return xgboost
