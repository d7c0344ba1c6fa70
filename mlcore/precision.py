"""Full, mixed or double precision: what a training step computes in."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from mlcore.errors import BarwiseError, BarwiseWarning

PRECISIONS = ("full", "mixed", "double")


class Precision:
    """One optimiser step in the model's own precision, or in half precision where safe (Micikevicius et al. 2018).

    Mixed: matrix products run in float16 under `torch.autocast`, weights and losses stay float32, and the loss is
    scaled so that small gradients do not vanish (`torch.amp.GradScaler`); a step whose gradient overflows is skipped.
    """

    def __init__(self, name: str, device: str) -> None:
        self.mixed, self.device = name == "mixed", device
        self.scaler = torch.amp.GradScaler(device, enabled=self.mixed)

    def raw(self, model: nn.Module, x_TBF: torch.Tensor, size: int) -> torch.Tensor:
        """Return the model's raw outputs, in the precision of its weights whatever it computes in."""
        if not self.mixed:
            return model(x_TBF, size)
        with torch.autocast(self.device, dtype=torch.float16):
            return model(x_TBF, size).float()

    def step(
        self, loss: torch.Tensor, optimiser: torch.optim.Optimizer, weights: list[nn.Parameter], clip: float
    ) -> None:
        """Take one optimiser step on `weights`, whose gradient is cut down to length `clip`."""
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(optimiser)
        nn.utils.clip_grad_norm_(weights, clip)
        self.scaler.step(optimiser)
        self.scaler.update()


def choose_precision(name: str, device: str, asked: str) -> str:
    """Return the precision for `device` ("cpu" or "cuda"), where the user `asked` for "auto" or for one by name.

    Mixed precision is for CUDA. "mixed" with ``device="cpu"`` is refused; where "auto" found no CUDA device a
    `BarwiseWarning` says that training is in full precision.
    """
    if name not in PRECISIONS:
        raise BarwiseError(f"`precision` is {name!r}; it must be 'full', 'mixed' or 'double'.")
    if name != "mixed" or device != "cpu":
        return name
    if asked == "cpu":
        raise BarwiseError("`precision` is 'mixed' and `device` 'cpu'; mixed precision needs CUDA: use 'full'.")
    warnings.warn(
        "`precision` is 'mixed' and no CUDA device was found: trained in full precision on the CPU.",
        BarwiseWarning,
        stacklevel=3,
    )
    return "full"
