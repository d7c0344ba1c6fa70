"""The last layer's meaning, by task: how wrong a raw output is, and the forecast it stands for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F

from mlcore.errors import BarwiseError, did_you_mean
from mlcore.losses import Loss, choose_loss, class_weights_of, without_focus, without_weights
from mlcore.tasks import Task

# Shape suffix legend
#   N = rows, Q = quantiles, R = raw outputs, H = horizons

UNSEEN = -30.0  # e**-30: next to nothing as a probability, and no inf where a validation row has the class


class Head(Protocol):
    """What training asks of a head. It is made from training rows only, and holds plain numbers."""

    @property
    def n_raw(self) -> int:
        """Raw outputs per row, the width of the network's last layer."""

    def start(self) -> torch.Tensor:
        """``(R,)`` raw outputs that stand for what is known without features: where training begins."""

    def target(self, y_N: np.ndarray) -> torch.Tensor:
        """Labels as the loss takes them."""

    def loss(self, raw_NR: torch.Tensor, target_N: torch.Tensor) -> torch.Tensor:
        """``(N,)`` loss of each row."""

    def forecast(self, raw_NR: torch.Tensor) -> np.ndarray:
        """``(N, n_outputs)`` float64, in the order of ``task.outputs``."""


@dataclass(frozen=True)
class ClassHead:
    """Logits; cross-entropy; softmax. `shares` are the classes' shares of the training rows, `weights` their weights.

    A class that was never seen is all but ruled out (``UNSEEN`` is added to its logit), and its loss stays finite.
    Weights are undone in the forecast (`mlcore.losses`).
    """

    shares: tuple[float, ...]
    weights: tuple[float, ...] | None = None

    @property
    def n_raw(self) -> int:
        return len(self.shares)

    def start(self) -> torch.Tensor:
        weights = self.weights or (1.0,) * self.n_raw
        pulled = [share * weight or 1.0 for share, weight in zip(self.shares, weights, strict=True)]
        return torch.log(torch.tensor(pulled, dtype=torch.float32))

    def _logits(self, raw_NR: torch.Tensor) -> torch.Tensor:
        if all(self.shares):
            return raw_NR
        return raw_NR + raw_NR.new_tensor([0.0 if share else UNSEEN for share in self.shares])

    def target(self, y_N: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(y_N.astype(np.int64))

    def loss(self, raw_NR: torch.Tensor, target_N: torch.Tensor) -> torch.Tensor:
        weights = None if self.weights is None else raw_NR.new_tensor(self.weights)
        return F.cross_entropy(self._logits(raw_NR), target_N, weight=weights, reduction="none")

    def forecast(self, raw_NR: torch.Tensor) -> np.ndarray:
        return without_weights(torch.softmax(self._logits(raw_NR.double()), dim=-1).numpy(), self.weights)


@dataclass(frozen=True)
class FocalHead(ClassHead):
    """Logits; focal loss; the probabilities for which that loss is least (`mlcore.losses`).

    Training begins at the classes' shares; what is forecast there is near them, not equal.
    """

    gamma: float = 2.0

    def loss(self, raw_NR: torch.Tensor, target_N: torch.Tensor) -> torch.Tensor:
        log_p_NR = torch.log_softmax(self._logits(raw_NR), dim=-1)
        log_p_N = log_p_NR.gather(1, target_N[:, None])[:, 0]
        hits_NR = F.one_hot(target_N, self.n_raw).bool()
        missed_N = log_p_NR.exp().masked_fill(hits_NR, 0.0).sum(dim=1)  # 1 - p, to the last digit
        # The slope of 0 to a power below 1 is infinite.
        focus_N = missed_N.clamp_min(torch.finfo(raw_NR.dtype).tiny).pow(self.gamma)
        weights = 1.0 if self.weights is None else raw_NR.new_tensor(self.weights)[target_N]
        return -weights * focus_N * log_p_N

    def forecast(self, raw_NR: torch.Tensor) -> np.ndarray:
        log_p = torch.log_softmax(self._logits(raw_NR.double()), dim=-1).numpy()
        return without_weights(without_focus(log_p, self.gamma), self.weights)


@dataclass(frozen=True)
class RegressionHead:
    """One number; squared error of the label in units of its deviation on the training rows."""

    centre: float
    scale: float

    @property
    def n_raw(self) -> int:
        return 1

    def start(self) -> torch.Tensor:
        return torch.zeros(1)

    def target(self, y_N: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(((y_N - self.centre) / self.scale).astype(np.float32))

    def loss(self, raw_NR: torch.Tensor, target_N: torch.Tensor) -> torch.Tensor:
        return (raw_NR[:, 0] - target_N).square()

    def forecast(self, raw_NR: torch.Tensor) -> np.ndarray:
        return raw_NR.double().numpy() * self.scale + self.centre


@dataclass(frozen=True)
class HuberHead(RegressionHead):
    """One number; squared error up to `delta` deviations of the training labels, absolute error beyond."""

    delta: float = 1.0

    def loss(self, raw_NR: torch.Tensor, target_N: torch.Tensor) -> torch.Tensor:
        return F.huber_loss(raw_NR[:, 0], target_N.to(raw_NR.dtype), reduction="none", delta=self.delta)


@dataclass(frozen=True)
class WeightedSquaredHead(RegressionHead):
    """One number; squared error, `factor` times where the label, in its own units, lies beyond +-`threshold`."""

    threshold: float = 0.02
    factor: float = 5.0

    def loss(self, raw_NR: torch.Tensor, target_N: torch.Tensor) -> torch.Tensor:
        large_N = (target_N * self.scale + self.centre).abs() > self.threshold
        return super().loss(raw_NR, target_N) * torch.where(large_N, self.factor, 1.0)


@dataclass(frozen=True)
class QuantileHead:
    """Quantiles that cannot cross: the lowest, then steps up made positive by softplus; pinball loss.

    Koenker and Bassett (1978): ``max(q e, (q - 1) e)`` with ``e = y - forecast``, mean over quantiles.
    """

    centre: float
    scale: float
    quantiles: tuple[float, ...]
    begin: tuple[float, ...]

    @property
    def n_raw(self) -> int:
        return len(self.quantiles)

    def start(self) -> torch.Tensor:
        return torch.tensor(self.begin, dtype=torch.float32)

    def target(self, y_N: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(((y_N - self.centre) / self.scale).astype(np.float32))

    def _rising(self, raw_NR: torch.Tensor) -> torch.Tensor:
        steps_NR = torch.cat([raw_NR[:, :1], F.softplus(raw_NR[:, 1:])], dim=1)
        return steps_NR.cumsum(dim=1)

    def loss(self, raw_NR: torch.Tensor, target_N: torch.Tensor) -> torch.Tensor:
        q_Q = torch.tensor(self.quantiles, dtype=raw_NR.dtype, device=raw_NR.device)
        error_NQ = target_N[:, None] - self._rising(raw_NR)
        return torch.maximum(q_Q * error_NQ, (q_Q - 1) * error_NQ).mean(dim=1)

    def forecast(self, raw_NR: torch.Tensor) -> np.ndarray:
        return self._rising(raw_NR.double()).numpy() * self.scale + self.centre


@dataclass(frozen=True)
class HorizonsHead:
    """One head a horizon, side by side; the loss is their mean."""

    heads: tuple[Head, ...]

    @property
    def n_raw(self) -> int:
        return sum(head.n_raw for head in self.heads)

    def start(self) -> torch.Tensor:
        return torch.cat([head.start() for head in self.heads])

    def _split(self, raw_NR: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return raw_NR.split([head.n_raw for head in self.heads], dim=1)

    def target(self, y_NH: np.ndarray) -> torch.Tensor:
        return torch.stack([head.target(y_NH[:, i]) for i, head in enumerate(self.heads)], dim=1)

    def loss(self, raw_NR: torch.Tensor, target_NH: torch.Tensor) -> torch.Tensor:
        pairs = enumerate(zip(self.heads, self._split(raw_NR), strict=True))
        return torch.stack([head.loss(raw, target_NH[:, i]) for i, (head, raw) in pairs], dim=1).mean(dim=1)

    def forecast(self, raw_NR: torch.Tensor) -> np.ndarray:
        pairs = zip(self.heads, self._split(raw_NR), strict=True)
        return np.concatenate([head.forecast(raw) for head, raw in pairs], axis=1)


def make_head(task: Task, y: np.ndarray, loss: Loss | None = None) -> Head:
    """Return the head of `task`, with what it needs to know of the training labels `y` ``(N,)`` or ``(N, H)``.

    `loss` is what `mlcore.losses.choose_loss` returns; None is the task's own. Raises BarwiseError where `y` cannot be
    learned: a NaN, one class only, a constant.
    """
    y = np.asarray(y, dtype=np.float64)
    loss = choose_loss(task) if loss is None else loss
    if task.n_horizons > 1:
        return HorizonsHead(tuple(make_head(part, y[:, i], loss) for i, part in enumerate(task.parts())))
    if not np.isfinite(y).all():
        row = int(np.flatnonzero(~np.isfinite(y))[0])
        raise BarwiseError(f"`y` is {y[row]} at row {row} of the training rows; leave out rows without a label.")
    if task.kind == "classes":
        return _class_head(task, y, loss)
    if y.std() == 0:
        raise BarwiseError(f"`y` is {y[0]} on every one of the {len(y)} training rows; there is nothing to learn.")
    centre, scale = float(y.mean()), float(y.std())
    if task.kind == "quantiles":
        return _quantile_head(task, y, centre, scale)
    kinds = {"squared": RegressionHead, "huber": HuberHead, "weighted_squared": WeightedSquaredHead}
    return kinds[loss.name](centre, scale, **loss.numbers)


def head_values(head: Any) -> dict[str, Any]:
    """Return a head as plain values: the name of its class in this module, and its numbers."""
    name = {"name": type(head).__name__}
    if isinstance(head, HorizonsHead):
        return name | {"heads": tuple(head_values(one) for one in head.heads)}
    return name | asdict(head)


def head_of(values: dict[str, Any]) -> Head:
    """Return the head that `head_values` told of; the name is looked up among the heads of this module only."""
    known: dict[str, Any] = {
        name: kind
        for name, kind in globals().items()
        if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == __name__
    }
    name = str(values["name"])
    if name not in known:
        raise BarwiseError(f"`head` is {name!r}, which is not known.{did_you_mean(name, known)}")
    if name == HorizonsHead.__name__:
        return HorizonsHead(tuple(head_of(one) for one in values["heads"]))
    return known[name](**{key: value for key, value in values.items() if key != "name"})


def _class_head(task: Task, y: np.ndarray, loss: Loss) -> ClassHead:
    k = task.n_outputs
    wrong = (y != np.round(y)) | (y < 0) | (y >= k)
    if wrong.any():
        raise BarwiseError(f"`y` holds {y[wrong][0]}; class codes are the whole numbers 0..{k - 1} of {task.outputs}.")
    counts = np.bincount(y.astype(np.int64), minlength=k)
    if (counts > 0).sum() < 2:
        raise BarwiseError(
            f"`y` is class {task.outputs[int(counts.argmax())]!r} on all {len(y)} training rows; two are needed: "
            "train on more bars or lower the label's threshold."
        )
    shares = tuple(float(share) for share in counts / counts.sum())
    weights = class_weights_of(y, k, loss.class_weights)
    return FocalHead(shares, weights, **loss.numbers) if loss.name == "focal" else ClassHead(shares, weights)


def _quantile_head(task: Task, y: np.ndarray, centre: float, scale: float) -> QuantileHead:
    q = np.asarray(task.quantiles)
    if len(q) != task.n_outputs or not ((q > 0) & (q < 1)).all() or (np.diff(q) <= 0).any():
        raise BarwiseError(
            f"`quantiles` are {task.quantiles}; they must rise within (0, 1), one for each of {task.outputs}."
        )
    levels = np.quantile((y - centre) / scale, q)
    steps = np.maximum(np.diff(levels), 1e-3)
    begin = np.r_[levels[0], np.log(np.expm1(steps))]  # inverse of softplus
    return QuantileHead(centre, scale, tuple(task.quantiles), tuple(float(value) for value in begin))
