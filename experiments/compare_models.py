"""Which models forecast better than the plainest rivals, on one protocol, and what do they earn after costs?

python experiments/compare_models.py --bars FILE --models all --out DIR
"""

import sys
import time

from rich.console import Console

from strategies.cli import parse_config, run_cli
from strategies.comparison.config import ComparisonConfig


def main() -> None:
    config = parse_config(ComparisonConfig, None, __doc__)
    from strategies.comparison.run import run_comparison
    from strategies.comparison.words import verdicts
    from strategies.comparison.write import write_comparison
    from strategies.folder import check_folder
    from strategies.terminal import progress_bars

    check_folder(config.out, overwrite=config.overwrite)  # before hours of training, not after them
    console, started = Console(), time.perf_counter()
    with progress_bars(console) as progress:
        found = run_comparison(config, progress)
    folder = write_comparison(found)
    for sentence in verdicts(found):
        console.print(sentence, markup=False, highlight=False)
    for name, entrant in found.entrants.items():
        if entrant.failure:
            console.print(f"failed: {name}: {entrant.failure}", markup=False, highlight=False)
    console.print(f"{time.perf_counter() - started:,.0f} s. Open {folder / 'report.html'}", soft_wrap=True)
    if not found.agrees:
        sys.exit(3)


if __name__ == "__main__":
    run_cli(main)
