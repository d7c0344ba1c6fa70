"""The door: what comes out of `check_bars`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlcore.bars import check_bars
from mlcore.errors import BarsError


def test_checked_bars_come_back_the_same(bars):
    pd.testing.assert_frame_equal(check_bars(bars), bars, check_freq=False)
    pd.testing.assert_frame_equal(check_bars(check_bars(bars)), check_bars(bars))


def test_whatever_comes_in_the_contract_comes_out(bars):
    raw = (
        bars.tz_localize(None).rename(columns=str.title).astype(np.float32).assign(Trades=7, Symbol="BTCUSDT", Note="x")
    )
    made = check_bars(raw)
    assert list(made) == ["open", "high", "low", "close", "volume", "trades"]
    assert (made.dtypes == np.float64).all()
    assert made.index.name == "timestamp"
    assert str(made.index.dtype) == "datetime64[ns, UTC]"


def test_extras_may_hold_nan(bars):
    made = check_bars(bars.assign(funding_rate=np.nan))
    assert made["funding_rate"].isna().all()


def test_the_input_is_left_alone(bars):
    raw = bars.reset_index().rename(columns={"timestamp": "Date"})
    before = raw.copy()
    made = check_bars(raw)
    made.iloc[:] = 0.0
    pd.testing.assert_frame_equal(raw, before)


def test_close_stamps_are_converted_when_said(bars):
    closing = bars.shift(freq="1h")
    pd.testing.assert_frame_equal(check_bars(closing, stamped="close"), bars, check_freq=False)
    assert check_bars(closing).index[0] == bars.index[1]  # and never guessed


def test_a_panel_needs_a_choice(bars):
    panel = pd.concat([bars.assign(symbol="BTCUSDT"), (bars * 2).assign(symbol="ETHUSDT")])
    with pytest.raises(BarsError, match=r"'symbol' holds 2 markets \(BTCUSDT, ETHUSDT"):
        check_bars(panel)
    pd.testing.assert_frame_equal(check_bars(panel, symbol="ETHUSDT"), bars * 2, check_freq=False)
    with pytest.raises(BarsError, match="Did you mean 'ETHUSDT'"):
        check_bars(panel, symbol="ETHUSD")
    with pytest.raises(BarsError, match="`symbol` is 'ETHUSDT', and no column tells symbols apart"):
        check_bars(bars, symbol="ETHUSDT")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"min_rows": 601}, "600 rows; 601 are needed"),
        ({"stamped": "closed"}, "`stamped` is 'closed'. Did you mean 'close'"),
    ],
)
def test_what_will_not_do_is_told(bars, arguments, said):
    with pytest.raises(BarsError, match=said):
        check_bars(bars, **arguments)


def test_no_rows_and_no_frame_are_refused(bars):
    with pytest.raises(BarsError, match="empty"):
        check_bars(bars.iloc[:0])
    with pytest.raises(BarsError, match="must be a DataFrame"):
        check_bars(bars["close"])
