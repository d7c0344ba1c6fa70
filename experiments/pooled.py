"""Does one model for all coins forecast better than one model a coin?

python experiments/pooled.py --bars BARS/1h/binance_spot_*USDT_1h.parquet --start 2020-06-01 --end 2024-07-01 --out DIR
"""

import json
import resource
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from mlcore import BarwiseError, WalkForward, direction, read_panel, walk_forward_panel
from mlcore.bars import panel_between
from mlcore.models import make_model
from strategies.cli import parse_config, run_cli
from strategies.config import flag
from strategies.folder import check_folder, result_folder


@dataclass(frozen=True)
class PooledConfig:
    """Settings of the comparison: the same bars, label, features and folds for one model and for many."""

    bars: list[str] | str = field(metadata={"help": "files of bars, one a coin, or one file of many"})
    out: str = field(metadata={"help": "folder to make; all of it or nothing is written"})
    model: str = flag("lightgbm", "name of a model, or package.module.Class")
    horizon: int = flag(5, "bars ahead that the label (up or down) looks")
    train: str = flag("60D", "training window")
    test: str = flag("30D", "test window, and so the time between refits")
    start: str | None = flag(None, "first stamp that counts")
    end: str | None = flag(None, "stamp before which all bars lie")
    pooled_only: bool = flag(False, "do not train one model a coin beside it (a switch)")
    overwrite: bool = flag(False, "replace an earlier result in `out` (a switch)")


def main() -> None:
    config = parse_config(PooledConfig, None, __doc__)
    check_folder(config.out, overwrite=config.overwrite)
    panel = panel_between(read_panel(config.bars), config.start, config.end)
    signals, started = {}, time.perf_counter()
    for way, panels in {"pooled": [panel], "alone": [{s: b} for s, b in panel.items()]}.items():
        if way == "pooled" or not config.pooled_only:
            signals[way] = {s: signal for some in panels for s, signal in walk(config, some).items()}
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(
                f"{way}: {len(signals[way])} coins, {time.perf_counter() - started:.0f} s so far, peak {peak:.2f} GiB"
            )
    table = pd.concat(products(config, panel[symbol], signals, symbol) for symbol in panel)
    with result_folder(config.out, overwrite=config.overwrite) as folder:
        table.to_csv(folder / "pooled.csv", index=False)
        (folder / "config.json").write_text(json.dumps(asdict(config), indent=1))
    sums = (table.groupby(by)[[*signals, "bars"]].sum() for by in ("symbol", "week"))
    coins, weeks = (some[list(signals)].div(some["bars"], axis=0) for some in sums)
    for way in signals:
        print(f"{way}: rank IC {coins[way].mean():+.4f}, mean over coins; {told(weeks[way])}")
    if len(signals) == 2:
        more = coins["pooled"] - coins["alone"]
        print(
            f"more by pooling: {told(weeks['pooled'] - weeks['alone'])}; > 0 for {sum(more > 0)} of {len(more)} coins"
        )


def walk(config: PooledConfig, panel: dict[str, pd.DataFrame]) -> dict[str, pd.Series]:
    """Return the signals of a panel; a coin that no fold can be fitted on by itself gives none."""
    folds = WalkForward(config.train, config.test)
    label = partial(direction, horizon=config.horizon, threshold=0.0)
    try:
        run = walk_forward_panel(panel, make_model(config.model), label=label, folds=folds)
    except BarwiseError:
        if len(panel) > 1:
            raise
        return {}
    return {symbol: forecasts["signal"] for symbol, forecasts in run.forecasts.items()}


def products(config: PooledConfig, bars: pd.DataFrame, signals: dict[str, Any], symbol: str) -> pd.DataFrame:
    """Sum, week by week, the products of a coin's ranks of signal and return, over the bars that all ways forecast.

    Ranks are of the coin's whole span, mean 0 and deviation 1, so that all sums by all bars are its rank IC; ranks
    within a week would favour whatever bets on a return to the week's own mean.
    """
    returns = pd.Series(direction(bars, config.horizon).returns, bars.index)
    both = {way: found.get(symbol, returns * np.nan) for way, found in signals.items()}
    ranks = pd.DataFrame(both).assign(returns=returns).dropna().rank()
    ranks = (ranks - ranks.mean()) / ranks.std(ddof=0)
    made = ranks[list(signals)].mul(ranks["returns"], axis=0).assign(bars=1)
    return (
        made.groupby(pd.DatetimeIndex(made.index).floor("7D").rename("week")).sum().reset_index().assign(symbol=symbol)
    )


def told(weeks: Any) -> str:
    return f"{weeks.mean():+.4f} with a s.e. of {weeks.sem():.4f} over {len(weeks)} weeks"


if __name__ == "__main__":
    run_cli(main)
