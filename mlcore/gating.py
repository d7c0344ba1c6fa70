"""A small network that says how far each member is to be heard, from what they say and from the market."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F

from mlcore.combiners import Split, equal_weights, lead_values
from mlcore.errors import BarwiseError
from mlcore.tasks import Task
from mlcore.training import threads

# Shape suffix legend
#   N = rows, M = members, K = raw outputs of the leading horizon, D = inputs, H = hidden units

NAMES = ("mean", "scale", "into", "into_bias", "out", "out_bias")
CLIP = 5.0  # deviations at which an input is cut
Rows = list[tuple[torch.Tensor, ...]]
LEAST = 1e-6  # probability that log loss counts at least


@dataclass
class Gate:
    """Softmax weights of the members from one hidden layer; it begins with equal ones and stops by newer rows.

    In: the members' raw outputs and what is known of the market, standardised on the rows it learns from. Loss: that of
    the combined forecast, log loss, squared error or pinball. Full batches, AdamW; the step of least loss on the
    newer rows is kept, the beginning (equal weights) included: it is heard only where it helps.
    """

    width: int = 8
    steps: int = 200
    patience: int = 30
    learning_rate: float = 0.02
    weight_decay: float = 0.05
    seed: int = 0
    learnt: dict[str, np.ndarray] = field(default_factory=dict, init=False)
    learns = True

    def __post_init__(self) -> None:
        for name in ("width", "steps", "patience"):
            if int(getattr(self, name)) != getattr(self, name) or getattr(self, name) < 1:
                raise BarwiseError(f"`{name}` is {getattr(self, name)!r}; it must be a whole number of at least 1.")

    def fit(
        self, raw_NMK: np.ndarray, y_N: np.ndarray, task: Task, market_ND: np.ndarray, split: Split | None = None
    ) -> None:
        """Learn on the older rows of `split` and stop by the newer ones; without newer rows weights stay equal."""
        self.learnt = {}
        if split is None or min(map(len, split)) == 0:
            return
        lead, y = task.lead, lead_values(y_N)
        raw_NMK = raw_NMK[:, :, : lead.n_outputs]
        inputs_ND = _inputs(raw_NMK, market_ND)
        mean, scale = inputs_ND[split[0]].mean(axis=0), inputs_ND[split[0]].std(axis=0)
        self.learnt = {"mean": mean, "scale": np.where(scale > 1e-12 * np.abs(mean), scale, np.inf)}
        scaled = torch.from_numpy(self._scaled(inputs_ND))
        rows: Rows = [
            (scaled[part], torch.from_numpy(raw_NMK[part]), torch.from_numpy(y[part].copy())) for part in split
        ]
        with threads(1):
            kept = self._train(rows, lead, raw_NMK.shape[1])
        self.learnt |= {name: tensor.numpy() for name, tensor in zip(NAMES[2:], kept, strict=True)}

    def _train(self, rows: Rows, task: Task, members: int) -> list[torch.Tensor]:
        d, rng = rows[0][0].shape[1], np.random.default_rng(self.seed)
        into = torch.from_numpy(rng.normal(0.0, 1.0 / np.sqrt(d), (d, self.width)))
        layers = [into, torch.zeros(self.width, dtype=into.dtype)]
        layers += [torch.zeros(self.width, members, dtype=into.dtype), torch.zeros(members, dtype=into.dtype)]
        layers = [layer.requires_grad_() for layer in layers]
        optimiser = torch.optim.AdamW(layers, lr=self.learning_rate, weight_decay=self.weight_decay)
        unit = float(rows[0][2].std()) or 1.0
        best, since, kept = np.inf, 0, [layer.detach().clone() for layer in layers]
        for _ in range(self.steps):
            with torch.no_grad():
                judged = float(_loss(rows[1], layers, task, unit))
            since += 1
            if judged < best:
                best, since, kept = judged, 0, [layer.detach().clone() for layer in layers]
            if since > self.patience:
                break
            optimiser.zero_grad()
            _loss(rows[0], layers, task, unit).backward()
            optimiser.step()
        return kept

    def _scaled(self, inputs_ND: np.ndarray) -> np.ndarray:
        return np.clip((inputs_ND - self.learnt["mean"]) / self.learnt["scale"], -CLIP, CLIP)

    def weights(self, raw_NMK: np.ndarray, task: Task, market_ND: np.ndarray) -> np.ndarray:
        """Return ``(N, M)``, each row from its own inputs."""
        if not self.learnt:
            return equal_weights(raw_NMK)
        inputs_ND = _inputs(raw_NMK[:, :, : task.lead.n_outputs], market_ND)
        into, into_bias, out, out_bias = (self.learnt[name] for name in NAMES[2:])
        logits_NM = np.tanh(self._scaled(inputs_ND) @ into + into_bias) @ out + out_bias
        powers_NM = np.exp(logits_NM - logits_NM.max(axis=1, keepdims=True))
        return powers_NM / powers_NM.sum(axis=1, keepdims=True)

    def gain(self, raw_NMK: np.ndarray, task: Task) -> np.ndarray | None:
        """Return None: confidence stays."""
        return None

    def state(self) -> dict[str, np.ndarray]:
        return dict(self.learnt)

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self.learnt = {name: state[name] for name in NAMES if name in state}


def _inputs(raw_NMK: np.ndarray, market_ND: np.ndarray) -> np.ndarray:
    return np.hstack([raw_NMK.reshape(len(raw_NMK), -1), market_ND.astype(np.float64)])


def _loss(rows: tuple[torch.Tensor, ...], layers: list[torch.Tensor], task: Task, unit: float) -> torch.Tensor:
    inputs_ND, raw_NMK, y_N = rows
    into, into_bias, out, out_bias = layers
    weights_NM = torch.softmax(torch.tanh(inputs_ND @ into + into_bias) @ out + out_bias, dim=1)
    said_NK = (weights_NM[:, :, None] * raw_NMK).sum(dim=1)
    if task.kind == "classes":
        return -said_NK.gather(1, y_N.long()[:, None]).clamp_min(LEAST).log().mean()
    error_NK = (y_N[:, None] - said_NK) / unit
    if task.kind == "regression":
        return F.mse_loss(error_NK, torch.zeros_like(error_NK))
    q = torch.tensor(task.quantiles, dtype=error_NK.dtype)
    return torch.maximum(q * error_NK, (q - 1) * error_NK).mean()
