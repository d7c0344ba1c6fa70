"""Which models, labels and trading rules would have earned, every distinct training done once?

Trainings are kept in `--cache` by their content, so a second run trains only what is new, and says what a new one
differs in; a run that was interrupted goes on in the middle of a walk-forward.

python experiments/sweep_models.py --bars FILE --cache DIR --out DIR2 --vary model.max_depth=3,6 label.horizon=5,20
"""

import ast
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rich.console import Console

from strategies.cli import parse_config, run_cli
from strategies.config import flag


@dataclass(frozen=True)
class ModelsConfig:
    """Settings; flags that take several values are the grid of rules, `vary` is that of trainings."""

    bars: str = field(metadata={"help": "file of bars"})
    cache: str = field(metadata={"help": "folder to keep forecasts in"})
    out: str = field(metadata={"help": "folder to make; all of it or nothing is written"})
    vary: tuple[str, ...] = flag(
        (), "name=values: model, label, train, test, seed, ..., or model.<parameter>, label.<parameter>"
    )
    model: str = flag("lightgbm", "the model, where it is not varied")
    label: str = flag("direction", "the label, where it is not varied")
    train: str = flag("60D", "training window: a duration or a count of bars")
    test: str = flag("7D", "test window, and so the time between refits")
    stride: int = flag(1, "train on every stride-th row", least=1)
    seed: int = flag(0, "seed of everything random")
    entry: tuple[float, ...] = flag((0.0, 0.1, 0.2), "|signal| at which a position is opened")
    min_hold: tuple[int, ...] = flag((0,), "bars that a position is held at least")
    sizer: tuple[str, ...] = flag(("fixed",), "names, or recipes: study_rule:base=0.1,cap=0.2")
    commission: tuple[float, ...] = flag((0.001,), "fractions of the value of a fill")
    slippage: tuple[float, ...] = flag((0.0005,), "fractions by which a fill is worse than the open")
    days_per_year: float = flag(365.0, "trading days a year, for the Sharpe ratio (crypto 365, stocks 252)")
    repair: str = flag("", "repairs `check_bars` may make, comma separated: sort,drop_duplicates,...")
    stamped: Literal["open", "close"] = flag("open", "whether the file stamps a bar at its open or its close")
    n_jobs: int | None = flag(None, "folds trained, and chunks traded, at a time")
    overwrite: bool = flag(False, "replace an earlier result in `out` (a switch)")


def main() -> None:
    config = parse_config(ModelsConfig, None, __doc__)
    from mlcore.bars import read_bars
    from mlcore.cache import Training
    from strategies.folder import check_folder, result_folder, work_folder
    from strategies.terminal import progress_bars
    from strategies.vbt.sweep import Grid, drop_chunks
    from strategies.vbt.sweep_models import TrainingGrid, sweep_models
    from strategies.vbt.sweep_report import print_sweep, write_sweep

    check_folder(config.out, overwrite=config.overwrite)
    repair = tuple(name.strip() for name in config.repair.split(",") if name.strip())
    bars = read_bars(config.bars, repair=repair, stamped=config.stamped)
    names = ("model", "label", "train", "test", "stride", "seed")
    base = Training(**{name: getattr(config, name) for name in names})
    rules = ("entry", "min_hold", "sizer", "commission", "slippage")
    console = Console()
    with progress_bars(console) as progress:
        table = sweep_models(
            bars,
            TrainingGrid(base, dict(map(_values, config.vary))),
            Grid(**{name: tuple(getattr(config, name)) for name in rules}),
            cache=config.cache,
            days_per_year=config.days_per_year,
            n_jobs=config.n_jobs,
            work=work_folder(config.out),
            progress=progress,
        )
    with result_folder(config.out, overwrite=config.overwrite) as folder:
        write_sweep(table, asdict(config), folder)
    drop_chunks(work_folder(config.out))
    print_sweep(table, console)
    console.print(f"{table.attrs['trained']} of {len(table.attrs['cache'])} trainings were done now.", highlight=False)
    for one in table.attrs["cache"]:
        if one["why"]:
            console.print(f"{one['key'][:8]}: {one['why']}", highlight=False, markup=False)
    console.print(f"Open {config.out}/heatmap.html", soft_wrap=True)


def _values(text: str) -> tuple[str, list[Any]]:
    """Read ``label.horizon=5,20``."""
    name, _, values = text.partition("=")
    return name.strip(), [_value(value) for value in values.split(",") if value.strip()]


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text.strip()


if __name__ == "__main__":
    run_cli(main)
