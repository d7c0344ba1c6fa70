"""The script of risk rules has a row for each rule."""

import json
from pathlib import Path

import pandas as pd

from tests.conftest import random_bars


def test_every_rule_has_a_row(script, tmp_path: Path) -> None:
    files, rates = [], []
    for seed, name in enumerate(("AAAUSDT", "BBBUSDT")):
        files.append(str(tmp_path / f"{name}.parquet"))
        bars = random_bars(700, seed=seed)
        bars.to_parquet(files[-1])
        rates.append(pd.DataFrame({"symbol": name, "funding_rate": 0.001}, bars.index[::8]))
    pd.concat(rates).to_parquet(tmp_path / "funding.parquet")
    words = ["--bars", *files, "--funding", tmp_path / "funding.parquet", "--model", "linear", "--train", "12D"]
    out = tmp_path / "risk"
    rows = script("risk_rules", *words, *["--test", "6D", "--entry", "0.02", "--rules", "drawdown", "--out"], out).rows
    told = json.loads((out / "result.json").read_text())
    assert told["account"]["max_drawdown"] == 0.15 and told["tried"] == 6
    assert told["engines"]["backtrader"]["n_orders"] == int(rows[5][4].replace(",", ""))
    assert {"stop", "profit"} <= set(told["left_by"]) and "Barriers (dashed)" in (out / "report.html").read_text()
    assert len(rows) == 7
    funding = [float(row[6].replace(",", "")) for row in rows]
    assert funding[0] == 0 and any(funding[1:])
    assert int(rows[2][4].replace(",", "")) > int(rows[6][4].replace(",", ""))  # entering anew is more orders


def test_a_perpetual_without_rates_is_refused_before_anything_is_trained(script, tmp_path: Path) -> None:
    bars = random_bars(100)
    bars.to_parquet(tmp_path / "AAAUSDT.parquet")
    pd.DataFrame({"symbol": "AAUSDT", "funding_rate": 0.001}, bars.index[::8]).to_parquet(tmp_path / "f.parquet")
    code, _, err = script("risk_rules", "--bars", tmp_path / "AAAUSDT.parquet", "--funding", tmp_path / "f.parquet")
    assert code == 2 and "has no rate of 'AAAUSDT'. Did you mean 'AAUSDT'?" in err and err.count("\n") == 1
