"""What a model says of itself and how it learned, drawn from tables of any shape."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlcore.explain import bars_back
from strategies.report import write_report
from strategies.report.learning import (
    bars_back_figure,
    explanation_body,
    feature_figure,
    top_rows,
    training_body,
    training_figure,
)
from strategies.study import Study
from tests.strategies.studies import fake_study

RNG = np.random.default_rng(0)


def features(n: int, *columns: str, negative: bool = False) -> pd.DataFrame:
    values = RNG.random((n, len(columns))) - (0.5 if negative else 0.0)
    return pd.DataFrame(values, [f"feature_{at}" for at in range(n)], list(columns))


def attention(lookback: int, columns: int) -> pd.DataFrame:
    shares = RNG.random((lookback, columns))
    return pd.DataFrame(shares / shares.sum(axis=0), bars_back(lookback), [f"head {k + 1}" for k in range(columns)])


def explained(**tables: pd.DataFrame) -> Study:
    return replace(fake_study(300), explanation=tables)


def test_a_model_that_says_nothing_has_no_section() -> None:
    assert explanation_body(fake_study(300)) == ""


def test_tables_are_drawn_by_their_shape() -> None:
    body = explanation_body(explained(importance=features(30, "gain"), attention=attention(20, 4)))
    for words in ("The model of fold 5".lower(), 'id="explanation-importance"', "The 20 largest of 30.",
                  'id="explanation-attention"', "newest bar gives to each bar", "not why"):  # fmt: skip
        assert words in body, words
    assert "Moon phase" in explanation_body(explained(moon_phase=features(3, "x")))


def test_the_largest_features_are_bars_the_largest_on_top() -> None:
    rows = features(30, "x", negative=True)
    drawn = feature_figure(top_rows(rows))
    (bars,) = drawn.data
    assert len(bars.y) == 20 and bars.orientation == "h"
    assert bars.y[0] == rows["x"].abs().idxmax()
    assert drawn.layout.yaxis.autorange == "reversed"
    assert set(bars.y) == set(rows["x"].abs().nlargest(20).index)


@pytest.mark.parametrize(("columns", "kinds"), [(1, ["bar"]), (3, ["bar"] * 3), (4, ["heatmap"]), (40, ["heatmap"])])
def test_many_columns_of_features_are_a_heat_map(columns: int, kinds: list[str]) -> None:
    rows = features(5, *[f"c{k}" for k in range(columns)])
    drawn = feature_figure(rows)
    assert [part.type for part in drawn.data] == kinds
    if kinds == ["heatmap"]:
        assert list(drawn.data[0].y) == list(rows.index[::-1])  # a heat map is drawn from below
        np.testing.assert_array_equal(drawn.data[0].z, rows.to_numpy()[::-1])


@pytest.mark.parametrize(("columns", "kind"), [(1, "scatter"), (8, "scatter"), (9, "heatmap")])
def test_bars_back_have_the_newest_bar_on_the_right(columns: int, kind: str) -> None:
    rows = attention(12, columns)
    drawn = bars_back_figure(rows)
    assert {part.type for part in drawn.data} == {kind}
    assert drawn.layout.xaxis.range == (11.5, -0.5)
    assert list(drawn.data[0].x) == list(range(11, -1, -1))
    if kind == "scatter":
        np.testing.assert_array_equal(drawn.data[-1].y, rows.iloc[:, -1])
    else:
        np.testing.assert_array_equal(drawn.data[0].z, rows.T.to_numpy())


def test_bars_ahead_of_the_newest_are_called_so() -> None:
    rows = attention(25, 2).set_axis(pd.Index(range(19, -6, -1), name="bars back"))
    drawn = bars_back_figure(rows)
    axis = drawn.layout.xaxis
    assert dict(zip(axis.tickvals, axis.ticktext, strict=True)) == {-5: "5 ahead", 0: "0", 5: "5", 10: "10", 15: "15"}
    assert "bars ahead" in axis.title.text and axis.range == (19.5, -5.5)
    assert drawn.data[0].customdata[-1] == "5 ahead"
    body = explanation_body(explained(attention=rows))
    assert "the calendar only" in body
    assert "the calendar only" not in explanation_body(explained(attention=attention(9, 1)))


def curve(*validation: float | None) -> list[dict[str, Any]]:
    return [{"epoch": at, "loss": 1.0 - at / 10, "validation": value} for at, value in enumerate(validation)]


def trained(*curves: list[dict[str, Any]] | None, n_folds: int = 6) -> Study:
    study = fake_study(600, n_folds=n_folds)
    given = [*curves, *[curves[-1]] * (n_folds - len(curves))]
    folds = [fold if one is None else fold | {"curve": one} for fold, one in zip(study.folds, given, strict=True)]
    return replace(study, folds=folds)


def test_models_that_keep_no_curve_have_no_section() -> None:
    assert training_body(fake_study(300)) == ""
    assert training_body(trained(None)) == ""
    assert training_body(trained([])) == ""


def test_curves_are_told_and_drawn() -> None:
    body = training_body(trained(curve(3.0, 2.0, 1.0), curve(3.0, 1.0, 2.0, 2.0), None, curve(1.0, 2.0, 2.0)))
    assert "5 folds trained for 3 to 4 epochs; in 1 of them the last epoch was the best" in body
    assert 'id="training-loss"' in body and 'id="training-validation"' in body
    assert "5 folds trained for 2 epochs." in training_body(trained(None, curve(1.0, 2.0)))


def test_a_thinned_curve_counts_all_its_epochs() -> None:
    thinned = [entry for entry in curve(*[5.0] * 99, 1.0) if entry["epoch"] % 9 == 0]
    assert "folds trained for 100 epochs; in 6 of them the last" in training_body(trained(thinned))


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_without_validation_there_is_one_figure(nothing: float | None) -> None:
    body = training_body(trained(curve(nothing, nothing)))
    assert 'id="training-loss"' in body and "training-validation" not in body


def test_the_epoch_that_was_kept_has_a_dot() -> None:
    frame = pd.DataFrame(curve(3.0, 1.0, 2.0)).set_index("epoch")
    (line,) = training_figure({7: frame}, "validation").data
    assert [size > 1 for size in line.marker.size] == [False, True, False]
    assert list(line.y) == [3.0, 1.0, 2.0]


def test_many_folds_are_thinned_and_said_so() -> None:
    body = training_body(trained(curve(2.0, 1.0), n_folds=150))
    assert "Drawn are 60 of 150 folds" in body
    assert "150 folds trained" in body


def test_both_sections_stand_in_the_report(tmp_path: Path) -> None:
    study = replace(trained(curve(2.0, 1.0)), explanation={"importance": features(5, "gain")})
    html = write_report(study, tmp_path / "r.html").read_text(encoding="utf-8")
    assert html.index('id="explanation"') < html.index('id="training"') < html.index('id="run"')


def test_a_name_of_a_feature_is_text_and_never_markup() -> None:
    evil = pd.DataFrame({"x": [1.0]}, ["<script>alert(1)</script>"])
    assert "<script>alert" not in explanation_body(explained(importance=evil))
    assert "<img" not in explanation_body(explained(**{"<img src=x>": features(2, "x")}))
