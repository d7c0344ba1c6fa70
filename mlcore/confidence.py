"""How sure a forecast is, in [0, 1]: rules by name, for each kind of output (`CONFIDENCES`).

A rule is ``f(views: Views) -> (N,)``. It is for some kinds of output, and may need more of a model than its outputs:
``spread`` (a network with dropout) or ``disagreement`` (an ensemble). Confidence is about the side that the signal
calls, because a policy trades that side: a model that is sure of "flat" is not sure of up because its expected score
is a hair above 0. So every rule for classes says 0 where the likeliest class is flat or on the other side; else a
sizer that grows with confidence would bet most on the bars where nothing is expected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import entr
from scipy.stats import norm

from mlcore.errors import BarwiseError
from mlcore.models.inputs import checked_predict, checked_raw
from mlcore.plugins import CONFIDENCES
from mlcore.tasks import Task
from mlcore.windows import Windows

DEFAULTS = {"classes": "top_two_gap", "regression": "past_error", "quantiles": "quantile_width"}
PASSES = 20  # of a network with other units dropped each time
Rule = Callable[["Views"], np.ndarray]


@dataclass(frozen=True)
class Views:
    """All that a confidence rule may look at, one row a forecast; a row's confidence depends on its own row only.

    raw
        ``(N, n_outputs)`` of `task`, the leading horizon's where there are several.
    signal
        ``(N,)`` in [-1, 1].
    residual
        root mean square of label minus prediction on past rows; NaN for classes.
    disagreement
        ``(N,)`` deviation of an ensemble's members' signals. spread: ``(N,)`` deviation of `centre` over passes with
        dropout. None where the model has none.
    """

    raw: np.ndarray
    task: Task
    signal: np.ndarray
    residual: float = float("nan")
    disagreement: np.ndarray | None = None
    spread: np.ndarray | None = None


def centre(raw: np.ndarray, task: Task) -> np.ndarray:
    """Return ``(N,)`` of one horizon's outputs: expected class score, predicted return, or median.

    Without a quantile of 0.5, its neighbours' value at 0.5, on the line between them over the normal law's deviations.

    >>> centre(np.array([[0.1, 0.2, 0.7]]), Task("classes", ("d", "f", "u"), scores=(-1.0, 0.0, 1.0))).round(9)
    array([0.6])
    """
    if task.kind == "classes":
        return (raw * np.asarray(task.scores)).sum(axis=1)
    if task.kind == "regression":
        return raw[:, 0]
    q = np.asarray(task.quantiles)
    exact = np.flatnonzero(q == 0.5)
    if exact.size or not q.min() < 0.5 < q.max():
        return raw[:, int(np.argmin(np.abs(q - 0.5)))]
    below, above = int(np.flatnonzero(q < 0.5).max()), int(np.flatnonzero(q > 0.5).min())
    share = float(norm.ppf(q[below]) / (norm.ppf(q[below]) - norm.ppf(q[above])))
    return (1 - share) * raw[:, below] + share * raw[:, above]


def _rule(*kinds: str, needs: str | None = None) -> Callable[[Rule], Rule]:
    def enter(rule: Rule) -> Rule:
        rule.kinds, rule.needs = kinds, needs  # type: ignore[attr-defined]
        return CONFIDENCES.add(rule)

    return enter


@_rule("classes")
def top_two_gap(views: Views) -> np.ndarray:
    """Gap between the two highest probabilities."""
    top = np.sort(views.raw, axis=1)
    return _sided(views, top[:, -1] - top[:, -2])


@_rule("classes")
def entropy(views: Views) -> np.ndarray:
    """1 less the entropy of the probabilities, in units of the highest there can be, ``ln K``."""
    unsure = entr(views.raw).sum(axis=1) / np.log(views.raw.shape[1])
    return _sided(views, np.maximum(1.0 - unsure, 0.0))  # rounding takes even odds a hair below 0


@_rule("regression")
def past_error(views: Views) -> np.ndarray:
    """2 Phi(abs(prediction) / past error) - 1: that the return has that sign, if errors stay as they were."""
    return _of_side(centre(views.raw, views.task), np.full(len(views.raw), views.residual))


@_rule("quantiles")
def quantile_width(views: Views) -> np.ndarray:
    """2 Phi(abs(median) / d) - 1, d the deviation of the normal law as wide as the outermost quantiles."""
    q = np.asarray(views.task.quantiles)
    width = views.raw[:, q.argmax()] - views.raw[:, q.argmin()]
    return _of_side(centre(views.raw, views.task), width / float(norm.ppf(q.max()) - norm.ppf(q.min())))


@_rule("classes", "regression", "quantiles", needs="spread")
def monte_carlo_dropout(views: Views) -> np.ndarray:
    """2 Phi(abs(centre) / spread) - 1: how rarely a network thinned by dropout would call the other side.

    The spread is that of `PASSES` passes (Gal and Ghahramani 2016), each with units of its own dropped, the same for
    all rows; the forecast itself is the whole network's.
    """
    return _sided(views, _of_side(centre(views.raw, views.task), _given(views, "spread")))


@_rule("classes", "regression", "quantiles", needs="disagreement")
def ensemble_agreement(views: Views) -> np.ndarray:
    """2 Phi(abs(signal) / disagreement) - 1: how rarely such a member would call the other side."""
    return _sided(views, _of_side(views.signal, _given(views, "disagreement")))


def _sided(views: Views, confidence: np.ndarray) -> np.ndarray:
    """`confidence` where the likeliest class, alone, is on the signal's side; 0 elsewhere; no classes: as it is."""
    if views.task.kind != "classes":
        return confidence
    of_side = np.asarray(views.task.scores) * views.signal[:, None] > 0
    ours, others = (np.where(which, views.raw, 0.0).max(axis=1) for which in (of_side, ~of_side))
    return np.where(ours > others, confidence, 0.0)


