"""Any `torch.nn.Module` as a model: windows in, the head of the task on top."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.models.torch import TorchModel

# Shape suffix legend
#   T = bars of a window, B = windows of a batch, F = features, H = what the module gives for a bar or a window


class Newest(nn.Module):
    """A batch-first module, ``(B, T, F)`` to ``(B, T, H)`` or ``(B, H)``, read at the newest bar of its windows."""

    def __init__(self, module: nn.Module, lookback: int, n_features: int) -> None:
        super().__init__()
        self.module = module
        with torch.no_grad():
            self.width = self.eval()(torch.zeros(lookback, 2, n_features)).shape[-1]
        self.train()

    def forward(self, x_TBF: torch.Tensor) -> torch.Tensor:
        """Return ``(1, B, H)``."""
        out = self.module(x_TBF.transpose(0, 1))
        out = out[0] if isinstance(out, tuple) else out  # nn.LSTM gives its state as well
        if out.ndim not in (2, 3) or len(out) != x_TBF.shape[1]:
            raise BarwiseError(
                f"`module` gave shape {tuple(out.shape)} for {x_TBF.shape[1]} windows of {len(x_TBF)} bars; "
                "it must give (windows, width) or (windows, bars, width)."
            )
        return (out[:, -1] if out.ndim == 3 else out)[None]


@dataclass(kw_only=True, eq=False, repr=False)
class Module(TorchModel):
    """A network of yours, trained on windows: how it looks at the bars of a window is its own affair.

    It is made anew for every fit as ``module(n_features, **parameters)`` (by the first of the names ``n_features``,
    ``input_size``, ``in_features``, ``in_channels`` that it has, else by position), takes
    ``(windows, bars, features)``, oldest bar first, and gives ``(windows, width)`` or ``(windows, bars, width)``. The
    head of the task, a linear layer, comes on top. Layers that mix the windows of a batch (BatchNorm) are asked in eval
    mode. It cannot be stored: a file that names code to import would run it.

    Parameters
    ----------
    module : class of the network. parameters : its other arguments.
    lookback : bars behind a forecast, the newest one included.

    The rest is told in `TorchModel`; `dense` must stay False.
    """

    causal = False

    module: Any = nn.Identity
    parameters: dict[str, Any] | None = None
    dense: bool = False
    batch: int = 128
    learning_rate: float = 2e-3

    @classmethod
    def around(cls, kind: type, path: str, theirs: dict[str, Any], ours: dict[str, Any]) -> Module:
        """Return the model around the class (`mlcore.models.by_path`)."""
        return cls(module=kind, parameters=theirs, **ours)

    def build(self, n_features: int) -> Newest:
        """Make the network and look how wide its outputs are."""
        try:
            module = self._made(n_features)
            return Newest(module, self.lookback, n_features)
        except (TypeError, RuntimeError) as error:
            raise BarwiseError(f"`module` {self.module.__name__} cannot be made or run: {error}") from None

    def _made(self, n_features: int) -> nn.Module:
        given, known = dict(self.parameters or {}), inspect.signature(self.module).parameters
        for name in ("n_features", "input_size", "in_features", "in_channels"):
            if name in known:
                return self.module(**({name: n_features} | given))  # type: ignore[no-any-return]
        if self.module in (nn.LSTM, nn.GRU, nn.RNN):  # their signature is *args, **kwargs
            return self.module(n_features, **({"batch_first": True} | given))  # type: ignore[no-any-return]
        return self.module(n_features, **given)  # type: ignore[no-any-return]
