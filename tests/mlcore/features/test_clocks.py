"""Slower clocks: nothing of a longer bar is in the table before it is whole, and nothing of it is lost after."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mlcore.bars import resample
from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.features import clock_bars, clock_columns, clocks, feature_table, plain_columns, table_for
from tests.conftest import random_bars

FEATURES = ("log_return", "rsi_window5", ("volatility", {"window": 4}), "time_of_day")
CUTS = (2, 4, 5, 6, 9, 23, 31, 150, 151, 152, 153, 154, 155, 299)  # the warm-up, and every place of a longer bar
BARS = random_bars(300, seed=2, interval="15min")
SLOW = SimpleNamespace(clocks=("5x", "1h"))


def needing(*clocks, own=()):
    return SimpleNamespace(clocks=clocks, own_features=own)


def blind_to_later_bars() -> bool:
    """Whether every prefix's table is bit for bit the beginning of the whole table."""
    whole = table_for(SLOW, BARS, FEATURES)
    return all(table_for(SLOW, BARS.iloc[:cut], FEATURES).equals(whole.iloc[:cut]) for cut in CUTS)


def test_later_bars_change_nothing_bit_for_bit():
    whole = table_for(SLOW, BARS, FEATURES)
    assert whole.notna().all(axis=1).iloc[40:].all()
    for cut in CUTS:
        pd.testing.assert_frame_equal(
            table_for(SLOW, BARS.iloc[:cut], FEATURES), whole.iloc[:cut], check_exact=True, check_freq=False
        )
        for rows in (slice(cut, None), slice(cut, cut + 1)):
            other = BARS.copy()
            other.iloc[rows] *= 2.0
            pd.testing.assert_frame_equal(table_for(SLOW, other, FEATURES).iloc[:cut], whole.iloc[:cut])


def test_a_longer_bar_that_is_shown_one_bar_early_is_caught(monkeypatch):
    assert blind_to_later_bars()

    def early(bars, other, *, interval, prefix):
        """Join as if a longer bar were known one bar before its end, and keep what is not yet whole."""
        interval = interval - pd.Timedelta("15min")
        return honest(bars, other, interval=interval, prefix=prefix)

    honest = clocks.join_known
    monkeypatch.setattr(clocks, "join_known", early)
    assert not blind_to_later_bars()


def test_joining_longer_bars_by_their_stamp_is_caught(monkeypatch):
    honest = clocks.join_known
    monkeypatch.setattr(
        clocks, "join_known", lambda *args, **given: honest(*args, **given | {"interval": pd.Timedelta(0)})
    )
    assert not blind_to_later_bars()


def test_a_row_holds_the_newest_longer_bar_that_was_whole_at_its_close():
    table = table_for(SLOW, BARS, FEATURES)
    hours = feature_table(resample(BARS, "1h"), FEATURES)
    for row in (40, 41, 42, 43, 120, 299):
        close = BARS.index[row] + pd.Timedelta("15min")
        newest = hours.loc[hours.index + pd.Timedelta("1h") <= close].iloc[-1]
        assert newest.name + pd.Timedelta("1h") > close - pd.Timedelta("1h")
        assert table.iloc[row][[f"1h:{name}" for name in hours]].tolist() == newest.tolist()
    assert list(table) == [*feature_table(BARS, FEATURES), *(f"{c}:{name}" for c in ("5x", "1h") for name in hours)]


def test_after_a_gap_the_newest_whole_bar_still_stands():
    holes = BARS.drop(BARS.index[[101, 102, 103, *range(120, 140)]])
    whole = table_for(SLOW, holes, FEATURES)
    assert whole.iloc[60:].notna().all(axis=None)
    for cut in (99, 100, 101, 102, 103, 116, 117, 118, 119):
        pd.testing.assert_frame_equal(
            table_for(SLOW, holes.iloc[:cut], FEATURES), whole.iloc[:cut], check_exact=True, check_freq=False
        )


@pytest.mark.parametrize("clock", ["1x", "4x", "1h", "15x"])
def test_memory_counts_the_bars_inside_longer_bars(clock):
    """Beyond `memory` bars back nothing reaches a row; one bar less would be too few for some row."""
    finite = (("stochastic_k", {"window": 3}), "high_low_range")
    table = table_for(needing(clock), BARS, finite)
    memory = table.attrs["memory"]
    ratio = clock_bars(clock, pd.Timedelta("15min"))
    assert memory == (feature_table(BARS, finite).attrs["memory"] + 2) * ratio - 2
    reaching = set()
    for row in range(200, 200 + ratio):
        for bars_back in (memory, memory - 1):
            other = BARS.copy()
            other.iloc[: row - bars_back] *= 3.0  # of another level: it shows in the highest high
            same = np.allclose(table_for(needing(clock), other, finite).iloc[row], table.iloc[row], rtol=1e-6)
            reaching |= set() if same else {bars_back}
    assert reaching == {memory - 1}


def test_own_features_are_added_once_however_they_are_written():
    own = ("rsi_window5", ("volatility", {"window": 4}), "time_of_day", "momentum")
    table = table_for(needing(own=own), BARS, (("rsi", {"window": 5}), "volatility_window4", "time_of_day"))
    names = ["rsi_window5", "volatility_window4", "time_of_day_sine", "time_of_day_cosine", "momentum"]
    assert list(table) == names
    slow = table_for(needing("5x", own=("momentum",)), BARS, ("rsi",))
    assert list(slow) == [
        "rsi",
        "momentum",
        "5x:rsi",
    ]  # a clock repeats what the user asked for, not what the model adds
    assert list(table_for(object(), BARS, ("rsi",))) == ["rsi"]


def test_clocks_that_the_bars_cannot_keep_are_refused():
    for clock, said in (
        ("7min", "whole multiple"),
        ("5min", "whole multiple"),
        ("0x", "whole multiple"),
        ("soon", "duration"),
    ):
        with pytest.raises(BarwiseError, match=f"`clock` is '{clock}'.*{said}"):
            table_for(needing(clock), BARS, FEATURES)
    with pytest.raises(BarwiseError, match="named once"):
        table_for(needing("5x", "5x"), BARS, FEATURES)


def test_a_clock_that_is_no_slower_than_the_bars_is_warned_of_unless_it_says_so_itself():
    with pytest.warns(BarwiseWarning, match="'15min' is the interval of the bars themselves.*bars shorter than 15min"):
        table_for(needing("15min"), BARS, FEATURES)
    table_for(needing("1x", "30min"), BARS, FEATURES)


def test_columns_of_a_clock_are_found_by_name():
    names = ["rsi", "5x:rsi", "15x:rsi", "5x:time_of_day_sine"]
    assert clock_columns(names, "5x") == [1, 3]
    assert plain_columns(names) == [0]
    with pytest.raises(BarwiseError, match="no column of the clock '1h'.*table_for"):
        clock_columns(names, "1h")


def test_a_longer_bar_whose_beginning_is_not_there_is_left_out():
    """Bars from 00:15 on: the first whole hour is that of 01:00, known at the close of the bar of 01:45."""
    table = table_for(needing("1h"), BARS.iloc[1:], ("high_low_range",))
    assert table["1h:high_low_range"].first_valid_index() == BARS.index[7]
    assert table["1h:high_low_range"].equals(
        table_for(needing("1h"), BARS, ("high_low_range",)).iloc[1:, 1].mask(np.arange(299) < 6)
    )
