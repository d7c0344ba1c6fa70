"""Equal bars have equal hashes; anything that differs shows."""

from __future__ import annotations

import pandas as pd
import pytest

from mlcore.bars import bars_sha256, check_market, market_of, name_market, read_bars
from mlcore.errors import BarwiseError


def test_the_hash_does_not_depend_on_the_file(bars, tmp_path):
    bars.to_parquet(tmp_path / "a.parquet")
    bars.reset_index().to_csv(tmp_path / "a.csv", index=False, float_format="%.17g")
    wanted = bars_sha256(bars)
    assert len(wanted) == 64
    assert bars_sha256(read_bars(tmp_path / "a.parquet")) == bars_sha256(bars.copy()) == wanted
    assert bars_sha256(read_bars(tmp_path / "a.csv")) == wanted


def test_values_stamps_and_names_count(bars):
    wanted = bars_sha256(bars)
    changed = bars.copy()
    changed.iloc[300, 3] *= 1 + 1e-15
    assert bars_sha256(changed) != wanted
    assert bars_sha256(bars.shift(freq="1h")) != wanted
    assert bars_sha256(bars.rename(columns={"volume": "trades"})) != wanted
    assert bars_sha256(bars.iloc[:-1]) != wanted


def test_what_a_frame_is_of_stays_with_its_rows_and_in_parquet(bars, tmp_path):
    assert market_of(bars) is None and market_of(name_market(bars.copy(), None)) is None
    named = name_market(bars.copy(), "BTCUSDT")
    named.iloc[5:9].assign(volume=1.0).to_parquet(tmp_path / "named.parquet")
    assert market_of(pd.read_parquet(tmp_path / "named.parquet")) == "BTCUSDT"
    assert bars_sha256(named) == bars_sha256(bars)


def test_forecasts_of_another_market_are_refused_as_far_as_both_are_known(bars):
    bitcoin, ether = (name_market(bars.copy(), symbol) for symbol in ("BTCUSDT", "ETHUSDT"))
    with pytest.raises(BarwiseError, match="`forecasts` are of BTCUSDT and `bars` of ETHUSDT: give the bars they"):
        check_market(bitcoin, ether)
    for other in (bars, bitcoin, name_market(bars.copy(), "btc/usdt")):
        check_market(bitcoin, other)
        check_market(other, bitcoin)
