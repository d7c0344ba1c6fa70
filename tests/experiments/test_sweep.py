"""The sweep's command line: a folder of results or one clear line."""

from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import random_bars
from tests.strategies.studies import fake_forecasts


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    bars = random_bars(400)
    bars.to_parquet(folder / "bars.parquet")
    fake_forecasts(bars, 3).iloc[60:].to_parquet(folder / "forecasts.parquet")
    return folder


def test_a_sweep_makes_its_folder_and_says_how_many_were_tried(script, files: Path, tmp_path: Path) -> None:
    given = ("--forecasts", str(files / "forecasts.parquet"), "--bars", str(files / "bars.parquet"))
    grid = ("--entry", "0", "0.3", "0.5", "--sizer", "fixed", "study_rule:base=0.1,cap=0.2", "--commission", "0.001")
    code, out, err = script("sweep", *given, *grid, "--out", str(tmp_path / "out"))
    assert code == 0, err
    assert "6 combinations tried" in out
    assert "the best of 6 rules tried" in out
    assert len(pd.read_parquet(tmp_path / "out" / "sweep.parquet")) == 6
    code, _, err = script("sweep", *given, *grid, "--out", str(tmp_path / "out"))
    assert code == 2
    assert err.startswith("error: `out` is") and err.count("\n") == 1
    assert script("sweep", *given, *grid, "--out", str(tmp_path / "out"), "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--entry", "0.1", "--exit", "0.5"), "grid is empty"),
        (("--sizer", "fixd"), "Did you mean 'fixed'"),
        (("--entri", "0.1"), "Did you mean '--entry'"),
        (("--entry", "many"), "entry"),
        (("--forecasts", "nowhere.parquet"), "no such file"),
    ],
)
def test_a_mistake_costs_one_line_and_leaves_nothing(
    words: tuple[str, ...], said: str, script, files: Path, tmp_path: Path
) -> None:
    given = ("--forecasts", str(files / "forecasts.parquet"), "--bars", str(files / "bars.parquet"))
    code, _, err = script("sweep", *given, *words, "--out", str(tmp_path / "out"))
    assert code == 2
    assert said in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())
