"""Every setting of the main job; the flags of `experiments/walk_forward.py` are its fields."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from mlcore.errors import BarwiseError


def _several(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def flag(default: Any, text: str, least: float | None = None, most: float | None = None) -> Any:
    """Return a dataclass field that is a flag of a script: its default, what `--help` says, the range it may be in.

    ``...`` is no default: the flag must be given.
    """
    metadata = {"help": text, "least": least, "most": most}
    return field(metadata=metadata) if default is ... else field(default=default, metadata=metadata)


@dataclass(frozen=True)
class StudyConfig:
    """Settings of one walk-forward run, traded. Each field is a flag (``n_jobs`` is ``--n-jobs``)."""

    bars: list[str] | str = field(
        metadata={
            "help": "Parquet or CSV file of bars, or `sp500` (daily, ships with `arch`); several (the flag again, or "
            "commas) or a file of several symbols train one model on all of them"
        }
    )
    out: str = field(metadata={"help": "folder to make; all of it or nothing is written"})
    model: str = flag(
        "linear", "a model: linear, lightgbm, lstm, ... (a name that is none lists them all) or package.module.Class"
    )
    preset: str | None = flag(None, "size of the model: light, default, deep (default: the model's own defaults)")
    set: dict[str, Any] | None = flag(None, "parameters of the model, over the preset: hidden=64 layers=2")
    members: str | None = flag(
        None, "models of an ensemble (stack, vote, ...), comma separated: lstm,lightgbm,tcn:light"
    )
    lookback: int | None = flag(None, "bars a sequence model sees (default: the model's own)")
    confidence: str | None = flag(
        None, "rule of the forecasts' confidence: top_two_gap, entropy, monte_carlo_dropout, ... (default: the label's)"
    )
    loss: str | None = flag(
        None,
        "what the model is trained by (default: the label's own). Classes: cross_entropy, focal; "
        "`return`: squared, huber, weighted_squared; quantiles: pinball",
    )
    loss_params: dict[str, float] | None = flag(None, "numbers of the loss: gamma=2, delta=1, threshold=0.02 factor=5")
    class_weights: str | tuple[float, ...] | None = flag(
        None, "weights of the classes: balanced (from the training rows), or one number a class, as 2,1,2"
    )
    schedule: str | None = flag(
        None, "learning rate of a network: one_cycle (default), cosine_restarts, plateau, constant"
    )
    warm_start: bool = flag(False, "start each fold's model from the one before; folds then run in order (a switch)")
    incremental: str | None = flag(
        None, "update the model between refits, this often: a duration (1D) or a count of bars"
    )
    batched: bool = flag(False, "train the networks of all folds as one batch, for a GPU (a switch)")
    label: str = flag(
        "direction",
        "what is learned: direction, five_class, return, up_move, down_move, triple_barrier; a name that is none "
        "lists them all",
    )
    horizon: int | tuple[int, ...] = flag(
        5, "bars ahead that the label looks, from the next open; several at once as 5,15,60: the first one leads"
    )
    threshold: float = flag(0.002, "returns within +- threshold are flat, beyond it a move; 0 makes two classes")
    edges: tuple[float, ...] | None = flag(
        None, "`five_class`: the two returns that part flat, moves and strong moves (default 0.005,0.015)"
    )
    quantiles: tuple[float, ...] | None = flag(None, "`return`: levels to foretell instead of the mean, as 0.1,0.5,0.9")
    label_entry: Literal["next_open", "close"] = flag("next_open", "label from the next open (tradable) or this close")
    train: str = flag("60D", "training window: a duration (60D) or a count of bars (5000)")
    test: str = flag("7D", "test window, and so the time between refits: a duration or a count of bars")
    expanding: bool = flag(False, "train from the first bar on instead of a rolling window (a switch: `--expanding`)")
    latency: int = flag(0, "bars between the end of the training data and the model going live")
    max_gap: int = flag(3, "missing bars in a row that a window or a label may span")
    repair: str = flag("", "repairs `check_bars` may make, comma separated: sort,drop_duplicates,...")
    stamped: Literal["open", "close"] = flag("open", "whether the file stamps a bar at its open or its close")
    symbol: str | None = flag(None, "which symbol of a file that holds several; A,B for some; default all")
    start: str | None = flag(None, "first stamp that counts (2024-01-01); default: the first bar")
    end: str | None = flag(None, "stamp before which all bars lie; default: after the last bar")
    calibration: Literal["none", "temperature", "platt", "isotonic"] = flag(
        "none", "classes: correct probabilities by what past forecasts of the run turned out to be worth"
    )
    interval: float | None = flag(None, "returns: the share of labels an interval is to hold (0.8), kept likewise")
    store: str | None = flag(None, "folder to keep every fitted fold in (experiments/from_store.py forecasts from it)")
    commission: float = flag(0.001, "fraction of the value of a fill")
    slippage: float = flag(0.0005, "fraction of the price by which a fill is worse than the open")
    sizer: str = flag("fixed", "rule from forecast to weight: fixed, confidence, volatility_target, study_rule")
    sizer_params: dict[str, float] | None = flag(None, 'parameters of the sizer, as JSON: {"size": 0.5}')
    entry: float = flag(
        0.0,
        "|signal| at which a position is opened; one threshold for the model and its rivals, whose signals may be of "
        "other sizes (calibrated ones are, too)",
    )
    exit: float = flag(0.0, "|signal| below which it is closed")
    min_hold: int = flag(0, "bars that a position is held at least")
    band: float = flag(0.0, "a new target weight nearer than this to the last one is not ordered")
    side: Literal["both", "long", "short"] = flag("both", "the sides that may be taken")
    min_confidence: float = flag(0.0, "confidence below which nothing is opened")
    engine: Literal["both", "backtrader", "vectorbt"] = flag("both", "which engines trade; both must agree")
    days_per_year: float = flag(365.0, "trading days a year, for the Sharpe ratio (crypto 365, stocks 252)")
    cash: float = flag(10_000.0, "starting cash")
    n_jobs: int = flag(-1, "folds trained at a time; -1 is one per core. The results do not depend on it")
    seed: int = flag(0, "seed of everything random")
    overwrite: bool = flag(False, "replace an earlier result in `out` (a switch)")

    def __post_init__(self) -> None:
        rules = {
            "horizon": all(bars >= 1 for bars in _several(self.horizon)),
            "threshold": self.threshold >= 0,
            "latency": self.latency >= 0,
            "max_gap": self.max_gap >= 0,
            "commission": 0 <= self.commission < 1,
            "slippage": 0 <= self.slippage < 1,
            "days_per_year": self.days_per_year > 0,
            "cash": 0 < self.cash < float("inf"),
            "interval": self.interval is None or 0 < self.interval < 1,
            "lookback": self.lookback is None or self.lookback >= 1,
            "n_jobs": self.n_jobs == -1 or self.n_jobs >= 1,
            "seed": self.seed >= 0,
        }
        words = {
            "horizon": "at least 1",
            "interval": "a share of the labels between 0 and 1",
            "lookback": "at least 1",
            "commission": "a fraction in [0, 1)",
            "slippage": "a fraction in [0, 1)",
            "days_per_year": "above 0",
            "cash": "above 0 and finite",
            "n_jobs": "-1 or at least 1",
        }
        for name, holds in rules.items():
            if not holds:
                raise BarwiseError(f"`{name}` is {getattr(self, name)}; it must be {words.get(name, 'at least 0')}.")
        out = Path(self.out).expanduser().resolve()
        if self.store is not None and out in (store := Path(self.store).expanduser().resolve(), *store.parents):
            raise BarwiseError(f"`store` is {self.store!r}, inside `out`, which is made anew: give a folder beside it.")

    @property
    def file(self) -> str:
        """The one file of bars; several are refused."""
        files = [self.bars] if isinstance(self.bars, str) else self.bars
        if len(files) != 1:
            raise BarwiseError(f"`bars` names {len(files)} files; this takes one.")
        return files[0]

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values, in the order of the flags."""
        return {setting.name: getattr(self, setting.name) for setting in fields(self)}


