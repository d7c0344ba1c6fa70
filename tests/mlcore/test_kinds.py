"""Kinds of arguments and settings: what a signature says is held, in words, and nothing else is looked at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from mlcore.kinds import check_kind, check_settings, checked
from tests.conftest import random_bars


@dataclass(frozen=True)
class Rule:
    share: float = 0.5
    count: int = 1

    def __post_init__(self) -> None:
        check_settings(self)


@checked
def traded(
    bars: pd.DataFrame,
    rule: Rule | None = None,
    *,
    side: Literal["long", "short"] = "long",
    levels: Sequence[float] = (),
    many: Mapping[str, pd.Series] | None = None,
    sizer: str | Callable[..., float] = "fixed",
    expanding: bool = False,
    n_jobs: int | None = None,
    anything: Any = None,
) -> float:
    """Read a price."""
    return float(bars["close"].sum())


BARS = random_bars(5)
GOOD: list[tuple[str, list[Any]]] = [
    ("rule", [None, Rule()]),
    ("side", ["long", "sideways"]),  # which words there are is the function's own rule
    ("levels", [(), [1, 2.0], np.array([0.1]), pd.Series([0.1])]),
    ("many", [None, {}, {"a": BARS["close"]}]),
    ("sizer", ["fixed", lambda: 0.0]),
    ("expanding", [True, np.bool_(False)]),
    ("n_jobs", [None, -1, 2, np.int64(3)]),
    ("anything", [None, 3, "x", [BARS]]),
]
BAD: list[tuple[str, Any, str]] = [
    ("bars", [1], "`bars` is [1]; it must be a DataFrame. `read_bars`"),
    ("bars", BARS.reset_index(), "`bars` have an index of int64"),
    ("bars", BARS["close"], "`bars` is a Series of 5"),
    ("bars", BARS.drop(columns="close"), "`bars` have no column 'close', only open"),
    ("rule", 0.5, "`rule` is 0.5; it must be a `Rule` or None. Say `Rule(share, count)`."),
    ("side", 1, "`side` is 1; it must be 'long' or 'short'."),
    ("levels", 0.5, "`levels` is 0.5; it must be several, each a number. Give it as (0.5,)."),
    ("levels", (0.5, "x"), "`levels` is 'x'; it must be a number."),
    ("levels", "0.5", "`levels` is '0.5'"),
    ("many", {"a": 0.1}, "`many` is {'a': 0.1}; it must be a mapping of names, each to a Series or None."),
    ("sizer", 3, "`sizer` is 3; it must be a word or a function."),
    ("expanding", "yes", "`expanding` is 'yes'; it must be true or false."),
    ("expanding", 1, "`expanding` is 1; it must be true or false."),
    ("n_jobs", True, "`n_jobs` is True; it must be a whole number or None."),
    ("n_jobs", 2.5, "`n_jobs` is 2.5"),
    ("n_jobs", 0, "`n_jobs` is 0; it is how many go at a time"),
    ("ruel", None, "`ruel` is no parameter of 'traded'. Did you mean 'rule'? It has: bars, rule, side"),
]


@pytest.mark.parametrize(("name", "values"), GOOD)
def test_what_is_of_the_kind_goes_through(name: str, values: list) -> None:
    for value in values:
        assert traded(BARS, **{name: value}) > 0


@pytest.mark.parametrize(("name", "value", "said"), BAD)
def test_what_is_not_is_refused_in_words(name: str, value: Any, said: str) -> None:
    with pytest.raises(BarwiseError) as told:
        traded(**({"bars": BARS} | {name: value}))
    assert str(told.value).startswith(said)


def test_a_missing_argument_is_told_with_those_there_are() -> None:
    with pytest.raises(BarwiseError, match="missing a required argument: 'bars'. It takes bars, rule"):
        traded()


@pytest.mark.parametrize("settings", [{"share": [0.1]}, {"share": None}, {"share": True}, {"count": 1.0}])
def test_settings_hold_their_kinds(settings: dict) -> None:
    with pytest.raises(BarwiseError, match=f"`{next(iter(settings))}` is .* must be a"):
        Rule(**settings)
    assert Rule(np.float32(0.5), np.int64(3)).count == 3


def test_a_long_value_is_told_by_its_size() -> None:
    with pytest.raises(BarwiseError, match="`weights` is a list of 400; it must be a Series"):
        check_kind("weights", [0.123] * 400, pd.Series)


def test_a_key_error_of_another_kind_stays_what_it_is() -> None:
    @checked
    def broken(bars: pd.DataFrame) -> float:
        return {}["close"]  # not the bars' column

    with pytest.raises(KeyError):
        broken(BARS)


def test_the_function_is_still_itself() -> None:
    assert traded.__name__ == "traded" and traded.__doc__ == "Read a price." and traded.__module__ == __name__


@pytest.mark.parametrize("days", [0.0, -252.0, float("inf"), float("nan")])
def test_a_year_has_days(days: float) -> None:
    with pytest.raises(BarwiseError, match="`days_per_year` is .* 365 for crypto"):
        check_kind("days_per_year", days, float)
    check_kind("days_per_year", 252, float)
