"""The training loop: one pass over a long stretch of bars learns from every bar in it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.heads import Head
from mlcore.precision import Precision
from mlcore.schedules import Schedule
from mlcore.stretches import Stretches, batches
from mlcore.windows import Windows

# Shape suffix legend
#   T = bars passed through, S = rows of a stretch that are learned from, B = stretches of a batch
#   F = features, R = raw outputs


VALIDATION_STRETCH = 128  # rows of a stretch when validating


@dataclass(frozen=True)
class Plan:
    """How to train: the constructor arguments of `mlcore.models.torch.TorchModel` that concern the loop.

    warm_up : share of the steps in which the learning rate rises. min_steps : optimiser steps of an epoch at
    least (`fit_to`). checks : validations per epoch.
    """

    stretch: int = 64
    batch: int = 16
    epochs: int = 8
    patience: int = 5
    learning_rate: float = 8e-3
    weight_decay: float = 0.01
    clip: float = 1.0
    warm_up: float = 0.1
    min_steps: int = 16
    checks: int = 1
    seed: int = 0
    device: str = "cpu"
    schedule: str = "one_cycle"
    precision: str = "full"

    @property
    def dtype(self) -> torch.dtype:
        """Return what weights and features are while training; forecasts are made in float32."""
        return torch.float64 if self.precision == "double" else torch.float32


@contextlib.contextmanager
def threads(n: int | None) -> Iterator[None]:
    """Let torch use `n` threads inside the block (None: as many as it has), then give them back."""
    before = torch.get_num_threads()
    torch.set_num_threads(n or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def seeded(seed: int, device: str = "cpu") -> Iterator[None]:
    """Draw from a generator seeded with `seed` inside the block; the caller's random state is left as it was."""
    with torch.random.fork_rng(devices=[] if device == "cpu" else [torch.cuda.current_device()]):
        torch.manual_seed(seed)
        yield


