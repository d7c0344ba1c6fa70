"""The portfolio script trades every way of sharing in both engines."""

import json
from pathlib import Path

from strategies.allocation import WAYS
from tests.conftest import random_bars


def test_every_way_has_a_row(script, tmp_path: Path) -> None:
    files = []
    for seed, name in enumerate(("AAAUSDT", "BBBUSDT", "CCCUSDT")):
        files.append(str(tmp_path / f"{name}.parquet"))
        random_bars(700, seed=seed).iloc[200 * (seed == 2) :].to_parquet(files[-1])
    out = tmp_path / "made" / "portfolio"
    words = ["--bars", *files, "--train", "12D", "--test", "6D", "--entry", "0.02", "--coins", "2"]
    code, said, err = script("portfolio", *words, "--out", out, "--way", "confidence")
    assert code == 0, err
    assert "2 coins" in said and "buy and hold" in said
    rows = [line for line in said.splitlines() if any(f"model, {way}" in line for way in WAYS)]
    told = json.loads((out / "result.json").read_text())
    assert list(told["baselines"]) == ["buy_and_hold", "flat", "shared by equal", "shared by inverse_volatility"]
    assert told["engines"]["vectorbt"]["n_orders"] == int(rows[1].split("│")[6].replace(",", ""))
    assert set(told["symbols"]) == {"AAAUSDT", "BBBUSDT"} and told["config"]["way"] == "confidence"
    assert told["tried"] == 3 and "In-sample guard.</strong> Each of" in (out / "report.html").read_text()
    assert len(rows) == 3 and all(int(row.split("│")[6].replace(",", "")) > 0 for row in rows)


def test_no_coin_at_all_is_refused(script, tmp_path: Path) -> None:
    ran = script("portfolio", "--bars", tmp_path / "none.parquet", "--coins", "0")
    assert (ran.code, ran.err) == (2, "error: `coins` is 0; it must be at least 1.\n")


def test_a_folder_that_is_taken_and_a_way_that_is_none_cost_one_line(script, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for words, said in ((["--out", tmp_path], "already holds 'mine.txt'"), (["--way", "equl"], "mean 'equal'")):
        code, _, err = script("portfolio", "--bars", "nowhere.parquet", *words)
        assert code == 2 and said in err
