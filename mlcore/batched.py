"""All folds and seeds of a walk-forward trained at once: one network whose weights have a lane for each of them."""

from __future__ import annotations

import copy
import time
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from mlcore.errors import BarwiseError
from mlcore.models.stepped import stepped
from mlcore.models.torch import Fit
from mlcore.schedules import Schedule
from mlcore.stretches import Stretches, batches
from mlcore.training import VALIDATION_STRETCH, Forecaster, Plan, Rows, fit_to, history_bars

# Shape suffix legend
#   J = lanes (one fold with one seed each), T = bars passed through, S = rows of a stretch that are learned from
#   B = stretches of a batch, M = blocks of a pass, P = weights of one network, R = raw outputs, F = features

BETAS, EPSILON = (0.9, 0.999), 1e-8  # torch's own for AdamW
PASS_BARS = 65_536  # bars of a validation pass, all lanes together


def train_together(fits: Sequence[Fit], networks: Sequence[Forecaster]) -> list[list[dict[str, Any]]]:
    """Train every network on its own fit, in place, all in one batch; return their training curves.

    Each lane takes the batches, the learning rates and the clipping that `mlcore.training.train` takes alone, stops
    early by its own validation loss, and keeps its best epoch. What differs is rounding, since products are summed in
    another order, and what dropout draws. `seconds` of a curve are those of the whole batch.

    Raises BarwiseError for mixed precision, and for a network with a step that `torch.func.vmap` cannot batch.
    """
    if "mixed" in {fit.plan.precision for fit in fits}:
        raise BarwiseError("`precision` is 'mixed': networks in one batch are trained in 'full' or 'double' precision.")
    curves: list[list[dict[str, Any]]] = [[] for _ in fits]
    shapes = [fit_to(fit.plan, len(fit.windows)).stretch for fit in fits]
    for shape in sorted(set(shapes)):  # stretches of one length make one batch; nearly always all of them
        chosen = [i for i, stretch in enumerate(shapes) if stretch == shape]
        lanes = [Lane(fits[i], networks[i]) for i in chosen]
        _Batch(lanes).train()
        for i, lane in zip(chosen, lanes, strict=True):
            curves[i] = lane.curve
    return curves


