"""A slow clock's row, made only when a longer bar is whole, is that of a table made from scratch, to the last bit."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarsError
from mlcore.features import slow, table_for
from mlcore.features.newest import NewestBars
from mlcore.features.slow import SlowRow
from tests.conftest import random_bars

FEATURES = ("log_return", "rsi_window5", ("volatility", {"window": 4}), "volume_ma_ratio", "time_of_day")
STEP = pd.Timedelta("15min")


def with_extras(n, seed=3, interval="15min"):
    bars = random_bars(n, seed=seed, interval=interval)
    funding = np.where(np.arange(n) % 7 < 5, np.nan, np.arange(n) / 3)
    return bars.assign(trades=np.arange(n) * 0.1, funding_rate=funding)


def rows_of(bars, clock, begin, keep):
    """The rows as they come in one by one, and those of tables made from scratch over the same kept bars."""
    kept = NewestBars(bars.iloc[:begin], keep)
    row = SlowRow(kept, clock, STEP, FEATURES)
    model = SimpleNamespace(clocks=(clock,))
    for at in range(begin, len(bars)):
        kept.append(bars.index[at].as_unit("ns").value, bars.iloc[at].to_dict())
        table = table_for(model, kept.tail(keep).frame(), FEATURES)
        made_before = row.longer.n
        found = np.array(row.update(kept))
        yield at, found, table.filter(like=f"{clock}:").to_numpy()[-1], row.longer.n > made_before


@pytest.mark.parametrize("clock", ["5x", "15x", "1h"])
def test_rows_are_those_of_a_table_made_from_scratch_bit_for_bit(clock):
    holes = [*range(213, 216), *range(220, 223), *range(240, 275), 282, 287]
    bars = with_extras(300).pipe(lambda whole: whole.drop(whole.index[holes]))
    for at, found, expected, _ in rows_of(bars, clock, 205, 4096):
        np.testing.assert_array_equal(found, expected, err_msg=str(bars.index[at]))


def test_bars_that_are_no_longer_kept_leave_no_trace_where_a_longer_bar_becomes_whole():
    told = [(found, expected) for _, found, expected, made in rows_of(with_extras(350), "5x", 300, 203) if made]
    assert len(told) == 10
    for found, expected in told:
        np.testing.assert_array_equal(found, expected)


def test_longer_bars_are_those_of_resample_bit_for_bit():
    bars = with_extras(600).pipe(lambda whole: whole.drop(whole.index[[401, 402, *range(433, 470)]]))
    kept = NewestBars(bars.iloc[:300], 4096)
    row = SlowRow(kept, "15x", STEP, FEATURES)
    for at in range(300, len(bars)):
        kept.append(bars.index[at].as_unit("ns").value, bars.iloc[at].to_dict())
        row.update(kept)
    expected = slow.resample(bars, 15 * STEP)
    pd.testing.assert_frame_equal(row.longer.tail(99).frame(), expected, check_exact=True, check_freq=False)


def test_nothing_is_computed_while_a_longer_bar_grows(monkeypatch):
    made = []
    whole = slow.feature_table
    monkeypatch.setattr(slow, "feature_table", lambda *given: made.append(1) or whole(*given))
    bars = with_extras(240)
    closes = sum(changed for *_, changed in rows_of(bars, "1h", 200, 4096))
    assert closes == 10 and len(made) == 1 + closes  # one at the start


def test_a_past_without_a_whole_longer_bar_says_nothing_and_a_bar_off_the_clock_is_refused():
    bars = with_extras(10)
    row = SlowRow(NewestBars(bars.iloc[:3], 100), "1h", STEP, FEATURES)
    assert row.row.shape == (6,) and np.isnan(row.row).all()
    row.check(bars.index[3].as_unit("ns").value)
    with pytest.raises(BarsError, match="off the grid of the clock '1h'"):
        row.check((bars.index[3] + pd.Timedelta("5min")).as_unit("ns").value)
