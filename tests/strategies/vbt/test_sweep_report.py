"""What a sweep found is never told without how many were tried."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import image

from mlcore.stats import expected_maximum_sharpe
from strategies.result import METRICS
from strategies.vbt.sweep import PARAMETERS
from strategies.vbt.sweep_report import best_rows, heatmap_axes, panels_of, sentence, surface_axes, write_sweep


@pytest.mark.parametrize(
    ("n", "value"),
    [
        (2, 0.519755344281),
        (5, 1.192594001015),
        (10, 1.574598301346),
        (46, 2.244170830841),
        (100, 2.530602893202),
        (1000, 3.255121513653),
    ],
)
def test_the_false_strategy_theorem(n: int, value: float) -> None:
    assert expected_maximum_sharpe(n, 1.0) == pytest.approx(value, rel=1e-10)
    assert expected_maximum_sharpe(n, 4.0) == pytest.approx(2 * value, rel=1e-10)


def test_one_trial_has_no_luck_of_many() -> None:
    assert expected_maximum_sharpe(1, 1.0) == 0.0


def tried(**changes: object) -> pd.DataFrame:
    rows = []
    for commission in (0.0, 0.001):
        for entry in (0.0, 0.1, 0.2):
            for sizer in ("fixed", "confidence"):
                rule = dict(
                    zip(PARAMETERS, (entry, 0.0, 0, 0.0, "both", 0.0, sizer, commission, 0.0005, 0), strict=True)
                )
                sharpe = entry * 10 + (sizer == "fixed") - 1000 * commission
                rows.append(
                    {**rule, **dict.fromkeys(METRICS, 1.0), "sharpe": sharpe, "n_orders": 7, "days": 100, "years": 0.25}
                )
    return pd.DataFrame(rows).assign(**changes)


def test_the_best_is_told_at_each_cost_with_the_number_tried() -> None:
    free, dear = best_rows(tried())
    assert (free["tried"], dear["tried"]) == (6, 6)
    assert (free["best"]["entry"], free["best"]["sizer"], free["best"]["sharpe"]) == (0.2, "fixed", 3.0)
    assert dear["best"]["sharpe"] == 2.0
    assert free["best_by_luck"] == pytest.approx(2 * expected_maximum_sharpe(6, 1.0))
    assert free["spread"] == pytest.approx(np.std([0, 1, 1, 2, 2, 3], ddof=1))
    words = sentence(dear)
    assert "the best of 6 rules tried has a Sharpe ratio of 2.00" in words
    assert "by luck over 100 days" in words


def test_terms_are_told_apart_by_their_delay_too() -> None:
    late = pd.concat([tried(), tried(delay=2, sharpe=-1.0)], ignore_index=True)
    assert [found["delay"] for found in best_rows(late)] == [0, 0, 2, 2]
    assert ", 2 bars late, the best" in sentence(best_rows(late)[2])
    assert list(heatmap_panels(late))[0] == "commission 0.100%, slippage 0.050%, 2 bars late"


def test_a_sweep_without_one_sharpe_ratio_says_so() -> None:
    found = best_rows(tried(sharpe=np.nan))
    assert found[0]["best"] is None
    assert "none of 6 rules tried" in sentence(found[0])


def test_undefined_ratios_count_as_tried() -> None:
    table = tried()
    table.loc[5, "sharpe"] = np.nan
    free = best_rows(table)[0]
    assert (free["tried"], free["defined"]) == (6, 5)


def heatmap_panels(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return panels_of(table, heatmap_axes(table))


def test_panels_are_one_a_cost_dearest_first_at_the_median_of_the_rest() -> None:
    panels = heatmap_panels(pd.concat([tried(), tried(min_hold=5, sharpe=9.0), tried(min_hold=9, sharpe=9.0)]))
    assert list(panels) == ["commission 0.100%, slippage 0.050%", "commission 0.000%, slippage 0.050%"]
    grid = panels["commission 0.000%, slippage 0.050%"]
    assert (grid.columns.name, grid.index.name) == ("entry", "min_hold")
    assert grid.loc[0].tolist() == [0.5, 1.5, 2.5]
    plain = heatmap_panels(tried())["commission 0.100%, slippage 0.050%"]
    assert (plain.columns.name, plain.index.name) == ("entry", "sizer")
    assert plain.loc["fixed"].tolist() == [0.0, 1.0, 2.0]


def test_no_more_panels_than_can_be_read() -> None:
    many = pd.concat([tried(slippage=cost) for cost in np.linspace(0, 0.01, 10)])
    assert len(heatmap_panels(many)) == 6


@pytest.mark.parametrize("table", [tried(), tried().head(1), tried(sharpe=np.nan)], ids=["grid", "one", "undefined"])
def test_the_files_are_whole(table: pd.DataFrame, tmp_path: Path) -> None:
    write_sweep(table, {"days_per_year": 365.0}, tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "heatmap.html",
        "heatmap.png",
        "sweep.json",
        "sweep.parquet",
    ]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "sweep.parquet"), table)
    found = json.loads((tmp_path / "sweep.json").read_text())
    assert found["tried"] == len(table) and found["best"][0]["tried"]
    html = (tmp_path / "heatmap.html").read_text()
    assert f"{len(table)} combinations tried" in html and "rules tried" in html
    assert "<script src" not in html
    assert image.imread(tmp_path / "heatmap.png").size > 0


def test_a_surface_stands_on_two_numeric_parameters_of_three_values_each(tmp_path: Path) -> None:
    assert surface_axes(tried()) is None
    held = pd.concat([tried(min_hold=hold, sharpe=float(hold)) for hold in (0, 5, 9)], ignore_index=True)
    assert surface_axes(held) == ("entry", "min_hold")
    held.attrs["traded"] = 7
    write_sweep(held, {}, tmp_path)
    html = (tmp_path / "heatmap.html").read_text()
    assert 'id="surface-0"' in html and 'id="surface-1"' in html and "on a plateau" in html
    assert "36 combinations tried" in html and "7 of them were traded" in html
    write_sweep(tried(), {}, tmp_path)
    assert 'id="surface-' not in (tmp_path / "heatmap.html").read_text()
