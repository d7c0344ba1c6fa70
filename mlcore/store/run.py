"""A whole walk-forward in the store, and its forecasts made again."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from mlcore.bars import bar_interval, bars_sha256, market_of, missing_bars, name_market
from mlcore.confidence import ask
from mlcore.errors import BarwiseError, BarwiseWarning, LookAheadError, did_you_mean
from mlcore.folds import Fold
from mlcore.forecasts import ReturnScale, make_forecasts
from mlcore.gaps import finite_windows, window_mask
from mlcore.store.files import read_json, write_json
from mlcore.store.folds import FORMAT, StoredFold, load_fold, model_name, versions
from mlcore.store.state import StoreError, from_plain, task_of, task_values, to_plain
from mlcore.tasks import Label, Task
from mlcore.windows import Windows

RUN = "run.json"


def check_store(folder: str | Path, model: Any) -> str:
    """Return the model's name; refuse, before anything is fitted, a model or a folder that cannot be stored (to)."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"`store` is {str(folder)!r}, which is a file: give a folder.")
    if (folder / RUN).exists():
        raise StoreError(f"`store` is {str(folder)!r}, which holds a run already: give another folder.")
    held = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    foreign = [name for name in held if not name.startswith("fold-")]
    if foreign:
        raise StoreError(f"`store` is {str(folder)!r}, which holds {foreign[0]!r}, no fold: give another folder.")
    return model_name(model)


