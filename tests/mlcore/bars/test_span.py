import pandas as pd
import pytest

from mlcore.bars import between
from mlcore.errors import BarwiseError
from tests.conftest import random_bars

BARS = random_bars(48)


def test_the_start_belongs_to_the_span_and_the_end_does_not():
    cut = between(BARS, "2024-01-01 05:00", "2024-01-02")
    assert (cut.index[0], cut.index[-1]) == (pd.Timestamp("2024-01-01 05:00Z"), pd.Timestamp("2024-01-01 23:00Z"))
    pd.testing.assert_frame_equal(between(BARS), BARS)
    assert len(between(BARS, start="2025-01-01")) == 0  # a coin may have ended before


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [("2026-13-45", None, "must be stamps"), ("2024-01-02", "2024-01-01", "before the end"), (None, "soon", "'soon'")],
)
def test_what_is_no_span_is_refused(start, end, said):
    with pytest.raises(BarwiseError, match=said):
        between(BARS, start, end)
