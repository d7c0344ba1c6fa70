"""The laws of a model: sklearn's grammar, no memory of what it was not told, and an eye for a plain signal."""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from mlcore.checks.laws import BrokenLawError, first_difference, name_of, require, same, sample_bars
from mlcore.confidence import centre
from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.explain import explanation_of
from mlcore.features import clock_bars, feature_table
from mlcore.metrics import rank_ic
from mlcore.models.members import make_members
from mlcore.store.state import check_storable, in_and_out
from mlcore.tasks import Task
from mlcore.windows import Windows

TASKS = (
    Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0)),
    Task("regression", ("expected_return",)),
    Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9)),
)
MORE_TASKS = {  # what every model must speak beside the three, by a short name; held against `SPOKEN_CHECKS` only
    "two_classes": Task("classes", ("p_down", "p_up"), scores=(-1.0, 1.0)),
    "five_classes": Task("classes", ("p0", "p1", "p2", "p3", "p4"), scores=(-1.0, -0.5, 0.0, 0.5, 1.0)),
    "classes_twice": TASKS[0].over((5, 15)),
    "returns_twice": TASKS[1].over((5, 15)),
    "quantiles_twice": TASKS[2].over((5, 15)),
}
EDGES = {2: [0.0], 3: [-0.5, 0.5], 5: [-1.5, -0.5, 0.5, 1.5]}  # of the planted move, by the number of classes
N, K, F = 900, 700, 4  # rows; of them training rows; features
LOOKBACK = 12
SMALL: dict[str, Any] = {  # a model with more is cut down: the laws are the same, the checks quick
    "lookback": LOOKBACK,
    "width": 32,
    "convolutions": 1,
    "scales": (2, 3),
    "trend_widths": (16,),
    "volatility_widths": (16,),
    "factor": 1,
}
INTERVAL = pd.Timedelta("15min")  # of the market's bars
CLOSE = 1e-4  # another batch may sum in another order: float32 rounding, in units of the outputs' deviation


def shrink(model: Any, sizes: Mapping[str, Any] = MappingProxyType(SMALL)) -> Any:
    """Cut the parameters of `model` that `sizes` names down to what it says, in place, and return it; members too."""
    known = model.get_params(deep=False)
    small = {name: min(known[name], most) for name, most in sizes.items() if name in known}
    for name in ("members", "sideways"):
        if name in known:
            small[name] = tuple(shrink(member, sizes) for member in make_members(known[name]))
    return model.set_params(**small)


def _told(value: Any) -> Any:
    """Return parameters as they compare: a model in them by its class and its own parameters."""
    if hasattr(value, "get_params"):
        return type(value), _told(value.get_params(deep=False))
    if isinstance(value, dict):
        return {name: _told(each) for name, each in value.items()}
    return tuple(map(_told, value)) if isinstance(value, tuple) else value


