"""Does a stored run still say what it said, and what does it say of newer bars? Nothing is fitted.

python experiments/from_store.py --store DIR --bars FILE --out DIR2
"""

from rich.console import Console

from strategies.cli import parse_config, run_cli
from strategies.config import StoredConfig


def main() -> None:
    config = parse_config(StoredConfig, None, __doc__)
    from strategies.folder import check_folder
    from strategies.output import write_study
    from strategies.stored_job import run_stored
    from strategies.terminal import print_study, progress_bars

    check_folder(config.out, overwrite=config.overwrite)
    console = Console()
    with progress_bars(console) as progress:
        study = run_stored(config, progress)
        folder = write_study(study, config.out, overwrite=config.overwrite, progress=progress)
    print_study(study, console)
    console.print(f"Open {folder / 'report.html'}", soft_wrap=True)


if __name__ == "__main__":
    run_cli(main)
