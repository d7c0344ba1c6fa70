"""The command line of a sweep over models: trained once, said what is new, refused in one line."""

from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import random_bars


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    random_bars(1500).to_parquet(tmp_path / "bars.parquet")
    words = f"--bars {tmp_path}/bars.parquet --cache {tmp_path}/cache --model linear --train 900 --test 200".split()
    return [*words, "--entry", "0", "0.05"]


def test_a_second_run_trains_only_what_is_new(script, given: list[str], tmp_path: Path) -> None:
    code, out, err = script("sweep_models", *given, "--out", str(tmp_path / "a"), "--vary", "label.horizon=2,5")
    assert code == 0, err
    assert "4 combinations tried" in out and "2 of 2 trainings were done now" in out
    assert len(pd.read_parquet(tmp_path / "a" / "sweep.parquet")) == 4
    code, out, err = script(
        "sweep_models", *given, "--out", str(tmp_path / "b"), "--vary", "label.horizon=5,9", "model=linear,naive"
    )
    assert code == 0, err
    assert "3 of 4 trainings were done now" in out
    assert "the nearest entry differs in label_params.horizon (" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "bars.parquet", "cache"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--vary", "label.horizn=5"), "horizn"),
        (("--vary", "model=linnear"), "Did you mean 'linear'"),
        (("--vary", "model"), "give the values to try"),
        (("--vary", "modle=a"), "Did you mean 'model'"),
        (("--test", "many"), "`test`"),
    ],
)
def test_a_mistake_costs_one_line_and_leaves_nothing(words: tuple, said: str, script, given: list[str], tmp_path: Path):
    code, _, err = script("sweep_models", *given, *words, "--out", str(tmp_path / "out"))
    assert code == 2
    assert said in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bars.parquet"]
