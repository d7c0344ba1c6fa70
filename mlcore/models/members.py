"""Members of an ensemble: models from words, the rows that their early stopping may see, and their state in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import clone

from mlcore.errors import BarwiseError
from mlcore.models.inputs import Validation
from mlcore.models.make import make_model
from mlcore.store.state import ModelState, check_storable
from mlcore.windows import Windows

INNER_SHARE = 0.15  # of the training rows, the newest, by which members stop early
NEAR = 10  # rows within which another missing one is looked for at least
FEWEST_ROWS = 40  # training rows that a member keeps; with fewer nothing is held out for early stopping


def listed(members: Any) -> Any:
    """Return `members`, one text with commas as a list of its words.

    >>> listed("lstm, tcn:light")
    ['lstm', 'tcn:light']
    """
    return [name.strip() for name in members.split(",") if name.strip()] if isinstance(members, str) else members


def make_members(members: Any) -> list[Any]:
    """Return new, unfitted models of `members`: names (``"lstm"``, ``"lstm:light"``) or models, which are cloned.

    One text with commas is a list too. Raises BarwiseError for none at all, for what is neither, and for one name
    twice (models that differ by their seed only are handed over as models, not as names).
    """
    members = listed(members)
    if not isinstance(members, Sequence) or not len(members):
        raise BarwiseError(f"`members` is {members!r}; it must be a list of models or of their names: lstm,lightgbm.")
    refuse_twins(members)
    return [_made(member) for member in members]


def refuse_twins(members: Sequence[Any]) -> None:
    """Refuse a name that stands twice among `members`: it would count twice and find nothing more."""
    names = [member for member in members if isinstance(member, str)]
    twin = next((name for at, name in enumerate(names) if name in names[:at]), None)
    if twin is not None:
        raise BarwiseError(
            f"`members` names {twin!r} twice; each may be named once: leave one out, or take another model or preset "
            "(lstm:light) beside it."
        )


def _made(member: Any) -> Any:
    if isinstance(member, str):
        name, _, preset = member.partition(":")
        return make_model(name, preset or None)
    if not all(hasattr(member, name) for name in ("fit", "predict", "get_params", "lookback")):
        raise BarwiseError(f"`members` holds {member!r}; a member is a model or the name of one (lstm, lstm:light).")
    return clone(member)


def member_names(members: Any) -> tuple[str, ...]:
    """Return a short name of each member: as it was named, or its class."""
    members = listed(members)
    return tuple(member if isinstance(member, str) else type(member).__name__ for member in members)


def purge_of(rows: np.ndarray, held_out: np.ndarray) -> int:
    """Return how many rows a label touches at most, as far as the gap before the held-out rows tells.

    Of the rows before the first held-out one, those are missing whose labels had not ended. With a fixed span
    they are the last ones before it. With labels of many lengths some lie further back, between rows that stayed:
    they are followed back, and twice the distance of the furthest is taken, for longer labels may lie elsewhere.
    Where nothing is missing the span is unknown: 0.

    >>> purge_of(np.arange(60), np.arange(63, 70)), purge_of(np.r_[0:56, 58, 60], np.arange(63, 70))
    (3, 14)
    """
    first = int(held_out.min())
    rows = rows[rows < first]
    if not len(rows):
        return 0
    gap = far = first - 1 - int(rows.max())
    distance = first - np.setdiff1d(np.arange(rows.min(), first), rows)
    while 0 < far < (wider := int(distance[distance <= 2 * far + NEAR].max())):
        far = wider
    # Rows that were thinned out, or a hole in the bars, are no sign of longer labels.
    return 2 * far if far > gap and 4 * far <= len(rows) else gap


def symbols_of(*windows: Windows) -> np.ndarray:
    """Return the row at which each symbol of a pool begins, as far as `windows` tell: time runs back there.

    >>> table = np.zeros((20, 1))
    >>> symbols_of(Windows(table, np.arange(20), moments=np.r_[0:15, 10:15]))
    array([ 0, 15])
    """
    rows, first = np.unique(np.concatenate([each.rows for each in windows]), return_index=True)
    moments = np.concatenate([each.moments for each in windows])[first]
    return rows[np.r_[True, np.diff(moments) <= 0]]


def bars_touched(windows: Windows, held_out: Windows) -> int:
    """Return `purge_of`, in bars of a symbol's own: of the symbols of a pool the largest.

    Symbols may have bars at other times, so that a label takes longer in one than in the other. A hole before the
    held-out rows of one costs all of them rows, and lets no label through.
    """
    starts = symbols_of(windows, held_out)
    place, place_out = (np.searchsorted(starts, each.rows, side="right") for each in (windows, held_out))
    found = [purge_of(windows.rows[place == s], held_out.rows[place_out == s]) for s in np.unique(place_out)]
    return max(found, default=0)


def split_at(windows: Windows, begin: int, purge: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions in `windows`: more than `purge` of a symbol's own bars before `begin`, and from it on."""
    starts, newer = symbols_of(windows), windows.moments >= begin
    place = np.searchsorted(starts, windows.rows, side="right") - 1
    stop = np.full(len(starts), np.iinfo(np.int64).max)
    np.minimum.at(stop, place[newer], windows.rows[newer])
    last = np.full(len(starts), -1)
    np.maximum.at(last, place, windows.rows)
    first = np.minimum(stop, last + 1)  # of a symbol that has no newer rows: the bar after its last
    return np.flatnonzero(~newer & (windows.rows + purge < first[place])), np.flatnonzero(newer)


def newest_from(moments: np.ndarray, share: float) -> int:
    """Return the moment from which on lies the newest `share` of the rows, at least one, of all symbols together.

    >>> newest_from(np.r_[0:10, 5:10], 0.2)
    8
    """
    return int(np.sort(moments)[len(moments) - max(1, round(share * len(moments)))])


def inner_split(windows: Windows, validation: Validation) -> tuple[np.ndarray, np.ndarray] | None:
    """Return positions in `windows`: rows that members learn from, and newer ones that they stop by, purged alike.

    The purge is inferred from the gap between `windows` and `validation` (`bars_touched`); where they touch, their
    span is unknown and a whole window is left out instead. All symbols of a pool are cut at one moment
    (`Windows.moments`). None where too few rows would be left.
    """
    purge = bars_touched(windows, validation[0]) or windows.lookback
    learn, stop = split_at(windows, newest_from(windows.moments, INNER_SHARE), purge)
    return (learn, stop) if len(learn) >= FEWEST_ROWS else None


def states_in_one(members: Sequence[Any]) -> ModelState:
    """Return the states of fitted members as one: arrays ``m0.*``, texts ``m0-*``, values in a list."""
    arrays: dict[str, np.ndarray] = {}
    texts: dict[str, str] = {}
    values = []
    for number, member in enumerate(members):
        check_storable(member)
        state = member.get_state()
        arrays |= {f"m{number}.{name}": array for name, array in state.arrays.items()}
        texts |= {f"m{number}-{name}": text for name, text in state.texts.items()}
        values.append(dict(state.values))
    return ModelState(arrays, texts, {"members": values})


def state_of(state: ModelState, number: int) -> ModelState:
    """Return the state of one member again."""
    return ModelState(
        _below(state.arrays, f"m{number}."), _below(state.texts, f"m{number}-"), state.values["members"][number]
    )


def _below(named: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}
