"""Does a model, retrained as time passes, earn anything after costs, in both engines?

python experiments/walk_forward.py --bars FILE --model tcn --label direction --train 60D --test 7D --out DIR
Several files (--bars A --bars B), or one of many symbols: one model is trained on all, each symbol traded by itself.
"""

from rich.console import Console

from strategies.cli import parse_config, run_cli
from strategies.config import StudyConfig


def main() -> None:
    config = parse_config(StudyConfig, None, __doc__)
    from strategies.folder import check_folder
    from strategies.main_job import run_study
    from strategies.output import write_study
    from strategies.panel_job import is_pooled, run_panel_job
    from strategies.terminal import print_study, print_summary, progress_bars

    check_folder(config.out, overwrite=config.overwrite)  # before an hour of training, not after it
    console = Console()
    if is_pooled(config):
        with progress_bars(console) as progress:
            summary = run_panel_job(config, progress)
        print_summary(summary, console)
        console.print(f"Open {config.out}/index.html", soft_wrap=True)
        return
    with progress_bars(console) as progress:
        study = run_study(config, progress)
        folder = write_study(study, config.out, overwrite=config.overwrite, progress=progress)
    print_study(study, console)
    console.print(f"Open {folder / 'report.html'}", soft_wrap=True)


if __name__ == "__main__":
    run_cli(main)
