"""Networks thinned by dropout at prediction time: which units are dropped belongs to the pass, not to the row."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn


@contextlib.contextmanager
def thinned(network: nn.Module, seed: int, number: int) -> Iterator[int]:
    """Drop units inside the block as pass `number` of `seed` drops them; yield how many places drop any.

    A dropout module drops the same units for every row and every bar of a pass, as if one smaller network had
    been drawn (Gal and Ghahramani 2016), so a row's output depends neither on its batch nor on its place in it.
    ``nn.LSTM`` and ``nn.GRU`` drop between their layers. Nothing else is set to training. Dropout of attention
    weights, which belong to bars and not to units, is left out.
    """
    places = [module for module in network.modules() if _drops(module)]
    try:
        for place, module in enumerate(places):
            draw = torch.Generator().manual_seed(
                int(np.random.SeedSequence([seed, number, place]).generate_state(1)[0])
            )
            module.forward = _dropout(module, draw) if isinstance(module, nn.Dropout) else _layered(module, draw)
        yield len(places)
    finally:
        for module in places:
            del module.forward  # the class's own again


def _drops(module: Any) -> bool:
    if isinstance(module, nn.Dropout):
        return module.p > 0
    return isinstance(module, nn.LSTM | nn.GRU) and module.dropout > 0 and module.num_layers > 1


def _masked(x: torch.Tensor, masks: list[torch.Tensor], share: float, draw: torch.Generator) -> torch.Tensor:
    """Multiply the last axis by a mask, drawn at the first call and kept."""
    if not masks:
        masks.append((torch.rand(x.shape[-1], generator=draw) >= share).to(x) / (1.0 - min(share, 0.99)))
    return x * masks[0]


def _dropout(module: nn.Dropout, draw: torch.Generator) -> Any:
    masks: list[torch.Tensor] = []
    return lambda x: _masked(x, masks, module.p, draw)


def _layered(module: Any, draw: torch.Generator) -> Any:
    """Return a forward that runs the stacked layers one by one, with a mask between them."""
    layers = [_layer(module, k) for k in range(module.num_layers)]
    masks: list[list[torch.Tensor]] = [[] for _ in layers]

    def forward(x: torch.Tensor, state: None = None) -> tuple[torch.Tensor, Any]:
        states: list[Any] = []
        for k, layer in enumerate(layers):
            x, state = layer(_masked(x, masks[k], module.dropout, draw) if k else x)
            states.append(state)
        if isinstance(module, nn.GRU):
            return x, torch.cat(states)
        return x, tuple(torch.cat(parts) for parts in zip(*states, strict=True))

    return forward


def _layer(module: Any, k: int) -> Any:
    """Return layer `k` of a stacked LSTM or GRU as one of its own, over the same weights."""
    size = module.input_size if k == 0 else module.hidden_size * (2 if module.bidirectional else 1)
    layer = type(module)(
        size, module.hidden_size, bias=module.bias, batch_first=module.batch_first, bidirectional=module.bidirectional
    )
    for name, _ in list(layer.named_parameters()):
        setattr(layer, name, getattr(module, name.replace("_l0", f"_l{k}")))
    return layer.eval()
