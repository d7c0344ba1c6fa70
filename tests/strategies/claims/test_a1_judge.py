"""Every hypothesis is decided as it must be, on forecasts whose precision was made."""

import numpy as np
import pandas as pd
import pytest

from mlcore.forecasts import make_forecasts
from mlcore.labels import up_move
from strategies.claims.a1 import A1Config, Evidence, Track, spans_of
from strategies.claims.a1_judge import choose, draw, drift, evidence_words, judge_a1, track_table
from strategies.comparison.entrants import Entrant, Protocol
from tests.conftest import random_bars

BARS = random_bars(24 * 60, seed=2)
LABEL = up_move(BARS, 3, 0.001)
INDEX = pd.DatetimeIndex(BARS.index)
PROTOCOL = Protocol(None, BARS, LABEL, "")
BEFORE = INDEX[0] - pd.Timedelta("1D")


def config(**more) -> A1Config:
    settings = {"out": "x", "models": ("transformer", "bilstm", "tcn"), "validation": "20D", "test": "20D"}
    return A1Config(**(settings | {"resamples": 400} | more))


def track(model: str, skill: float | np.ndarray, *, seed=0, latency=0.001, lookback=60, series="a up") -> Track:
    """Forecasts whose surest rows are moves with the chance `skill`, from day 10 on, refitted every 7 days."""
    rng = np.random.default_rng(seed)
    came = np.nan_to_num(LABEL.values)
    sure = (rng.random(len(BARS)) < 0.9) & (came == 1)  # candidates that are right
    wrong = (rng.random(len(BARS)) < 0.9) & (came == 0)
    p = 0.1 + 0.05 * rng.random(len(BARS))
    pick = rng.random(len(BARS)) < skill
    p = np.where(sure & pick | wrong & ~pick, p + 0.5, p)
    first = 24 * 10
    fold = (np.arange(len(BARS)) - first) // (24 * 7)
    raw = np.c_[1 - p, p]
    forecasts = make_forecasts(raw, LABEL.task, index=INDEX, fold=fold, trained_through=BEFORE).iloc[first:]
    entrant = Entrant(model, forecasts, 1.0, (latency,) * 50, 100, folds=8)
    return Track(model, lookback, series, entrant, spans_of(config(), forecasts, PROTOCOL))


def outcomes(verdicts):
    return {verdict.claim: verdict.outcome for verdict in verdicts}


def judged(*tracks, **more):
    verdicts, spans, chosen = judge_a1(config(**more), tracks)
    return outcomes(verdicts), verdicts, spans, chosen


def found(outcome, words):
    return next(value for claim, value in outcome.items() if words in claim)


def test_spans_follow_each_other_and_the_rest_is_not_looked_at():
    one = track("tcn", 0.5)
    validation, test = one.spans["validation"], one.spans["test"]
    assert validation.stamps[0] == INDEX[240] and test.stamps[0] == INDEX[240] + pd.Timedelta("20D")
    assert validation.stamps[-1] < test.stamps[0]
    assert test.stamps[-1] < INDEX[240] + pd.Timedelta("40D")


def test_a_clear_lead_holds_and_a_clear_lag_does_not():
    strong, weak = track("transformer", 0.95, seed=1), track("bilstm", 0.2, seed=2)
    outcome, *_ = judged(strong, weak)
    assert found(outcome, "above the bilstm") == "holds"
    assert found(outcome, "above the lstm") == "not tested"
    assert found(outcome, "more than 60%") == "holds"
    assert found(outcome, "no-go") == "does not hold"
    turned, *_ = judged(track("transformer", 0.2, seed=2), track("bilstm", 0.95, seed=1))
    assert found(turned, "above the bilstm") == "does not hold"


def test_none_above_the_bar_is_a_no_go():
    outcome, verdicts, *_ = judged(track("transformer", 0.1, seed=1), track("bilstm", 0.1, seed=2))
    assert found(outcome, "more than 60%") == "does not hold"
    assert found(outcome, "no-go") == "holds"
    assert any("NO-GO" in verdict.found for verdict in verdicts)


def test_the_bars_are_held_against_calls_without_hindsight_too():
    """Surest where the price is lowest: right by hindsight on a random walk, and no better than chance ahead."""
    low = track("tcn", 0.5)
    level = np.log(BARS["close"] / BARS["close"].iloc[0]).to_numpy()
    p = 0.9 - (level - level.min()) / np.ptp(level) * 0.8
    frame = make_forecasts(np.c_[1 - p, p], LABEL.task, index=INDEX, fold=0, trained_through=BEFORE).iloc[240:]
    low = Track("tcn", 60, "a up", Entrant("tcn", frame, 1.0, (0.001,) * 50), spans_of(config(), frame, PROTOCOL))
    *_, spans, _ = judged(low)
    values = spans["test"].values["tcn", 60]
    assert values["precision_at_10"] > values["base_rate"] + 0.1
    assert values["precision_at_10_ahead"] < values["precision_at_10"] - 0.1
    outcome, *_ = judged(low)
    assert sum("no hindsight" in claim for claim in outcome) == 2


