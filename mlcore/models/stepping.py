"""One bar at a time through a fitted network: what is kept between two bars, and what is made anew."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from mlcore.training import threads

# Shape suffix legend
#   L = lookback, C = inputs of a layer, D, H = its outputs, F = features, K = taps of a convolution


class State(Protocol):
    """What a network keeps between bars. Its outputs are those of whole windows up to rounding."""

    def step(self, x_1F: torch.Tensor) -> torch.Tensor:
        """Take the newest bar ``(1, F)`` and return the network's output ``(1, H)`` for it."""


class Stepper:
    """A fitted `TorchModel`, one scaled row in, its raw outputs ``(n_outputs,)`` float64 out.

    A network with a method ``stepping(lookback) -> State`` keeps its state; any other is run over its window again.
    The first ``lookback - 1`` outputs come from an empty past and mean nothing.
    """

    def __init__(self, model: Any) -> None:
        network = model.network_
        self.inputs, self.linear = network.inputs, network.linear
        self.head, self.threads = model.head_, model.threads
        width = model.n_features_in_ if self.inputs is None else self.inputs.n_out(model.n_features_in_)
        stepping = getattr(network.network, "stepping", None)
        with torch.inference_mode():
            self.state: State = (
                stepping(model.lookback) if stepping else WindowState(network.network, model.lookback, width)
            )

    @torch.inference_mode()
    def step(self, row: np.ndarray) -> np.ndarray:
        """Take the newest row ``(F,)`` of scaled features, known at the close of its bar."""
        x_1F = torch.from_numpy(np.ascontiguousarray(row, dtype=np.float32))[None]
        with threads(self.threads):
            x_1F = x_1F if self.inputs is None else self.inputs(x_1F)
            return self.head.forecast(self.linear(self.state.step(x_1F)))[0]  # type: ignore[no-any-return]


class WindowState:
    """The newest `lookback` rows, all of them run through the network with every bar."""

    def __init__(self, network: nn.Module, lookback: int, n_features: int) -> None:
        self.network, self.at = network, 0
        self.rows = torch.zeros(2 * lookback, n_features)  # every row twice, so that the newest L are one slice
        self.lookback = lookback

    def step(self, x_1F: torch.Tensor) -> torch.Tensor:
        """Put the row into both halves of the ring; pass the slice that ends with it."""
        place, self.at = self.at, (self.at + 1) % self.lookback
        self.rows[place] = self.rows[place + self.lookback] = x_1F[0]
        window_LF = self.rows[place + 1 : place + 1 + self.lookback]
        return self.network(window_LF[:, None])[-1]


class ConvolutionState:
    """The inputs of a dilated causal convolution that its next outputs still read."""

    def __init__(self, weight_KCD: torch.Tensor, bias_D: torch.Tensor, dilation: int) -> None:
        taps, channels, width = weight_KCD.shape
        self.weight = weight_KCD.reshape(taps * channels, width).contiguous()
        self.bias, self.at = bias_D, 0
        self.kept = torch.zeros((taps - 1) * dilation + 1, channels)
        self.back = torch.arange((taps - 1) * dilation, -1, -dilation)

    def step(self, x_1C: torch.Tensor) -> torch.Tensor:
        """Return ``(1, D)`` after the ReLU."""
        self.kept[self.at] = x_1C[0]
        taps = self.kept[(self.at - self.back) % len(self.kept)]
        self.at = (self.at + 1) % len(self.kept)
        return torch.addmm(self.bias, taps.view(1, -1), self.weight).relu_()


class RecurrentState:
    """As many runs of a recurrent network as its lookback, each begun one bar after the other from a zero state.

    A forecast starts `lookback` bars back; so the run that is `lookback` bars old speaks and begins anew with the next
    bar. All of them take one step together: one small matrix product instead of `lookback` steps in a row.
    """

    def __init__(self, rnn: nn.LSTM | nn.GRU, lookback: int) -> None:
        self.kind, self.lookback, self.at = type(rnn), lookback, 0
        self.layers = [
            [getattr(rnn, f"{name}_l{layer}").detach() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            for layer in range(rnn.num_layers)
        ]
        self.h, self.c = (torch.zeros(rnn.num_layers, lookback, rnn.hidden_size) for _ in range(2))

    def step(self, x_1F: torch.Tensor) -> torch.Tensor:
        """Advance every run by a bar; return ``(1, H)`` of the oldest."""
        self.h[:, self.at] = 0
        self.c[:, self.at] = 0
        self.at = (self.at + 1) % self.lookback
        x_LC = x_1F.expand(self.lookback, -1)
        for layer, weights in enumerate(self.layers):
            if self.kind is nn.LSTM:
                h_LH, c_LH = torch._VF.lstm_cell(x_LC, (self.h[layer], self.c[layer]), *weights)
                self.c[layer] = c_LH
            else:
                h_LH = torch._VF.gru_cell(x_LC, self.h[layer], *weights)
            self.h[layer] = x_LC = h_LH
        return x_LC[self.at : self.at + 1]
