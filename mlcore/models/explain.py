"""What a fitted network looked at, as means over windows: what the `explain` of an architecture is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from mlcore.errors import BarwiseError
from mlcore.explain import bars_back
from mlcore.models.inputs import check_windows
from mlcore.stretches import check_finite
from mlcore.training import threads
from mlcore.windows import Windows

# Shape suffix legend
#   T = bars of a window, B = windows of a pass, F = features, A = heads, L = lookback

Looks = dict[str, torch.Tensor]  # name -> (B, ...)
WINDOWS = 128  # of a pass


@torch.no_grad()
def mean_over_windows(
    model: Any, windows: Windows, looks: Callable[[Any, torch.Tensor], Looks]
) -> dict[str, np.ndarray]:
    """Return the mean over `windows` of what `looks(network, x_TBF)` tells of each, by its name.

    Raises BarwiseError for windows that `predict` would refuse, and for none.
    """
    check_windows(windows, lookback=model.lookback, n_features=model.n_features_in_)
    check_finite(windows)
    if not len(windows):
        raise BarwiseError("`windows` is empty: there is nothing to explain.")
    network = model.network_.eval().network
    totals: dict[str, np.ndarray] = {}
    with threads(model.threads):
        for at in range(0, len(windows), WINDOWS):
            x_BTF = np.ascontiguousarray(windows[at : at + WINDOWS], dtype=np.float32)
            for name, told in looks(network, torch.from_numpy(x_BTF).transpose(0, 1)).items():
                totals[name] = totals.get(name, np.float64(0)) + told.double().sum(dim=0).numpy()
    return {name: total / len(windows) for name, total in totals.items()}


def by_bars_back(shares_AL: np.ndarray, ahead: Sequence[int] = ()) -> pd.DataFrame:
    """Return attention of heads to bars, oldest first, as a table: one row per bar back, columns ``mean`` and per head.

    The last columns of `shares_AL` are what the heads gave to places so many bars `ahead`: rows below 0.
    """
    past = bars_back(shares_AL.shape[1] - len(ahead))
    back = pd.Index([*past, *(-bars for bars in ahead)], name=past.name)
    heads = {f"head_{i + 1}": shares for i, shares in enumerate(shares_AL)}
    return pd.DataFrame({"mean": shares_AL.mean(axis=0)} | heads, index=back)