def test_latencies_are_held_against_their_limits():
    outcome, *_ = judged(track("transformer", 0.5, latency=0.051), track("bilstm", 0.5, latency=0.034))
    assert found(outcome, "transformer decides") == "does not hold"
    assert found(outcome, "bilstm decides") == "holds"
    assert found(outcome, "tcn decides") == "not tested"


def test_the_drop_from_validation_to_test():
    falling = np.where(np.arange(len(BARS)) < 24 * 30, 0.95, 0.1)
    outcome, *_ = judged(track("tcn", falling, seed=3))
    assert found(outcome, "tcn: precision@10 drops") == "holds"
    rising, *_ = judged(track("tcn", 1 - falling, seed=3))
    assert found(rising, "tcn: precision@10 drops") == "does not hold"


def test_the_drift_since_the_refit():
    age = (np.arange(len(BARS)) - 240) // 24 % 7
    slope, loss = drift(config(), [track("tcn", 0.95 - 0.13 * age, seed=3)])
    assert slope.high < 0 < loss.low
    assert drift(config(), [track("tcn", 0.3 + 0.1 * age, seed=3)])[0].low > 0
    still, _ = drift(config(), [track("tcn", 0.5, seed=3)])
    assert still.low < 0 < still.high


def test_the_slope_is_least_squares():
    age = (np.arange(len(BARS)) - 240) // 24 % 7
    one = track("tcn", 0.95 - 0.1 * age, seed=3)
    values = []
    for rows in one.spans.values():
        days = (rows.stamps - INDEX[240]) // pd.Timedelta("1D")
        for day in np.unique(days):
            order = np.argsort(-rows.raw[days == day, 1], kind="stable")[:10]
            values.append((day % 7, (rows.values[days == day][order] == 1).mean()))
    expected = np.polyfit(*np.transpose(values), 1)[0]
    assert drift(config(), [one])[0].value == pytest.approx(expected, rel=1e-9)


def test_the_lookback_is_chosen_on_the_validation_span_alone():
    early = np.where(np.arange(len(BARS)) < 24 * 30, 0.95, 0.05)
    tracks = [track("tcn", early, seed=3, lookback=30), track("tcn", 1 - early, seed=4, lookback=240)]
    validation = draw(tracks, "validation", resamples=100, seed=0)
    assert choose(validation, ("tcn",)) == {"tcn": ("tcn", 30)}
    *_, chosen = judged(*tracks)
    assert chosen == {"tcn": ("tcn", 30)}


def test_series_are_pooled_and_days_paired():
    pair = [track("tcn", 0.9, seed=1), track("tcn", 0.1, seed=2, series="b up")]
    both = draw(pair, "test", resamples=100, seed=0)
    alone = [draw([one], "test", resamples=100, seed=0).values["tcn", 60]["precision_at_10"] for one in pair]
    assert both.values["tcn", 60]["precision_at_10"] == pytest.approx(np.mean(alone), abs=0.01)
    twin = draw([pair[0], track("bilstm", 0.9, seed=1)], "test", resamples=100, seed=0)
    less = twin.less(("tcn", 60), ("bilstm", 60), "precision_at_10")
    assert (less.value, less.low, less.high) == (0, 0, 0)


def test_a_few_days_have_no_interval():
    short = config(validation="20D", test="5D")
    one = track("tcn", 0.9)
    spans = spans_of(short, one.entrant.forecasts, PROTOCOL)
    cut = Track("tcn", 60, "a up", one.entrant, spans)
    verdicts, *_ = judge_a1(short, [cut])
    assert found(outcomes(verdicts), "more than 60%") != "holds"
    assert found(outcomes(verdicts), "drops") == "not tested"


def test_the_table_has_every_track_and_the_pool_and_tells_failures():
    failed = Track("bilstm", 60, "a up", Entrant("bilstm", failure="ValueError: no"))
    tracks = [track("tcn", 0.9), failed]
    verdicts, spans, _ = judge_a1(config(), tracks)
    table = track_table(tracks, spans)
    assert set(table["series"]) == {"a up", "pooled"}
    assert table.query("model == 'bilstm'")["failure"].tolist() == ["ValueError: no"]
    row = table.query("series == 'pooled' and span == 'test'").iloc[0]
    assert row["precision_at_10_day_low"] < row["precision_at_10_day"] < row["precision_at_10_day_high"]
    assert found(outcomes(verdicts), "above the bilstm") == "not tested"


def test_evidence_tells_what_a_stride_cost():
    dense, thin = track("bilstm", 0.9, seed=1).spans["test"], track("bilstm", 0.1, seed=1).spans["test"]
    evidence = [Evidence("bilstm", 5, 50.0, dense, None), Evidence("bilstm", 20, 10.0, thin, None)]
    first, second = evidence_words(config(), evidence)
    assert "stride 5: 50 s" in first and "against" not in first
    assert "stride 20: 10 s" in second and "+" in second.split("against stride 5")[0].split(", ")[-2]
    assert "failed: out" in evidence_words(config(), [Evidence("bilstm", 5, None, None, "out")])[0]
