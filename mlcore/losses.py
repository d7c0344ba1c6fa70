"""The losses by name: which kind of task each one is for, its numbers, and the weights of classes.

============  ====================  ====================================================================================
kind of task  loss                  what a row costs
============  ====================  ====================================================================================
classes       ``cross_entropy``     ``-w_y ln p_y``, w the weight of the row's class (`class_weights`)
              ``focal``             ``-w_y (1 - p_y)^gamma ln p_y``: rows that are right already count little
                                    (Lin et al. 2017); `gamma` 2
regression    ``squared``           ``e^2``, e the error in deviations of the training labels
              ``huber``             ``e^2 / 2`` up to `delta` 1, ``delta (|e| - delta / 2)`` beyond (Huber 1964)
              ``weighted_squared``  ``e^2``, times `factor` 5 where the label itself lies beyond +-`threshold` 0.02
quantiles     ``pinball``           ``max(q e, (q - 1) e)``, mean over levels (Koenker and Bassett 1978)
============  ====================  ====================================================================================

The first of a kind is its own, taken where no other is asked for. What a model then outputs:

- Weights of classes and the focal loss pull a network's own probabilities away from the frequencies. Both are undone in
  the forecast, exactly where the loss is least: by the classes' weights (`without_weights`) and by the inverse of the
  focal loss (`without_focus`). So ``p_*`` stay probabilities; the weighting tells the network where to look, not what
  to say. Without that step, weights are worth no more than another threshold on the signal.
- ``huber`` foretells something between mean and median. ``weighted_squared`` foretells a mean in which large moves
  count `factor` times: its returns are larger than what comes on average. Neither can be undone, and neither is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mlcore.errors import BarwiseError, did_you_mean
from mlcore.tasks import Task

LOSSES: dict[str, dict[str, dict[str, float]]] = {  # kind of task -> loss -> its numbers
    "classes": {"cross_entropy": {}, "focal": {"gamma": 2.0}},
    "regression": {"squared": {}, "huber": {"delta": 1.0}, "weighted_squared": {"threshold": 0.02, "factor": 5.0}},
    "quantiles": {"pinball": {}},
}
NAMES = tuple(name for losses in LOSSES.values() for name in losses)
SUREST = -30.0  # ln(1 - v) below which v is 1 for all that float64 can tell
ClassWeights = str | Sequence[float] | None


@dataclass(frozen=True)
class Loss:
    """One of `LOSSES`, checked: its name, its numbers, and the weights that classes were asked to have."""

    name: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    class_weights: ClassWeights = None


def choose_loss(
    task: Task,
    loss: str | None = None,
    loss_params: Mapping[str, float] | None = None,
    class_weights: ClassWeights = None,
    *,
    known: Collection[str] = NAMES,
) -> Loss:
    """Return the loss asked for; refuse, before anything is trained, one that `task` or the model does not know.

    `loss` None is the task's own; `known` are the losses that the model has. `class_weights` are ``"balanced"`` or
    one positive number a class, in the order of the task's classes.
    """
    of_task = LOSSES[task.kind]
    name = next(iter(of_task)) if loss is None else loss
    if name not in NAMES:
        raise BarwiseError(
            f"`loss` is {name!r}, which is not known.{did_you_mean(str(name), NAMES)} {_listed(of_task)}"
        )
    if name not in of_task:
        raise BarwiseError(f"`loss` is {name!r}, which is not for a label of kind {task.kind!r}. {_listed(of_task)}")
    if name not in known:
        usable = [other for other in of_task if other in known]
        raise BarwiseError(f"`loss` is {name!r}, which this model cannot be trained by. {_listed(usable)}")
    numbers = dict(of_task[name])
    for word, value in (loss_params or {}).items():
        numbers[_number_name(name, word)] = _positive(word, value)
    if class_weights is not None:
        _check_weights(task, class_weights)
    return Loss(name, numbers, class_weights)


def class_weights_of(y: np.ndarray, n_classes: int, class_weights: ClassWeights) -> tuple[float, ...] | None:
    """Return the weight of each class on training codes `y` ``(N,)``, 1 on average over the rows; None for none.

    ``"balanced"``: every class that there is weighs as much as any other, ``N / (classes there are x its rows)``.
    """
    if class_weights is None:
        return None
    counts = np.bincount(y.astype(np.int64), minlength=n_classes)
    if isinstance(class_weights, str):
        weights = np.where(counts > 0, 1.0 / np.maximum(counts, 1), 0.0)
    else:
        weights = np.asarray(class_weights, dtype=np.float64)
    weights = weights * counts.sum() / float((weights * counts).sum())
    return tuple(float(weight) if count else 1.0 for weight, count in zip(weights, counts, strict=True))


def row_weights(loss: Loss, y: np.ndarray, weights: Sequence[float] | None) -> np.ndarray | None:
    """Return ``(N,)`` weights of rows that make the plain loss the one asked for; None where all rows count alike.

    `weights` are those of the classes (`class_weights_of`). Only for losses that are a weighting of the task's own.
    """
    if weights is not None:
        return np.asarray(weights)[y.astype(np.int64)]
    if loss.name == "weighted_squared":
        return np.where(np.abs(y) > loss.numbers["threshold"], loss.numbers["factor"], 1.0)
    return None


def without_weights(probabilities: np.ndarray, weights: Sequence[float] | None) -> np.ndarray:
    """Return probabilities ``(N, K)`` learned with `weights` as they would be without: ``p_k / w_k``, normalised.

    Weighted cross-entropy is least at ``w_k p_k``, normalised, of the true p (Elkan 2001; Saerens et al. 2002).

    >>> without_weights(np.array([[0.5, 0.5]]), (1.0, 4.0))
    array([[0.8, 0.2]])
    """
    if weights is None:
        return probabilities
    plain = probabilities / np.asarray(weights)
    return plain / plain.sum(axis=1, keepdims=True)


def without_focus(log_p: np.ndarray, gamma: float) -> np.ndarray:
    """Return ``(N, K)`` probabilities from log probabilities that the focal loss has trained.

    The expected focal loss is least where ``v_k / phi(v_k)`` is proportional to the true ``p_k``, with
    ``phi(v) = (1 - v)^gamma - gamma v (1 - v)^(gamma - 1) ln v`` (Charoenphakdee et al. 2021, theorem 11; it follows
    from the Lagrangian).
    """
    others = np.stack([_log_sum(np.delete(log_p, k, axis=1)) for k in range(log_p.shape[1])], axis=1)  # ln(1 - v)
    log_v = np.where(log_p > -0.5, np.log1p(-np.exp(np.minimum(others, -0.5))), log_p)  # exact near 1, too
    log_pull = log_v + np.log(-np.minimum(log_v, -1e-300)) - others  # ln(-v ln v / (1 - v)), rising to 0 at v = 1
    log_pull = np.where(others < SUREST, 0.0, log_pull)
    log_phi = gamma * others + np.log1p(gamma * np.exp(log_pull))
    log_plain = log_v - log_phi
    plain = np.exp(log_plain - log_plain.max(axis=1, keepdims=True))
    return plain / plain.sum(axis=1, keepdims=True)


def _log_sum(log_p: np.ndarray) -> np.ndarray:
    top = log_p.max(axis=1)
    return top + np.log(np.exp(log_p - top[:, None]).sum(axis=1))


def _listed(losses: Collection[str]) -> str:
    return f"There {'is' if len(losses) == 1 else 'are'}: {', '.join(losses)}."


def _number_name(loss: str, word: str) -> str:
    numbers = next(losses[loss] for losses in LOSSES.values() if loss in losses)
    if word not in numbers:
        has = f"it has: {', '.join(numbers)}" if numbers else "it has none"
        raise BarwiseError(f"`loss_params` holds `{word}`, no number of {loss!r}; {has}.{did_you_mean(word, numbers)}")
    return word


def _positive(word: str, value: float) -> float:
    least = "0 or more" if word == "gamma" else "above 0"
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < np.inf
    if not fits or (value == 0 and word != "gamma"):
        raise BarwiseError(f"`loss_params` holds {word} = {value!r}; it must be a number {least}.")
    return float(value)


def _check_weights(task: Task, class_weights: ClassWeights) -> None:
    if task.kind != "classes":
        raise BarwiseError(f"`class_weights` is {class_weights!r}, and a label of kind {task.kind!r} has no classes.")
    if isinstance(class_weights, str):
        if class_weights != "balanced":
            raise BarwiseError(
                f"`class_weights` is {class_weights!r}; it is 'balanced', or one number a class."
                f"{did_you_mean(class_weights, ['balanced'])}"
            )
        return
    weights = np.asarray(class_weights, dtype=np.float64)
    classes = task.lead.outputs
    if weights.shape != (len(classes),) or not np.isfinite(weights).all() or weights.min() <= 0:
        raise BarwiseError(
            f"`class_weights` is {class_weights!r}; it must hold one number above 0 for each of {', '.join(classes)}."
        )