def fold_records(
    bars: pd.DataFrame,
    features: pd.DataFrame,
    label: Label,
    plan: Sequence[Fold],
    lookback: int,
    about: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return what the store is to say of each fold beside its model; nothing after `trained_through` goes in."""
    index, columns = pd.DatetimeIndex(bars.index), list(map(str, features.columns))
    recipe = {"recipe": label.recipe, "span": int(label.span)}
    records = []
    for fold in plan:
        first = max(0, int(fold.train[0]) - lookback + 1 - int(about["memory"]))
        record = {
            "fold": fold.number,
            "interval": bar_interval(index[: fold.trained_through + 1]).isoformat(),
            "features": columns,
            "label": recipe,
            "train_start": index[fold.train[0]].isoformat(),
            "trained_through": index[fold.trained_through].isoformat(),
            "test_start": index[fold.test[0]].isoformat(),
            "n_train": len(fold.train),
            "bars_sha256": bars_sha256(bars.iloc[first : fold.trained_through + 1]),
            "features_sha256": bars_sha256(features.iloc[first : int(fold.train[-1]) + 1]),
        }
        records.append(record | dict(about))
    return records


def write_run(folder: str | Path, folds: Sequence[Mapping[str, Any]], task: Task) -> None:
    """Write ``run.json``: which folder forecasts from when on; a fold that could not be fitted has none."""
    listed = [
        {
            "fold": fold["fold"],
            "folder": fold.get("stored"),
            "test_start": fold["test_start"].isoformat(),
            "trained_through": fold["trained_through"].isoformat(),
        }
        for fold in folds
    ]
    write_json(Path(folder) / RUN, {"format": FORMAT, "task": to_plain(task_values(task), "task"), "folds": listed})


def forecast_from_store(
    folder: str | Path,
    bars: pd.DataFrame,
    features: pd.DataFrame,
    *,
    start: pd.Timestamp | str | None = None,
    in_sample: bool = False,
) -> pd.DataFrame:
    """Forecast `bars` with what `walk_forward(..., store=folder)` or `save_fold` left; nothing is fitted.

    `folder` is a whole run: each fold forecasts from its test block's first bar to the next fold's, the last one to the
    end of `bars`. Over the bars of the run this gives its forecasts again, bit for bit (same library versions, which
    are in the manifest; others are warned of). Or `folder` is one fold, which forecasts every bar from
    `start` on (default: the first); bars before `start` serve as the past of its windows.

    Parameters
    ----------
    features : the table of `bars`, with the columns that the models were fitted on, in their order.
    start : first bar to be forecast.
    in_sample : forecast bars that the model was trained on, or older ones, on purpose. The forecasts carry their
        true `trained_through`, so that an engine refuses them unless it is asked for by name, too.

    Raises
    ------
    LookAheadError
        A bar up to `trained_through` is asked for without `in_sample`.
    StoreError
        A folder that is not whole, was changed, or is not ours.
    BarwiseError
        Features of other columns or on another index than `bars`; bars of another interval than those trained on.
    """
    folder, index = Path(folder), pd.DatetimeIndex(bars.index)
    if not features.index.equals(bars.index):
        raise BarwiseError("`features` are not on the index of `bars`: make them from the same bars, one row a bar.")
    begin = index[0] if start is None else _stamp(start, "start")
    if not (folder / RUN).exists():
        fold = load_fold(folder)
        through = _stamp(fold.record["trained_through"], "trained_through")
        made = _forecast(fold, bars, features, np.flatnonzero(index >= begin), through, in_sample)
    else:
        made = _forecast_run(folder, bars, features, begin, in_sample)
    return name_market(made, market_of(bars))


def stored_folds(folder: str | Path) -> list[StoredFold]:
    """Return the folds that `forecast_from_store(folder, ...)` forecasts with, in the order of time.

    Raises `StoreError` for a folder that is not whole, was changed, is not ours, or holds no fitted fold.
    """
    folder = Path(folder)
    if not (folder / RUN).exists():
        return [load_fold(folder)]
    folds = [_fold_of(folder, entry) for entry in _read_run(folder)[1] if entry["folder"] is not None]
    if not folds:
        raise StoreError(f"`folder` {str(folder)!r} holds no fold that could be fitted.")
    return folds


def _forecast_run(
    folder: Path, bars: pd.DataFrame, features: pd.DataFrame, begin: pd.Timestamp, in_sample: bool
) -> pd.DataFrame:
    task, entries = _read_run(folder)
    index = pd.DatetimeIndex(bars.index)
    starts = [_stamp(entry["test_start"], "test_start") for entry in entries]
    parts = []
    for entry, opened, closed in zip(entries, starts, [*starts[1:], None], strict=True):
        rows = np.flatnonzero((index >= max(opened, begin)) & (True if closed is None else index < closed))
        through = _stamp(entry["trained_through"], "trained_through")
        if entry["folder"] is not None:
            parts.append(_forecast(_fold_of(folder, entry), bars, features, rows, through, in_sample))
        else:
            parts.append(
                _frame(np.full((len(rows), task.n_outputs), np.nan), task, index[rows], entry["fold"], through)
            )
    return pd.concat(parts)


def _read_run(folder: Path) -> tuple[Task, list[dict[str, Any]]]:
    run = read_json(folder / RUN)
    if run.get("format") != FORMAT:
        raise StoreError(f"`{RUN}` in {str(folder)!r} has format {run.get('format')!r}; this kit reads {FORMAT}.")
    try:
        task, entries = task_of(from_plain(run["task"])), list(run["folds"])
        if not entries or any(not {"fold", "folder", "test_start", "trained_through"} <= set(e) for e in entries):
            raise KeyError("folds")
    except (KeyError, TypeError) as error:
        raise StoreError(f"`{RUN}` in {str(folder)!r} is not as this store writes it: {error}.") from None
    return task, entries


def _fold_of(folder: Path, entry: Mapping[str, Any]) -> StoredFold:
    """Load the fold of an entry; only a folder right below the store will do, and only the one it tells of."""
    name = str(entry["folder"])
    if Path(name).name != name or name in ("", ".", ".."):
        raise StoreError(f"`{RUN}` names the folder {name!r}, which is not in the store.")
    fold = load_fold(folder / name)
    for key in ("fold", "test_start", "trained_through"):
        if fold.record[key] != entry[key]:
            raise StoreError(f"`{RUN}` says {key} {entry[key]!r} of {name!r}; its manifest {fold.record[key]!r}.")
    return fold


def _forecast(
    fold: StoredFold,
    bars: pd.DataFrame,
    features: pd.DataFrame,
    rows: np.ndarray,
    through: pd.Timestamp,
    in_sample: bool,
) -> pd.DataFrame:
    index, lookback = pd.DatetimeIndex(bars.index), int(fold.model.lookback)
    check_interval(fold, bars)
    _check_columns(fold, features)
    _warn_of_versions(fold)
    if len(rows) and index[rows[0]] <= through and not in_sample:
        raise LookAheadError(
            f"`bars` from {index[rows[0]]} on are asked for; fold {fold.record['fold']} was trained through {through}: "
            "give `start` after that, or ask for an in-sample run by name (`in_sample`; the flag `--in-sample`)."
        )
    table = np.ascontiguousarray(features.to_numpy(np.float64))
    length = lookback + int(fold.record["memory"])
    whole = window_mask(missing_bars(index), length, int(fold.record["max_gap"])) & finite_windows(table, lookback)
    raw = np.full((len(rows), fold.task.n_outputs), np.nan)
    more: dict[str, Any] = {}
    rule = fold.record.get("confidence")
    ready = rows[whole[rows]]
    if len(ready):
        first = int(ready[0]) - lookback + 1
        local = np.array(table[first : int(ready[-1]) + 1])
        local = local if fold.scaler is None else fold.scaler.transform(local)
        with threadpool_limits(1):  # as in the walk-forward: sums in one order
            raw[whole[rows]], told = ask(fold.model, Windows(local, ready - first, lookback), fold.task, rule)
        for name, values in told.items():
            more[name] = np.full(len(rows), np.nan)
            more[name][whole[rows]] = values
    more["confidence"] = rule
    return _frame(raw, fold.task, index[rows], int(fold.record["fold"]), through, fold.scale, **more)


def _frame(
    raw: np.ndarray,
    task: Task,
    index: pd.DatetimeIndex,
    number: int,
    through: pd.Timestamp,
    scale: ReturnScale | None = None,
    **more: Any,
) -> pd.DataFrame:
    scale = scale or ReturnScale(0.0, 0.0)
    return make_forecasts(raw, task, index=index, fold=number, trained_through=through, scale=scale, **more)


def check_interval(fold: StoredFold, bars: pd.DataFrame) -> None:
    """Refuse bars of another interval than those that the fold was fitted on; older stores do not tell it."""
    told = fold.record.get("interval")
    if told is None or len(bars) < 2 or bar_interval(bars) == pd.Timedelta(told):
        return
    raise BarwiseError(
        f"`bars` are {bar_interval(bars)} apart, and the stored model was fitted on bars {pd.Timedelta(told)} apart: "
        "its features and its horizon count bars. Give bars of that interval."
    )


def _check_columns(fold: StoredFold, features: pd.DataFrame) -> None:
    wanted, given = list(fold.record["features"]), list(map(str, features.columns))
    if given == wanted:
        return
    missing = [name for name in wanted if name not in given]
    foreign = [name for name in given if name not in wanted]
    if missing:
        told = f"lack {missing[0]!r}.{did_you_mean(missing[0], given)}"
    else:
        told = f"hold {foreign[0]!r} besides." if foreign else "hold the same columns in another order."
    raise BarwiseError(f"`features` {told} The stored model reads {len(wanted)} columns in order: {', '.join(wanted)}.")


def _warn_of_versions(fold: StoredFold) -> None:
    then, now = dict(fold.record["versions"]), versions()
    other = [f"{name} {then.get(name)} (here {now[name]})" for name in now if then.get(name) != now[name]]
    if other:
        warnings.warn(
            f"The stored model was made with {', '.join(other)}: forecasts may differ in their last bits.",
            BarwiseWarning,
            stacklevel=4,
        )


def _stamp(text: Any, name: str) -> pd.Timestamp:
    try:
        stamp = pd.Timestamp(text)
    except (ValueError, TypeError):
        stamp = None
    if stamp is None or pd.isna(stamp) or stamp.tz is None:
        raise BarwiseError(f"`{name}` is {text!r}; it must be a stamp with a time zone, as 2024-01-01T00:00Z.")
    return stamp
