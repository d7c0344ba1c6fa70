"""How good the forecasts were: each number under its own name, and what a way in and out costs."""

import re
from dataclasses import replace

from strategies.report import quality
from strategies.report.quality import forecasts_body
from tests.strategies.report.reading import text
from tests.strategies.studies import fake_study

STUDY = fake_study(800)


def told(body: str) -> dict[str, str]:
    pairs = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", body)
    return {text(name): text(value) for name, value in pairs}


def test_each_number_stands_under_its_name() -> None:
    numbers = {
        "n": 1234, "hit_rate": 0.5312, "rank_ic": -0.0421, "log_loss": 1.07123, "rmse": 0.01234, "pinball_loss": 0.002,
        "precision_at_k": {10: 0.61}, "precision_at_k_overall": {20: 0.7},
        "horizons": {15: {"hit_rate": 0.6}, 60: {"hit_rate": None}},
    }  # fmt: skip
    assert told(forecasts_body(replace(STUDY, forecast=numbers))) == {
        "forecasts with a known outcome": "1,234", "hit rate": "53.12%", "rank IC (Spearman)": "-0.0421",
        "log loss, nats": "1.071", "RMSE, log return": "0.01234", "pinball loss, log return": "0.002",
        "precision@10, a day": "61.0%", "precision@20, overall": "70.0%",
        "hit rate, 15 bars ahead": "60.00%", "hit rate, 60 bars ahead": "undefined",
    }  # fmt: skip


def test_silent_bars_are_counted() -> None:
    silent = int(STUDY.forecasts["signal"].isna().sum())
    assert f"{silent} of 800 bars have no forecast" in forecasts_body(STUDY) and 0 < silent < 400


def test_a_way_in_and_out_pays_commission_and_slippage_twice(monkeypatch) -> None:
    drawn = []
    real = quality.figures.earned_figure
    monkeypatch.setattr(quality.figures, "earned_figure", lambda *given: [drawn.append(given[1]), real(*given)][1])
    study = replace(STUDY, config=STUDY.config | {"commission": 0.001, "slippage": 0.0005})
    assert "costs, 30.0 basis points." in forecasts_body(study)
    assert drawn == [0.003]
