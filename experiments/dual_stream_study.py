"""Does the dual-stream study hold: 56% of directions right, from 1h and 15m bars of many coins?

python experiments/dual_stream_study.py --out DIR        (BARWISE_DATA names the folder of bars, or --bars A B ...)
"""

import time

from rich.console import Console

from strategies.claims.dual_stream import DualStreamConfig
from strategies.cli import parse_config, run_cli


def main() -> None:
    config = parse_config(DualStreamConfig, None, __doc__)
    from mlcore.panel import read_panel
    from strategies.claims.dual_stream import common_rows, judge_dual_stream, run_models
    from strategies.claims.page import write_claims
    from strategies.folder import check_folder
    from strategies.terminal import progress_bars

    check_folder(config.out, overwrite=config.overwrite)  # before an hour of training, not after it
    console, started = Console(), time.perf_counter()
    panel = read_panel(list(config.files))
    with progress_bars(console) as progress:
        runs = run_models(config, panel, progress)
    rows = common_rows(runs, panel)
    verdicts, table = judge_dual_stream(config, rows)
    seconds = time.perf_counter() - started
    remarks = list(dict.fromkeys(f"{name}: {note}" for name, run in runs.items() for note in run.notes))
    n = sum(len(next(iter(models.values()))) for models in rows.values())
    lead = (
        f"{config.model} on {len(rows)} coins, {'one model each' if config.each else 'one model for all'}: {n:,} "
        f"forecasts of the next {config.horizon} bars' return, all out of sample. Trained on {config.train}, refitted "
        f"every {config.test}. One configuration was tried."
    )
    title, tables = "The dual-stream study, run as planned", {"coins": table}
    write_claims(title, lead, verdicts, tables, config, remarks=remarks, seconds=seconds)
    for line in (*map(str, verdicts), *remarks):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"{seconds:,.0f} s. Open {config.out}/report.html", soft_wrap=True)


if __name__ == "__main__":
    run_cli(main)
