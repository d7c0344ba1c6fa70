"""Names of columns as they occur in the wild."""

from __future__ import annotations

import pandas as pd
import pytest

from mlcore.bars.columns import rename_columns
from mlcore.errors import BarsError


def renamed(*names: str) -> list[str]:
    return list(rename_columns(pd.DataFrame([range(len(names))], columns=list(names))).columns)


OURS = ["open", "high", "low", "close", "volume"]


@pytest.mark.parametrize(
    "names",
    [
        ["Open", "High", "Low", "Close", "Volume"],
        [" OPEN ", "HIGH", "LOW", "CLOSE", "VOLUME"],
        ["o", "h", "l", "c", "v"],
        ["Open", "High", "Low", "Close/Last", "Vol."],
        ["price_open", "price_high", "price_low", "price_close", "volume_traded"],
        ["open_price", "high_price", "low_price", "close_price", "Volume_(BTC)"],
        ["Open", "High", "Low", "Price", "Vol."],
    ],
)
def test_usual_names(names):
    assert renamed(*names) == OURS


def test_the_volume_of_the_base_coin_is_the_volume():
    assert renamed(*OURS[:4], "Volume USDT", "Volume BTC")[4:] == ["quote_volume", "volume"]
    assert renamed(*OURS[:4], "Volume_(BTC)", "Volume_(Currency)")[4:] == ["volume", "quote_volume"]
    assert renamed(*OURS[:4], "Volume ETH", "Volume BTC")[4:] == ["volume", "volume_btc"]
    assert renamed(*OURS, "Quote asset volume", "Number of trades", "Taker buy base asset volume")[5:] == [
        "quote_volume",
        "trades",
        "taker_buy_volume",
    ]


def test_the_plain_name_wins_over_a_cousin():
    assert renamed(*OURS, "last", "Adj Close") == [*OURS, "last", "adj_close"]


@pytest.mark.parametrize("twin", ["close", "Close", " CLOSE"])
def test_two_columns_of_one_name_are_refused(twin):
    with pytest.raises(BarsError, match=r"two columns are named 'close': 'close' \(column 3\) and .* \(column 5\)"):
        renamed(*OURS, twin)


def test_a_missing_column_is_named_with_those_there():
    with pytest.raises(
        BarsError, match="'volume' is missing; the columns are open, high, low, close, volum.*Did you mean 'volum'"
    ):
        renamed("open", "high", "low", "close", "volum")
    with pytest.raises(BarsError, match=r"'high' is missing \(and low, volume\)"):
        renamed("open", "close")


def test_a_ticker_level_is_dropped():
    columns = pd.MultiIndex.from_product([["Close", "High", "Low", "Open", "Volume"], ["BTC-USD"]])
    made = rename_columns(pd.DataFrame([range(5)], columns=columns))
    assert set(made.columns) == set(OURS)
