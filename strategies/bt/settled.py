"""Analyzers of what forecasts were worth, settled as their labels become known."""

from __future__ import annotations

from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from mlcore.errors import BarwiseError
from mlcore.metrics import forecast_quality
from mlcore.retraining.rules import right
from mlcore.tasks import Label
from strategies.bt.feed import columns_of
from strategies.bt.heard import Heard, heard_by
from strategies.bt.indicators import number_to_stamp


class Settling(bt.Analyzer):
    """What the engine has shown and the strategy has heard, bar by bar; base of the analyzers here.

    label
        function of bars to a `Label`; default the strategy's own (`WalkForwardStrategy`). It is given the bars shown
        so far and no others: a forecast whose label has not ended is not counted.
    """

    params: Any = (("label", None),)

    def create_analysis(self) -> None:
        self._bars: list[tuple[float, ...]] = []
        self._columns = columns_of(self.strategy.data)
        self._heard: list[tuple[int, Heard]] = []
        self.rets: Any = None

    def next(self) -> None:
        data = self.strategy.data
        number = data.datetime[0]
        if self._bars and self._bars[-1][0] == number:
            return  # another feed's bar
        self._bars.append((number, *(getattr(data, name)[0] for name in self._columns)))
        heard = heard_by(self.strategy)
        if heard is not None:
            self._heard.append((len(self._bars) - 1, heard))

    def stop(self) -> None:
        self.rets = self.settle()

    def get_analysis(self) -> Any:
        """Return what is settled by now; after the run what was settled at its last bar."""
        return self.settle() if self.rets is None else self.rets

    def settle(self) -> Any:
        """Return the analysis of what has been shown so far."""
        raise NotImplementedError

    def told(self) -> tuple[pd.DataFrame, Label, pd.DatetimeIndex]:
        """Return the forecasts heard so far, the label of the bars shown so far, and their stamps."""
        make = self.p.label or getattr(self.strategy.p, "label", None)
        if not callable(make):
            raise BarwiseError(
                f"`label` of {type(self).__name__} is not given, and the strategy has none: give a function of bars, "
                "as `functools.partial(direction, horizon=5)`."
            )
        table = np.array(self._bars).reshape(-1, 1 + len(self._columns))
        stamps = [number_to_stamp(number) for number in table[:, 0].tolist()]
        index = pd.DatetimeIndex(stamps, tz="UTC", name="timestamp").as_unit("ns")
        bars = pd.DataFrame(table[:, 1:], index=index, columns=list(self._columns))
        label = make(bars)
        rows = [row for row, _ in self._heard]
        lines = {name: [getattr(one, name) for _, one in self._heard] for name in ("signal", "confidence", "fold")}
        outputs = {name: [one.outputs.get(name, float("nan")) for _, one in self._heard] for name in label.task.outputs}
        return pd.DataFrame(lines | outputs, index=index[rows], dtype=np.float64), label, index


class ForecastQuality(Settling):
    """What `mlcore.metrics.forecast_quality` says of the settled forecasts, and besides:

    ``accuracy`` (likeliest class, or sign, that came; None where nothing has settled), ``n_heard``, ``n_waiting``
    (heard, not settled yet), ``by_fold`` (fold -> ``n``, ``accuracy``), and ``settled``: one ``(bar at whose close it
    settled, bar forecast, right)`` a forecast, as they settled; bars count from 0.
    """

    def settle(self) -> dict[str, Any]:
        if not self._heard:
            return {"n": 0, "n_heard": 0, "n_waiting": 0, "accuracy": None, "by_fold": {}, "settled": []}
        forecasts, label, index = self.told()
        rows = index.get_indexer(forecasts.index)
        ends, signal = label.ends[rows], forecasts["signal"].to_numpy()
        known = np.isfinite(label.values[rows]).reshape(len(rows), -1).all(axis=1) & (ends < len(index))
        spoke = np.isfinite(signal)
        at = np.flatnonzero(known & spoke)
        at = at[np.argsort(ends[at], kind="stable")]
        raw = forecasts[list(label.task.outputs)].to_numpy()[at]
        hits = right(raw, signal[at], label.values[rows[at]], label.task)
        fold = forecasts["fold"].to_numpy()[at]
        by_fold = {
            int(number): {"n": int((fold == number).sum()), "accuracy": float(hits[fold == number].mean())}
            for number in np.unique(fold[np.isfinite(fold)])
        }
        return forecast_quality(forecasts, label, index) | {
            "accuracy": float(hits.mean()) if len(hits) else None,
            "n_heard": int(spoke.sum()),
            "n_waiting": int((spoke & (ends >= len(index))).sum()),
            "by_fold": by_fold,
            "settled": list(zip(ends[at].tolist(), rows[at].tolist(), hits.tolist(), strict=True)),
        }


class ConfidenceBuckets(Settling):
    """Confidence against what came: one dict a bucket, ``low high n confidence hit_rate mean_return``.

    `mean_return` is the mean of side x the label's tradable log return of the settled forecasts whose confidence is in
    [low, high), the last bucket with its end; `confidence` their mean. None where a bucket is empty.

    edges
        increasing, from 0 to 1.
    """

    params: Any = (("edges", (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),)

    def create_analysis(self) -> None:
        super().create_analysis()
        edges = np.asarray(self.p.edges, dtype=np.float64)
        if len(edges) < 2 or (np.diff(edges) <= 0).any() or edges[0] < 0 or edges[-1] > 1:
            raise BarwiseError(f"`edges` are {self.p.edges!r}; they must increase within [0, 1].")

    def settle(self) -> list[dict[str, Any]]:
        edges = self.p.edges
        signal = sure = came = np.empty(0)
        if self._heard:
            forecasts, label, index = self.told()
            returns = label.parts()[0].returns[index.get_indexer(forecasts.index)]
            signal, sure = (forecasts[name].to_numpy() for name in ("signal", "confidence"))
            there = np.isfinite(signal) & np.isfinite(sure) & np.isfinite(returns) & (signal != 0)
            signal, sure = signal[there], sure[there]
            came = np.sign(signal) * returns[there]
        place = np.searchsorted(np.asarray(edges[1:-1]), sure, side="right")
        inside = (sure >= edges[0]) & (sure <= edges[-1])
        return [self._bucket(sure, came, inside & (place == i), edges[i : i + 2]) for i in range(len(edges) - 1)]

    @staticmethod
    def _bucket(sure: np.ndarray, came: np.ndarray, there: np.ndarray, edges: tuple[float, ...]) -> dict[str, Any]:
        n = int(there.sum())
        return {
            "low": float(edges[0]),
            "high": float(edges[1]),
            "n": n,
            "confidence": float(sure[there].mean()) if n else None,
            "hit_rate": float((came[there] > 0).mean()) if n else None,
            "mean_return": float(came[there].mean()) if n else None,
        }