class Lane:
    """One fit of the batch: its rows, its order of batches, its schedule, and the best that it found."""

    def __init__(self, fit: Fit, network: Forecaster) -> None:
        if fit.plan.schedule == "plateau" and fit.validation is None:
            raise BarwiseError("`schedule` is 'plateau', which goes by the validation loss: give `validation` rows.")
        self.network, self.head = network, fit.head
        self.plan = plan = fit_to(fit.plan, len(fit.windows))
        history = history_bars(network.network, fit.windows.lookback)
        self.rows = Rows(fit.windows, fit.y, fit.head, history, plan.stretch, "cpu", plan.dtype)
        size = VALIDATION_STRETCH if plan.stretch > 1 else 1
        self.held_out = Rows(*fit.validation, fit.head, history, size, "cpu", plan.dtype) if fit.validation else None
        self.order = np.random.default_rng(plan.seed)
        steps = plan.epochs * -(-len(self.rows.stretches.blocks()) // plan.batch)
        self.schedule, self.step = Schedule(plan.schedule, steps, warm_up=plan.warm_up), 0
        self.curve: list[dict[str, Any]] = []
        self.lowest, self.since, self.kept = np.inf, 0, torch.empty(0)

    def batches(self) -> list[np.ndarray]:
        """Return the blocks ``(B, 3)`` of every step of the next epoch, drawn as `Trainer` draws them."""
        blocks = self.rows.stretches.blocks(int(self.order.integers(self.rows.stretches.size)))
        order = self.order.permutation(len(blocks))
        return [blocks[chosen] for chosen in batches(len(blocks), self.plan.batch, order)]

    def rate(self, ahead: int) -> float:
        """Return the learning rate `ahead` steps from now."""
        return self.plan.learning_rate * self.schedule.share(self.step + ahead)

    def see(self, entry: dict[str, Any], weights_P: torch.Tensor) -> bool:
        """Put an entry on the curve and keep the weights if they are the best; return whether to go on."""
        self.curve.append(entry)
        self.schedule.see(entry["validation"])
        self.since += 1
        if self.held_out is None or entry["validation"] < self.lowest:
            self.lowest, self.since = entry["validation"], 0
            self.kept = weights_P.clone()
        return self.since < self.plan.patience


class _Table:
    """Tables, targets and blocks of many sets of rows, one below the other, on the device."""

    def __init__(self, sets: Sequence[Rows], device: str) -> None:
        sizes = [len(rows.table) for rows in sets]
        self.device = device
        self.stretches: Stretches = sets[0].stretches
        self.first_J = torch.tensor(np.cumsum([0, *sizes[:-1]]), device=device)
        self.table = torch.cat([rows.table for rows in sets]).to(device)
        self.target = torch.cat([rows.target for rows in sets]).to(device)
        self.wanted = torch.cat([torch.from_numpy(rows.wanted) for rows in sets]).to(device)

    def batch(
        self, blocks_JB3: torch.Tensor, real_JB: torch.Tensor, lanes_J: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return ``(J, T, B, F)`` bars, ``(J, S * B, ...)`` targets and ``(J, S * B)`` weights; as `Rows.batch`."""
        history, size = self.stretches.history, self.stretches.size
        start_J1B, low_J1B, high_J1B = blocks_JB3[:, None].unbind(-1)
        offset_J11 = self.first_J[lanes_J][:, None, None]
        ahead_T = torch.arange(-history, size, device=self.device)
        index_JTB = torch.minimum(start_J1B + ahead_T[:, None], high_J1B) + offset_J11
        rows_JSB = start_J1B + ahead_T[history:, None]
        counting_JSB = (rows_JSB >= low_J1B) & (rows_JSB <= high_J1B) & real_JB[:, None]
        learned_JSB = index_JTB[:, history:]
        x_JTBF = self.table.index_select(0, index_JTB.reshape(-1)).view(*index_JTB.shape, -1)
        weight_JSB = self.wanted[learned_JSB] * counting_JSB
        return x_JTBF, self.target[learned_JSB].flatten(1, 2), weight_JSB.flatten(1)


class _Weights:
    """The lanes' weights as rows of one matrix, of which every stacked parameter is a view; AdamW on it."""

    def __init__(self, networks: Sequence[nn.Module], device: str) -> None:
        parameters, buffers = stack_module_state(list(networks))  # type: ignore[arg-type]
        self.shapes = {name: stacked.shape[1:] for name, stacked in parameters.items()}
        self.buffers = {name: stacked.to(device) for name, stacked in buffers.items()}
        flat_JP = torch.cat([stacked.detach().flatten(1) for stacked in parameters.values()], dim=1).to(device)
        self._lay(flat_JP, torch.zeros_like(flat_JP), torch.zeros_like(flat_JP))

    def gradient(self, loss: torch.Tensor) -> torch.Tensor:
        """Return ``(J, P)``: of a loss that is a sum over lanes, so that none reaches another's weights."""
        grads = torch.autograd.grad(loss, list(self.parameters.values()))
        return torch.cat([grad.flatten(1) for grad in grads], dim=1)

    def _lay(self, flat_JP: torch.Tensor, mean_JP: torch.Tensor, square_JP: torch.Tensor) -> None:
        self.flat, self.mean, self.square = flat_JP, mean_JP, square_JP
        self.parameters: dict[str, torch.Tensor] = {}
        at = 0
        for name, shape in self.shapes.items():
            self.parameters[name] = flat_JP[:, at : at + shape.numel()].view(-1, *shape).detach().requires_grad_()
            at += shape.numel()

    def keep(self, lanes_J: torch.Tensor) -> None:
        """Drop all lanes but these."""
        self.buffers = {name: stacked[lanes_J] for name, stacked in self.buffers.items()}
        self._lay(self.flat[lanes_J], self.mean[lanes_J], self.square[lanes_J])

    @torch.no_grad()
    def learn(
        self, grad: torch.Tensor, rate_J: torch.Tensor, step_J: torch.Tensor, active_J: torch.Tensor | None, plan: Plan
    ) -> None:
        """Cut each lane's gradient to the plan's length and take AdamW's step; lanes not active stay as they are."""
        grad = grad * (plan.clip / (grad.norm(dim=1, keepdim=True) + 1e-6)).clamp(max=1.0)
        rate, step = rate_J[:, None], step_J[:, None]
        before = None if active_J is None else (self.flat.clone(), self.mean.clone(), self.square.clone())
        self.flat.mul_(1 - rate * plan.weight_decay)
        self.mean.lerp_(grad, 1 - BETAS[0])
        self.square.mul_(BETAS[1]).addcmul_(grad, grad, value=1 - BETAS[1])
        width = (self.square.sqrt() / (1 - BETAS[1] ** step).sqrt()).add_(EPSILON)
        self.flat.sub_(rate / (1 - BETAS[0] ** step) * self.mean / width)
        if before is not None:
            for now, then in zip((self.flat, self.mean, self.square), before, strict=True):
                now.copy_(torch.where(active_J[:, None], now, then))  # type: ignore[index]


class _Batch:
    """Lanes whose stretches are of one length, trained step by step together."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.lanes, self.plan = list(lanes), lanes[0].plan
        self.device = self.plan.device
        self.live = np.arange(len(lanes))
        networks = [copy.deepcopy(lane.network).to(dtype=self.plan.dtype) for lane in lanes]
        self.weights = _Weights(networks, self.device)
        self.module = stepped(networks[0]).to("meta")
        self.train_rows = _Table([lane.rows for lane in lanes], self.device)
        held_out = [lane.held_out for lane in lanes if lane.held_out is not None]
        self.held_out = _Table(held_out, self.device) if len(held_out) == len(lanes) else None
        if held_out and self.held_out is None:
            raise BarwiseError("`validation` is given for some of the fits only: give it for all or for none.")

    def train(self) -> None:
        """Train all lanes, then put the best weights into their networks."""
        started = time.perf_counter()
        for epoch in range(self.plan.epochs):
            losses = self._epoch()
            learned = time.perf_counter()
            held = self._validate() if self.held_out else np.full(len(self.live), np.nan)
            seconds = {"seconds": time.perf_counter() - started, "learning": learned - started}
            entries = [
                {"epoch": epoch + 1.0, "loss": float(a), "validation": float(b)} | seconds
                for a, b in zip(losses, held, strict=True)
            ]
            weights = self.weights.flat
            going = [
                self.lanes[j].see(entry, weights[i])
                for i, (j, entry) in enumerate(zip(self.live, entries, strict=True))
            ]
            if not any(going):
                break
            if not all(going):
                self.weights.keep(torch.tensor(np.flatnonzero(going), device=self.device))
                self.live = self.live[going]
        for lane in self.lanes:
            _put(lane.network, lane.kept)

    def _epoch(self) -> np.ndarray:
        """Learn from every row once; return the lanes' mean training losses."""
        lanes = [self.lanes[j] for j in self.live]
        drawn = [lane.batches() for lane in lanes]
        blocks_IJB3, real_IJB = _padded(drawn)
        taken = np.array([len(batch) for batch in drawn])
        steps_IJ = np.array([lane.step for lane in lanes]) + np.arange(len(blocks_IJB3))[:, None]
        rates_IJ = np.array([[lane.rate(i) for lane in lanes] for i in range(len(blocks_IJB3))])
        per_batch_J = self._on_device(np.array([lane.rows.n for lane in lanes]) / taken)
        blocks, real = self._on_device(blocks_IJB3), self._on_device(real_IJB)
        rates, steps = self._on_device(rates_IJ), self._on_device(steps_IJ + 1, torch.float64)
        active = self._on_device(np.arange(len(blocks_IJB3))[:, None] < taken)
        index = self._on_device(self.live)
        total = torch.zeros(len(lanes), device=self.device, dtype=torch.float64)
        self.module.train()
        for i in range(len(blocks)):
            loss_J = self._losses(self.train_rows, blocks[i], real[i], index)
            grad = self.weights.gradient((loss_J / per_batch_J).sum())
            self.weights.learn(grad, rates[i], steps[i], None if i < taken.min() else active[i], self.plan)
            total += loss_J.detach()
        for lane, n in zip(lanes, taken, strict=True):
            lane.step += int(n)
        return total.cpu().numpy() / np.array([lane.rows.n for lane in lanes])

    @torch.no_grad()
    def _validate(self) -> np.ndarray:
        """Return the lanes' mean losses over the rows held out."""
        assert self.held_out is not None
        sets = [rows for lane in self.live if (rows := self.lanes[lane].held_out)]
        stretches = self.held_out.stretches
        n = max(1, PASS_BARS // ((stretches.history + stretches.size) * len(sets)))
        parts = [
            [blocks[i : i + n] for i in range(0, len(blocks), n)]
            for blocks in (rows.stretches.blocks() for rows in sets)
        ]  # type: ignore[union-attr]
        blocks_IJB3, real_IJB = _padded(parts)
        index = self._on_device(self.live)
        total = torch.zeros(len(sets), device=self.device, dtype=torch.float64)
        self.module.eval()
        for blocks, real in zip(self._on_device(blocks_IJB3), self._on_device(real_IJB), strict=True):
            total += self._losses(self.held_out, blocks, real, index)
        return total.cpu().numpy() / np.array([rows.n for rows in sets])

    def _losses(
        self, table: _Table, blocks_JB3: torch.Tensor, real_JB: torch.Tensor, lanes_J: torch.Tensor
    ) -> torch.Tensor:
        """Return ``(J,)`` summed losses of one step's rows."""
        x_JTBF, target_JN, weight_JN = table.batch(blocks_JB3, real_JB, lanes_J)
        raw_JSBR = self._raw(x_JTBF, table.stretches.size)
        raw_JNR = raw_JSBR.flatten(1, 2)
        alike: dict[Hashable, list[int]] = {}
        for i, j in enumerate(self.live):
            alike.setdefault(loss_key(self.lanes[j].head), []).append(i)
        if len(alike) == 1:
            return (self._loss_of(self.live[0], raw_JNR, target_JN) * weight_JN).sum(dim=1)
        parts: dict[int, torch.Tensor] = {}
        for members in alike.values():
            chosen = torch.tensor(members, device=self.device)
            found = self._loss_of(self.live[members[0]], raw_JNR[chosen], target_JN[chosen])
            parts.update(zip(members, found, strict=True))
        return (torch.stack([parts[i] for i in range(len(parts))]) * weight_JN).sum(dim=1)

    def _loss_of(self, lane: int, raw_JNR: torch.Tensor, target_JN: torch.Tensor) -> torch.Tensor:
        found = self.lanes[lane].head.loss(raw_JNR.flatten(0, 1), target_JN.flatten(0, 1))
        return found.view(raw_JNR.shape[:2])

    def _raw(self, x_JTBF: torch.Tensor, size: int) -> torch.Tensor:
        """Return ``(J, S, B, R)`` raw outputs: each lane's bars through its own weights."""

        def one(parameters: Any, buffers: Any, x_TBF: torch.Tensor) -> torch.Tensor:
            return functional_call(self.module, (parameters, buffers), (x_TBF, size))

        try:
            # The fused kernels of attention have no batching rule on a CPU.
            with sdpa_kernel(SDPBackend.MATH):
                return vmap(one, randomness="different")(self.weights.parameters, self.weights.buffers, x_JTBF)
        except RuntimeError as error:
            if "vmap" not in str(error) and "atching rule" not in str(error):
                raise
            raise BarwiseError(
                f"`batched`: {type(self.module.network).__name__} has a step that cannot be batched: {error}"
            ) from None

    def _on_device(self, values: np.ndarray, dtype: torch.dtype | None = None) -> torch.Tensor:
        return torch.as_tensor(values, dtype=dtype).to(self.device)


def _padded(drawn: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return blocks ``(I, J, B, 3)`` of I steps, filled up to one shape, and ``(I, J, B)`` bool: the real ones."""
    steps = max(map(len, drawn))
    most = max(len(blocks) for lane in drawn for blocks in lane)
    filled = np.zeros((steps, len(drawn), most, 3), dtype=np.int64)
    real = np.zeros((steps, len(drawn), most), dtype=bool)
    for j, lane in enumerate(drawn):
        filled[:, j] = lane[0][0]  # any block of the lane's own; nothing is learned from it
        for i, blocks in enumerate(lane):
            filled[i, j, : len(blocks)], real[i, j, : len(blocks)] = blocks, True
    return filled, real


def loss_key(head: Any) -> Hashable:
    """Return what tells apart losses: heads with equal keys have the same loss of raw outputs and targets.

    What only turns labels into targets, or raw outputs into forecasts, is left out. A head that is not known here
    shares its loss with its equals only, and such lanes' losses are computed one by one.
    """
    values = dict(vars(head))
    name = type(head).__name__
    if name in ("ClassHead", "FocalHead"):
        values["shares"] = tuple(share > 0 for share in values["shares"])
    elif name in ("RegressionHead", "HuberHead", "QuantileHead"):
        for unseen in ("centre", "scale", "begin"):
            values.pop(unseen, None)
    elif name == "HorizonsHead":
        values["heads"] = tuple(loss_key(one) for one in values["heads"])
    return (name, *sorted(values.items()))


def _put(network: nn.Module, weights_P: torch.Tensor) -> None:
    """Write one lane's weights into its network."""
    at = 0
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(weights_P[at : at + parameter.numel()].view_as(parameter))
            at += parameter.numel()
