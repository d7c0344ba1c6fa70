"""The report on confidence: before and after, in words, numbers and figures, for every kind of forecast."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strategies.report import write_report
from strategies.report.reliability import reliability_body, reliability_figure
from strategies.study import Study
from tests.strategies.studies import fake_study

OUTPUTS = ("p_down", "p_flat", "p_up")


def of_classes(brier: float, frequency: float = 0.3, n: int = 400) -> dict[str, Any]:
    curve = [
        {"output": output, "low": low, "high": low + 0.1, "n": n, "forecast": low + 0.05, "frequency": frequency}
        for output in OUTPUTS
        for low in (0.2, 0.3)
    ]
    told = {"n": 1200, "brier_score": brier, "log_loss": 1.0, "calibration_error": 0.0123, "brier_of_shares": 0.6667}
    folds = [{"fold": k, **told, "brier_score": brier + k / 100} for k in range(6)]
    return {"kind": "classes", **told, "curve": curve, "folds": folds}


def of_interval(coverage: float | None, levels: bool = False) -> dict[str, Any]:
    curve = [{"output": f"q{q}", "n": 900, "forecast": q / 100, "frequency": q / 90} for q in (10, 50, 90)]
    told = {"n": 900, "coverage": coverage, "width": 0.02}
    folds = [{"fold": k, **told} for k in range(6)]
    return {"kind": "interval", "promised": 0.8, **told, "curve": curve if levels else [], "folds": folds}


def study_with(method: str | None, before: dict[str, Any], after: dict[str, Any] | None = None) -> Study:
    return replace(fake_study(300), reliability={"method": method, "before": before, "after": after})


def test_nothing_known_is_no_section(tmp_path: Path) -> None:
    assert reliability_body(fake_study(300)) == ""
    assert reliability_body(study_with(None, of_classes(0.6) | {"n": 0})) == ""


def test_without_a_calibration_the_raw_track_is_shown_alone() -> None:
    body = reliability_body(study_with(None, of_classes(0.6123)))
    for words in ("0.6123", "0.6667", "1.23%", "as the model made them; --calibration would", "as forecast"):
        assert words in body, words
    assert "calibrated<" not in body
    assert all(f'id="reliability-{output}"' in body for output in OUTPUTS)
    assert 'id="drift-figure"' in body


def test_before_and_after_stand_beside_each_other() -> None:
    body = reliability_body(study_with("platt", of_classes(0.7001), of_classes(0.6002)))
    for words in ("Traded were the calibrated forecasts (platt", "same 1,200 forecasts", "0.7001", "0.6002"):
        assert words in body, words
    assert body.index("0.7001") < body.index("0.6002")


def test_a_calibration_that_could_not_be_is_told() -> None:
    assert "Calibration (platt) was asked for, and no fold" in reliability_body(study_with("platt", of_classes(0.6)))


@pytest.mark.parametrize("levels", [False, True])
def test_intervals_are_told_by_what_they_hold(levels: bool) -> None:
    body = reliability_body(study_with("conformal", of_interval(0.6512, levels), of_interval(0.7923, levels)))
    for words in ("80.0%", "65.1%", "79.2%", "the interval promises"):
        assert words in body, words
    assert ('id="level-figure"' in body) == levels
    assert 'id="drift-figure"' in body
    assert "undefined" in reliability_body(study_with(None, of_interval(None)))


def test_one_figure_a_class_has_a_line_a_track_and_the_diagonal() -> None:
    tracks = {"as forecast": of_classes(0.7, 0.2), "calibrated": of_classes(0.6, 0.3)}
    drawn = reliability_figure(tracks, "p_up", 0.5)
    before, after, line = drawn.data
    assert (before.name, after.name) == ("as forecast", "calibrated")
    assert (list(before.y), list(after.y)) == ([0.2, 0.2], [0.3, 0.3])
    assert list(line.x) == list(line.y)
    assert before.error_y.array is None
    np.testing.assert_allclose(after.error_y.array, 0.0466, atol=5e-4)  # Wilson: 120 of 400


def test_bins_of_hardly_any_forecasts_are_left_out() -> None:
    drawn = reliability_figure({"as forecast": of_classes(0.7, 1.0, n=9)}, "p_up", 0.5)
    assert len(drawn.data) == 1  # the diagonal


def test_both_axes_of_all_classes_have_one_scale_that_shows_every_bar() -> None:
    before, after = of_classes(0.7, 0.2), of_classes(0.6, 0.3)
    for track in (before, after):
        track["curve"] = [
            row | {"frequency": 0.9, "n": 20} if row["output"] == "p_up" else row for row in track["curve"]
        ]
    drawn = reliability_body(study_with("platt", before, after))
    ranges = re.findall(r'"range":(\[[^]]*\])', drawn.split("drift-figure")[0])
    assert len(ranges) == 6 and len(set(ranges)) == 1
    assert 0.972 < json.loads(ranges[0])[1] <= 1.02  # Wilson: 18 of 20 reaches to .972


def test_two_folds_make_no_line() -> None:
    study = study_with(None, of_classes(0.6) | {"folds": of_classes(0.6)["folds"][:2]})
    assert "drift-figure" not in reliability_body(study)


def test_it_stands_in_the_report_and_the_fold_table_tells_the_correction(tmp_path: Path) -> None:
    study = study_with("platt", of_classes(0.7), of_classes(0.6))
    folds = [fold | {"calibrated_through": None} for fold in study.folds]
    folds[3]["calibrated_through"] = study.bars.index[77]
    html = write_report(replace(study, folds=folds), tmp_path / "r.html").read_text(encoding="utf-8")
    assert '<section id="reliability"><h2>How sure: can its confidence be trusted' in html
    assert html.count("not calibrated<") == 5
    assert f"{study.bars.index[77]:%Y-%m-%d %H:%M}</td>" in html


def test_an_in_sample_study_says_so_first(tmp_path: Path) -> None:
    html = write_report(replace(fake_study(300), in_sample=True), tmp_path / "r.html").read_text(encoding="utf-8")
    assert html.index("IN-SAMPLE: models forecast bars that they were trained on.") < html.index("300 bars in sample")
    assert "bars out of sample" not in html
