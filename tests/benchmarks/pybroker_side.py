"""Walk a LightGBM forward in PyBroker and trade it, twice, cold and warm; print a JSON line of what it took.

Run by the Python of another virtualenv (`make_pybroker_env.sh`), which has PyBroker and nothing of Barwise:

    python pybroker_side.py BARS.parquet SETTINGS.json CACHE

What `test_pybroker.py` says is even is done here: indicators, rounds of boosting, windows, and a position of either
side held by the sign of the forecast. Time is CPU time of this process from loaded bars to a result; imports, and a
first run over a few bars that compiles what PyBroker compiles, are not in it.
"""

from __future__ import annotations

import json
import platform
import sys
import time
import warnings

import lightgbm
import numpy as np
import pandas as pd
import pybroker
from pybroker import ExecContext, Strategy, StrategyConfig

HORIZON = 5


def momentum(data, window: int = 10):
    out = np.full(len(data.close), np.nan)
    out[window:] = data.close[window:] / data.close[:-window] - 1
    return out


def volatility(data, window: int = 20):
    steps = pd.Series(np.log(data.close)).diff()
    return steps.rolling(window).std().to_numpy()


def high_low_range(data):
    return (data.high - data.low) / data.close


def volume_ma_ratio(data, window: int = 20):
    volume = pd.Series(data.volume)
    return (volume / volume.rolling(window).mean()).to_numpy()


def bollinger_position(data, window: int = 20):
    close = pd.Series(data.close)
    return ((close - close.rolling(window).mean()) / (2 * close.rolling(window).std())).to_numpy()


def indicators() -> list:
    made = [
        pybroker.indicator(f"momentum_{window}", momentum, window=window) for window in (1, 3, 5, 10, 15, 30, 60, 120)
    ]
    made += [pybroker.indicator(f"volatility_{window}", volatility, window=window) for window in (10, 20, 30, 60, 120)]
    made += [
        pybroker.indicator(f"bollinger_{window}", bollinger_position, window=window) for window in (10, 20, 40, 60)
    ]
    made += [pybroker.indicator(f"volume_{window}", volume_ma_ratio, window=window) for window in (10, 20, 60)]
    return [*made, pybroker.indicator("high_low_range", high_low_range)]


def strategy(bars: pd.DataFrame, settings: dict) -> Strategy:
    """A fresh strategy over bars; models and indicators by the same names, so that its caches find them."""
    found = indicators()
    columns = [one.name for one in found]

    def train(symbol, train_data, test_data):
        opened = train_data["open"].to_numpy()
        ahead = np.full(len(opened), np.nan)
        ahead[: -HORIZON - 1] = np.log(opened[HORIZON + 1 :] / opened[1:-HORIZON])
        table = train_data[columns].to_numpy()
        whole = np.isfinite(ahead) & np.isfinite(table).all(axis=1)
        table, ahead = table[whole], ahead[whole]
        held_out = round(settings["held_out"] * len(ahead))  # the newest rows, purged by the label's span
        rows = lightgbm.Dataset(table[: -held_out - HORIZON - 1], ahead[: -held_out - HORIZON - 1])
        judge = lightgbm.Dataset(table[-held_out:], ahead[-held_out:], reference=rows)
        stop = lightgbm.early_stopping(settings["rounds"], verbose=False)
        model = lightgbm.train(settings["params"], rows, settings["rounds"], valid_sets=[judge], callbacks=[stop])
        return model, columns

    model = pybroker.model(
        "gbm", train, indicators=found, predict_fn=lambda model, table: model.predict(np.asarray(table))
    )

    def trade(context: ExecContext) -> None:
        wanted = np.sign(context.preds("gbm")[-1])
        held = np.sign(float(context.long_pos().shares) if context.long_pos() else 0.0)
        held = held or -np.sign(float(context.short_pos().shares) if context.short_pos() else 0.0)
        if wanted == held or not wanted:
            return
        if wanted > 0:
            if held < 0:
                context.cover_all_shares()
            else:
                context.buy_shares = context.calc_target_shares(0.9)
        elif held > 0:
            context.sell_all_shares()
        else:
            context.sell_shares = context.calc_target_shares(0.9)

    made = Strategy(bars, bars["date"].iloc[0], bars["date"].iloc[-1], StrategyConfig(initial_cash=1_000_000))
    made.add_execution(trade, ["BTC"], models=model)
    return made


def walk(bars: pd.DataFrame, settings: dict) -> tuple[float, dict]:
    started = time.process_time()
    result = strategy(bars, settings).walkforward(
        windows=settings["folds"],
        train_size=settings["train_size"],
        lookahead=HORIZON + 1,
        calc_bootstrap=False,
        seed=1,
    )
    seconds = time.process_time() - started
    return seconds, {"trades": len(result.trades), "final": float(result.portfolio["market_value"].iloc[-1])}


def main(path: str, settings_path: str, cache: str) -> None:
    warnings.filterwarnings("ignore")
    pybroker.disable_progress_bar()
    pybroker.disable_logging()
    bars = pd.read_parquet(path)
    with open(settings_path) as file:
        settings = json.load(file)
    pybroker.enable_caches("small", cache_dir=cache)
    walk(bars.iloc[:5000], settings)
    pybroker.enable_caches("whole", cache_dir=cache)
    cold, first = walk(bars, settings)
    warm, again = walk(bars, settings)
    versions = {"python": platform.python_version(), "pybroker": pybroker.__version__, "lightgbm": lightgbm.__version__}
    print(json.dumps({"cold": cold, "warm": warm, "first": first, "again": again, "versions": versions}))


if __name__ == "__main__":
    main(*sys.argv[1:])