class Forecaster(nn.Module):
    """A causal network with the linear layer that its head reads, and what stands before it (`inputs`), if anything."""

    def __init__(self, network: nn.Module, head: Head, inputs: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network
        self.inputs = inputs
        self.linear = nn.Linear(int(network.width), head.n_raw)  # type: ignore[arg-type]
        with torch.no_grad():
            self.linear.weight.mul_(0.1)  # begin near what is known without features
            self.linear.bias.copy_(head.start())

    def forward(self, x_TBF: torch.Tensor, size: int) -> torch.Tensor:
        """Return ``(S, B, R)`` raw outputs of the newest `size` bars."""
        h_TBH = self.network(x_TBF if self.inputs is None else self.inputs(x_TBF))
        return self.linear(h_TBH[len(h_TBH) - size :])


def history_bars(network: nn.Module, lookback: int) -> int:
    """Return how many bars before a row the network is given: its receptive field, or all of the lookback."""
    return min(getattr(network, "receptive_field", lookback), lookback) - 1


class Rows:
    """Table, labels and stretches of one set of rows, as tensors on the device."""

    def __init__(
        self,
        windows: Windows,
        y: np.ndarray,
        head: Head,
        history: int,
        size: int,
        device: str,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        order = np.argsort(windows.rows, kind="stable")
        rows = windows.rows[order]
        first = rows[0] - windows.lookback + 1
        self.stretches = Stretches(rows - first, windows.lookback, history, size)
        table = np.ascontiguousarray(windows.table[first : rows[-1] + 1], dtype=np.float32)
        self.table = torch.from_numpy(table).to(device, dtype)
        target = head.target(np.asarray(y)[order])
        target = target.to(dtype) if target.is_floating_point() else target
        self.target = torch.zeros((len(table), *target.shape[1:]), dtype=target.dtype)  # (N,) or (N, H)
        self.target[rows - first] = target
        self.wanted = np.zeros(len(table), dtype=np.float32)
        self.wanted[rows - first] = 1
        self.target = self.target.to(device)
        self.n = len(rows)

    def batch(self, blocks: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return ``(T, B, F)`` bars, ``(S * B, ...)`` targets and ``(S * B,)`` weights (0: nothing is learned)."""
        bars = self.stretches.bars(blocks)
        rows = bars[self.stretches.history :]
        weight = self.wanted[rows] * self.stretches.counting(blocks)
        device = self.table.device
        index = torch.from_numpy(bars).to(device)
        x_TBF = self.table.index_select(0, index.view(-1)).view(*bars.shape, -1)
        return (
            x_TBF,
            self.target[index[self.stretches.history :]].flatten(0, 1),
            torch.from_numpy(weight).view(-1).to(device),
        )


def _flat(model: nn.Module) -> nn.Parameter:
    """Lay all parameters of `model` into one vector they are views of: one optimiser step, one clip, one copy."""
    parameters = list(model.parameters())
    flat = torch.cat([p.detach().reshape(-1) for p in parameters])
    grad = torch.zeros_like(flat)
    at = 0
    for p in parameters:
        piece = slice(at, at + p.numel())
        p.data, p.grad = flat[piece].view_as(p), grad[piece].view_as(p)
        at += p.numel()
    whole = nn.Parameter(flat)
    whole.grad = grad
    return whole


def _unflat(model: nn.Module) -> None:
    for p in model.parameters():
        p.data, p.grad = p.data.clone(), None


def row_losses(model: Forecaster, head: Head, rows: Rows) -> float:
    """Return the mean loss of `rows`, dense, without learning from them."""
    total = 0.0
    blocks = rows.stretches.blocks()
    model.eval()
    with torch.no_grad():
        for chosen in batches(len(blocks), max(1, 16384 // (rows.stretches.size + rows.stretches.history))):
            x_TBF, target, weight = rows.batch(blocks[chosen])
            raw = model(x_TBF, rows.stretches.size).flatten(0, 1)
            total += float((head.loss(raw, target) * weight).sum())
    return total / rows.n


def fit_to(plan: Plan, n_rows: int) -> Plan:
    """Return `plan` with shorter stretches and smaller batches where an epoch of `n_rows` would have too few steps.

    >>> small = fit_to(Plan(stretch=64, batch=16, min_steps=16), 1254)
    >>> small.stretch, small.batch
    (9, 8)
    """
    per_step = max(1, min(plan.stretch * plan.batch, n_rows // plan.min_steps))
    stretch = min(plan.stretch, max(per_step // 8, 8))
    return replace(plan, stretch=stretch, batch=min(plan.batch, max(1, per_step // stretch)))


class Trainer:
    """Optimiser, schedule and order of the batches for one fit."""

    def __init__(self, model: Forecaster, head: Head, rows: Rows, plan: Plan) -> None:
        self.model, self.head, self.rows, self.plan = model, head, rows, plan
        self.flat = _flat(model)
        self.optimiser = torch.optim.AdamW(
            [self.flat], lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
        )
        self.order = np.random.default_rng(plan.seed)
        steps = plan.epochs * -(-len(rows.stretches.blocks()) // plan.batch)
        self.schedule, self.step = Schedule(plan.schedule, steps, warm_up=plan.warm_up), 0
        self.precision = Precision(plan.precision, plan.device)

    def epoch(self) -> Iterator[float]:
        """Learn from every row once; between checks, yield the mean training loss since the last one."""
        blocks = self.rows.stretches.blocks(int(self.order.integers(self.rows.stretches.size)))
        chosen = list(batches(len(blocks), self.plan.batch, self.order.permutation(len(blocks))))
        per_batch = self.rows.n / len(chosen)
        for part in batches(len(chosen), -(-len(chosen) // self.plan.checks)):
            self.model.train()
            yield sum(self.learn(blocks[chosen[i]], per_batch) for i in part) / (per_batch * len(part))

    def learn(self, blocks: np.ndarray, per_batch: float) -> float:
        """Take one step; `per_batch` rows are learned from in a step on average. Return the summed loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.learning_rate * self.schedule.share(self.step)
        x_TBF, target, weight = self.rows.batch(blocks)
        self.optimiser.zero_grad(set_to_none=False)
        raw = self.precision.raw(self.model, x_TBF, self.plan.stretch).flatten(0, 1)
        loss = (self.head.loss(raw, target) * weight).sum()
        self.precision.step(loss / per_batch, self.optimiser, [self.flat], self.plan.clip)
        self.step += 1
        return float(loss.detach())


class Best:
    """The weights with the lowest validation loss so far."""

    def __init__(self, flat: torch.Tensor) -> None:
        self.flat, self.kept, self.loss, self.since = flat, flat.detach().clone(), np.inf, 0

    def see(self, loss: float) -> int:
        """Keep the weights if `loss` is the lowest; return how many checks ago the lowest was."""
        self.since += 1
        if loss < self.loss:
            self.loss, self.since = loss, 0
            self.kept.copy_(self.flat.detach())
        return self.since

    def restore(self) -> None:
        """Put the best weights back."""
        with torch.no_grad():
            self.flat.copy_(self.kept)


def _checks(trainer: Trainer, held_out: Rows | None, clock: Callable[[], float]) -> Iterator[dict[str, Any]]:
    """Train epoch after epoch and yield the curve's entries; what is done with them takes none of their time."""
    learning = checking = 0.0
    started = clock()
    for epoch in range(trainer.plan.epochs):
        for check, loss in enumerate(trainer.epoch()):
            learned = clock()
            held = row_losses(trainer.model, trainer.head, held_out) if held_out else float("nan")
            learning, checking = learning + learned - started, checking + clock() - learned
            entry = {"epoch": epoch + (check + 1) / trainer.plan.checks, "loss": loss, "validation": held}
            yield entry | {"seconds": learning + checking, "learning": learning}
            started = clock()


def _beginning(trainer: Trainer, held_out: Rows, clock: Callable[[], float]) -> dict[str, Any]:
    """Return the curve's entry of the weights that training begins with."""
    started = clock()
    held = row_losses(trainer.model, trainer.head, held_out)
    return {"epoch": 0.0, "loss": float("nan"), "validation": held, "seconds": clock() - started, "learning": 0.0}


def train(
    model: Forecaster,
    head: Head,
    windows: Windows,
    y: np.ndarray,
    *,
    validation: tuple[Windows, np.ndarray] | None,
    plan: Plan,
    on_check: Callable[[dict[str, Any], Forecaster], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    begun: bool = False,
) -> list[dict[str, Any]]:
    """Fit `model` in place; the weights with the lowest validation loss are kept. Return the training curve.

    Call it inside `seeded`. An entry of the curve, one per check: `epoch` (passes over the rows so far), `loss`
    of training since the check before, `validation` loss (NaN without one), `seconds` by `clock` so far and
    `learning`, the seconds without the validating. `on_check` is called with every entry; its time counts nowhere.
    Where the model has `begun` elsewhere (a warm start) its weights are judged first, as epoch 0, and kept where
    nothing better comes.
    """
    if plan.schedule == "plateau" and not validation:
        raise BarwiseError("`schedule` is 'plateau', which goes by the validation loss, and there is no `validation`.")
    plan = fit_to(plan, len(windows))
    history = history_bars(model.network, windows.lookback)
    model.to(plan.device, plan.dtype)
    trainer = Trainer(model, head, Rows(windows, y, head, history, plan.stretch, plan.device, plan.dtype), plan)
    size = VALIDATION_STRETCH if plan.stretch > 1 else 1  # as it is trained, so it is validated
    held_out = Rows(*validation, head, history, size, plan.device, plan.dtype) if validation else None
    best, curve = Best(trainer.flat), []
    if begun and held_out:
        curve.append(_beginning(trainer, held_out, clock))
        best.see(curve[0]["validation"])
        trainer.schedule.see(curve[0]["validation"])
    for entry in _checks(trainer, held_out, clock):
        curve.append(entry)
        if on_check:
            on_check(entry, model)
        trainer.schedule.see(entry["validation"])
        if held_out and best.see(entry["validation"]) >= plan.patience * plan.checks:
            break
    if held_out:
        best.restore()
    _unflat(model)
    model.float()
    return curve
