import pandas as pd
import pytest

from mlcore.bars import between, panel_between
from mlcore.errors import BarwiseError, BarwiseWarning
from tests.conftest import random_bars

BARS = random_bars(48)


def test_the_start_belongs_to_the_span_and_the_end_does_not():
    cut = between(BARS, "2024-01-01 05:00", "2024-01-02")
    assert (cut.index[0], cut.index[-1]) == (pd.Timestamp("2024-01-01 05:00Z"), pd.Timestamp("2024-01-01 23:00Z"))
    pd.testing.assert_frame_equal(between(BARS), BARS)


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("2025-01-01", None, "no bar lies between `start` '2025-01-01' and `end` None: they run from 2024-01-01 "),
        ("2026-13-45", None, "must be stamps"),
        ("2024-01-02", "2024-01-01", "before the end"),
        (None, "soon", "'soon'"),
    ],
)
def test_what_is_no_span_is_refused(start, end, said):
    with pytest.raises(BarwiseError, match=said):
        between(BARS, start, end)


def test_of_a_panel_the_symbols_without_bars_in_the_span_are_left_out_and_named():
    panel = {"old": BARS.iloc[:24], "whole": BARS, "gap": BARS.iloc[[0, 47]]}
    with pytest.warns(BarwiseWarning, match="2 of 3 symbols have no bar between .* left out: old, gap"):
        cut = panel_between(panel, "2024-01-02", "2024-01-02 05:00")
    assert {symbol: len(bars) for symbol, bars in cut.items()} == {"whole": 5}
    assert list(panel_between(panel)) == list(panel)


def test_a_span_in_which_no_symbol_has_a_bar_is_refused():
    with pytest.raises(BarwiseError, match="old: no bar lies between `start` '2025-01-01'"):
        panel_between({"old": BARS.iloc[:24], "whole": BARS}, "2025-01-01")