def _of_side(size: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """``2 Phi(abs(size) / unit) - 1``; a unit of 0 makes any size certain, and 0 nothing."""
    size = np.abs(size)
    return 2.0 * norm.cdf(np.divide(size, unit, out=np.where(size > 0, np.inf, 0.0), where=unit > 0)) - 1.0


def _given(views: Views, name: str) -> np.ndarray:
    values = getattr(views, name)
    if values is None:
        raise BarwiseError(f"`{name}` is missing: this confidence rule needs it, and the model does not tell it.")
    return values


def confidence_rule(name: str | None, task: Task) -> Rule:
    """Return the rule of that name, or the task's own for None; refuse one that is for another kind of output."""
    rule = CONFIDENCES[DEFAULTS[task.kind] if name is None else name]
    if task.kind not in rule.kinds:
        fit = [known for known in sorted(CONFIDENCES) if task.kind in CONFIDENCES[known].kinds]
        raise BarwiseError(
            f"`confidence` is {name!r}, a rule for {' and '.join(rule.kinds)}; the label is of kind {task.kind!r}: "
            f"use {', '.join(fit[:-1])} or {fit[-1]}."
        )
    return rule


def check_confidence(name: str | None, task: Task, model: Any) -> None:
    """Refuse, before anything is fitted, a rule that does not fit the task or asks more than `model` can tell."""
    needs = confidence_rule(name, task).needs  # type: ignore[attr-defined]
    if needs == "disagreement" and not hasattr(model, "predict_with_disagreement"):
        raise BarwiseError(
            f"`confidence` is {name!r}, which needs members that may disagree; {type(model).__name__} is one model: "
            "use an ensemble (average, vote, stack, ...), or another rule."
        )
    if needs == "spread" and not (hasattr(model, "predict_passes") and getattr(model, "dropout", 0.0) > 0):
        told = f"`confidence` is {name!r}, which needs a network with `dropout` above 0; {type(model).__name__} "
        if not hasattr(model, "dropout"):
            raise BarwiseError(f"{told}is none: take one (lstm, tcn, ...), or another rule.")
        raise BarwiseError(f"{told}has 0: set it (`--set dropout=0.1`), or use another rule.")


def ask(
    model: Any, windows: Windows, task: Task, confidence: str | None = None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return what a fitted model says of N windows: raw outputs ``(N, n_outputs)``, and what else of it forecasts tell.

    The second are arguments of `mlcore.forecasts.make_forecasts`, each ``(N,)``: ``disagreement`` and ``gain`` of an
    ensemble (its optional ``predict_with_disagreement(windows) -> raw, disagreement[, gain]``), and ``spread``
    where the rule `confidence` needs it (``predict_passes(windows, passes) -> (passes, N, n_outputs)``).
    """
    if not len(windows):
        return np.empty((0, task.n_outputs)), {}
    more: dict[str, np.ndarray] = {}
    if hasattr(model, "predict_with_disagreement"):
        raw, *told = model.predict_with_disagreement(windows)
        raw, more = checked_raw(raw, model, windows, task), dict(zip(("disagreement", "gain"), told, strict=False))
    else:
        raw = checked_predict(model, windows, task)
    if getattr(confidence_rule(confidence, task), "needs", None) == "spread":
        lead = task.lead
        passes = model.predict_passes(windows, PASSES)
        more["spread"] = np.std([centre(each[:, : lead.n_outputs], lead) for each in passes], axis=0)
    return raw, more
