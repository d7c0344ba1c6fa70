"""What a tree cannot see in a window by itself: lags, rolling statistics and momentum of every feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlcore.errors import BarwiseError
from mlcore.models.inputs import check_finite, parts
from mlcore.windows import Windows


@dataclass(frozen=True)
class Summaries:
    """The columns made of a window of `lookback` bars, feature by feature; all known at the close of its newest bar.

    ==================  ==============================================================================
    column              what it holds
    ==================  ==============================================================================
    ``rsi``             the newest bar's value
    ``rsi_lag3``        the value 3 bars before, for each of `lags`
    ``rsi_mean5``       mean of the newest 5 values, for each of `rolling`; ``rsi_std5`` their deviation
    ``rsi_momentum20``  the newest value less the one 20 bars before, for each of `momentum`
    ==================  ==============================================================================

    What the lookback does not hold is left out: a lookback of 1 leaves the newest values alone. So is all but
    the newest value of the feature number `static`, which does not change within a window.
    """

    lags: tuple[int, ...] = ()
    rolling: tuple[int, ...] = ()
    momentum: tuple[int, ...] = ()

    @classmethod
    def within(cls, lookback: int, lags: Sequence[int], rolling: Sequence[int], momentum: Sequence[int]) -> Summaries:
        """Return those that `lookback` bars hold; refuse what is no whole number of at least 1 (rolling: 2)."""
        for name, values, least in (("lags", lags, 1), ("rolling", rolling, 2), ("momentum", momentum, 1)):
            if isinstance(values, int | str) or any(int(v) != v or v < least for v in values):
                raise BarwiseError(f"`{name}` is {values!r}; it must be a list of whole numbers of at least {least}.")
        return cls(
            tuple(int(k) for k in lags if k < lookback),
            tuple(int(k) for k in rolling if k <= lookback),
            tuple(int(k) for k in momentum if k < lookback),
        )

    def names(self, features: Sequence[str], static: int | None = None) -> list[str]:
        """Return the columns' names, in order, for windows of `features`."""
        kinds = [f"_lag{k}" for k in self.lags]
        for k in self.rolling:
            kinds += [f"_mean{k}", f"_std{k}"]
        kinds += [f"_momentum{k}" for k in self.momentum]
        moving = [feature for number, feature in enumerate(features) if number != static]
        return [*map(str, features), *(f"{feature}{kind}" for kind in kinds for feature in moving)]

    def of(self, windows: Windows, static: int | None = None) -> np.ndarray:
        """Return ``(N, C)`` float32, one row a window; refuse NaN and inf anywhere in a window.

        A row's bits depend on its own window only. Filled part by part: nothing else as large is made.
        """
        made = np.empty((len(windows), len(self.names([""] * windows.shape[2], static))), dtype=np.float32)
        for part in parts(windows):
            made[part] = self._of(check_finite(windows[part]), static)
        return made

    def _of(self, x: np.ndarray, static: int | None) -> np.ndarray:
        columns = [x[:, -1]]
        x = x if static is None else np.delete(x, static, axis=2)
        columns += [x[:, -1 - k] for k in self.lags]
        for k in self.rolling:
            some = np.ascontiguousarray(x[:, x.shape[1] - k :], dtype=np.float64)
            columns += [some.mean(axis=1), some.std(axis=1)]
        columns += [x[:, -1] - x[:, -1 - k] for k in self.momentum]
        return np.concatenate(columns, axis=1)