def needed_table(model: Any, table: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the columns' names and `table` with what `model` needs besides, as `table_for` would put it together.

    The planted column is called ``log_return``. `own_features` are noise under their columns' names. A column of one
    of the `clocks` is the mean of a plain column over the newest longer bar that is whole (0 before the first).
    """
    names = ["log_return", *(f"feature{i}" for i in range(1, table.shape[1]))]
    own = [recipe for recipe in getattr(model, "own_features", ()) if recipe != "log_return"]
    columns, parts = list(names), [table]
    if own:
        columns += map(str, feature_table(sample_bars(60), own).columns)
        rng = np.random.default_rng(8)
        parts.append(rng.standard_normal((len(table), len(columns) - len(names))))
    for clock in getattr(model, "clocks", ()):
        ratio = clock_bars(clock, INTERVAL)
        ends = np.arange(ratio, len(table) + 1, ratio)
        longer = np.stack([table[end - ratio : end].mean(axis=0) * np.sqrt(ratio) for end in ends])
        longer = np.vstack([np.zeros((1, table.shape[1])), longer])
        parts.append(longer[np.arange(1, len(table) + 1) // ratio])
        columns += [f"{clock}:{name}" for name in names]
    return tuple(columns), np.hstack(parts).astype(np.float32)


class Case:
    """A small planted market for one model and one task; the fitted model is made once and shared by the checks."""

    def __init__(self, model: Any, task: Task) -> None:
        try:
            self.model = clone(model)
        except RuntimeError as error:  # sklearn's own check: an argument was not stored untouched
            raise BrokenLawError(f"{name_of(model)}: {error}") from error
        shrink(self.model)
        self.task = task
        rng = np.random.default_rng(7)
        self.table = rng.standard_normal((N, F)).astype(np.float32)
        self.move = 1.5 * self.table[:, 0].astype(np.float64) + 0.7 * rng.standard_normal(N)
        self.moves = [self.move]  # of each horizon; the second one goes the other way
        if task.n_horizons > 1:
            self.moves.append(-1.5 * self.table[:, 0].astype(np.float64) + 0.7 * rng.standard_normal(N))
        y = np.column_stack([self._label(move, task.lead) for move in self.moves])
        self.y = y if task.n_horizons > 1 else y[:, 0]
        self.rows = np.arange(self.model.lookback - 1, N)
        self.columns, self.table = needed_table(self.model, self.table)

    @staticmethod
    def _label(move: np.ndarray, task: Task) -> np.ndarray:
        if task.kind != "classes":
            return move * 0.01
        return np.digitize(move, EDGES[task.n_outputs]).astype(np.float64)

    def windows(self, start: int = K, stop: int = N, table: np.ndarray | None = None) -> Windows:
        """Windows of rows `start` to `stop`, over the planted table or another one."""
        rows = self.rows[(self.rows >= start) & (self.rows < stop)]
        return Windows(self.table if table is None else table, rows, self.model.lookback)

    def fresh(self, model: Any = None) -> Any:
        """Return a clone of `model`, told what the walk-forward tells a model: columns' names and bars' interval."""
        model = clone(self.model if model is None else model)
        model.feature_names_in_, model.bar_interval_ = self.columns, INTERVAL
        return model

    def fit(self, model: Any = None, table: np.ndarray | None = None, y: np.ndarray | None = None) -> Any:
        """Fit a fresh clone (or `model`) on the training rows, with the newest fifth held out."""
        model = self.fresh() if model is None else model
        train, held_out = self.windows(0, K - 140, table), self.windows(K - 140, K, table)
        y = self.y if y is None else y
        return model.fit(train, y[train.rows], task=self.task, validation=(held_out, y[held_out.rows]))

    @cached_property
    def fitted(self) -> Any:
        """The model fitted on the planted market."""
        return self.fit()

    @cached_property
    def forecast(self) -> np.ndarray:
        """Its raw outputs on the test rows."""
        return self.fitted.predict(self.windows())


def model_keeps_sklearns_grammar(case: Case) -> None:
    """Constructor arguments are stored untouched, every one has a default, and `clone` and `set_params` go round."""
    kind = type(case.model)
    for name, parameter in inspect.signature(kind).parameters.items():
        require(parameter.default is not parameter.empty, kind, f"`{name}` has no default.")
        require(getattr(kind(), name) is parameter.default, kind, f"`{name}` is not stored untouched.")
    require("seed" in kind().get_params() and hasattr(kind(), "lookback"), kind, "it has no `lookback` or no `seed`.")
    require(_told(clone(case.model)) == _told(case.model), kind, "`clone` loses a parameter.")
    require(clone(case.model).set_params(seed=5).seed == 5, kind, "`set_params` does not set.")


def model_fit_returns_itself_and_keeps_its_parameters(case: Case) -> None:
    """`fit` returns the model and leaves its parameters, its windows and its labels as they were."""
    model, table, y = case.fresh(), case.table.copy(), case.y.copy()
    before = copy.deepcopy(_told(model))
    require(case.fit(model, table, y) is model, model, "`fit` does not return the model.")
    require(_told(model) == before, model, "`fit` changed a parameter.")
    require(same(table, case.table) and same(y, case.y), model, "`fit` changed its input.")


def model_is_the_same_for_the_same_seed(case: Case) -> None:
    """Two fits with one seed forecast bit for bit the same, whatever was drawn at random in between."""
    np.random.seed(123)  # noqa: NPY002 - the global state is what a careless model would draw from
    again = case.fit().predict(case.windows())
    require(same(again, case.forecast), case.model, f"a second fit differs, {first_difference(again, case.forecast)}.")


def model_survives_pickling(case: Case) -> None:
    """A fitted model that was pickled forecasts bit for bit the same."""
    again = pickle.loads(pickle.dumps(case.fitted)).predict(case.windows())
    require(same(again, case.forecast), case.model, f"pickled it differs, {first_difference(again, case.forecast)}.")


def model_survives_the_store(case: Case) -> None:
    """A fitted model that went through the store's files, where no code is kept, forecasts bit for bit the same."""
    check_storable(case.fitted)
    restored = case.fresh(case.fitted).set_state(in_and_out(case.fitted.get_state()))
    again = restored.predict(case.windows())
    require(
        same(again, case.forecast), case.model, f"from the store it differs, {first_difference(again, case.forecast)}."
    )


def model_outputs_what_its_task_asks(case: Case) -> None:
    """Outputs are finite float64 ``(N, n_outputs)``: probabilities that sum to 1, quantiles that do not cross."""
    raw, task = case.forecast, case.task
    require(raw.shape == (len(case.windows()), task.n_outputs), case.model, f"its outputs have shape {raw.shape}.")
    require(raw.dtype == np.float64 and np.isfinite(raw).all(), case.model, "its outputs are not finite float64.")
    for part in np.split(raw, task.n_horizons, axis=1):
        if task.kind == "classes":
            require(part.min() >= 0, case.model, "a probability is below 0.")
            require(np.allclose(part.sum(axis=1), 1.0, atol=1e-6), case.model, "its probabilities do not sum to 1.")
        if task.kind == "quantiles":
            require((np.diff(part, axis=1) >= 0).all(), case.model, "its quantiles cross.")


def model_finds_a_planted_signal(case: Case) -> None:
    """Where one feature of the newest bar says most of the answer, forecasts rank like the answers."""
    parts = np.split(case.forecast, case.task.n_horizons, axis=1)
    for part, move in zip(parts, case.moves, strict=True):  # each horizon its own answer, the lead's first
        found = rank_ic(centre(part, case.task.lead), move[case.windows().rows]) or 0.0
        told = f"its rank correlation with the planted answer is {found:.2f}; 0.9 can be had."
        require(found > 0.6, case.model, told)


def model_refuses_labels_of_other_horizons(case: Case) -> None:
    """Labels of one horizon for a task of several, and the other way round, are refused."""
    wrong = case.y[:, 0] if case.task.n_horizons > 1 else np.column_stack([case.y, case.y])
    _refused(case, partial(case.fit, y=wrong), f"labels of shape {wrong.shape} were fitted.")


def model_predict_is_pure(case: Case) -> None:
    """`predict` twice gives the same, bit for bit, and changes neither the windows nor the model."""
    table = case.table.copy()
    once = case.fitted.predict(case.windows(table=table))
    require(same(table, case.table), case.model, "`predict` changed its input.")
    require(same(once, case.fitted.predict(case.windows())), case.model, "a second `predict` differs.")


def model_forecasts_each_row_on_its_own(case: Case) -> None:
    """A forecast is the same alone, in another batch and in another order (up to rounding)."""
    windows, n = case.windows(), len(case.forecast)
    order = np.random.default_rng(1).permutation(n)
    for rows in (np.array([0]), np.array([n - 1]), np.arange(3, 40), order):
        part = case.fitted.predict(windows.take(rows))
        require(_close(case, part, case.forecast[rows]), case.model, f"rows {rows[:3]}... differ in another batch.")


def model_sees_its_windows_only(case: Case) -> None:
    """Table rows that stand in no window, before, between or after, do not matter, even where they are NaN."""
    model, lookback = case.fresh(), case.model.lookback
    holes = case.table.copy()
    stops = (200, 200 + 2 * lookback, K, K + 50)
    keep = np.concatenate([np.arange(lookback - 1, stops[0]), np.arange(stops[1], K)])
    tail = np.arange(K + lookback, stops[3])
    used = np.unique((np.concatenate([keep, tail])[:, None] - np.arange(lookback)).ravel())
    holes[np.setdiff1d(np.arange(N), used)] = np.nan
    raw = []
    for table in (case.table, holes):
        windows = Windows(table, keep, lookback)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BarwiseWarning)  # what a model says of a fit without validation
            fitted = case.fresh(model).fit(windows, case.y[keep], task=case.task)
        raw.append(fitted.predict(Windows(table, tail, lookback)))
    require(_close(case, raw[0], raw[1]), model, f"rows outside all windows matter, {first_difference(*raw)}.")


