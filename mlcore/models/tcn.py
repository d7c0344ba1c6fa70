"""Temporal convolutional network (Bai, Kolter and Koltun 2018, arXiv 1803.01271; code: locuslab/TCN)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.models.stepping import ConvolutionState
from mlcore.models.torch import TorchModel

# Shape suffix legend
#   T = bars of a stretch, B = stretches of a batch, C = channels in, D = channels out, K = taps of the kernel


def receptive_field(dilations: Sequence[int], kernel: int = 3) -> int:
    """Return how many bars the network sees: ``1 + 2 (kernel - 1) sum(dilations)``.

    >>> receptive_field([1, 2, 4, 8])
    61
    """
    return 1 + 2 * (kernel - 1) * sum(dilations)


def dilations_for(lookback: int, kernel: int = 3) -> tuple[int, ...]:
    """Return doubling dilations whose receptive field fills `lookback` and never exceeds it.

    The last one takes what is left, so that the window is used up: 57 of 60 bars, 61 of 64.

    >>> dilations_for(60), dilations_for(64)
    ((1, 2, 4, 7), (1, 2, 4, 8))
    """
    total = (lookback - 1) // (2 * (kernel - 1))
    if total < 1:
        raise BarwiseError(
            f"`lookback` is {lookback}; one residual block with `kernel` {kernel} sees {2 * kernel - 1} bars: "
            "take a longer lookback or a smaller kernel."
        )
    levels = max(1, math.floor(math.log2(total + 1)))
    rest = total - (2**levels - 1)
    doubling = [2**i for i in range(levels)]
    if rest >= 2 ** (levels - 1):  # worth a level of its own
        return (*doubling, rest)
    return (*doubling[:-1], doubling[-1] + rest)


class _ShiftedProducts(torch.autograd.Function):
    """Dilated causal convolution and ReLU as one matrix product per tap.

    Time comes first, so the bars that a tap reads are one contiguous slice and nothing is copied;
    on a CPU, at these widths, faster than ``conv1d`` on channels-first tensors.
    """

    @staticmethod
    def forward(x_TBC, weight_KCD, bias_D, dilation):  # type: ignore[no-untyped-def]
        (t, b, c), taps = x_TBC.shape, len(weight_KCD)
        rows = (t - (taps - 1) * dilation) * b
        x = x_TBC.reshape(t * b, c)
        y = torch.addmm(bias_D, x[:rows], weight_KCD[0])
        for k in range(1, taps):
            y.addmm_(x[k * dilation * b :][:rows], weight_KCD[k])
        return y.relu_().view(-1, b, y.shape[1])

    @staticmethod
    def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
        x_TBC, weight_KCD, _, dilation = inputs
        (t, b, c), taps = x_TBC.shape, len(weight_KCD)
        ctx.save_for_backward(x_TBC.reshape(t * b, c), weight_KCD, output.view(-1, output.shape[2]))
        ctx.geometry = t, b, c, taps, dilation, len(output) * b

    @staticmethod
    def vmap(info, in_dims, x, weight, bias, dilation):  # type: ignore[no-untyped-def]
        """The same for J networks at once (`mlcore.batched`): one batched product per tap."""
        x_JTBC, weight_JKCD, bias_JD = (
            array.expand(info.batch_size, *array.shape) if at is None else array.movedim(at, 0)
            for array, at in zip((x, weight, bias), in_dims[:3], strict=True)
        )
        (j, t, b, c), taps = x_JTBC.shape, weight_JKCD.shape[1]
        rows = (t - (taps - 1) * dilation) * b
        x = x_JTBC.reshape(j, t * b, c)
        y = torch.baddbmm(bias_JD[:, None], x[:, :rows], weight_JKCD[:, 0])
        for k in range(1, taps):
            y = torch.baddbmm(y, x[:, k * dilation * b :][:, :rows], weight_JKCD[:, k])
        return torch.relu(y).view(j, -1, b, y.shape[2]), 0

    @staticmethod
    def backward(ctx, grad_TBD):  # type: ignore[no-untyped-def]
        x, weight_KCD, y = ctx.saved_tensors
        t, b, c, taps, dilation, rows = ctx.geometry
        grad = torch.ops.aten.threshold_backward(grad_TBD.reshape(rows, -1), y, 0)
        grad_weight = torch.empty_like(weight_KCD)
        for k in range(taps):
            torch.mm(x[k * dilation * b :][:rows].t(), grad, out=grad_weight[k])
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.zeros_like(x)
            for k in range(taps):
                grad_x[k * dilation * b :][:rows].addmm_(grad, weight_KCD[k].t())
            grad_x = grad_x.view(t, b, c)
        return grad_x, grad_weight, grad.sum(0), None


class CausalConv(nn.Module):
    """Dilated causal convolution with ReLU, without padding: ``(kernel - 1) * dilation`` bars fewer come out.

    With `weight_norm` the weight is ``g v / |v|`` per output channel (Salimans and Kingma 2016).
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, dilation: int, weight_norm: bool) -> None:
        super().__init__()
        self.dilation = dilation
        bound = math.sqrt(1 / (channels_in * kernel))
        v_KCD = torch.empty(kernel, channels_in, channels_out).uniform_(-bound, bound)
        self.v_KCD = nn.Parameter(v_KCD)
        self.g_D = nn.Parameter(v_KCD.norm(dim=(0, 1))) if weight_norm else None
        self.bias_D = nn.Parameter(torch.empty(channels_out).uniform_(-bound, bound))

    def forward(self, x_TBC: torch.Tensor) -> torch.Tensor:
        """Return ``(T - (K - 1) dilation, B, D)``, the newest bars."""
        weight_KCD = self._weight()
        kind = x_TBC.device.type
        if not torch.is_autocast_enabled(kind):
            return _ShiftedProducts.apply(x_TBC, weight_KCD, self.bias_D, self.dilation)
        half = torch.get_autocast_dtype(kind)  # autocast does not reach into a function of our own
        with torch.autocast(kind, enabled=False):
            return _ShiftedProducts.apply(x_TBC.to(half), weight_KCD.to(half), self.bias_D.to(half), self.dilation)

    def _weight(self) -> torch.Tensor:
        return self.v_KCD if self.g_D is None else self.v_KCD * (self.g_D / self.v_KCD.norm(dim=(0, 1)))

    def stepping(self) -> ConvolutionState:
        """Keep the inputs that later bars read."""
        return ConvolutionState(self._weight(), self.bias_D, self.dilation)


