"""The sklearn face of a causal network: one architecture a file, everything else here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import nn

from mlcore.dropout import thinned
from mlcore.errors import BarwiseError
from mlcore.heads import Head, head_of, head_values, make_head
from mlcore.losses import Loss, choose_loss
from mlcore.models.inputs import Validation, check_fit, check_windows, label_shape
from mlcore.models.stepping import Stepper
from mlcore.models.symbols import SymbolEmbedding, embedding_of
from mlcore.precision import choose_precision
from mlcore.schedules import check_schedule
from mlcore.store.state import ModelState, StoreError, task_of, task_values
from mlcore.stretches import Stretches, check_finite
from mlcore.tasks import Task
from mlcore.training import Forecaster, Plan, history_bars, seeded, threads, train
from mlcore.windows import Windows

FEWEST_ROWS = 32
# Passes have one fixed shape, the last one filled up, so that a row's bits depend on its own window only.
PREDICT_WINDOWS = 128  # windows of a pass
PREDICT_STRETCH = 64  # rows of a stretch, where a longer stretch gives the same outputs as windows
PREDICT_STRETCHES = 16  # stretches of a pass
UPDATE_STEPS = 4  # optimiser steps of an update at least


@dataclass(frozen=True)
class Fit:
    """What one fit is made with: rows, head and plan, all checked."""

    task: Task
    head: Head
    plan: Plan
    windows: Windows
    y: np.ndarray
    validation: Validation | None


@dataclass(kw_only=True, eq=False, repr=False)
class TorchModel(BaseEstimator, ABC):
    """A network with sklearn's grammar. An architecture gives `build`, and its own parameters as dataclass fields.

    A forecast for row t comes from the `lookback` bars up to t and from nothing else: not from the
    rest of the batch, not from which other rows are asked for. It is known at the close of bar t.

    Parameters
    ----------
    lookback : bars behind a forecast, the newest one included.
    dense : train on long stretches of bars (causal networks); False: one window per row, slow.
    stretch : rows of a stretch that are learned from, beside the bars that only warm it up.
    batch : stretches (windows, where not dense) of an optimiser step; fewer on few rows.
    epochs : passes over the training rows.
    patience : epochs without a better validation loss before training stops.
    learning_rate, weight_decay : AdamW's; the first is the highest of the schedule.
    schedule : how the rate goes over all epochs: "one_cycle" (up and down once), "cosine_restarts" (three half
        cosines, each twice as long), "plateau" (halved where the validation loss gets no better) or "constant".
    clip : length that the gradient of a step is cut down to.
    warm_rate : share of `learning_rate` for a fit that starts from another model's weights, and for an update.
    precision : of training: "full" (float32), "mixed" (float16 where that is safe, on CUDA only) or "double" (float64):
        rounding then no longer grows into other forecasts where ReLUs switch, at about twice the time on a CPU.
    loss : one of `mlcore.losses.LOSSES` that fits the label; None: the label's own.
    loss_params : its numbers, as ``{"gamma": 1.0}``; None: its defaults.
    class_weights : None, "balanced" (from the training rows), or one number a class. Forecasts stay probabilities.
    seed : of weights, order of batches and dropout. The same seed gives the same bits.
    threads : torch threads inside fit and predict; None leaves them alone, and bits may then depend on the machine.
    device : "cpu", "cuda", or "auto" for cuda where there is one.
    symbol_width : numbers that stand for a symbol, learnt, where several are trained on together (a column `symbol`).

    Attributes
    ----------
    network_ : the fitted `mlcore.training.Forecaster` (a `torch.nn.Module` on the CPU).
    head_ : loss and outputs of the task. history_ : the training curve, one dict per epoch.
    best_epoch_ : the epoch that was kept (the last one without validation).
    n_features_in_ : features of the training windows. task_ : the task.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {}  # name -> constructor arguments that differ from the defaults
    causal = True  # False for networks that look both ways inside the window: trained on windows only
    reads_symbol = True  # a pooled table comes with a column `symbol` of codes (`mlcore.panel`)
    embeds_symbol = True  # it is embedded before the network sees it; False: the network takes the codes itself

    lookback: int = 60
    dense: bool = True
    stretch: int = 64
    batch: int = 16
    epochs: int = 8
    patience: int = 5
    learning_rate: float = 4e-3
    weight_decay: float = 0.01
    schedule: str = "one_cycle"
    clip: float = 1.0
    warm_rate: float = 0.3
    precision: str = "full"
    loss: str | None = None
    loss_params: dict[str, float] | None = None
    class_weights: str | tuple[float, ...] | None = None
    seed: int = 0
    threads: int | None = 1
    device: str = "auto"
    symbol_width: int = 4

    @abstractmethod
    def build(self, n_features: int) -> nn.Module:
        """Return the network: ``(T, B, F)`` to ``(T' <= T, B, width)``, newest bars last, with a `width`."""

    def _forecaster(self, n_features: int, head: Head, symbols: SymbolEmbedding | None) -> Forecaster:
        """The network and its head; the symbol's code, one of the `n_features`, is embedded where there is one."""
        return Forecaster(self.build(n_features if symbols is None else symbols.n_out(n_features)), head, symbols)

    def plan(self, **more: Any) -> Plan:
        """Return the loop's part of the arguments, checked; `more` are fields of `Plan` that have no argument."""
        for name in ("lookback", "stretch", "batch", "epochs", "patience", "symbol_width"):
            value = getattr(self, name)
            if int(value) != value or value < 1:
                raise BarwiseError(f"`{name}` is {value!r}; it must be a whole number of at least 1.")
        for name in ("width", "layers", "heads", "levels", "kernel", "channels", "convolutions", "feed_forward"):
            value = getattr(self, name, None)
            if isinstance(value, int) and value < 1:
                raise BarwiseError(f"`{name}` is {value}; it must be at least 1.")
        if not 0 <= getattr(self, "dropout", 0.0) < 1:
            raise BarwiseError(f"`dropout` is {self.dropout}; it must be a share of units in [0, 1).")  # type: ignore[attr-defined]
        for name, least in (("learning_rate", 1e-12), ("weight_decay", 0.0), ("clip", 1e-12), ("warm_rate", 1e-12)):
            value = getattr(self, name)
            if not least <= value < np.inf:
                raise BarwiseError(f"`{name}` is {value!r}; it must be a finite number{' above 0' * (least > 0)}.")
        if self.dense and not self.causal:
            raise BarwiseError(
                f"`dense` is True; {type(self).__name__} looks both ways in the window: set dense=False."
            )
        check_schedule(self.schedule)
        device = choose_device(self.device)
        return Plan(
            stretch=self.stretch if self.dense else 1,
            batch=self.batch,
            epochs=self.epochs,
            patience=self.patience,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            clip=self.clip,
            seed=self.seed,
            device=device,
            schedule=self.schedule,
            precision=choose_precision(self.precision, device, self.device),
            **more,
        )

    def check_task(self, task: Task) -> Loss:
        """Return the loss that `task` is trained by; refuse one that does not fit it, or arguments that cannot be."""
        self.plan()  # before hours of training, not in its first fold
        return choose_loss(task, self.loss, self.loss_params, self.class_weights)

    def fit(self, windows: Windows, y: np.ndarray, *, task: Task, validation: Validation | None = None) -> Self:
        """Fit on `windows` and labels `y`, ``(N,)`` or ``(N, H)``; with `validation` stop early, keep the best epoch.

        Raises BarwiseError for NaN in a window or label, one class only, fewer than 32 rows, or a
        lookback that is not the model's.
        """
        fit = self.begin(windows, y, task=task, validation=validation)
        with threads(self.threads), seeded(self.seed, fit.plan.device):
            network, warm = self.forecaster(fit)
            history = train(network, fit.head, windows, fit.y, validation=fit.validation, plan=fit.plan, begun=warm)
        return self.end(fit, network, history)

    def begin(self, windows: Windows, y: np.ndarray, *, task: Task, validation: Validation | None) -> Fit:
        """Return what a fit needs, checked; raises what `fit` raises."""
        plan, loss = self.plan(), self.check_task(task)
        y = check_fit(windows, y, task, lookback=self.lookback)
        check_finite(windows)
        if len(y) < FEWEST_ROWS:
            raise BarwiseError(
                f"`windows` hold {len(y)} rows; a network needs at least {FEWEST_ROWS}: train on more bars."
            )
        if validation is not None:
            validation = self._checked(validation, windows.shape[2], task)
        if hasattr(self, "start_"):
            plan = replace(plan, learning_rate=plan.learning_rate * self.warm_rate)
        return Fit(task, make_head(task, y, loss), plan, windows, y, validation)

    def forecaster(self, fit: Fit) -> tuple[Forecaster, bool]:
        """Return the network to train, and whether it has another's weights; call it inside `seeded`."""
        symbols = embedding_of(self, fit.windows) if self.embeds_symbol else None
        network = self._forecaster(fit.windows.shape[2], fit.head, symbols)
        if not hasattr(self, "start_"):
            return network, False
        try:
            network.load_state_dict(self.start_)
        except RuntimeError as error:
            raise BarwiseError(f"`warm_start_from` took weights that do not fit: {error}") from None
        finally:
            del self.start_
        return network, True

    def end(self, fit: Fit, network: Forecaster, history: list[dict[str, Any]]) -> Self:
        """Become the model that `network` was trained for."""
        self.history_ = history
        self.network_, self.head_, self.task_ = network.cpu().eval(), fit.head, fit.task
        self.n_features_in_ = fit.windows.shape[2]
        self.best_epoch_ = best_epoch(self.history_)
        return self

    def warm_start_from(self, other: Any) -> Self:
        """Begin the next `fit` with the weights of `other`, a fitted model of this kind, at a rate `warm_rate` times.

        Only weights are taken: the head's numbers (shares of classes, centre and scale of labels) are the new rows'.
        With validation rows the weights of `other` are kept where no epoch does better. Raises BarwiseError for a model
        of another kind; `fit` does for weights of other shapes.
        """
        if type(other) is not type(self) or not hasattr(other, "network_"):
            raise BarwiseError(
                f"`other` is {type(other).__name__}; {type(self).__name__} starts from a fitted {type(self).__name__}."
            )
        self.start_ = {name: tensor.clone() for name, tensor in other.network_.state_dict().items()}
        return self

    def update(self, windows: Windows, y: np.ndarray) -> Self:
        """Take a few steps on newer rows: one pass over them, at a constant rate of `warm_rate` times `learning_rate`.

        Labels and features are in the units of the fit: the head stays, and the scaler should. Any number of rows will
        do, and one class only. The same updates after the same fit give the same bits.
        """
        check_windows(windows, lookback=self.lookback, n_features=self.n_features_in_)
        check_finite(windows)
        y = np.asarray(y, dtype=np.float64)
        if len(y) != len(windows) or not np.isfinite(y).all():
            raise BarwiseError(f"`y` has shape {y.shape}; it must be finite labels of the {len(windows)} windows.")
        if not len(y):
            return self
        self.n_updates_ = getattr(self, "n_updates_", 0) + 1
        seed = int(np.random.SeedSequence([self.seed, self.n_updates_]).generate_state(1)[0])
        rate = self.learning_rate * self.warm_rate
        plan = replace(
            self.plan(), epochs=1, schedule="constant", min_steps=UPDATE_STEPS, seed=seed, learning_rate=rate
        )
        with threads(self.threads), seeded(seed, plan.device):
            train(self.network_, self.head_, windows, y, validation=None, plan=plan)
        self.network_.cpu().eval()
        return self

    def _checked(self, validation: Validation, n_features: int, task: Task) -> Validation | None:
        windows, y = validation[0], np.asarray(validation[1], dtype=np.float64)
        check_windows(windows, lookback=self.lookback, n_features=n_features)
        check_finite(windows)
        wanted = label_shape(len(windows), task)
        if y.shape != wanted or not np.isfinite(y).all():
            raise BarwiseError(f"`validation` has labels of shape {y.shape}; they must be {wanted} and finite.")
        return (windows, y) if len(y) else None

    def get_state(self) -> ModelState:
        """The weights of `network_`, and the head's numbers (`mlcore.store`)."""
        arrays = {name: tensor.numpy() for name, tensor in self.network_.state_dict().items()}
        values = {"head": head_values(self.head_), "n_features": self.n_features_in_, "best_epoch": self.best_epoch_}
        symbols = self.network_.inputs
        if isinstance(symbols, SymbolEmbedding):
            values["symbols"] = {"column": symbols.column, "n": symbols.n}
        return ModelState(arrays, values=values | {"task": task_values(self.task_)})

    def set_state(self, state: ModelState) -> Self:
        """Become the model that `state` was taken of; parameters are set already. The training curve is not kept."""
        values = state.values
        self.task_, self.head_ = task_of(values["task"]), head_of(values["head"])
        self.n_features_in_, self.best_epoch_, self.history_ = values["n_features"], values["best_epoch"], []
        with seeded(self.seed):  # the weights it begins with are thrown away; the caller's random state is not touched
            told = values.get("symbols")
            symbols = None if told is None else SymbolEmbedding(told["column"], told["n"], self.symbol_width)
            network = self._forecaster(self.n_features_in_, self.head_, symbols)
        try:
            network.load_state_dict({name: torch.from_numpy(array) for name, array in state.arrays.items()})
        except RuntimeError as error:
            raise StoreError(f"`model.safetensors` does not fit {type(self).__name__}: {error}") from None
        self.network_ = network.eval()
        return self

    def stepper(self) -> Stepper:
        """Return what forecasts bar by bar (`mlcore.live`), with an empty past."""
        return Stepper(self)

    def predict(self, windows: Windows) -> np.ndarray:
        """Return ``(N, n_outputs)`` float64 in the order of ``task.outputs``; bits depend on each row's window only."""
        check_windows(windows, lookback=self.lookback, n_features=self.n_features_in_)
        check_finite(windows)
        if not len(windows):
            return np.empty((0, self.task_.n_outputs))
        with threads(self.threads):
            return self.head_.forecast(predict_raw(self.network_, windows, choose_device(self.device)))

    def predict_passes(self, windows: Windows, passes: int = 20) -> np.ndarray:
        """Return ``(passes, N, n_outputs)``: what the network says thinned by dropout, other units in each pass.

        The units of a pass follow from `seed` and the pass; a row's bits depend on its window only, as in `predict`.
        Raises BarwiseError where the fitted network drops nothing.
        """
        said = []
        for number in range(passes):
            with thinned(self.network_, self.seed, number) as places:
                if not places:
                    raise BarwiseError(
                        f"`dropout` is {getattr(self, 'dropout', None)}, and this {type(self).__name__} drops no unit "
                        "(a stack of one layer has nothing between layers): take more layers, or another `confidence`."
                    )
                said.append(self.predict(windows))
        return np.stack(said)


