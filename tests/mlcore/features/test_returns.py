"""Returns by hand."""

from __future__ import annotations

import numpy as np

from mlcore.features.returns import close_pct_change, high_low_range, log_return


def test_returns_by_hand(bars):
    close = bars["close"]
    np.testing.assert_allclose(close_pct_change(bars)[1:], close.pct_change()[1:], rtol=1e-9)
    np.testing.assert_allclose(log_return(bars)[1:], np.log(close).diff()[1:], rtol=1e-9, atol=1e-15)
    assert close_pct_change(bars).isna().sum() == log_return(bars).isna().sum() == 1


def test_the_range_is_a_share_of_the_close(bars):
    np.testing.assert_array_equal(high_low_range(bars), (bars["high"] - bars["low"]) / bars["close"])
