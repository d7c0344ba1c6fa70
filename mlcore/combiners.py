"""How members' forecasts become one: for every row, weights of the members that are not negative and sum to 1.

So probabilities stay probabilities, a class that no member gives a chance has none, and quantiles do not cross. A
combiner learns, where it learns at all, from forecasts that were out of sample for the members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import nnls

from mlcore.confidence import centre
from mlcore.errors import BarwiseError
from mlcore.tasks import Task

# Shape suffix legend
#   N = rows, M = members, K = raw outputs, D = columns of what is known of the market

Split = tuple[np.ndarray, np.ndarray]


class Combiner(Protocol):
    """What an ensemble asks of the rule that it combines by."""

    learns: bool  # False: `fit` does nothing, and equal weights are no makeshift

    def fit(
        self, raw_NMK: np.ndarray, y_N: np.ndarray, task: Task, market_ND: np.ndarray, split: Split | None = None
    ) -> None:
        """Learn from forecasts that were out of sample, in time; `split`: older rows, and newer ones to stop by."""

    def weights(self, raw_NMK: np.ndarray, task: Task, market_ND: np.ndarray) -> np.ndarray:
        """Return ``(N, M)``; equal where nothing was learnt."""

    def gain(self, raw_NMK: np.ndarray, task: Task) -> np.ndarray | None:
        """Return ``(N,)`` factors on the confidence, or None."""

    def state(self) -> dict[str, np.ndarray]:
        """Return what was learnt, as arrays."""

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Become the combiner that `state` was taken of."""


def combine(raw_NMK: np.ndarray, weights_NM: np.ndarray, task: Task) -> np.ndarray:
    """Return ``(N, K)``: the members' raw outputs in their weights."""
    raw_NK = (raw_NMK * weights_NM[:, :, None]).sum(axis=1)
    if task.kind != "quantiles":
        return raw_NK
    apart = raw_NK.reshape(len(raw_NK), -1, len(task.quantiles))  # one set of quantiles a horizon
    return np.maximum.accumulate(apart, axis=2).reshape(raw_NK.shape)  # rounding could let equal ones cross


def equal_weights(raw_NMK: np.ndarray) -> np.ndarray:
    """Return ``(N, M)``: every member alike."""
    return np.full(raw_NMK.shape[:2], 1.0 / raw_NMK.shape[1])


def lead_values(y: np.ndarray) -> np.ndarray:
    """Return ``(N,)``: the labels of the leading horizon."""
    return y if y.ndim == 1 else y[:, 0]


class _Fixed:
    """Learns nothing."""

    learns = False

    def fit(
        self, raw_NMK: np.ndarray, y_N: np.ndarray, task: Task, market_ND: np.ndarray, split: Split | None = None
    ) -> None:
        """Do nothing."""

    def gain(self, raw_NMK: np.ndarray, task: Task) -> np.ndarray | None:
        """Return None: confidence stays."""
        return None

    def state(self) -> dict[str, np.ndarray]:
        """Return nothing."""
        return {}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Do nothing."""


@dataclass
class Average(_Fixed):
    """The same weights on every row: those given, up to their sum, or equal ones."""

    given: Sequence[float] | None = None

    def weights(self, raw_NMK: np.ndarray, task: Task, market_ND: np.ndarray) -> np.ndarray:
        if self.given is None:
            return equal_weights(raw_NMK)
        return np.broadcast_to(checked_weights(self.given, raw_NMK.shape[1]), raw_NMK.shape[:2])


def checked_weights(given: Sequence[float], n_members: int) -> np.ndarray:
    """Return weights that sum to 1; refuse another number of them than members, and what is no weight."""
    try:
        weights = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        weights = np.empty(0)
    if weights.shape != (n_members,) or not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() <= 0:
        raise BarwiseError(
            f"`weights` is {given!r}; it must be {n_members} numbers, one a member, none below 0 and not all of them 0."
        )
    return weights / weights.sum()


@dataclass
class Vote(_Fixed):
    """The mean of the members that are with the majority; where all are, confidence goes up by `bonus`.

    A member votes for its likeliest class, or for the sign of its return (of its median). Where two camps are as
    large, the one whose members speak louder (higher probability of the class, larger returns) wins.
    """

    bonus: float = 0.1

    def weights(self, raw_NMK: np.ndarray, task: Task, market_ND: np.ndarray) -> np.ndarray:
        votes_NMC, loud_NMC = self._votes(raw_NMK, task)
        loud_NC = loud_NMC.sum(axis=1)
        total = loud_NC.sum(axis=1, keepdims=True)
        share = np.divide(loud_NC, total, out=np.zeros_like(loud_NC), where=total > 0)
        winner = (votes_NMC.sum(axis=1) + 0.5 * share).argmax(axis=1)
        of_winner = votes_NMC[np.arange(len(raw_NMK)), :, winner]
        return of_winner / of_winner.sum(axis=1, keepdims=True)

    def gain(self, raw_NMK: np.ndarray, task: Task) -> np.ndarray | None:
        """Return ``1 + bonus`` where all members vote alike, 1 elsewhere."""
        votes_NMC, _ = self._votes(raw_NMK, task)
        return np.where((votes_NMC == 1).all(axis=1).any(axis=1), 1.0 + self.bonus, 1.0)

    @staticmethod
    def _votes(raw_NMK: np.ndarray, task: Task) -> tuple[np.ndarray, np.ndarray]:
        """Return ``(N, M, C)``: who votes for which camp, and how loud each camp is for whom."""
        lead = task.lead
        if task.kind == "classes":
            p_NMC = raw_NMK[:, :, : lead.n_outputs]
            return np.eye(lead.n_outputs)[p_NMC.argmax(axis=2)], p_NMC
        signs = np.sign(centres(raw_NMK, task))[:, :, None] == np.array([-1.0, 0.0, 1.0])
        return signs.astype(np.float64), signs * np.abs(centres(raw_NMK, task))[:, :, None]


def centres(raw_NMK: np.ndarray, task: Task) -> np.ndarray:
    """Return ``(N, M)``: every member's expected score, return or median, of the leading horizon."""
    lead = task.lead
    said = [centre(raw_NMK[:, m, : lead.n_outputs], lead) for m in range(raw_NMK.shape[1])]
    return np.stack(said, axis=1)


