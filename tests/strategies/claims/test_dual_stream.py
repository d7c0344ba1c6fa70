import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from mlcore.forecasts import ReturnScale, make_forecasts
from mlcore.labels import direction, forward_return
from mlcore.metrics import hit_rate
from mlcore.panel import PanelRun
from mlcore.quality import Rows, metrics_of, value_of
from strategies.claims import dual_stream
from strategies.claims.dual_stream import DualStreamConfig, common_rows, daily_sums, judge_dual_stream
from tests.conftest import random_bars

PANEL = {name: random_bars(24 * 40, seed=seed) for seed, name in enumerate(("A", "B", "C"))}
LABELS = {name: forward_return(bars, 4, quantiles=(0.1, 0.5, 0.9)) for name, bars in PANEL.items()}


def config(**more) -> DualStreamConfig:
    return DualStreamConfig(**({"out": "x", "model": "m", "resamples": 300} | more))


def panel_run(share: float, seed: int, first: int = 100) -> PanelRun:
    """Forecasts that call `share` of all directions right."""
    rng, forecasts = np.random.default_rng(seed), {}
    for name, bars in PANEL.items():
        right = np.where(rng.random(len(bars)) < share, 1, -1)
        median = 0.004 * right * np.sign(np.nan_to_num(LABELS[name].returns)) + 1e-6
        raw = median[:, None] + np.array([-0.025, 0.0, 0.025])
        task, index = LABELS[name].task, bars.index
        before = index[0] - pd.Timedelta("1D")
        forecasts[name] = make_forecasts(
            raw, task, index=index, fold=0, trained_through=before, scale=ReturnScale(0.004, 0.02)
        ).iloc[first:]
    return PanelRun(forecasts, LABELS, [])


def judged(share: float, **more):
    runs = {"m": panel_run(share, 1), "naive": panel_run(0.5, 2)}
    verdicts, table = judge_dual_stream(config(**more), common_rows(runs, PANEL))
    return {verdict.claim: verdict for verdict in verdicts}, table


def found(verdicts, words):
    return next(verdict.outcome for claim, verdict in verdicts.items() if words in claim)


@pytest.mark.parametrize(("share", "outcome"), [(0.62, "holds"), (0.5, "does not hold"), (0.55, "undecided")])
def test_the_claim_is_decided_by_the_interval(share, outcome):
    verdicts, table = judged(share)
    assert found(verdicts, "calls 56%") == outcome
    row = table.query("coin == 'all coins' and model == 'm'").iloc[0]
    assert row["direction_low"] < share < row["direction_high"]


def test_baselines_are_paired_and_may_win():
    verdicts, _ = judged(0.62)
    assert found(verdicts, "direction is above that of naive") == "holds"
    assert found(verdicts, "pinball is below that of naive") == "holds"
    lost, _ = judged(0.38)
    assert found(lost, "direction is above that of naive") == "does not hold"
    assert found(lost, "pinball is below that of naive") == "does not hold"


def test_coins_are_looked_at_all_at_once():
    verdicts, table = judged(0.62)
    assert set(table["coin"]) == {"all coins", "A", "B", "C"} and len(table) == 8
    assert found(verdicts, "on some coin") == "holds"
    assert found(judged(0.4)[0], "on some coin") == "does not hold"


def test_each_coin_s_interval_is_corrected_for_how_many_were_looked_at(monkeypatch):
    told = []
    whole = dual_stream.corrected
    monkeypatch.setattr(dual_stream, "corrected", lambda *a: told.append(a[-1]) or whole(*a))
    judged(0.62)
    assert told == [len(PANEL)] * len(PANEL)


def test_the_interval_of_the_quantiles_is_held_against_what_was_asked():
    verdicts, table = judged(0.5)
    row = table.query("coin == 'all coins' and model == 'm'").iloc[0]
    inside = []
    for name, frame in panel_run(0.5, 1).forecasts.items():
        value = pd.Series(LABELS[name].values, PANEL[name].index).reindex(frame.index)
        inside.append(((frame["q10"] <= value) & (value <= frame["q90"]))[value.notna()])
    assert row["coverage"] == pytest.approx(pd.concat(inside).mean())
    assert (found(verdicts, "outermost") == "undecided") == (row["coverage_low"] <= 0.8 <= row["coverage_high"])


def test_sums_of_days_are_the_metrics_of_all_rows():
    run = panel_run(0.55, 3)
    rows = Rows.of(run.forecasts["A"], LABELS["A"], PANEL["A"].index)
    sums, metrics = daily_sums(rows).sum(), metrics_of(rows)
    assert sums["hits"] / sums["calls"] == pytest.approx(hit_rate(rows.signal, rows.returns))
    assert sums["loss"] / sums["n"] == pytest.approx(value_of(metrics["pinball"], rows))
    assert sums["hits_10"] / sums["calls_10"] == pytest.approx(value_of(metrics["precision_at_10_day"], rows))


def test_all_models_are_judged_on_the_rows_that_all_forecast():
    runs = {"m": panel_run(0.6, 1, first=200), "naive": panel_run(0.5, 2)}
    rows = common_rows(runs, PANEL)
    assert {len(models["naive"]) for models in rows.values()} == {len(rows["A"]["m"])}
    del runs["m"].forecasts["B"]
    assert set(common_rows(runs, PANEL)) == {"A", "C"}
    with pytest.raises(BarwiseError, match="No coin"):
        common_rows({"m": PanelRun({}, LABELS, [])}, PANEL)


def test_other_labels_are_refused():
    bars = PANEL["A"]
    label = direction(bars, 4, 0.0)
    raw = np.full((len(bars), 2), 0.5)
    forecasts = make_forecasts(raw, label.task, index=bars.index, fold=0, trained_through=bars.index[0])
    with pytest.raises(BarwiseError, match="about quantiles"):
        daily_sums(Rows.of(forecasts, label, bars.index))
