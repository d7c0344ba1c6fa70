"""The training loop: one pass over a long stretch of bars learns from every bar in it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from mlcore.heads import Head
from mlcore.stretches import Stretches, batches
from mlcore.windows import Windows

# Shape suffix legend
#   T = bars passed through, S = rows of a stretch that are learned from, B = stretches of a batch
#   F = features, R = raw outputs


@dataclass(frozen=True)
class Plan:
    """How to train: the constructor arguments of `mlcore.models.torch.TorchModel` that concern the loop."""

    stretch: int = 64
    batch: int = 16
    epochs: int = 20
    patience: int = 5
    learning_rate: float = 4e-3
    weight_decay: float = 0.01
    clip: float = 1.0
    warm_up: float = 0.1
    min_steps: int = 16
    seed: int = 0
    device: str = "cpu"


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
    """A causal network with the linear layer that its head reads."""

    def __init__(self, network: nn.Module, head: Head) -> None:
        super().__init__()
        self.network = network
        self.linear = nn.Linear(int(network.width), head.n_raw)  # type: ignore[arg-type]
        with torch.no_grad():
            self.linear.weight.mul_(0.1)  # begin near what is known without features
            self.linear.bias.copy_(head.start())

    def forward(self, x_TBF: torch.Tensor, size: int) -> torch.Tensor:
        """Return ``(S, B, R)`` raw outputs of the newest `size` bars."""
        h_TBH = self.network(x_TBF)
        return self.linear(h_TBH[len(h_TBH) - size :])


def history_bars(network: nn.Module, lookback: int) -> int:
    """Return how many bars before a row the network is given: its receptive field, or all of the lookback."""
    return min(getattr(network, "receptive_field", lookback), lookback) - 1


class Rows:
    """Table, labels and stretches of one set of rows, as tensors on the device."""

    def __init__(self, windows: Windows, y: np.ndarray, head: Head, history: int, size: int, device: str) -> None:
        order = np.argsort(windows.rows, kind="stable")
        rows = windows.rows[order]
        first = rows[0] - windows.lookback + 1
        self.stretches = Stretches(rows - first, windows.lookback, history, size)
        table = np.ascontiguousarray(windows.table[first : rows[-1] + 1], dtype=np.float32)
        self.table = torch.from_numpy(table).to(device)
        target = head.target(np.asarray(y)[order])
        self.target = torch.zeros(len(table), dtype=target.dtype)
        self.target[rows - first] = target
        self.wanted = np.zeros(len(table), dtype=np.float32)
        self.wanted[rows - first] = 1
        self.target = self.target.to(device)
        self.n = len(rows)

    def batch(self, blocks: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return ``(T, B, F)`` bars, ``(S * B,)`` targets and ``(S * B,)`` weights (0 where nothing is learned)."""
        bars = self.stretches.bars(blocks)
        rows = bars[self.stretches.history :]
        weight = self.wanted[rows] * self.stretches.counting(blocks)
        device = self.table.device
        index = torch.from_numpy(bars).to(device)
        x_TBF = self.table.index_select(0, index.view(-1)).view(*bars.shape, -1)
        return (
            x_TBF,
            self.target[index[self.stretches.history :]].view(-1),
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


def row_losses(model: Forecaster, head: Head, rows: Rows, plan: Plan) -> float:
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


def one_cycle(step: int, steps: int, warm_up: float) -> float:
    """Return the share of the top learning rate: up in a line, down in a half cosine (Smith 2018)."""
    rise = max(1, int(warm_up * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + np.cos(np.pi * (step - rise) / max(1, steps - rise)))


def train(
    model: Forecaster,
    head: Head,
    windows: Windows,
    y: np.ndarray,
    *,
    validation: tuple[Windows, np.ndarray] | None,
    plan: Plan,
    on_epoch: Callable[[int, Forecaster], None] | None = None,
) -> list[dict[str, Any]]:
    """Fit `model` in place; the best epoch by validation loss is kept. Return the training curve.

    Call it inside `seeded`. Each entry of the curve: epoch, training loss, validation loss (NaN without
    one), learning rate, seconds since the start (of training and validating, not of `on_epoch`).
    """
    history = history_bars(model.network, windows.lookback)
    model.to(plan.device)
    rows = Rows(windows, y, head, history, plan.stretch, plan.device)
    held_out = None
    if validation is not None:
        size = 1 if plan.stretch == 1 else 128
        held_out = Rows(*validation, head, history, size, plan.device)
    flat = _flat(model)
    optimiser = torch.optim.AdamW([flat], lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True)
    generator = np.random.default_rng(plan.seed)
    n_blocks = len(rows.stretches.blocks())
    batch = max(1, min(plan.batch, n_blocks // plan.min_steps))
    steps, step = plan.epochs * -(-n_blocks // batch), 0
    curve: list[dict[str, Any]] = []
    best, best_loss, since_best = flat.detach().clone(), np.inf, 0
    seconds = 0.0
    for epoch in range(plan.epochs):
        started = time.perf_counter()
        model.train()
        blocks = rows.stretches.blocks(int(generator.integers(plan.stretch)))
        per_batch = rows.n / -(-len(blocks) // batch)
        total = 0.0
        for chosen in batches(len(blocks), batch, generator.permutation(len(blocks))):
            for group in optimiser.param_groups:
                group["lr"] = plan.learning_rate * one_cycle(step, steps, plan.warm_up)
            x_TBF, target, weight = rows.batch(blocks[chosen])
            optimiser.zero_grad(set_to_none=False)
            loss = (head.loss(model(x_TBF, plan.stretch).flatten(0, 1), target) * weight).sum()
            (loss / per_batch).backward()
            nn.utils.clip_grad_norm_([flat], plan.clip)
            optimiser.step()
            total += float(loss.detach())
            step += 1
        held = row_losses(model, head, held_out, plan) if held_out else float("nan")
        seconds += time.perf_counter() - started
        curve.append({"epoch": epoch, "loss": total / rows.n, "validation": held, "seconds": seconds})
        if on_epoch:
            on_epoch(epoch, model)
        if held_out is None:
            continue
        if held < best_loss:
            best_loss, since_best = held, 0
            best.copy_(flat.detach())
        else:
            since_best += 1
            if since_best >= plan.patience:
                break
    if held_out is not None:
        with torch.no_grad():
            flat.copy_(best)
    _unflat(model)
    return curve
