"""Columns as exchanges, Kaggle and Binance dumps name them, brought to ours."""

from __future__ import annotations

import re

import pandas as pd

from mlcore.errors import BarsError, did_you_mean

PRICES = ("open", "high", "low", "close")
REQUIRED = (*PRICES, "volume")

# Best first: where several stand in a file, the first is taken and the others stay as extras.
_NAMES = {
    "open": ("open", "o", "open_price", "price_open", "opening_price"),
    "high": ("high", "h", "high_price", "price_high", "max_price"),
    "low": ("low", "l", "low_price", "price_low", "min_price"),
    "close": ("close", "c", "close_price", "price_close", "closing_price", "close_last", "last", "price"),
    "volume": ("volume", "vol", "v", "base_volume", "volume_base", "base_asset_volume", "volume_traded", "amount"),
    "quote_volume": ("quote_volume", "quote_asset_volume", "quote_vol", "quotevolume", "qav", "turnover"),
    "trades": ("trades", "number_of_trades", "num_trades", "trade_count", "tradecount", "trades_count", "count"),
    "taker_buy_volume": ("taker_buy_volume", "taker_buy_base_asset_volume", "taker_buy_base_volume", "taker_buy_vol"),
}
STAMPS = (
    *("timestamp", "open_time", "opentime", "time_open", "time_period_start", "datetime", "date_time"),
    *("unix", "unix_timestamp", "unix_time", "date", "time", "t", "ts", "start", "start_time", "begins_at", "index"),
)
CLOSE_STAMPS = ("close_time", "closetime", "time_close", "time_period_end")
SYMBOLS = ("symbol", "ticker", "pair", "tic", "instrument", "asset", "coin")
_QUOTES = set(
    ["usd", "usdt", "usdc", "busd", "tusd", "fdusd", "dai", "eur", "gbp", "jpy", "krw", "try", "currency", "quote"]
)
_VOLUME_OF = re.compile(r"vol(?:ume)?_(\w+)")

# A kline dump has no header line: Binance's columns, and Kraken's.
BINANCE_COLUMNS = (
    *("open_time", "open", "high", "low", "close", "volume", "close_time"),
    *("quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume", "ignore"),
)
HEADERLESS = {
    12: BINANCE_COLUMNS,
    11: BINANCE_COLUMNS[:11],
    6: BINANCE_COLUMNS[:6],
    7: (*BINANCE_COLUMNS[:6], "trades"),
    8: ("timestamp", "open", "high", "low", "close", "vwap", "volume", "trades"),
}


def key_of(name: object) -> str:
    """Return a column's name folded for comparison.

    >>> [key_of(name) for name in ("Open time", "Volume_(BTC)", " Close/Last", "Vol.")]
    ['open_time', 'volume_btc', 'close_last', 'vol']
    """
    return re.sub(r"[\W_]+", "_", str(name).casefold().replace("\ufeff", "")).strip("_")


def rename_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with our names; refuse two columns of one name and missing ones.

    Stamp columns keep their folded names (`mlcore.bars.stamps` chooses one).
    """
    if frame.columns.nlevels > 1:  # yfinance: (column, ticker)
        frame = frame.droplevel(list(range(1, frame.columns.nlevels)), axis=1)
    originals = [str(name) for name in frame.columns]
    keys = [key_of(name) for name in originals]
    refuse_twins(originals)
    chosen = {ours: key for ours, names in _NAMES.items() if (key := next((n for n in names if n in keys), None))}
    _choose_volumes(keys, chosen)
    if missing := [name for name in REQUIRED if name not in chosen]:
        raise BarsError(
            f"column {missing[0]!r} is missing{_others(missing)}; the columns are {_listed(originals)}."
            f"{did_you_mean(missing[0], keys)} Rename or add it: bars need open, high, low, close and volume."
        )
    ours = {key: name for name, key in chosen.items()}
    return frame.set_axis([ours.get(key, key) for key in keys], axis=1)


def refuse_twins(originals: list[str]) -> None:
    """Raise where two names are the same once folded."""
    keys = [key_of(name) for name in originals]
    for at, key in enumerate(keys):
        first = keys.index(key)
        if first != at and key:
            raise BarsError(
                f"two columns are named {key!r}: {originals[first]!r} (column {first}) and {originals[at]!r} (column "
                f"{at}). Which one counts cannot be guessed: drop or rename one; no repair is offered."
            )


def _choose_volumes(keys: list[str], chosen: dict[str, str]) -> None:
    """Read ``Volume BTC`` beside ``Volume USDT``: the base coin is the one that is not a currency of quotes."""
    named = [(key, match[1]) for key in keys if (match := _VOLUME_OF.fullmatch(key))]
    if "volume" not in chosen and named:
        chosen["volume"] = next((key for key, coin in named if coin not in _QUOTES), named[0][0])
    rest = [key for key, coin in named if key != chosen.get("volume") and coin in _QUOTES]
    if "quote_volume" not in chosen and rest:
        chosen["quote_volume"] = rest[0]


def _others(missing: list[str]) -> str:
    return f" (and {', '.join(missing[1:])})" if len(missing) > 1 else ""


def _listed(names: list[str]) -> str:
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "") if names else "none"