ONE_SYMBOL = "which symbol of a file that holds several"


def _as_in_study(name: str) -> Any:
    """The same flag as the main job's: one default, one help."""
    flag = StudyConfig.__dataclass_fields__[name]
    return field(default=flag.default, metadata=flag.metadata)


@dataclass(frozen=True)
class StoredConfig:
    """Settings of forecasts made again from a store, and traded. Each field is a flag."""

    store: str = field(metadata={"help": "folder of a run (`--store` of the main job), or of one of its folds"})
    bars: str = field(metadata={"help": "bars to forecast, with the past that the models look back to"})
    out: str = field(metadata={"help": "folder to make; all of it or nothing is written"})
    start: str | None = flag(None, "first bar to forecast (2024-01-01T00:00Z); default: the first there may be")
    in_sample: bool = flag(False, "forecast bars that a model was trained on, too; the report says so (a switch)")
    repair: str = _as_in_study("repair")
    stamped: Literal["open", "close"] = _as_in_study("stamped")
    symbol: str | None = flag(None, ONE_SYMBOL)
    calibration: Literal["none", "temperature", "platt", "isotonic"] = _as_in_study("calibration")
    interval: float | None = _as_in_study("interval")
    latency: int = flag(0, "bars between the last past forecast that a correction learns from and its going live")
    commission: float = _as_in_study("commission")
    slippage: float = _as_in_study("slippage")
    sizer: str = _as_in_study("sizer")
    sizer_params: dict[str, float] | None = _as_in_study("sizer_params")
    entry: float = _as_in_study("entry")
    exit: float = _as_in_study("exit")
    min_hold: int = _as_in_study("min_hold")
    band: float = _as_in_study("band")
    side: Literal["both", "long", "short"] = _as_in_study("side")
    min_confidence: float = _as_in_study("min_confidence")
    engine: Literal["both", "backtrader", "vectorbt"] = _as_in_study("engine")
    days_per_year: float = _as_in_study("days_per_year")
    cash: float = _as_in_study("cash")
    overwrite: bool = _as_in_study("overwrite")

    def __post_init__(self) -> None:
        shared = {name: value for name, value in self.as_dict().items() if name in StudyConfig.__dataclass_fields__}
        StudyConfig(**shared)  # the same rules
        if self.in_sample and (self.calibration != "none" or self.interval is not None):
            raise BarwiseError("`in_sample` forecasts cannot be calibrated: on training rows they are too good.")
        if self.latency and self.calibration == "none" and self.interval is None:
            raise BarwiseError(
                f"`latency` is {self.latency}; here it says when a correction goes live, and none is asked for: leave "
                "it out, or say `--calibration` or `--interval`."
            )

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values, in the order of the flags."""
        return {setting.name: getattr(self, setting.name) for setting in fields(self)}
