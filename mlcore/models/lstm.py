"""Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from mlcore.models.recurrent import Recurrent, RecurrentNetwork


class LSTMNetwork(RecurrentNetwork):
    """Layers of LSTM cells.

    Parameters of one layer: ``4 (H (F + H) + 2 H)``, torch's two bias vectors included.
    """

    cell = nn.LSTM


@dataclass(kw_only=True, eq=False, repr=False)
class LSTM(Recurrent):
    """LSTM over the last `lookback` bars; its parameters, and how it is trained, are told in `Recurrent`."""

    network = LSTMNetwork

    batch: int = 8
