"""Forecasts made to mean what they say, by what earlier forecasts of the same walk-forward turned out to be worth.

For each fold, the correction is fitted on the forecasts of EARLIER folds whose labels had ended before the fold's first
bar (less the latency), so on out-of-sample forecasts only, and on nothing that was not known when the fold began.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlcore.confidence import centre
from mlcore.errors import BarwiseError, did_you_mean
from mlcore.forecasts import ReturnScale, make_forecasts
from mlcore.metrics import log_loss
from mlcore.tasks import Label, Task

SMALLEST = 1e-12  # a probability of 0 or 1 has no log-odds
COLDEST, HOTTEST = 0.05, 20.0  # temperatures looked through
FEWEST_ROWS = 200
INTERVAL = ("low", "high")

Correction = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Calibrated:
    """What a calibration leaves behind.

    forecasts
        The same rows and columns; `trained_through` is now the last bar that any label touched which the model OR the
        correction was fitted on, and still before every row of its fold.
    folds
        One dict a fold: ``fold``, ``n_past`` (forecasts it was fitted on), ``fitted`` (False: left as it was).
    notes
        Sentences the reader must see: which folds were left as they were.
    """

    forecasts: pd.DataFrame
    folds: list[dict[str, Any]]
    notes: tuple[str, ...]


def calibrate(
    forecasts: pd.DataFrame,
    label: Label,
    index: pd.DatetimeIndex,
    *,
    method: str = "temperature",
    fewest_rows: int = FEWEST_ROWS,
    latency: int = 0,
    confidence: str | None = None,
) -> Calibrated:
    """Calibrate class probabilities, walking forward; signal and confidence follow from them.

    ===============  ==================================================================================================
    `method`         what is fitted on the past
    ===============  ==================================================================================================
    ``temperature``  one number T: probabilities go as ``p ** (1 / T)``, T of least log loss (Guo et al. 2017)
    ``platt``        a logistic curve of each class's log-odds, the rest against it, normalised (Platt 1999)
    ``isotonic``     a rising step function of each class's probability, likewise (Zadrozny and Elkan 2002); it
                     needs the most rows, a thousand or more
    ===============  ==================================================================================================

    Parameters
    ----------
    forecasts : of a walk-forward, with several folds; not in-sample ones.
    label : the label they were trained on, of the bars stamped `index`.
    fewest_rows : past forecasts that a fold needs; with fewer it is left as it is, as the first fold always is.
    latency : bars that the fit takes; labels must have ended that much earlier.
    confidence : rule of the corrected forecasts' confidence, as in `walk_forward`; ``monte_carlo_dropout`` needs the
        model itself and is refused. A voting ensemble's gain is not made again.

    Raises
    ------
    BarwiseError
        A task without classes, an unknown method, forecasts whose folds are not in time or whose stamps are no bars.
    """
    if label.task.kind != "classes":
        raise BarwiseError(f"`label` is of kind {label.task.kind!r}, not classes: use `conformal_intervals`.")
    if method not in METHODS:
        raise BarwiseError(
            f"`method` is {method!r}, which is not known.{did_you_mean(method, METHODS)} Known: {', '.join(METHODS)}."
        )

    def fit(past: np.ndarray, values: np.ndarray) -> tuple[Correction, None]:
        return METHODS[method](past, values.astype(np.int64)), None

    return _walk(forecasts, label, index, fit, fewest_rows, latency, confidence)


def conformal_intervals(
    forecasts: pd.DataFrame,
    label: Label,
    index: pd.DatetimeIndex,
    *,
    coverage: float = 0.8,
    fewest_rows: int = FEWEST_ROWS,
    latency: int = 0,
    confidence: str | None = None,
) -> Calibrated:
    """Give return forecasts intervals that held the promised share of past labels, walking forward.

    Quantiles: the outermost two move apart (or together, never past their neighbours) by what past labels ask for;
    `coverage` is then theirs, the difference of their levels, and the argument is not used (conformalised
    quantile regression; Romano, Patterson, Candes 2019). Regression: columns `low` and `high` are added,
    the prediction -+ the past absolute errors' quantile (split conformal; Vovk et al. 2005); NaN where a fold
    is left as it is. The rank is ``ceil((n + 1) coverage)``. What is promised holds as far as past and present
    errors are exchangeable: markets are not quite, and `mlcore.reliability.interval_coverage` tells how far.

    Signal and confidence are recomputed with the scale of past out-of-sample forecasts. Parameters and errors as in
    `calibrate`. Of several horizons each has its own, the lead's plainly named, the others' as ``low_h15``.
    """
    task = label.task
    if task.kind == "classes":
        raise BarwiseError("`label` is of kind 'classes', which has no intervals: use `calibrate`.")
    if not 0 < coverage < 1:
        raise BarwiseError(f"`coverage` is {coverage}; it is a share of the labels between 0 and 1.")
    fit = _fit_quantiles(task) if task.kind == "quantiles" else _fit_return(coverage)
    calibrated = _walk(forecasts, label, index, fit, fewest_rows, latency, confidence)
    if task.kind == "regression" and "low" not in calibrated.forecasts:  # no fold was fitted
        calibrated.forecasts[_interval_names(task)] = np.nan
    return calibrated


def _walk(
    forecasts: pd.DataFrame,
    label: Label,
    index: pd.DatetimeIndex,
    fit: Any,
    fewest_rows: int,
    latency: int,
    confidence: str | None,
) -> Calibrated:
    task, rows = label.task, _rows(forecasts, index)
    raw, numbers = forecasts[list(task.outputs)].to_numpy(np.float64), forecasts["fold"].to_numpy(np.int64)
    values, ends = label.values[rows], label.ends[rows]
    known = np.isfinite(values).reshape(len(rows), -1).all(axis=1) & np.isfinite(raw).all(axis=1)
    parts, told = [], []
    for number in np.unique(numbers):
        mine = numbers == number
        past = known & (numbers < number) & (ends + latency < rows[mine][0])
        enough = int(past.sum()) >= max(fewest_rows, 1)
        told.append({"fold": int(number), "n_past": int(past.sum()), "fitted": enough})
        part = forecasts[mine]
        if enough:
            with threadpool_limits(1):  # the same bits on every machine
                correct, scale = _fit_horizons(fit, task, raw[past], values[past])
            through = index[int(ends[past].max())]
            part = _corrected(part, correct(raw[mine]), task, scale, through, confidence)
        parts.append(part)
    stitched = pd.concat(parts)
    return Calibrated(stitched, told, _notes(told, fewest_rows))


def _fit_horizons(fit: Any, task: Task, past: np.ndarray, values: np.ndarray) -> tuple[Correction, ReturnScale | None]:
    """Fit every horizon on its own; the scale is the lead's. Columns beyond the task's come after all horizons'."""
    h, k = task.n_horizons, task.lead.n_outputs
    if h == 1:
        return fit(past, values)
    fitted = [fit(past[:, i * k : (i + 1) * k], values[:, i]) for i in range(h)]

    def correct(raw: np.ndarray) -> np.ndarray:
        made = [one(raw[:, i * k : (i + 1) * k]) for i, (one, _) in enumerate(fitted)]
        return np.concatenate([part[:, :k] for part in made] + [part[:, k:] for part in made], axis=1)

    return correct, fitted[0][1]


