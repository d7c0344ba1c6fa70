"""The files of a comparison."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from strategies.comparison.page import report
from strategies.comparison.run import Comparison
from strategies.comparison.table import difference_table, model_table
from strategies.comparison.words import verdicts
from strategies.folder import result_folder, work_folder
from strategies.output import plain


def write_comparison(found: Comparison) -> Path:
    """Write ``comparison.csv``, ``differences.csv``, ``comparison.json``, ``report.html`` and every model's forecasts.

    All of it or nothing, into `found.config.out`. The work folder is deleted when they are there.
    """
    config = found.config
    with result_folder(config.out, overwrite=config.overwrite) as folder:
        model_table(found).to_csv(folder / "comparison.csv")
        difference_table(found).to_csv(folder / "differences.csv", index=False)
        (folder / "report.html").write_text(report(found), encoding="utf-8")
        (folder / "comparison.json").write_text(json.dumps(_told(found), indent=2, allow_nan=False) + "\n")
        for name, one in found.entrants.items():
            if one.forecasts is not None:
                one.forecasts.to_parquet(folder / f"forecasts_{name}.parquet")
    shutil.rmtree(work_folder(config.out), ignore_errors=True)
    return Path(config.out)


def _told(found: Comparison) -> dict[str, object]:
    tests = {rival: {"p_value": t.p_value, "better": t.better} for rival, t in found.judged.superiority.items()}
    entrants = {
        name: {"failure": one.failure, "notes": one.notes, "parameters": one.parameters, "stride": one.stride}
        for name, one in found.entrants.items()
    }
    told: dict[str, object] = plain(
        {
            "verdicts": verdicts(found),
            "tried": found.tried,
            "loss": found.loss,
            "superiority": tests,
            "rows": found.judged.n,
            "days": found.judged.days,
            "block": found.judged.block,
            "day_block": found.judged.day_block,
            "left_out": found.judged.left_out,
            "reconciled": found.reconciled,
            "entrants": entrants,
            "command": found.command,
            "config": found.config.as_dict(),
            "data": found.data,
            "versions": found.versions,
            "seconds": found.seconds,
            "notes": found.notes,
        }
    )
    return told