def best_epoch(history: list[dict[str, Any]]) -> int:
    """Return the epoch with the lowest validation loss, or the last one where there was no validation.

    Counted from 0; -1 is what a warm start began with.
    """
    losses = [entry["validation"] for entry in history]
    best = int(np.argmin(losses)) if np.isfinite(losses).any() else len(losses) - 1
    return best - (history[0]["epoch"] == 0)


def choose_device(name: str) -> str:
    """Return "cpu" or "cuda" for `name`; refuse a cuda that is not there."""
    if name not in ("auto", "cpu", "cuda"):
        raise BarwiseError(f"`device` is {name!r}; it must be 'auto', 'cpu' or 'cuda'.")
    if name == "cuda" and not torch.cuda.is_available():
        raise BarwiseError("`device` is 'cuda' and this torch finds no CUDA device: use 'cpu' or 'auto'.")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


@torch.no_grad()
def predict_raw(network: Forecaster, windows: Windows, device: str = "cpu") -> torch.Tensor:
    """Return ``(N, R)`` raw outputs on the CPU.

    Where the receptive field lies inside the lookback, stretches give what windows give, and are many
    times faster; else, and for a network that says it is not `exact_in_stretches`, every row starts anew
    from its own window. Passes have one fixed shape.
    """
    history = history_bars(network.network, windows.lookback)
    field = getattr(network.network, "receptive_field", None)
    exact = getattr(network.network, "exact_in_stretches", True)  # False: up to rounding only, and bits are promised
    bounded = field is not None and field <= windows.lookback and exact
    size, per_pass = (PREDICT_STRETCH, PREDICT_STRETCHES) if bounded else (1, PREDICT_WINDOWS)
    rows, back = np.unique(windows.rows, return_inverse=True)
    first = rows[0] - windows.lookback + 1
    table = np.ascontiguousarray(windows.table[first : rows[-1] + 1], dtype=np.float32)
    stretches = Stretches(rows - first, windows.lookback, history, size)
    blocks = stretches.blocks()
    raw = torch.empty((len(table), network.linear.out_features))
    network.to(device).eval()
    bars_of_table = torch.from_numpy(table).to(device)
    for at in range(0, len(blocks), per_pass):
        part = blocks[at : at + per_pass]
        full = np.concatenate([part, np.repeat(part[-1:], per_pass - len(part), axis=0)])
        bars = stretches.bars(full)
        index = torch.from_numpy(bars).to(device)
        x_TBF = bars_of_table.index_select(0, index.view(-1)).view(*bars.shape, -1)
        out_SBR = network(x_TBF, size).cpu()
        counting = torch.from_numpy(stretches.counting(full))
        raw[torch.from_numpy(bars[history:])[counting]] = out_SBR[counting]
    network.cpu()
    return raw[torch.from_numpy(rows - first)][torch.from_numpy(back)]
