"""Files as exchanges, Kaggle and Binance dumps write them; files that are none."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlcore.bars import read_bars
from mlcore.errors import BarsError, BarwiseWarning

OURS = ["open", "high", "low", "close", "volume"]


@pytest.fixture
def bars(bars) -> pd.DataFrame:
    return bars.iloc[:40].round(6)


def same(made: pd.DataFrame, bars: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(made[OURS], bars, check_freq=False, rtol=1e-12)


def epochs(bars: pd.DataFrame, unit: str) -> np.ndarray:
    return bars.index.as_unit(unit).asi8


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".csv", ".csv.gz", ".csv.zip", ".tsv"])
@pytest.mark.parametrize("place", ["index", "column"])
def test_kinds_of_file_with_stamps_as_index_or_column(bars, tmp_path, suffix, place):
    path = tmp_path / f"b{suffix}"
    frame = bars if place == "index" else bars.reset_index(names="Open time")
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".feather":
        frame.reset_index(drop=place == "column").to_feather(path)
    else:
        frame.to_csv(path, index=place == "index", sep="\t" if suffix == ".tsv" else ",")
    before = path.read_bytes()
    same(read_bars(path), bars)
    assert path.read_bytes() == before


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("name", ["unix", "open_time", "Timestamp", "time", "date"])
def test_epochs_under_many_names(bars, tmp_path, unit, name):
    bars.assign(**{name: epochs(bars, unit)}).to_csv(tmp_path / "b.csv", index=False)
    same(read_bars(tmp_path / "b.csv"), bars)


def test_a_binance_dump_has_no_header(bars, tmp_path):
    dump = bars.reset_index(drop=True)
    dump.insert(0, "t", epochs(bars, "ms"))
    dump["close_time"] = epochs(bars, "ms") + 3_599_999
    dump = dump.assign(quote=dump["volume"] * 100, trades=9, taker=dump["volume"] / 2, taker_quote=1.5, ignore=0)
    dump.to_csv(tmp_path / "BTCUSDT-1h-2024-01.csv", index=False, header=False)
    made = read_bars(tmp_path / "BTCUSDT-1h-2024-01.csv")
    same(made, bars)
    assert list(made)[5:] == ["quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume"]
    assert (made["trades"] == 9).all()


def test_a_cryptodatadownload_file_has_a_line_above_and_is_newest_first(bars, tmp_path):
    frame = pd.DataFrame(
        {
            "unix": epochs(bars, "ms"),
            "date": bars.index.strftime("%Y-%m-%d %H:%M:%S"),
            "symbol": "BTC/USDT",
            **bars[OURS[:4]].reset_index(drop=True),
            "Volume BTC": bars["volume"].to_numpy(),
            "Volume USDT": bars["volume"].to_numpy() * 100,
            "tradecount": 3,
        }
    )
    path = tmp_path / "Binance_BTCUSDT_1h.csv"
    path.write_text("https://www.CryptoDataDownload.com\n" + frame.iloc[::-1].to_csv(index=False))
    with pytest.raises(BarsError, match="stamps must increase.*`--repair sort`"):
        read_bars(path)
    with pytest.warns(BarwiseWarning, match="`repair` sort sorted 40 rows"):
        made = read_bars(path, repair=["sort"])
    same(made, bars)
    assert list(made)[5:] == ["quote_volume", "trades"]


def test_a_remark_above_the_header(bars, tmp_path):
    (tmp_path / "b.csv").write_text("# made, by, a, tool, with, commas\n" + bars.to_csv())
    same(read_bars(tmp_path / "b.csv"), bars)


def test_a_semicolon_file_with_a_byte_order_mark(bars, tmp_path):
    text = bars.reset_index().rename(columns={"timestamp": "Date"}).to_csv(index=False, sep=";")
    (tmp_path / "b.csv").write_text("\ufeff" + text, encoding="utf-8")
    same(read_bars(tmp_path / "b.csv"), bars)


def test_an_index_written_without_a_name(bars, tmp_path):
    bars.rename_axis(None).to_csv(tmp_path / "b.csv")
    same(read_bars(tmp_path / "b.csv"), bars)


def test_the_bundled_bars():
    with pytest.warns(BarwiseWarning, match="180 gaps"):
        made = read_bars("sp500")
    assert made.shape[0] == 5031
    assert str(made.index[0]) == "1999-01-04 00:00:00+00:00"
    for said in ({"stamped": "close"}, {"symbol": "BTC"}):
        with pytest.raises(BarsError, match="`sp500` is one index.*leave `stamped` and `symbol` out"):
            read_bars("sp500", **said)


# --- files that are none ----------------------------------------------------------------------------------------


def truncated(bars, path):
    bars.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-200])


def twins(bars, path):
    bars.assign(Close=bars["close"]).to_parquet(path)


def same_names(bars, path):
    table = pa.Table.from_pandas(bars)
    pq.write_table(table.append_column("close", table["close"]), path)


def text_in_a_price(bars, path):
    bars.astype({"close": str}).replace({"close": {str(bars["close"].iloc[3]): "oops"}}).to_csv(path)


def doubled_header(bars, path):
    path.write_text(bars.to_csv().replace("volume", "close", 1).replace("open", "volume", 1))


BAD = {
    "truncated.parquet": (truncated, "no readable parquet file"),
    "noise.parquet": (lambda bars, path: path.write_bytes(b"PAR1" + bytes(100)), "no readable parquet file"),
    "empty.parquet": (lambda bars, path: path.write_bytes(b""), "the file is empty"),
    "empty.csv": (lambda bars, path: path.write_bytes(b""), "the file is empty"),
    "blank.csv": (lambda bars, path: path.write_text("\n\n"), "no row, or nothing"),
    "norows.parquet": (lambda bars, path: bars.iloc[:0].to_parquet(path), "there is no row"),
    "header.csv": (lambda bars, path: path.write_text("timestamp,open,high,low,close,volume\n"), "no row"),
    "twins.parquet": (twins, "two columns are named 'close': 'close' .* 'Close'"),
    "same.parquet": (same_names, "two columns are named 'close'"),
    "twins.csv": (doubled_header, "two columns are named 'close'"),
    "text.csv": (text_in_a_price, r"row 3 \(2024-01-01 03:00:00.*`close` is the text 'oops'"),
    "binary.csv": (lambda bars, path: path.write_bytes(bytes(range(128, 256)) * 20), "no readable CSV"),
    "ragged.csv": (lambda bars, path: path.write_text(bars.to_csv() + "1,2,3,4,5,6,7,8,9\n"), "no readable CSV"),
    "nine.csv": (lambda bars, path: path.write_text("1,2,3,4,5,6,7,8,9\n" * 3), "9 fields; without a header"),
    "prose.csv": (lambda bars, path: path.write_text("hello\nworld\n"), "no table of bars"),
    "book.xlsx": (lambda bars, path: path.write_bytes(b"x"), "the kind '.xlsx' is not known"),
    "notgz.csv.gz": (lambda bars, path: path.write_bytes(b"1,2,3,4,5"), "no readable CSV"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_bars_costs_one_clear_line(bars, tmp_path, name):
    writing, said = BAD[name]
    path = tmp_path / name
    writing(bars, path)
    with pytest.raises(BarsError, match=said) as error:
        read_bars(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


def test_a_file_that_is_not_there(tmp_path):
    (tmp_path / "btc_1h.parquet").write_bytes(b"x")
    with pytest.raises(BarsError, match="does not exist. Did you mean 'btc_1h.parquet'"):
        read_bars(tmp_path / "btc_1h.parqet")
    with pytest.raises(BarsError, match="this is a folder: name a file in it"):
        read_bars(tmp_path)


def test_a_folder_is_refused_with_a_file_in_it_and_never_suggests_itself(bars, tmp_path):
    (tmp_path / "bars").mkdir()
    with pytest.raises(BarsError, match="name a file in it. It holds none of a kind that is read.$"):
        read_bars(tmp_path / "bars")
    for name in ("eth.csv.gz", "btc.csv.gz", "about.md"):
        bars.to_csv(tmp_path / "bars" / name)
    with pytest.raises(BarsError, match="name a file in it. It holds 2, the first is 'btc.csv.gz'.$"):
        read_bars(tmp_path / "bars")


# --- real files ---------------------------------------------------------------------------------------------------


@pytest.mark.bars
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("1h/binance_spot_BTCUSDT_1h.parquet", "122 bars are missing in 27 gaps.*|zero volume|spikes"),
        ("1d/kraken_spot_BTCUSD_1d.parquet", "12 bars are missing in 1 gap |19 of 2,191 bars have zero volume|spikes"),
        ("1m/bitfinex_spot_ETHUSD_1m_2017_2019.parquet", "198,463 bars are missing in 92,842 gaps|spikes"),
    ],
)
def test_real_bars_are_read_and_their_holes_counted(bars_folder, name, said):
    with pytest.warns(BarwiseWarning, match=said) as told:
        made = read_bars(bars_folder / name)
    assert any(said.split("|")[0].removesuffix(".*") in str(warning.message) for warning in told)
    assert (made.dtypes == np.float64).all()
    assert str(made.index.dtype) == "datetime64[ns, UTC]"


@pytest.mark.bars
def test_the_file_stamped_at_the_close(bars_folder):
    path = bars_folder / "1m" / "ftx_perp_BTC_1m_2022-01.parquet"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BarwiseWarning)
        made, shifted = read_bars(path), read_bars(path, stamped="close")
    np.testing.assert_array_equal(shifted.index, made.index - pd.Timedelta("1min"))
    np.testing.assert_array_equal(shifted, made)


@pytest.mark.bars
def test_a_panel_file_needs_a_choice(bars_folder):
    path = bars_folder / "1m" / "binance_perp_panel13_1m_2026-01.parquet"
    with pytest.raises(BarsError, match="13 markets"):
        read_bars(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BarwiseWarning)
        assert read_bars(path, symbol="BCHUSDT").index.is_unique