@dataclass
class Stack(_Fixed):
    """Ridge regression of the label on the members' forecasts, weights not negative and of sum 1 (Breiman 1996).

    Classes: of all classes' indicators on their probabilities, one weight a member. Quantiles: of the return on the
    medians. The penalty, ``shrinkage`` times the error variance of the plain mean, draws the weights to equal ones: it
    is the ridge of a prior in which a weight lies ``1 / sqrt(shrinkage)`` about them.
    """

    shrinkage: float = 10.0
    learns = True

    def __post_init__(self) -> None:
        if not 0 <= self.shrinkage < np.inf:
            raise BarwiseError(f"`shrinkage` is {self.shrinkage!r}; it is a finite number, 0 or more.")
        self.weights_M: np.ndarray | None = None

    def fit(
        self, raw_NMK: np.ndarray, y_N: np.ndarray, task: Task, market_ND: np.ndarray, split: Split | None = None
    ) -> None:
        """Learn one weight a member."""
        lead, y = task.lead, lead_values(y_N)
        if task.kind == "classes":
            x_NMC = raw_NMK[:, :, : lead.n_outputs]
            x_RM = np.moveaxis(x_NMC, 1, 2).reshape(-1, raw_NMK.shape[1])
            target_R = np.eye(lead.n_outputs)[y.astype(np.int64)].ravel()
        else:
            x_RM, target_R = centres(raw_NMK, task), y
        self.weights_M = ridge_weights(x_RM, target_R, self.shrinkage)

    def weights(self, raw_NMK: np.ndarray, task: Task, market_ND: np.ndarray) -> np.ndarray:
        """Return what was learnt, on every row."""
        if self.weights_M is None:
            return equal_weights(raw_NMK)
        return np.broadcast_to(self.weights_M, raw_NMK.shape[:2])

    def state(self) -> dict[str, np.ndarray]:
        return {} if self.weights_M is None else {"weights": self.weights_M}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self.weights_M = state.get("weights")


def ridge_weights(x_NM: np.ndarray, y_N: np.ndarray, shrinkage: float) -> np.ndarray:
    """Return ``(M,)`` weights, none below 0, of sum 1: least ``|y - x w|^2 + penalty |w - 1/M|^2``.

    The penalty is `shrinkage` times the mean squared error of the plain mean.

    >>> x = np.array([[1.0, 0.5], [-1.0, 0.5], [2.0, -1.0], [0.5, 1.0]])
    >>> ridge_weights(x, x[:, 0], shrinkage=0.0).round(6)
    array([1., 0.])
    """
    m = x_NM.shape[1]
    gram = x_NM.T @ x_NM
    size = float(np.trace(gram)) / m or 1.0
    noise = float(np.mean((y_N - x_NM.mean(axis=1)) ** 2))
    penalty = shrinkage * noise / size + 1e-9  # never without any: members may be one and the same
    curve = gram / size + penalty * np.eye(m)
    slope = x_NM.T @ y_N / size + penalty / m
    root = np.linalg.cholesky(curve).T
    heavy = 1e4 * float(np.sqrt(np.trace(curve)))  # a row that all but fixes the sum
    left = np.vstack([root, np.full((1, m), heavy)])
    right = np.append(np.linalg.solve(root.T, slope), heavy)
    weights, _ = nnls(left, right)
    return weights / weights.sum()


@dataclass
class Regime(_Fixed):
    """Where the market trends, the mean of the members for trends; elsewhere, of those for sideways markets.

    What is known of the market is one column: the moves of the last bars, summed, over the sum of their sizes (the
    efficiency ratio of Kaufman 1995), which knows the past alone and is not fitted. `trend` of it is a trend.
    """

    sideways: Sequence[bool] = (False, True)  # which members are for sideways markets
    trend: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.trend < 1:
            raise BarwiseError(f"`trend` is {self.trend!r}; it is the net share of the moves, between 0 and 1.")

    def weights(self, raw_NMK: np.ndarray, task: Task, market_ND: np.ndarray) -> np.ndarray:
        trending = np.abs(market_ND[:, :1]) >= self.trend
        chosen = np.where(trending, ~np.asarray(self.sideways), np.asarray(self.sideways)).astype(np.float64)
        return chosen / chosen.sum(axis=1, keepdims=True)


def efficiency_ratio(moves_NL: np.ndarray) -> np.ndarray:
    """Return ``(N,)`` in [-1, 1]: what is left of moves when they are summed; 0 where nothing moved.

    >>> efficiency_ratio(np.array([[1.0, 1.0, 2.0], [1.0, -1.0, 0.0], [0.0, 0.0, 0.0], [-1.0, -3.0, 2.0]]))
    array([ 1. ,  0. ,  0. , -0.33333333])
    """
    path = np.abs(moves_NL).sum(axis=1)
    return np.divide(moves_NL.sum(axis=1), path, out=np.zeros(len(moves_NL)), where=path > 0)
