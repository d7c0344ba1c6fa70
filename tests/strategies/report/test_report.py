"""The report: whole, offline, honest about what is undefined, and readable by machine at least."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from strategies.command import command_running, typed_command
from strategies.report import write_report
from strategies.report.figures import equity_figure
from strategies.report.page import how_to, table
from strategies.report.sections import sections
from strategies.report.words import shown
from strategies.study import Study
from tests.strategies.studies import fake_study


class Reader(HTMLParser):
    """Text and tags of a page; complains of a tag that is closed but not open."""

    void = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if "script" not in self.open and "style" not in self.open:
            self.text += data + " "


def read(study: Study, folder: Path) -> tuple[str, Reader]:
    html = write_report(study, folder / "report.html").read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(html)
    assert not reader.open
    return html, reader


def test_it_is_one_file_that_needs_no_network(tmp_path: Path) -> None:
    html, reader = read(fake_study(800), tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["report.html"]
    assert not [tag for tag, attrs in reader.tags if tag in ("link", "img", "iframe") or attrs.get("src")]
    assert len(html.encode()) < 6_000_000
    assert len(re.findall(r"plotly\.js v\d", html)) == 1
    assert html.rindex("Plotly.Plots.resize") > html.rindex("js-plotly-plot") - 200  # after all figures: they fit


def test_the_parts_stand_in_the_order_a_reader_asks(tmp_path: Path) -> None:
    _, reader = read(fake_study(800), tmp_path)
    anchors = [attrs["id"] for tag, attrs in reader.tags if tag == "section"]
    where, rest = ["folds", "months", "sides"], ["forecasts", "costs", "doubts", "trades", "run"]
    assert anchors == ["result", "equity", *where, *rest]
    figures = [attrs["id"] for tag, attrs in reader.tags if (attrs.get("class") or "").startswith("plotly-graph-div")]
    trades = [name for name in figures if name and name.startswith("trade-figure-")]
    sure = ["confidence-figure", "bucket-figure", "earned-figure"]
    assert figures == ["equity-figure", "fold-figure", *sure, *trades] and len(trades) > 4


def test_it_says_what_was_found_and_what_it_cost_to_find(tmp_path: Path) -> None:
    study = fake_study(800)
    _, reader = read(study, tmp_path)
    for words in (
        "both engines agree on every bar's equity and on all 351 orders",
        "3.1e-14",
        f"{study.results['vectorbt'].metrics['final_value']:,.2f}",
        "This report tried 1 configuration",
        "shuffled label",
        "break-even commission",
        "12 bars are missing in 2 places",
        study.data["sha256"],
        "1.9.78.123",
        "412.7 s",
        "cash paid for 99.8% of it",
    ):
        assert words in reader.text, words


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"engines": ("backtrader",)}, "Not reconciled: only backtrader ran."),
        ({"engines": ("vectorbt",)}, "Not reconciled: only vectorbt ran."),
        ({"trades": False}, "never moves: no order was filled"),
        ({"trades": False}, "No order was given."),
        ({"trades": False, "n_folds": 3}, "no trade"),
        ({"undefined": True}, "undefined"),
        ({"n_folds": 1}, "1 fold and"),
        ({"label": "five_class"}, "log loss"),
        ({"label": "return"}, "RMSE"),
        ({"interval": "1D"}, "2025-05-14"),
        ({"n": 60, "n_folds": 2}, "60 bars out of sample"),
    ],
)
def test_every_shape_of_a_study_is_told(shape: dict[str, Any], words: str, tmp_path: Path) -> None:
    _, reader = read(fake_study(**({"n": 500} | shape)), tmp_path)
    assert words in reader.text


def test_engines_that_differ_are_not_called_reconciled(tmp_path: Path) -> None:
    study = replace(fake_study(300), reconciliation={"agrees": False, "max_relative_difference": 0.1, "n_orders": 3})
    _, reader = read(study, tmp_path)
    assert "NOT reconciled: the engines differ by up to 1.0e-01" in reader.text
    assert "Reconciled: both" not in reader.text


def test_many_bars_and_folds_stay_small_and_in_a_box_that_scrolls(tmp_path: Path) -> None:
    html, reader = read(fake_study(130_000, n_folds=430, interval="1min"), tmp_path)
    assert len(html.encode()) < 7_000_000
    assert "box tall" in {attrs.get("class") for _, attrs in reader.tags}
    assert "The first 200 of" in reader.text


def test_forecasts_without_a_word_are_told(tmp_path: Path) -> None:
    study = fake_study(300, trades=False)
    silent = study.forecasts.assign(signal=float("nan"), confidence=float("nan"))
    _, reader = read(replace(study, forecasts=silent), tmp_path)
    assert "No forecast carries a confidence." in reader.text
    assert "300 of 300 bars have no forecast" in reader.text


def test_an_account_below_zero_and_no_folds_are_told(tmp_path: Path) -> None:
    study = fake_study(300)
    broke = {name: replace(result, equity=result.equity - 11_000) for name, result in study.results.items()}
    _, reader = read(replace(study, results=broke, folds=[], notes=()), tmp_path)
    assert "There were no folds." in reader.text


@pytest.mark.parametrize(("least", "kind"), [(9000.0, None), (100.0, "log"), (1e-6, "log"), (-50.0, "log")])
def test_accounts_far_apart_are_drawn_on_a_log_scale(least: float, kind: str | None) -> None:
    study = fake_study(300)
    result = study.results["vectorbt"]
    equity = pd.Series(np.linspace(10_000.0, least, 300), index=result.equity.index)
    axis = equity_figure(
        replace(study, results={"vectorbt": replace(result, equity=equity)}, baselines={})
    ).layout.yaxis
    assert axis.type == kind
    assert kind is None or np.log10(10_000) - 3.1 < axis.range[0] < axis.range[1] < 4.1


def test_a_note_of_several_runs_stands_once(tmp_path: Path) -> None:
    study = fake_study(200)
    noted = {name: replace(result, notes=("mind the gap",)) for name, result in study.results.items()}
    _, reader = read(replace(study, results=noted), tmp_path)
    assert "backtrader, vectorbt: mind the gap" in reader.text
    assert reader.text.count("mind the gap") == 1


def test_what_the_user_names_is_text_and_never_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>&"
    study = fake_study(200)
    html, reader = read(replace(study, title=evil, notes=(evil,), config=study.config | {"out": evil}), tmp_path)
    assert "<script>alert" not in html
    assert reader.text.count("<script>alert(1)</script>&") >= 3


def test_the_same_study_gives_the_same_file(tmp_path: Path) -> None:
    first = write_report(fake_study(300), tmp_path / "a.html").read_bytes()
    assert first == write_report(fake_study(300), tmp_path / "b.html").read_bytes()


def test_an_undefined_number_is_a_word() -> None:
    assert [shown(None), shown(float("nan")), shown(1234.5678), shown(0.123, "{:.0%}")] == [
        "undefined",
        "undefined",
        "1,235",
        "12%",
    ]


def test_cells_are_escaped() -> None:
    assert "<td>&lt;b&gt;</td>" in table(["", "x"], [["a", "<b>"]])


def test_every_part_has_words() -> None:
    assert all(part.body and part.heading for part in sections(fake_study(200)))


def test_horizons_that_do_not_lead_are_told_beside_the_one_that_does(tmp_path: Path) -> None:
    study = fake_study(200)
    more = {15: {"n": 150, "hit_rate": 0.6123, "rank_ic": None, "log_loss": 1.04}}
    _, reader = read(replace(study, forecast=study.forecast | {"horizons": more}), tmp_path)
    assert "hit rate, 15 bars ahead" in reader.text
    assert "61.23%" in reader.text
    assert "15 bars ahead" not in read(study, tmp_path)[1].text


def test_the_command_that_was_typed_is_told_as_it_was_quoted_where_it_must_be(tmp_path: Path, monkeypatch: Any) -> None:
    words = ["experiments/walk_forward.py", "--bars", "my bars.csv", "--set", "width=<b>"]
    monkeypatch.setattr("sys.argv", words)
    assert typed_command() is None
    with command_running():
        command = typed_command()
    assert command == "python experiments/walk_forward.py --bars 'my bars.csv' --set 'width=<b>'"
    assert typed_command() is None
    _, reader = read(replace(fake_study(100), command=command), tmp_path)
    assert command in " ".join(reader.text.split())
    _, reader = read(fake_study(100), tmp_path)
    assert "As it was typed" not in reader.text


def test_settings_are_words() -> None:
    told = how_to(None, [("bars", ["a", "b"]), ("repair", ""), ("set", None)], {"numpy": "2"})
    assert "<dd>a, b</dd>" in told and told.count("<dd>none</dd>") == 2


def test_an_interval_stands_below_its_number_so_that_tables_are_half_as_wide() -> None:
    (row,) = re.findall(
        "<td>.*?</td>",
        table(["model", "loss"], [["a", "1.07 [1.06, 1.08]"]]).replace(' class="w"', "").replace("<td>a</td>", ""),
    )
    assert row == '<td>1.07<span class="interval"> [1.06, 1.08]</span></td>'
    assert "<span" not in table(["a"], [["x [y"], ["[z]"]])
