"""Bars of many symbols from many files or one, named, checked one by one, warned of together."""

import warnings

import pandas as pd
import pytest

from mlcore.bars import check_bars, market_of, read_bars
from mlcore.bars.panel import read_panel, symbols_in
from mlcore.errors import BarsError, BarwiseWarning
from tests.conftest import random_bars


@pytest.fixture
def panel_file(tmp_path):
    parts = [random_bars(30 + i, seed=i).assign(symbol=name) for i, name in enumerate(("ETHUSDT", "BTCUSDT", "XUSDT"))]
    path = tmp_path / "panel.parquet"
    pd.concat(parts).astype({"symbol": "category"}).to_parquet(path)
    return path


def saved(folder, name, seed=0, n=30):
    bars = random_bars(n, seed=seed)
    bars.to_parquet(folder / f"{name}.parquet")
    return folder / f"{name}.parquet", bars


def test_one_file_with_a_column_of_symbols(panel_file):
    panel = read_panel(panel_file)
    assert list(panel) == ["BTCUSDT", "ETHUSDT", "XUSDT"] == symbols_in(panel_file)
    pd.testing.assert_frame_equal(panel["BTCUSDT"], random_bars(31, seed=1), check_freq=False)
    assert list(read_panel(panel_file, symbols=["XUSDT", "ETHUSDT"])) == ["XUSDT", "ETHUSDT"]
    csv = panel_file.with_suffix(".csv")
    pd.read_parquet(panel_file).to_csv(csv)
    assert symbols_in(csv) == list(panel)
    pd.testing.assert_frame_equal(read_panel(csv)["XUSDT"], panel["XUSDT"])


def test_many_files_are_named_by_the_ticker_in_their_name(tmp_path):
    one, bars = saved(tmp_path, "binance_spot_BTCUSDT_1h")
    two, other = saved(tmp_path, "binance_spot_1000PEPEUSDT_1h_x", seed=1)
    panel = read_panel([one, two])
    assert list(panel) == ["BTCUSDT", "1000PEPEUSDT"]
    pd.testing.assert_frame_equal(panel["1000PEPEUSDT"], other, check_freq=False)
    again, _ = saved(tmp_path, "binance_spot_BTCUSDT_5m")
    assert list(read_panel([one, again])) == ["binance_spot_BTCUSDT_1h", "binance_spot_BTCUSDT_5m"]
    assert list(read_panel({"b": one, "p": str(two)})) == ["b", "p"]
    assert symbols_in(one) == [] == symbols_in(tmp_path / "no.parquet")
    with pytest.raises(BarsError, match="the symbol 'BTCUSDT' is in"):
        pd.concat([bars.assign(symbol="BTCUSDT"), bars.assign(symbol="AUSDT")]).to_parquet(tmp_path / "both.parquet")
        read_panel([tmp_path / "both.parquet", one])


def test_what_one_file_is_of_is_told_by_its_column_or_its_name(panel_file, tmp_path):
    one, bars = saved(tmp_path, "binance_spot_BTCUSDT_1h")
    plain, _ = saved(tmp_path, "bars")
    assert (market_of(read_bars(one)), market_of(read_bars(plain)), market_of(bars)) == ("BTCUSDT", None, None)
    assert market_of(read_bars(panel_file, symbol="ETHUSDT")) == "ETHUSDT"
    for panel in (read_panel(panel_file), read_panel([panel_file, plain])):
        assert all(market_of(frame) == (None if symbol == "bars" else symbol) for symbol, frame in panel.items())
    aliases = read_panel({"b": one, "p": plain})
    assert [market_of(frame) for frame in aliases.values()] == ["BTCUSDT", None]
    assert market_of(check_bars(read_bars(one).iloc[5:])) == "BTCUSDT"
    bars.assign(symbol="ETHUSDT").to_parquet(one)
    assert market_of(read_bars(one)) == "ETHUSDT" == market_of(read_panel({"b": one})["b"])


def test_what_is_wrong_is_said_with_the_symbol(panel_file, tmp_path):
    with pytest.raises(BarsError, match="'BTCUSD'.*Did you mean 'BTCUSDT'"):
        read_panel(panel_file, symbols=["BTCUSD"])
    with pytest.raises(BarsError, match="holds 3 symbols and is named as one, 'x'"):
        read_panel({"x": panel_file})
    with pytest.raises(BarsError, match="is empty"):
        read_panel([])
    with pytest.raises(BarsError, match="does not exist"):
        read_panel([panel_file, tmp_path / "none.parquet"])
    bars = pd.read_parquet(panel_file)
    bars.loc[bars["symbol"] == "XUSDT", "high"] = 1.0
    bars.to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(BarsError, match=r"bad.parquet: XUSDT: .*high"):
        read_panel(tmp_path / "bad.parquet")
    assert list(read_panel(tmp_path / "bad.parquet", symbols=["BTCUSDT"])) == ["BTCUSDT"]


def test_symbols_are_warned_of_together_one_sentence_a_kind(tmp_path):
    paths = []
    for i in range(4):
        bars = random_bars(60, seed=i)
        bars = bars.drop(bars.index[10 : 12 + i]) if i else bars
        bars.to_parquet(tmp_path / f"C{i}COINUSDT.parquet")
        paths.append(tmp_path / f"C{i}COINUSDT.parquet")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_panel(paths)
    said = [str(warning.message) for warning in caught if issubclass(warning.category, BarwiseWarning)]
    assert len(said) == 1
    assert said[0].startswith("C1COINUSDT: `bars`: 3 bars are missing")
    assert said[0].endswith("Likewise 2 more of 4 symbols.")


@pytest.mark.bars
def test_the_panel_of_404_pairs(bars_folder):
    path = bars_folder / "1h" / "binance_spot_universe_1h_2025H1.parquet"
    assert len(symbols_in(path)) == 404
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BarwiseWarning)
        panel = read_panel(path, symbols=["BTCUSDT", "HOMEUSDT"])
    assert [len(bars) for bars in panel.values()] == [4040, 137]
    assert panel["HOMEUSDT"].index[-1] == panel["BTCUSDT"].index[-1]