def model_is_causal(case: Case) -> None:
    """A forecast is bit for bit the same when later rows of the table are other rows."""
    for cut in (K + 1, K + 60, N - 1):
        table = case.table.copy()
        table[cut:] = -3.0 * table[cut:] + 1.0
        raw = case.fitted.predict(case.windows(table=table))
        before = case.windows().rows < cut
        told = first_difference(raw[before], case.forecast[before])
        require(same(raw[before], case.forecast[before]), case.model, f"rows from {cut} on change forecasts, {told}.")


def model_keeps_no_hold_on_its_input(case: Case) -> None:
    """A fitted model does not change when its training table and labels are overwritten."""
    table, y = case.table.copy(), case.y.copy()
    model = case.fit(table=table, y=y)
    table[:], y[:] = 9.0, 0.0
    require(same(model.predict(case.windows()), case.forecast), case.model, "it holds on to its training rows.")


def model_refuses_what_is_not_finite(case: Case) -> None:
    """NaN or inf in a window or a label is refused, at fit and at predict."""
    for bad in (np.nan, np.inf):
        table, later, y = case.table.copy(), case.table.copy(), case.y.copy()
        table[300, 1], later[K + 30, 1], y[400] = bad, bad, bad
        _refused(case, partial(case.fit, table=table), f"it was fitted on a feature of {bad}.")
        _refused(case, partial(case.fit, y=y), f"it was fitted on a label of {bad}.")
        _refused(case, partial(case.fitted.predict, case.windows(table=later)), f"it read a {bad}.")


