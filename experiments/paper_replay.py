"""Does a paper account that is stopped and taken up again give the orders of one that was not, and of the backtest?

python experiments/paper_replay.py --bars FILE --model linear --train 1000 --test 250 --live 500 --stops 3 --out DIR
A file played as a live feed, bar by bar: once undisturbed, once thrown away and begun again at each stop from what lies
on the disk, and once as a batched backtest over the same bars.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console

from mlcore.errors import BarwiseError
from strategies.cli import parse_config, run_cli
from strategies.config import flag


@dataclass
class Question:
    """What is played; counts are of bars."""

    bars: str
    out: str
    model: str = "linear"
    train: int = flag(1000, "bars of the training window", least=1)
    test: int = flag(250, "bars between refits", least=1)
    latency: int = 1
    horizon: int = 5
    live: int = flag(500, "bars traded, at the end; as many before them as a run needs", least=1)
    stops: int = flag(3, "how often it is stopped", least=0)
    overwrite: bool = False


def played(bars: Any, state: Path, first_live: int, given: dict[str, Any]) -> tuple[list[tuple], Any]:
    """Play `bars` as a live feed into a Cerebro of its own, with what `state` holds; the orders and the strategy."""
    import backtrader as bt

    from strategies.bt import OrderLog, ReplayFeed, WalkForwardStrategy, set_broker

    cerebro = bt.Cerebro(stdstats=False)
    feed: Any = ReplayFeed  # its parameters are backtrader's, which no type checker sees
    cerebro.adddata(feed(bars, live_from=bars.index[first_live]))
    cerebro.addstrategy(WalkForwardStrategy, state=state, **given)
    cerebro.addanalyzer(OrderLog, _name="orders")
    set_broker(cerebro)
    strategy = cerebro.run()[0]
    return strategy.analyzers.orders.get_analysis(), strategy


def main() -> None:
    asked = parse_config(Question, None, __doc__)
    from mlcore.bars import read_bars
    from mlcore.folds import WalkForward
    from mlcore.labels import direction
    from mlcore.retraining import Decayed
    from strategies.bt import run_retraining
    from strategies.folder import check_folder, result_folder
    from strategies.policy import Policy

    if asked.stops >= asked.live // 2:
        raise BarwiseError(f"`stops` is {asked.stops}; it must be below half of `live`, {asked.live} bars.")
    needed = asked.live + 2 * asked.train  # a warm-up, the train window, and room for a block before
    check_folder(asked.out, overwrite=asked.overwrite)
    bars = read_bars(asked.bars, min_rows=needed).iloc[-needed:]
    first = len(bars) - asked.live
    label = functools.partial(direction, horizon=asked.horizon)
    folds = WalkForward(train=asked.train, test=asked.test, latency=asked.latency)
    given: dict[str, Any] = {
        "model": asked.model,
        "label": label,
        "folds": folds,
        "rules": Decayed(),
        "policy": Policy(entry=0.2),
    }
    given["sizer"] = "confidence"
    with result_folder(asked.out, overwrite=asked.overwrite) as folder, TemporaryDirectory() as disk:
        whole, strategy = played(bars, Path(disk) / "undisturbed", first, given)
        stopped: list[tuple] = []
        for stop in np.linspace(first, len(bars), asked.stops + 2).astype(int)[1:]:  # the last one is the end
            stopped += played(bars.iloc[:stop], Path(disk) / "stopped", first, given)[0]
        batched = run_retraining(bars, asked.model, **{name: given[name] for name in given if name != "model"})
        weights = np.array([strategy.weights[row] for row in range(first, len(bars))])
        apart = float(np.nanmax(np.abs(weights - batched.weights.to_numpy()[first:]), initial=0.0))
        answer = {
            "live_bars": asked.live,
            "stops": asked.stops,
            "orders_undisturbed": len(whole),
            "orders_stopped": len(stopped),
            "same_orders_to_the_bit": whole == stopped,
            "largest_difference_of_weights_from_the_backtest": apart,
            "flat_alike": bool((np.isnan(weights) == batched.weights.isna().to_numpy()[first:]).all()),
            "retrains": [retrain.as_row() for retrain in strategy.retrains],
            "same_retrains_as_the_backtest": [one.reason for one in strategy.retrains]
            == [event["reason"] for event in batched.extras["retrains"]],
        }
        (folder / "result.json").write_text(json.dumps(answer, indent=1, default=str) + "\n")
    Console().print_json(json.dumps({name: value for name, value in answer.items() if name != "retrains"}))


if __name__ == "__main__":
    run_cli(main)
