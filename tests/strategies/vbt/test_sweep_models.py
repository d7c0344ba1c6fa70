"""Each distinct training is done once, and every pair of training and rule is a row that can be run again."""

from pathlib import Path

import pandas as pd
import pytest

from mlcore.cache import Training, cached_walk_forward
from mlcore.errors import BarwiseError
from mlcore.models.linear import Linear
from strategies.vbt.sweep import Grid, run_row, sweep
from strategies.vbt.sweep_models import TrainingGrid, sweep_models, table_forecasts
from strategies.vbt.sweep_report import best_rows, heatmap_axes, parameters_of, sentence, write_sweep
from tests.conftest import random_bars

BARS = random_bars(500, seed=3)
BASE = Training("linear", features=("close_pct_change", "volatility"), train=250, test=60)
TRAININGS = TrainingGrid(BASE, {"model.shrinkage": (0.01, 1.0), "label.horizon": (2, 5), "seed": (0,)})
RULES = Grid(entry=(0.0, 0.05), commission=(0.0, 0.001))


def test_all_pairs_are_rows_and_trainings_are_done_once(tmp_path: Path, fits: list[int]) -> None:
    table = sweep_models(BARS, TRAININGS, RULES, cache=tmp_path, cash=500.0)
    assert len(table) == 2 * 2 * 4 == table.attrs["tried"] and len(fits) == 4 == table.attrs["trained"]
    assert list(table.columns)[:5] == ["model.shrinkage", "label.horizon", "seed", "forecasts", "entry"]
    assert table["forecasts"].nunique() == 4
    assert not table.duplicated(["model.shrinkage", "label.horizon", *parameters_of(table), "commission"]).any()
    again = sweep_models(BARS, TRAININGS, RULES, cache=tmp_path, cash=500.0)
    pd.testing.assert_frame_equal(again, table, check_exact=True)
    assert len(fits) == 4 and again.attrs["trained"] == 0 and all(one["hit"] for one in again.attrs["cache"])
    more = TrainingGrid(
        BASE, {**TRAININGS.vary, "seed": (0, 1)}
    )  # a linear model has no use for it, the cache asks all
    wider = sweep_models(BARS, more, Grid(entry=(0.5,)), cache=tmp_path)
    assert len(fits) == 8 and [one["hit"] for one in wider.attrs["cache"]] == [True, False] * 4
    assert wider.attrs["cache"][1]["why"] == "the nearest entry differs in seed (0 there, 1 here)"


def test_a_row_is_what_a_sweep_of_its_own_training_gives(tmp_path: Path) -> None:
    table = sweep_models(BARS, TRAININGS, RULES, cache=tmp_path, cash=500.0)
    part = table[(table["model.shrinkage"] == 1.0) & (table["label.horizon"] == 5)]
    training = Training(**{**vars(BASE), "params": {"shrinkage": 1.0}, "label_params": {"horizon": 5}})
    forecasts = cached_walk_forward(BARS, training, tmp_path).forecasts
    alone = sweep(forecasts, BARS, RULES, cash=500.0)
    pd.testing.assert_frame_equal(part[alone.columns].reset_index(drop=True), alone, check_exact=True)
    row = int(part.index[0])
    pd.testing.assert_frame_equal(table_forecasts(table, row, tmp_path), forecasts)
    result = run_row(table, row, table_forecasts(table, row, tmp_path), BARS)["vectorbt"]
    assert result.metrics["final_value"] == pytest.approx(table["final_value"][row], rel=1e-9)


def test_models_and_features_are_varied_like_numbers(tmp_path: Path) -> None:
    vary = {"model": ("naive", Linear(shrinkage=0.1)), "features": (BASE.features, ("rsi", "close_pct_change"))}
    table = sweep_models(BARS, TrainingGrid(BASE, vary), Grid(), cache=tmp_path)
    assert table["model"].tolist() == ["naive", "naive", "Linear(shrinkage=0.1)", "Linear(shrinkage=0.1)"]
    assert table["features"].nunique() == 2
    table.to_parquet(tmp_path / "table.parquet")


def test_progress_tells_trainings_folds_and_rules(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    sweep_models(BARS, TRAININGS, RULES, cache=tmp_path, progress=lambda *word: told.append(word))
    assert [word for word in told if word[0] == "trainings"] == [("trainings", done, 4) for done in range(5)]
    assert {stage for stage, *_ in told} == {"trainings", "folds", "sweep"}


@pytest.mark.parametrize(
    ("vary", "word"),
    [
        ({"modle": ("linear",)}, "Did you mean 'model'"),
        ({"params": ({},)}, "`vary` names 'params'"),
        ({"features": ("rsi",)}, "`vary` 'features' is .*each value to try is a list of recipes"),
        ({"features.rsi": (1,)}, "`vary` names 'features.rsi'"),
        ({"model": "linear"}, "give the values to try"),
        ({"seed": ()}, "give the values to try"),
        ({"model.shrinkag": (1.0,)}, "Did you mean 'shrinkage'"),
        ({"model": ("linear", "lineaar")}, "Did you mean 'linear'"),
        ({"label.horizon": (2, 0)}, "`horizon`"),
    ],
)
def test_bad_grids_are_refused_before_anything_is_trained(
    vary: dict, word: str, tmp_path: Path, fits: list[int]
) -> None:
    with pytest.raises(BarwiseError, match=word):
        sweep_models(BARS, TrainingGrid(BASE, vary), RULES, cache=tmp_path / "cache")
    assert not fits and not (tmp_path / "cache").exists()


def test_the_report_counts_models_times_rules(tmp_path: Path) -> None:
    table = sweep_models(BARS, TRAININGS, RULES, cache=tmp_path / "cache")
    free = best_rows(table)[0]
    assert free["tried"] == 8
    assert (
        "model.shrinkage" in sentence(free) and "label.horizon" in sentence(free) and "forecasts" not in sentence(free)
    )
    assert heatmap_axes(table)[0] == "entry"
    out = tmp_path / "out"
    out.mkdir()
    write_sweep(table, {}, out)
    assert "Sweep of models and trading rules" in (out / "heatmap.html").read_text()
