"""Is it worth more to retrain when something says so than by the calendar, at the same number of fits?

python experiments/retrain_in_cerebro.py --bars FILE --model lightgbm --train 90D --test 14D --out DIR
Four runs inside Cerebro: the calendar alone, the calendar and a rule (decayed forecasts; drifted inputs, with
`barwise[drift]`), and a calendar that fits as often as the busier of those. Same bars, features, seed and trading.
"""

import functools
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from strategies.cli import parse_config, run_cli
from strategies.config import flag

MEASURES = ("retrains", "accuracy", "rank_ic", "total_return", "sharpe", "max_drawdown", "orders")


@dataclass
class Question:
    """What is run; lengths are durations or counts of bars."""

    bars: str
    out: str
    model: str = "lightgbm"
    train: str = "90D"
    test: str = "14D"
    latency: int = 2
    horizon: int = 5
    newest: int = 50
    before: int = 150
    share: float = 0.9
    drift: float = flag(0.25, "share of the inputs that must have drifted", least=0, most=0.99)
    last: int = flag(0, "only the last bars, 0 for all", least=0)
    overwrite: bool = False


def judged(bars: Any, label: Any, result: Any) -> dict[str, Any]:
    from mlcore.quality import Rows, metrics_of, value_of

    rows = Rows.of(result.forecasts, label(bars), bars.index)
    quality = {name: value_of(metrics_of(rows)[name], rows) for name in ("accuracy", "rank_ic")}
    told = {name: result.metrics[name] for name in ("total_return", "sharpe", "max_drawdown")}
    events = result.extras["retrains"]
    return {"retrains": len(events), **quality, **told, "orders": result.metrics["n_orders"]}


def main() -> None:
    asked = parse_config(Question, None, __doc__)
    from mlcore.bars import read_bars
    from mlcore.folds import WalkForward
    from mlcore.labels import direction
    from mlcore.retraining import Decayed, Drifted
    from strategies.bt import run_retraining
    from strategies.bt.plot import plot_backtrader
    from strategies.folder import check_folder, result_folder
    from strategies.policy import Policy

    check_folder(asked.out, overwrite=asked.overwrite)
    bars = read_bars(asked.bars).iloc[-asked.last :]
    label = functools.partial(direction, horizon=asked.horizon)

    def run(test: Any, rules: Any = ()) -> Any:
        folds = WalkForward(train=asked.train, test=test, latency=asked.latency)
        return run_retraining(bars, asked.model, label=label, folds=folds, rules=rules, policy=Policy(entry=0.2))

    drifted = Drifted(share=asked.drift) if find_spec("river") else None
    runs = {"calendar": run(asked.test)}
    runs["calendar, decayed"] = run(asked.test, Decayed(asked.newest, asked.before, asked.share))
    if drifted:
        runs["calendar, drifted"] = run(asked.test, drifted)
    else:
        Console().print("No run with drifted inputs: `pip install barwise[drift]`.", highlight=False, markup=False)
    most = max(len(result.extras["retrains"]) for result in runs.values())
    spoken = len(runs["calendar"].forecasts)
    runs["calendar, as often"] = run(max(1, -(-spoken // most)))
    table, rows = Table("run", *MEASURES), {name: judged(bars, label, result) for name, result in runs.items()}
    for name, row in rows.items():
        table.add_row(name, *(f"{row[key]:.4g}" if row[key] is not None else "-" for key in MEASURES))
    with result_folder(asked.out, overwrite=asked.overwrite) as folder:
        events = {name: result.extras["retrains"] for name, result in runs.items()}
        written = json.dumps({"runs": rows, "retrains": events}, indent=1, default=str)
        (Path(folder) / "result.json").write_text(written + "\n")
        for name, result in runs.items():
            plot_backtrader(bars, result, result.forecasts, Path(folder) / f"{name.replace(', ', '_')}.png")
    Console().print(table)


if __name__ == "__main__":
    run_cli(main)
