"""Does study A1 hold: which of its hypotheses on 1m BTC and ETH come true when it is run as planned?

python experiments/a1_study.py --out DIR            (BARWISE_DATA names the folder of bars, or --bars BTC ETH)
python experiments/a1_study.py --out DIR --evidence 5 10 20 --models bilstm   what a stride costs, first
"""

import time

from rich.console import Console

from strategies.claims.a1 import A1Config
from strategies.cli import parse_config, run_cli


def main() -> None:
    config = parse_config(A1Config, None, __doc__)
    from strategies.claims.a1 import run_tracks, stride_evidence
    from strategies.claims.a1_judge import evidence_words, judge_a1, track_table
    from strategies.claims.page import write_claims
    from strategies.folder import check_folder
    from strategies.terminal import progress_bars

    check_folder(config.out, overwrite=config.overwrite)  # before hours of training, not after them
    console, started = Console(), time.perf_counter()
    for name in config.absent:
        console.print(f"skipped: {name} is no registered model.", highlight=False)
    with progress_bars(console) as progress:
        remarks = evidence_words(config, stride_evidence(config, progress)) if config.evidence else []
        tracks = run_tracks(config, progress)
        verdicts, spans, chosen = judge_a1(config, tracks)
    remarks += [f"{name} is no registered model: skipped." for name in config.absent]
    remarks += [f"{name} was judged with a lookback of {key[1]} bars." for name, key in chosen.items() if key[1]]
    remarks += [f"{t.model} on {t.series} failed: {t.entrant.failure}" for t in tracks if t.entrant.failure]
    seconds = time.perf_counter() - started
    lead = (
        f"{len(config.known)} architectures tried on {len(config.files)} files, {' and '.join(config.sides)}: a move "
        f"of more than {config.threshold:.1%} within {config.horizon} bars. Trained on {config.train}, refitted every "
        f"{config.refit}, chosen on {config.validation}, judged on {config.test}."
    )
    tables = {"tracks": track_table(tracks, spans)}
    write_claims("Study A1, run as planned", lead, verdicts, tables, config, remarks=remarks, seconds=seconds)
    for line in (*map(str, verdicts), *remarks):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"{seconds:,.0f} s. Open {config.out}/report.html", soft_wrap=True)


if __name__ == "__main__":
    run_cli(main)
