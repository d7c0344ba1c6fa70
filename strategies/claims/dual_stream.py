"""The dual-stream study: a trend on 1h bars beside volatility on 15m bars, many coins, quantiles; 56% is claimed."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlcore.bootstrap import Estimate, Resamples, block_length, estimate, resample
from mlcore.errors import BarwiseError
from mlcore.folds import WalkForward
from mlcore.labels import forward_return
from mlcore.panel import PanelRun, walk_forward_panel
from mlcore.quality import Metric, Rows, row_losses, surest_ahead, surest_of_days
from mlcore.tasks import Label
from strategies.claims.verdicts import Verdict, above, below, corrected, in_words, pooled
from strategies.comparison.config import ComparisonConfig
from strategies.comparison.entrants import Told
from strategies.config import flag
from strategies.main_job import make_model

CLAIMED = 0.56
BASELINES = ("naive", "linear")
K = 10


@dataclass(frozen=True)
class DualStreamConfig:
    """Settings of the study; the defaults are its plan."""

    out: str = field(metadata={"help": "folder to make; all of it or nothing is written"})
    bars: tuple[str, ...] = flag(
        (), "files of 15m bars, one a coin (default: all of 15m/*_x in the folder BARWISE_DATA)"
    )
    model: str = flag("dual_stream", "the model that is judged")
    each: bool = flag(False, "one model a coin instead of one for all (a switch)")
    horizon: int = flag(4, "bars ahead that the label looks, from the next open: 4 of 15m are an hour")
    quantiles: tuple[float, ...] = flag((0.1, 0.5, 0.9), "levels that are foretold")
    train: str = flag("180D", "training window")
    test: str = flag("30D", "time between refits")
    set: dict[str, Any] | None = flag(None, "parameters of the model: epochs=4")
    preset: str | None = flag(None, "size of the model: light, default, deep")
    lookback: int | None = flag(None, "bars the model sees (default: its own)")
    resamples: int = flag(2000, "resamples of the bootstrap behind every interval")
    n_jobs: int = flag(-1, "folds trained at a time; -1 is one per core. The results do not depend on it")
    seed: int = flag(0, "seed of everything random")
    overwrite: bool = flag(False, "replace an earlier result in `out` (a switch)")

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of bars."""
        if self.bars:
            return tuple(map(Path, self.bars))
        folder = os.environ.get("BARWISE_DATA")
        found = sorted(Path(folder).glob("15m/*_15m_x.parquet")) if folder else []
        if not found:
            raise BarwiseError("`bars` is not given and BARWISE_DATA names no folder with 15m bars: give the files.")
        return tuple(found)

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values."""
        return {setting.name: getattr(self, setting.name) for setting in fields(self)}


def run_models(
    config: DualStreamConfig, panel: Mapping[str, pd.DataFrame], progress: Told = lambda *_: None
) -> dict[str, PanelRun]:
    """Train the model and its baselines on all coins, refitted as time passes; return their runs by name.

    Raises BarwiseError for a model that is not registered, and for bars or settings that cannot be used.
    """
    runs = {}
    for name in dict.fromkeys((config.model, *BASELINES)):
        settings = ComparisonConfig(
            bars="", out=config.out, models=config.model, seed=config.seed, set=config.set, preset=config.preset
        )
        model = make_model(name, settings.of(name))
        if config.lookback is not None and name == config.model:
            model.set_params(lookback=config.lookback)
        runs[name] = _run(config, panel, model, name, progress)
    return runs


def _run(
    config: DualStreamConfig, panel: Mapping[str, pd.DataFrame], model: Any, name: str, progress: Told
) -> PanelRun:
    groups = [{symbol: bars} for symbol, bars in panel.items()] if config.each else [dict(panel)]
    parts = []
    for group in groups:
        said = f"{name} {next(iter(group))}" if config.each else name

        def tell(done: int, total: int, *_: object, said: str = said) -> None:
            progress(said, done, total)

        parts.append(
            walk_forward_panel(
                group,
                model,
                label=lambda bars: forward_return(bars, config.horizon, quantiles=tuple(config.quantiles)),
                folds=WalkForward(config.train, config.test),
                n_jobs=config.n_jobs,
                seed=config.seed,
                progress=tell,
            )
        )
    return PanelRun(
        {symbol: frame for part in parts for symbol, frame in part.forecasts.items()},
        {symbol: label for part in parts for symbol, label in part.labels.items()},
        [fold for part in parts for fold in part.folds],
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def common_rows(runs: Mapping[str, PanelRun], panel: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, Rows]]:
    """Return coin -> model -> rows: those that every model forecasts. A coin that some model leaves out is not here."""
    found: dict[str, dict[str, Rows]] = {}
    for symbol, bars in panel.items():
        if not all(symbol in run.forecasts for run in runs.values()):
            continue
        index = pd.DatetimeIndex(bars.index)
        rows = {name: Rows.of(run.forecasts[symbol], _label(run, symbol), index) for name, run in runs.items()}
        stamps = next(iter(rows.values())).stamps
        for one in rows.values():
            stamps = stamps.intersection(one.stamps)
        if len(stamps):
            found[symbol] = {name: one.at(stamps) for name, one in rows.items()}
    if not found:
        raise BarwiseError("No coin has forecasts with a known outcome: bring more bars or shorten `train`.")
    return found


def _label(run: PanelRun, symbol: str) -> Label:
    return run.labels[symbol]


def daily_sums(rows: Rows) -> pd.DataFrame:
    """Return what every UTC day adds to pooled numbers, one row a day.

    ``hits calls`` (directions that were right, and that were called), ``hits_10 calls_10`` (of the ten surest, known
    when the day is over), ``hits_10_ahead calls_10_ahead`` (of those as sure as the tenth of the day before),
    ``loss n`` (pinball, rows), ``up`` (returns above 0), ``inside`` (labels between the outermost quantiles).
    """
    if rows.task.kind != "quantiles":
        raise BarwiseError(f"`rows` are of kind {rows.task.kind!r}; this study is about quantiles.")
    days = np.unique(rows.stamps.floor("D"))
    called, n = rows.signal != 0, len(days)
    hit = called & (np.sign(rows.signal) == np.sign(rows.returns))
    q = np.asarray(rows.task.quantiles)
    inside = (rows.raw[:, q.argmin()] <= rows.values) & (rows.values <= rows.raw[:, q.argmax()])
    sums = {"hits": hit, "calls": called, "loss": row_losses(rows), "n": np.ones(len(rows))}
    sums |= {"up": rows.returns > 0, "inside": inside}
    found = {name: np.bincount(rows.day, weights=values, minlength=n) for name, values in sums.items()}
    found[f"hits_{K}"], found[f"calls_{K}"] = surest_of_days(rows, K)
    found[f"hits_{K}_ahead"], found[f"calls_{K}_ahead"] = surest_ahead(rows, K)
    return pd.DataFrame(found, index=pd.Index(days, name="day"))


RATIOS = {
    "direction": ("hits", "calls"),
    f"precision_at_{K}_day": (f"hits_{K}", f"calls_{K}"),
    f"precision_at_{K}_ahead": (f"hits_{K}_ahead", f"calls_{K}_ahead"),
    "pinball": ("loss", "n"),
    "up": ("up", "n"),
    "coverage": ("inside", "n"),
}


def judge_dual_stream(
    config: DualStreamConfig, rows: Mapping[str, Mapping[str, Rows]]
) -> tuple[list[Verdict], pd.DataFrame]:
    """Return the verdicts and a table: one row a coin and model, and ``all coins`` for each model.

    Days are resampled whole, all coins of a day together: coins move together, and more of them are not more evidence.
    """
    names = list(next(iter(rows.values())))
    sums = {symbol: {name: daily_sums(one) for name, one in models.items()} for symbol, models in rows.items()}
    everywhere = sorted(set().union(*(frame.index for models in sums.values() for frame in models.values())))
    whole = {name: _added([models[name] for models in sums.values()], everywhere) for name in names}
    daily = np.column_stack([(frame["hits"] / frame["calls"].clip(lower=1.0)) for frame in whole.values()])
    plan = Resamples(1, len(everywhere), 1.0, block_length(daily), n=config.resamples, seed=config.seed)
    drawn = {name: resample(_metrics(frame), plan) for name, frame in whole.items()}
    found = {name: _estimates(frame, drawn[name]) for name, frame in whole.items()}
    table = [_row("all coins", name, found[name], whole[name]) for name in names]
    coins: dict[str, Estimate] = {}
    for symbol, models in sums.items():
        for name, frame in models.items():
            frame = frame.reindex(everywhere, fill_value=0.0)
            metrics = resample(_metrics(frame), plan)
            one = _estimates(frame, metrics)
            if name == config.model:
                coins[symbol] = corrected(metrics["direction"], one["direction"].value, len(sums))
            table.append(_row(symbol, name, one, frame))
    return _verdicts(config, found, drawn, coins, len(everywhere)), pd.DataFrame(table)


def _added(frames: Sequence[pd.DataFrame], days: list[Any]) -> pd.DataFrame:
    return functools.reduce(pd.DataFrame.add, (frame.reindex(days, fill_value=0.0) for frame in frames))


def _metrics(frame: pd.DataFrame) -> dict[str, Metric]:
    return {name: pooled(frame, top, bottom) for name, (top, bottom) in RATIOS.items()}


def _estimates(frame: pd.DataFrame, drawn: Mapping[str, np.ndarray]) -> dict[str, Estimate]:
    found = {}
    for name, metric in _metrics(frame).items():
        value = float(metric.of(np.ones((1, len(frame))))[0])
        found[name] = estimate(value if np.isfinite(value) else None, drawn[name])
    return found


def _row(symbol: str, name: str, found: Mapping[str, Estimate], frame: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = {"coin": symbol, "model": name, "n": int(frame["n"].sum())}
    for number, one in found.items():
        row |= {number: one.value, f"{number}_low": one.low, f"{number}_high": one.high}
    return row


def _verdicts(
    config: DualStreamConfig,
    found: Mapping[str, Mapping[str, Estimate]],
    drawn: Mapping[str, Mapping[str, np.ndarray]],
    coins: Mapping[str, Estimate],
    days: int,
) -> list[Verdict]:
    ours = found[config.model]
    over = f"over {len(coins)} coins and {days} days"
    verdicts = [
        Verdict(
            f"{config.model} calls {CLAIMED:.0%} of directions right",
            above(ours["direction"], CLAIMED),
            f"{in_words(ours['direction'])} {over}; {in_words(ours['up'])} of returns were above 0, what always saying "
            "up would have called right.",
        )
    ]
    best = max(coins, key=lambda symbol: coins[symbol].value or 0.0)
    reached = [symbol for symbol, one in coins.items() if above(one, CLAIMED) == "holds"]
    all_below = all(above(one, CLAIMED) == "does not hold" for one in coins.values())
    verdicts.append(
        Verdict(
            f"on some coin it calls {CLAIMED:.0%} right",
            "holds" if reached else "does not hold" if all_below else "undecided",
            f"The highest is {best}, {in_words(coins[best])} (an interval that holds for all {len(coins)} at once).",
        )
    )
    ahead, hindsight = ours[f"precision_at_{K}_ahead"], ours[f"precision_at_{K}_day"]
    claim = f"its calls as sure as the {K}-th surest of the day before are {CLAIMED:.0%} right"
    words = f"{in_words(ahead)}. The {K} surest of each day itself, known only when it is over: {in_words(hindsight)}."
    verdicts.append(Verdict(claim, above(ahead, CLAIMED), words))
    for rival in [name for name in found if name != config.model]:
        verdicts += _against(rival, found[config.model], found[rival], drawn[config.model], drawn[rival])
    asked = max(config.quantiles) - min(config.quantiles)
    return [
        *verdicts,
        Verdict(
            f"{asked:.0%} of returns lie between its outermost quantiles",
            _covers(ours["coverage"], asked),
            in_words(ours["coverage"]) + ".",
        ),
    ]


def _against(
    rival: str,
    ours: Mapping[str, Estimate],
    theirs: Mapping[str, Estimate],
    drawn: Mapping[str, np.ndarray],
    drawn_theirs: Mapping[str, np.ndarray],
) -> list[Verdict]:
    """Direction above a baseline's, and pinball loss below it; paired by day."""
    verdicts = []
    for number, wanted, forms in (
        ("direction", above, ("{:+.2%}", "{:.1%}")),
        ("pinball", below, ("{:+.3g}", "{:.3g}")),
    ):
        a, b = ours[number].value, theirs[number].value
        less = estimate(None if a is None or b is None else a - b, drawn[number] - drawn_theirs[number])
        claim = f"its {number} is {'above' if wanted is above else 'below'} that of {rival}"
        found = f"{in_words(less, forms[0])}; {rival} has {in_words(theirs[number], forms[1])}."
        if b is None:
            found = f"The {number} of {rival} is undefined: it takes no side."
        verdicts.append(Verdict(claim, wanted(less, 0.0), found))
    return verdicts


def _covers(one: Estimate, asked: float) -> Any:
    if one.low is None or one.high is None:
        return "not tested"
    return "undecided" if one.low <= asked <= one.high else "does not hold"