def _interval_names(task: Task) -> list[str]:
    return [f"{end}{f'_h{part.horizons[0]}' if i else ''}" for i, part in enumerate(task.parts()) for end in INTERVAL]


def _corrected(
    part: pd.DataFrame,
    columns: np.ndarray,
    task: Task,
    scale: ReturnScale | None,
    through: pd.Timestamp,
    confidence: str | None,
) -> pd.DataFrame:
    """The forecasts of one fold from corrected outputs; columns beyond the task's are `low` and `high`."""
    trained = pd.DatetimeIndex(part["trained_through"])
    made = make_forecasts(
        columns[:, : task.n_outputs],
        task,
        index=pd.DatetimeIndex(part.index),
        fold=part["fold"].to_numpy(),
        trained_through=trained.where(trained > through, through),
        scale=scale,
        disagreement=part["disagreement"].to_numpy(np.float64),
        confidence=confidence,
    )
    if columns.shape[1] > task.n_outputs:
        made[_interval_names(task)] = columns[:, task.n_outputs :]
    return made


def _rows(forecasts: pd.DataFrame, index: pd.DatetimeIndex) -> np.ndarray:
    rows = index.get_indexer(pd.DatetimeIndex(forecasts.index))
    if not len(rows):
        raise BarwiseError("`forecasts` hold no row: there is nothing to calibrate.")
    if (rows < 0).any():
        raise BarwiseError(f"`forecasts` hold the stamp {forecasts.index[int(np.argmin(rows))]}, which is no bar.")
    if (np.diff(rows) <= 0).any() or (np.diff(forecasts["fold"].to_numpy()) < 0).any():
        raise BarwiseError("`forecasts` are not in time, fold after fold: give them as the walk-forward made them.")
    if (pd.DatetimeIndex(forecasts["trained_through"]) >= forecasts.index).any():
        raise BarwiseError("`forecasts` are in-sample: what they are worth on their own training rows teaches nothing.")
    return rows


