"""Study A1 as it was planned: will BTC or ETH move more than 0.2% within five minutes?

90 days of 1m bars: 60 to train on, 15 to choose with (validation), 15 to judge on (test), refitted every 7 days as a
walk-forward. Twenty features. The label is binary: up more than 0.2% in 5 minutes or not, and its mirror for down.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mlcore.bars import bars_sha256, read_bars
from mlcore.errors import BarwiseError, did_you_mean
from mlcore.features import DEFAULT_FEATURES
from mlcore.labels import down_move, up_move
from mlcore.plugins import MODELS
from mlcore.quality import Rows
from strategies.comparison.config import ComparisonConfig
from strategies.comparison.entrants import Entrant, Protocol, Told, enter, first_rows, one_start
from strategies.config import flag
from strategies.folder import work_folder
from strategies.main_job import make_model

FEATURES = DEFAULT_FEATURES[:20]  # all but the calendar's
BASELINES = ("naive", "linear")
LABELS_OF = {"up": up_move, "down": down_move}
FILES = ("1m/binance_spot_BTCUSDT_1m_2025.parquet", "1m/binance_spot_ETHUSDT_1m_2025.parquet")


@dataclass(frozen=True)
class A1Config:
    """Settings of the study; the defaults are its plan."""

    out: str = field(metadata={"help": "folder to make; all of it or nothing is written"})
    bars: tuple[str, ...] = flag((), "files of 1m bars (default: BTC and ETH of 2025 in the folder BARWISE_DATA)")
    models: tuple[str, ...] = flag(
        ("bilstm", "tcn", "tft", "lstm", "transformer"), "architectures; absent ones are told"
    )
    lookbacks: tuple[int, ...] = flag((60,), "bars a model sees: 30, 60, 240; the best by validation is judged")
    sides: tuple[str, ...] = flag(("up", "down"), "up, down")
    horizon: int = flag(5, "bars ahead that the label looks, from the next open")
    threshold: float = flag(0.002, "the move that is asked for, as a fraction")
    train: str = flag("60D", "training window")
    refit: str = flag("7D", "time between refits")
    validation: str = flag("15D", "time after the training window that choices are made on")
    test: str = flag("15D", "time after that, judged once")
    stride: int = flag(20, "train networks that read windows on every stride-th row (`--evidence` shows what it costs)")
    evidence: tuple[int, ...] = flag((), "strides to compare first: one refit of each, its week of forecasts judged")
    set: dict[str, Any] | None = flag(None, "parameters of the models that know them: epochs=4")
    preset: str | None = flag(None, "size of the models that have it: light, default, deep")
    resamples: int = flag(2000, "resamples of the bootstrap behind every interval")
    n_jobs: int = flag(-1, "folds trained at a time; -1 is one per core. The results do not depend on it")
    seed: int = flag(0, "seed of everything random")
    overwrite: bool = flag(False, "replace an earlier result in `out` (a switch)")

    def __post_init__(self) -> None:
        for side in self.sides:
            if side not in LABELS_OF:
                raise BarwiseError(f"`sides` holds {side!r}; it must be up or down.{did_you_mean(side, LABELS_OF)}")
        for name in ("models", "lookbacks", "sides"):
            if not getattr(self, name):
                raise BarwiseError(f"`{name}` is empty; name at least one.")

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of bars."""
        if self.bars:
            return tuple(map(Path, self.bars))
        folder = os.environ.get("BARWISE_DATA")
        if not folder:
            raise BarwiseError("`bars` is not given and BARWISE_DATA names no folder of bars: give the files.")
        return tuple(Path(folder) / name for name in FILES)

    @property
    def known(self) -> tuple[str, ...]:
        """The models that are registered."""
        return tuple(name for name in dict.fromkeys(self.models) if name in MODELS)

    @property
    def absent(self) -> tuple[str, ...]:
        """The models that are not."""
        return tuple(name for name in dict.fromkeys(self.models) if name not in MODELS)

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values."""
        return {setting.name: getattr(self, setting.name) for setting in fields(self)}


@dataclass(frozen=True)
class Track:
    """One model of one lookback over one series (file and side): its forecasts, and the rows of each span."""

    model: str
    lookback: int
    series: str
    entrant: Entrant
    spans: dict[str, Rows] = field(default_factory=dict)


def run_tracks(config: A1Config, progress: Told = lambda *_: None) -> list[Track]:
    """Train every model on every series; a model that fails is told in its entrant, and the others go on."""
    if not config.known:
        raise BarwiseError(f"`models`: none of {', '.join(config.models)} is registered. Known: {', '.join(MODELS)}.")
    tracks = []
    for file in config.files:
        for side in config.sides:
            tracks += _series(config, file, side, progress)
    if not any(track.spans for track in tracks):
        raise BarwiseError(f"No model could be trained. {tracks[0].model}: {tracks[0].entrant.failure}")
    return tracks


def settings_of(config: A1Config, file: Path, side: str, lookback: int | None) -> ComparisonConfig:
    """The same in the words of a comparison."""
    return ComparisonConfig(
        bars=str(file),
        out=config.out,
        models=",".join(config.known),
        label="up_move" if side == "up" else "down_move",
        horizon=config.horizon,
        threshold=config.threshold,
        train=config.train,
        test=config.refit,
        lookback=lookback,
        stride=config.stride,
        set=config.set,
        preset=config.preset,
        n_jobs=config.n_jobs,
        seed=config.seed,
    )


def protocol_of(config: A1Config, file: Path, side: str) -> tuple[Protocol, Callable[[int | None], Protocol]]:
    """Return the protocol of a series, and how it reads for one lookback: all lookbacks have the same folds."""
    bars = read_bars(file)
    label = LABELS_OF[side](bars, config.horizon, config.threshold)
    settings = settings_of(config, file, side, None)
    replace(
        settings, stride=1
    ).check_set()  # the plan has a stride, whether a model that is asked for has use for it or not
    models = [
        make_model(name, settings_of(config, file, side, lookback).of(name))
        for name in config.known
        for lookback in config.lookbacks
    ]
    rows = [row for row in first_rows(bars, models, settings.max_gap, FEATURES) if row < len(bars)]
    label = one_start(label, max(rows, default=0))
    sha = bars_sha256(bars)

    def of(lookback: int | None) -> Protocol:
        return Protocol(settings_of(config, file, side, lookback), bars, label, sha, FEATURES)

    return of(None), of


def _series(config: A1Config, file: Path, side: str, progress: Told) -> list[Track]:
    base, of = protocol_of(config, file, side)
    base.folds()  # a length that is none is refused at once, not model by model
    series = f"{file.stem} {side}"
    plan: list[tuple[str, int | None]] = [(name, lookback) for name in config.known for lookback in config.lookbacks]
    plan += [(name, None) for name in BASELINES if name not in config.known]
    tracks = []
    for name, lookback in plan:
        entered = f"{file.stem}-{side}-{lookback or 'own'}"
        protocol = base if lookback is None else of(lookback)
        entrant = enter(
            protocol,
            name,
            work_folder(config.out) / entered,
            _under(progress, f"{series} {name} {lookback or ''}".strip()),
        )
        spans = {} if entrant.forecasts is None else spans_of(config, entrant.forecasts, base)
        tracks.append(Track(name, lookback or 0, series, entrant, spans))
    return tracks


def _under(progress: Told, said: str) -> Told:
    return lambda stage, done, total: progress(said, done, total)


def spans_of(config: A1Config, forecasts: pd.DataFrame, protocol: Protocol) -> dict[str, Rows]:
    """Cut the forecasts into the validation span and the test span; what is left after that is not looked at."""
    start = forecasts.index[0]
    middle = start + pd.Timedelta(config.validation)
    end = middle + pd.Timedelta(config.test)
    index = pd.DatetimeIndex(protocol.bars.index)
    parts = {"validation": forecasts.loc[: middle - pd.Timedelta("1ns")], "test": forecasts.loc[middle:]}
    parts["test"] = parts["test"].loc[: end - pd.Timedelta("1ns")]
    return {name: Rows.of(part, protocol.label, index) for name, part in parts.items()}


@dataclass(frozen=True)
class Evidence:
    """What a stride over training rows cost one model: log loss of its first week, and seconds of its fit."""

    model: str
    stride: int
    seconds: float | None
    rows: Rows | None
    failure: str | None


def stride_evidence(config: A1Config, progress: Told = lambda *_: None) -> list[Evidence]:
    """Fit the models that read windows once for each stride, and keep the forecasts of the week after."""
    file, side = config.files[0], config.sides[0]
    base, of = protocol_of(config, file, side)
    first = base.label.values
    index = pd.DatetimeIndex(base.bars.index)
    start = index[int(pd.notna(first).argmax())] + pd.Timedelta(config.train)
    upto = int(index.searchsorted(start + pd.Timedelta(config.refit)))
    found = []
    for name in config.known:
        if getattr(MODELS[name](), "dense", None) is not False:
            continue
        for stride in config.evidence:
            short = _cut(of(config.lookbacks[0]), upto, stride)
            entered = work_folder(config.out) / f"evidence-{stride}"
            started = time.perf_counter()
            entrant = enter(short, name, entered, _under(progress, f"{name} stride {stride}"))
            rows = None if entrant.forecasts is None else Rows.of(entrant.forecasts, short.label, index[:upto])
            seconds = entrant.seconds if entrant.seconds is not None else time.perf_counter() - started
            found.append(Evidence(name, stride, seconds, rows, entrant.failure))
    return found


def _cut(protocol: Protocol, upto: int, stride: int) -> Protocol:
    """The protocol over the first bars only, so that there is one fold, with another stride."""
    label = protocol.label
    label = replace(label, values=label.values[:upto], returns=label.returns[:upto], ends=label.ends[:upto])
    config = replace(protocol.config, stride=stride)
    return replace(protocol, config=config, bars=protocol.bars.iloc[:upto], label=label)