class ResidualBlock(nn.Module):
    """Two causal convolutions beside a shortcut (1x1 where the channels differ), ReLU after the sum."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, dilation: int, weight_norm: bool, dropout: float
    ) -> None:
        super().__init__()
        self.conv1 = CausalConv(channels_in, channels_out, kernel, dilation, weight_norm)
        self.conv2 = CausalConv(channels_out, channels_out, kernel, dilation, weight_norm)
        self.downsample = nn.Linear(channels_in, channels_out) if channels_in != channels_out else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_TBC: torch.Tensor) -> torch.Tensor:
        h_TBD = self.dropout(self.conv2(self.dropout(self.conv1(x_TBC))))
        return torch.relu(h_TBD + self.downsample(x_TBC[len(x_TBC) - len(h_TBD) :]))

    def stepping(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return the block as a function of one bar, ``(1, C)`` to ``(1, D)``, that keeps what it needs."""
        first, second = self.conv1.stepping(), self.conv2.stepping()
        return lambda x_1C: torch.relu(second.step(first.step(x_1C)) + self.downsample(x_1C))


class TCNNetwork(nn.Module):
    """Residual blocks of growing dilation. Causal; a bar's output depends on `receptive_field` bars, no more."""

    def __init__(
        self,
        n_features: int,
        channels: Sequence[int],
        dilations: Sequence[int],
        kernel: int = 3,
        weight_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = channels[-1]
        self.receptive_field = receptive_field(dilations, kernel)
        sizes = [n_features, *channels]
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(c, d, kernel, dilation, weight_norm, dropout)
                for c, d, dilation in zip(sizes, channels, dilations, strict=False)
            )
        )

    def forward(self, x_TBC: torch.Tensor) -> torch.Tensor:
        """Return ``(T - receptive_field + 1, B, D)``: the output at every bar that has its full past."""
        return self.blocks(x_TBC)

    def stepping(self, lookback: int) -> TCNState:
        """Keep the inputs of every convolution."""
        return TCNState(self)


class TCNState:
    """A `TCNNetwork` bar by bar: every convolution makes one output a bar."""

    def __init__(self, network: TCNNetwork) -> None:
        self.blocks = [block.stepping() for block in network.blocks]  # type: ignore[operator]

    def step(self, x_1C: torch.Tensor) -> torch.Tensor:
        """Return ``(1, D)``."""
        for block in self.blocks:
            x_1C = block(x_1C)
        return x_1C


@dataclass(kw_only=True, eq=False, repr=False)
class TCN(TorchModel):
    """TCN over the last `lookback` bars.

    The dilations are chosen so that the receptive field fills the lookback and stays inside it (57 of
    60 bars by default): the output at bar t is then the same from a window or from a longer stretch.

    Parameters
    ----------
    lookback : bars behind a forecast, the newest one included.
    width : channels of a block.
    levels : residual blocks with dilations 1, 2, 4, ...; default: as many as the lookback holds.
        A field longer than `lookback` is refused.
    kernel : taps of a convolution.
    weight_norm : as in the paper's code; a little slower.
    dropout : share of values dropped after each convolution.

    The rest is told in `TorchModel`.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "light": {"lookback": 20, "width": 32},
        "default": {"lookback": 61, "width": 64, "levels": 4, "dropout": 0.1, "learning_rate": 2e-3},
        "deep": {"lookback": 125, "width": 128, "levels": 5, "dropout": 0.2, "learning_rate": 1e-3},
    }

    width: int = 32
    levels: int | None = None
    kernel: int = 3
    weight_norm: bool = False
    dropout: float = 0.0

    def build(self, n_features: int) -> TCNNetwork:
        dilations = dilations_for(self.lookback, self.kernel)
        if self.levels is not None:
            dilations = tuple(2**i for i in range(self.levels))
        field = receptive_field(dilations, self.kernel)
        if field > self.lookback:
            raise BarwiseError(
                f"`levels` {self.levels} with `kernel` {self.kernel} sees {field} bars, more than `lookback` "
                f"{self.lookback}: set lookback to {field} or more, or fewer levels, or levels=None to fit them to it."
            )
        channels = [self.width] * len(dilations)
        return TCNNetwork(n_features, channels, dilations, self.kernel, self.weight_norm, self.dropout)