def _notes(folds: list[dict[str, Any]], fewest_rows: int) -> tuple[str, ...]:
    left = [fold["fold"] for fold in folds if not fold["fitted"]]
    if not left:
        return ()
    which = f"Fold {left[0]} is" if len(left) == 1 else f"Folds {', '.join(map(str, left))} are"
    return (f"{which} left as forecast, not calibrated: fewer than {fewest_rows} earlier forecasts had a known label.",)


def _temperature(past: np.ndarray, codes: np.ndarray) -> Correction:
    def heated(raw: np.ndarray, log_t: float) -> np.ndarray:
        logits = np.log(np.maximum(raw, SMALLEST)) / np.exp(log_t)
        powers = np.where(raw > 0, np.exp(logits - logits.max(axis=1, keepdims=True)), 0.0)  # ruled out stays so
        return np.where(np.isnan(raw), np.nan, powers) / powers.sum(axis=1, keepdims=True)

    def loss(log_t: float) -> float:
        return log_loss(heated(past, log_t), codes.astype(np.float64)) or 0.0

    best = float(minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded").x)
    return lambda raw: heated(raw, best)


def _log_odds(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, SMALLEST, 1.0 - SMALLEST)
    return (np.log(p) - np.log1p(-p))[:, None]


def _sigmoid(p: np.ndarray, came: np.ndarray) -> Correction:
    curve = LogisticRegression(C=100.0).fit(_log_odds(p), came)  # next to no penalty: two numbers, many rows
    return lambda p: curve.predict_proba(_log_odds(p))[:, 1]


def _steps(p: np.ndarray, came: np.ndarray) -> Correction:
    return IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(p, came.astype(np.float64)).predict


def _one_against_the_rest(fit_curve: Callable[[np.ndarray, np.ndarray], Correction]) -> Any:
    def fit(past: np.ndarray, codes: np.ndarray) -> Correction:
        # A class that never came, or came always, has no curve: its probability stays, up to normalising.
        curves = {
            k: fit_curve(past[:, k], codes == k)
            for k in range(past.shape[1])
            if 0 < int((codes == k).sum()) < len(codes)
        }

        def correct(raw: np.ndarray) -> np.ndarray:
            spoken = np.isfinite(raw).all(axis=1)
            made = raw.copy()
            for k, curve in curves.items():
                made[spoken, k] = np.where(raw[spoken, k] > 0, curve(raw[spoken, k]), 0.0) if spoken.any() else 0.0
            total = made.sum(axis=1, keepdims=True)
            empty = total[:, 0] == 0  # every class ruled out by its own curve: nothing better than what was said
            made[empty], total[empty] = raw[empty], 1.0
            return made / total

        return correct

    return fit


def _fit_return(coverage: float) -> Any:
    def fit(past: np.ndarray, values: np.ndarray) -> tuple[Correction, ReturnScale]:
        radius = _conformal_quantile(np.abs(values - past[:, 0]), coverage)
        return lambda raw: np.column_stack([raw, raw - radius, raw + radius]), ReturnScale.of(past[:, 0], values)

    return fit


def _fit_quantiles(task: Task) -> Any:
    q = np.asarray(task.quantiles)
    if len(q) < 2 or (np.diff(q) <= 0).any():
        raise BarwiseError(f"`label` has the quantiles {task.quantiles}; an interval needs two or more that rise.")

    def fit(past: np.ndarray, values: np.ndarray) -> tuple[Correction, ReturnScale]:
        shift = _conformal_quantile(np.maximum(past[:, 0] - values, values - past[:, -1]), float(q[-1] - q[0]))

        def correct(raw: np.ndarray) -> np.ndarray:
            made = raw.copy()
            middle = raw[:, [0, -1]].mean(axis=1) if len(q) == 2 else raw[:, 1]
            made[:, 0] = np.minimum(raw[:, 0] - shift, middle)
            made[:, -1] = np.maximum(raw[:, -1] + shift, middle if len(q) == 2 else raw[:, -2])
            return made

        return correct, ReturnScale.of(centre(past, task.lead), values)

    return fit


def _conformal_quantile(errors: np.ndarray, coverage: float) -> float:
    """The error of rank ``ceil((n + 1) coverage)``; the largest where that is more than there are."""
    rank = min(len(errors), int(np.ceil((len(errors) + 1) * coverage - 1e-9)))
    return float(np.sort(errors)[rank - 1])


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], Correction]] = {
    "temperature": _temperature,
    "platt": _one_against_the_rest(_sigmoid),
    "isotonic": _one_against_the_rest(_steps),
}
