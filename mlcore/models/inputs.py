"""What every model refuses before it fits or predicts, in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mlcore.errors import BarwiseError
from mlcore.tasks import Task
from mlcore.windows import Windows

Validation = tuple[Windows, np.ndarray]
PART = 4_000_000  # values of flat windows made at a time
SYMBOL = "symbol"  # the feature that says whose row it is, where several symbols are trained on together
UNKNOWN = -1  # its value for a symbol that was not trained on


def check_fit(windows: Windows, y: np.ndarray, task: Task, *, lookback: int) -> np.ndarray:
    """Return `y` as float64, ``(N,)`` or ``(N, H)`` for a task of several horizons; refuse what cannot be learned from.

    Refused: windows of another lookback than the model's, no rows, a length that does not fit, labels that
    are NaN, inf, no class code of `task`, or all of one class. Features are looked at by `check_finite`.
    """
    y = np.array(y, dtype=np.float64)
    check_windows(windows, lookback=lookback)
    wanted = label_shape(len(windows), task)
    if y.shape != wanted:
        raise BarwiseError(f"`y` has shape {y.shape}; it must be {wanted}: one label a window and horizon.")
    if not len(y):
        raise BarwiseError("`windows` is empty: a model cannot be fitted on no rows. Give it a longer training span.")
    bad = np.argwhere(~np.isfinite(y))
    if bad.size:
        raise BarwiseError(
            f"`y` is {y[tuple(bad[0])]} at row {bad[0][0]}; labels must be finite. Drop the rows without a label."
        )
    if task.kind == "classes":
        for codes, part in zip(y.reshape(len(y), -1).T, task.parts(), strict=True):
            _check_classes(codes, part)
    return y


def label_shape(n_rows: int, task: Task) -> tuple[int, ...]:
    """Return the shape that labels of `n_rows` rows have: ``(N,)``, or ``(N, H)`` for several horizons."""
    return (n_rows,) if task.n_horizons == 1 else (n_rows, task.n_horizons)


def _check_classes(y: np.ndarray, task: Task) -> None:
    codes = np.unique(y)
    foreign = codes[(codes != np.round(codes)) | (codes < 0) | (codes >= task.n_outputs)]
    if foreign.size:
        raise BarwiseError(f"`y` holds {foreign[0]}; class codes must be whole numbers 0..{task.n_outputs - 1}.")
    if len(codes) < 2:
        raise BarwiseError(
            f"`y` holds one class only ({task.outputs[int(codes[0])]}, {len(y)} rows): there is nothing to tell apart. "
            "Train on more rows or lower the label's threshold."
        )


def check_windows(windows: Windows, *, lookback: int, n_features: int | None = None) -> None:
    """Refuse windows of another lookback or another number of features than the model was made for."""
    if windows.lookback != lookback:
        raise BarwiseError(
            f"`windows` hold {windows.lookback} bars and the model's `lookback` is {lookback}; they must be equal."
        )
    if n_features is not None and windows.shape[2] != n_features:
        raise BarwiseError(
            f"`windows` have {windows.shape[2]} features and the model was fitted on {n_features}; they must be equal."
        )


def check_update(windows: Windows, y: np.ndarray, *, lookback: int, n_features: int) -> np.ndarray:
    """Return `y` as float64, ``(N,)``; refuse newer rows that a model fitted for one horizon cannot learn from."""
    check_windows(windows, lookback=lookback, n_features=n_features)
    y = np.asarray(y, dtype=np.float64)
    if y.shape != (len(windows),) or not np.isfinite(y).all():
        raise BarwiseError(f"`y` has shape {y.shape}; it must be finite labels of the {len(windows)} windows.")
    return y


def check_finite(values: np.ndarray) -> np.ndarray:
    """Return `values` unless one of them is NaN or inf; the first axis is the window."""
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise BarwiseError(
            f"`windows` hold NaN or inf, first in window {row}: rows inside the warm-up or past a gap must be left out."
        )
    return values


def flatten(windows: Windows, dtype: type = np.float32) -> np.ndarray:
    """Return every window as one row, ``(N, L * F)``, oldest bar first; refuse NaN and inf.

    The result is the caller's own. It is filled part by part: nothing else as large as it is ever made.
    """
    n, lookback, features = windows.shape
    flat: np.ndarray = np.empty((n, lookback * features), dtype=dtype)
    for part in parts(windows):
        taken = windows.take(part)
        flat[part] = taken.last if lookback == 1 else taken[:].reshape(len(taken), -1)
    return check_finite(flat)


def parts(windows: Windows) -> Iterator[slice]:
    """Yield slices that cover all windows, each of about `PART` values: bounds memory, whatever the block."""
    n, lookback, features = windows.shape
    step = max(1, PART // (lookback * features))
    for start in range(0, n, step):
        yield slice(start, start + step)


def predict_in_parts(predict: Callable[[np.ndarray], np.ndarray], windows: Windows, dtype: type) -> np.ndarray:
    """Return what `predict` says of all flat windows, asked part by part."""
    return np.concatenate([predict(flatten(windows.take(part), dtype)) for part in parts(windows)])


def spread_over_classes(probabilities: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Return ``(N, n_classes)``: the columns of `codes` filled, a class never trained on gets probability 0."""
    full = np.zeros((len(probabilities), n_classes))
    full[:, codes] = probabilities
    return full


def checked_predict(model: Any, windows: Windows, task: Task) -> np.ndarray:
    """Return what `model` says of `windows`, ``(N, n_outputs)`` float64; refuse what is no forecast."""
    if not len(windows):
        return np.empty((0, task.n_outputs))
    return checked_raw(model.predict(windows), model, windows, task)


def checked_raw(raw: np.ndarray, model: Any, windows: Windows, task: Task) -> np.ndarray:
    """Return the raw outputs that `model` gave for `windows` as float64; refuse what is no forecast."""
    raw = np.asarray(raw, dtype=np.float64)
    if raw.shape != (len(windows), task.n_outputs) or not np.isfinite(raw).all():
        raise BarwiseError(
            f"`model` {type(model).__name__} predicted {raw.shape}, {int((~np.isfinite(raw)).sum())} of it NaN "
            f"or inf; it must be finite and ({len(windows)}, {task.n_outputs})."
        )
    return raw


def symbol_column(model: Any) -> int | None:
    """Return which of the features that `model` was handed is the symbol's code; None where none is."""
    names = list(getattr(model, "feature_names_in_", ()))
    return names.index(SYMBOL) if SYMBOL in names else None
