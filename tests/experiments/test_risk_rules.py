"""The script of risk rules has a row for each rule."""

import json
from pathlib import Path

import pandas as pd
import pytest

from experiments.risk_rules import main
from strategies.cli import run_cli
from tests.conftest import random_bars


def test_every_rule_has_a_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    files, rates = [], []
    for seed, name in enumerate(("AAAUSDT", "BBBUSDT")):
        files.append(str(tmp_path / f"{name}.parquet"))
        bars = random_bars(700, seed=seed)
        bars.to_parquet(files[-1])
        rates.append(pd.DataFrame({"symbol": name, "funding_rate": 0.001}, bars.index[::8]))
    pd.concat(rates).to_parquet(tmp_path / "funding.parquet")
    words = ["risk_rules.py", "--bars", *files, "--funding", str(tmp_path / "funding.parquet"), "--model", "linear"]
    out = tmp_path / "risk"
    told_of = ["--out", str(out), "--rules", "drawdown"]
    monkeypatch.setattr("sys.argv", [*words, "--train", "12D", "--test", "6D", "--entry", "0.02", *told_of])
    run_cli(main)
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    told = json.loads((out / "result.json").read_text())
    assert told["account"]["max_drawdown"] == 0.15 and told["tried"] == 6
    assert told["engines"]["backtrader"]["n_orders"] == int(rows[5][5].replace(",", ""))
    assert {"stop", "profit"} <= set(told["left_by"]) and "Barriers (dashed)" in (out / "report.html").read_text()
    assert len(rows) == 7
    funding = [float(row[7].replace(",", "")) for row in rows]
    assert funding[0] == 0 and any(funding[1:])
    assert int(rows[2][5].replace(",", "")) > int(rows[6][5].replace(",", ""))  # entering anew is more orders