def model_refuses_one_class(case: Case) -> None:
    """Labels of one class only are refused with a clear word."""
    if case.task.kind == "classes":
        _refused(case, lambda: case.fit(y=np.ones(N)), "it was fitted on one class.")


def model_gives_a_missing_class_no_chance(case: Case) -> None:
    """A class that no training row had keeps its column and gets probability 0."""
    if case.task.kind == "classes":
        y = np.where(case.move > 0, 2.0, 0.0)
        raw = case.fit(y=y).predict(case.windows())
        require(raw.shape[1] == 3, case.model, f"{raw.shape[1]} columns for 3 classes.")
        require(raw[:, 1].max() < 1e-6, case.model, f"a class never seen has probability {raw[:, 1].max():.3g}.")


def model_refuses_foreign_windows(case: Case) -> None:
    """Windows shorter than its lookback, of other features, or none at all are refused."""
    model, lookback = case.model, case.model.lookback
    longer = Windows(case.table, np.arange(lookback, K), lookback + 1)
    _refused(
        case, lambda: case.fresh(model).fit(longer, case.y[longer.rows], task=case.task), "windows too long fitted."
    )
    _refused(case, lambda: case.fitted.predict(longer), "windows of another lookback read.")
    _refused(case, lambda: case.fitted.predict(case.windows(table=case.table[:, :2])), "fewer features read.")
    none = case.windows(0, 0)
    _refused(case, lambda: case.fresh(model).fit(none, np.empty(0), task=case.task), "fitted on nothing.")


def model_explains_itself_in_tables(case: Case) -> None:
    """A model with `explain` gives finite tables (`mlcore.explain`), the same ones twice, and forecasts as before."""
    before = case.forecast
    if not hasattr(case.fitted, "explain"):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error", BarwiseWarning)
        try:
            once, again = (explanation_of(case.fitted, case.windows()) for _ in range(2))
        except BarwiseWarning as refusal:
            raise BrokenLawError(f"{name_of(case.model)}: {refusal}") from refusal
    require(once and set(once) == set(again), case.model, "`explain` says nothing, or not the same tables twice.")
    for name, table in once.items():
        require(table.equals(again[name]), case.model, f"`explain` says two things of {name!r}.")
    require(same(case.fitted.predict(case.windows()), before), case.model, "`explain` changed the forecasts.")


def _close(case: Case, a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.abs(a - b).max() <= CLOSE * max(float(case.forecast.std()), 1e-12))


def _refused(case: Case, call: Callable[[], Any], what: str) -> None:
    try:
        call()
    except BarwiseError as error:
        require(len(str(error)) > 20, case.model, f"refused without a word: {error}")
        return
    except Exception as error:
        raise BrokenLawError(
            f"{name_of(case.model)}: refused with {type(error).__name__}, not BarwiseError."
        ) from error
    raise BrokenLawError(f"{name_of(case.model)}: {what}")


MODEL_CHECKS: tuple[Callable[[Case], None], ...] = (
    model_keeps_sklearns_grammar,
    model_fit_returns_itself_and_keeps_its_parameters,
    model_is_the_same_for_the_same_seed,
    model_survives_pickling,
    model_survives_the_store,
    model_outputs_what_its_task_asks,
    model_finds_a_planted_signal,
    model_predict_is_pure,
    model_forecasts_each_row_on_its_own,
    model_sees_its_windows_only,
    model_is_causal,
    model_keeps_no_hold_on_its_input,
    model_refuses_what_is_not_finite,
    model_refuses_one_class,
    model_gives_a_missing_class_no_chance,
    model_refuses_foreign_windows,
    model_explains_itself_in_tables,
)
SPOKEN_CHECKS: tuple[Callable[[Case], None], ...] = (
    model_outputs_what_its_task_asks,
    model_finds_a_planted_signal,
    model_survives_the_store,
    model_refuses_labels_of_other_horizons,
    model_explains_itself_in_tables,
)
