"""Gated recurrent unit (Cho et al. 2014, arXiv 1406.1078), with torch's reset gate (after the product)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from mlcore.models.recurrent import Recurrent, RecurrentNetwork


class GRUNetwork(RecurrentNetwork):
    """Layers of GRU cells.

    Parameters of one layer: ``3 (H (F + H) + 2 H)``, torch's two bias vectors included.
    """

    cell = nn.GRU


@dataclass(kw_only=True, eq=False, repr=False)
class GRU(Recurrent):
    """GRU over the last `lookback` bars; its parameters, and how it is trained, are told in `Recurrent`."""

    network = GRUNetwork
