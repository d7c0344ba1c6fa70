"""Recurrent layers written out step by step: what `torch.func.vmap` cannot do with torch's own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from mlcore.errors import BarwiseError

# Shape suffix legend
#   T = bars, B = stretches, F = values in, H = width, G = gates times width


class Stepped(nn.Module):
    """The layers of an `nn.LSTM` or `nn.GRU`, its parameters by the same names, from a zero state."""

    def __init__(self, layers: nn.LSTM | nn.GRU) -> None:
        super().__init__()
        if layers.bidirectional or layers.proj_size or layers.batch_first or not layers.bias:
            raise BarwiseError(
                "`batched`: a recurrent layer that looks both ways, has a projection or no bias, or takes the batch "
                "first cannot be batched."
            )
        for name, parameter in layers.named_parameters():
            self.register_parameter(name, parameter)
        self.cell: Callable[..., torch.Tensor] = lstm_steps if isinstance(layers, nn.LSTM) else gru_steps
        self.layers, self.dropout = layers.num_layers, layers.dropout

    def forward(self, x_TBF: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return ``(T, B, H)``, the last layer's state after every bar; and None where torch returns the states."""
        for layer in range(self.layers):
            if layer:
                x_TBF = nn.functional.dropout(x_TBF, self.dropout, self.training)
            weights = (getattr(self, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
            x_TBF = self.cell(x_TBF, *weights)
        return x_TBF, None


def lstm_steps(
    x_TBF: torch.Tensor, into_GF: torch.Tensor, back_GH: torch.Tensor, bias_G: torch.Tensor, bias_back_G: torch.Tensor
) -> torch.Tensor:
    """Return ``(T, B, H)``: `torch.nn.LSTM` of one layer; gates in torch's order, input, forget, cell, output."""
    gates_TBG = nn.functional.linear(x_TBF, into_GF, bias_G + bias_back_G)
    back_HG, outputs = back_GH.t(), []
    h_BH = gates_TBG.new_zeros(gates_TBG.shape[1], back_GH.shape[1])
    c_BH = h_BH
    for gates_BG in gates_TBG.unbind(0):
        i, f, g, o = (gates_BG + h_BH @ back_HG).chunk(4, dim=-1)
        c_BH = f.sigmoid() * c_BH + i.sigmoid() * g.tanh()
        h_BH = o.sigmoid() * c_BH.tanh()
        outputs.append(h_BH)
    return torch.stack(outputs)


def gru_steps(
    x_TBF: torch.Tensor, into_GF: torch.Tensor, back_GH: torch.Tensor, bias_G: torch.Tensor, bias_back_G: torch.Tensor
) -> torch.Tensor:
    """Return ``(T, B, H)``: `torch.nn.GRU` of one layer; gates in torch's order, reset, update, new."""
    gates_TBG = nn.functional.linear(x_TBF, into_GF, bias_G)
    back_HG, outputs = back_GH.t(), []
    h_BH = gates_TBG.new_zeros(gates_TBG.shape[1], back_GH.shape[1])
    for gates_BG in gates_TBG.unbind(0):
        reset, update, new = gates_BG.chunk(3, dim=-1)
        back_reset, back_update, back_new = (h_BH @ back_HG + bias_back_G).chunk(3, dim=-1)
        z_BH = (update + back_update).sigmoid()
        n_BH = (new + (reset + back_reset).sigmoid() * back_new).tanh()
        h_BH = n_BH + z_BH * (h_BH - n_BH)
        outputs.append(h_BH)
    return torch.stack(outputs)


def stepped(module: nn.Module) -> nn.Module:
    """Replace every `nn.LSTM` and `nn.GRU` inside `module`, in place, by layers that can be batched; return it."""
    for name, child in module.named_children():
        if isinstance(child, nn.LSTM | nn.GRU):
            setattr(module, name, Stepped(child))
        else:
            stepped(child)
    return module
