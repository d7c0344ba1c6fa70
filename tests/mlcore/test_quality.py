import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn import metrics as sk

from mlcore import metrics
from mlcore.errors import BarwiseError
from mlcore.forecasts import ReturnScale, make_forecasts
from mlcore.labels import direction, forward_return
from mlcore.quality import Rows, loss_name, metrics_of, row_losses, surest_ahead, value_of
from mlcore.reliability import brier_score
from mlcore.tasks import Label, Task
from tests.conftest import random_bars

TASKS = {
    "two": Task("classes", ("p_down", "p_up"), scores=(-1.0, 1.0)),
    "three": Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0)),
    "event": Task("classes", ("p_not", "p_up"), scores=(0.0, 1.0)),
    "number": Task("regression", ("expected_return",)),
    "quantiles": Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9)),
}


def made(task: Task, n: int = 60, seed: int = 0, digits: int = 1) -> tuple[pd.DataFrame, Label, pd.DatetimeIndex]:
    """Forecasts with some skill and many ties, a label, and the bars' stamps: five days of 12 bars."""
    rng = np.random.default_rng(seed)
    index = pd.date_range("2024-01-01", periods=n, freq="2h", tz="UTC", name="timestamp").as_unit("ns")
    move = np.round(rng.normal(0, 1, n), digits)
    view = 0.5 * move + rng.normal(0, 1, n)
    if task.kind == "classes":
        k = task.n_outputs
        values = np.digitize(move, np.linspace(-0.5, 0.5, k - 1) if k > 2 else [0.3]).astype(np.float64)
        weights = np.exp(np.outer(view, np.arange(k)) + rng.normal(0, 0.3, (n, k)))
        raw = np.round(weights / weights.sum(axis=1, keepdims=True), digits)
        raw[:, -1] = 1 - raw[:, :-1].sum(axis=1)
    else:
        values = move
        raw = np.round(view[:, None] + np.linspace(-1, 1, task.n_outputs) * (task.n_outputs > 1), digits)
    label = Label(values, move, np.arange(n) + 1, 1, task)
    forecasts = make_forecasts(
        raw, task, index=index, fold=0, trained_through=index[0] - pd.Timedelta("1D"), scale=ReturnScale(1.0, 1.0)
    )
    return forecasts, label, index


def found(rows: Rows) -> dict[str, float | None]:
    return {name: value_of(metric, rows) for name, metric in metrics_of(rows).items()}


@pytest.mark.parametrize("name", TASKS)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=20)
def test_they_are_scikit_learns(name, seed):
    task = TASKS[name]
    rows = Rows.of(*made(task, seed=seed))
    ours, (names, told, came) = found(rows), rows.classes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's word for a class that never came
        theirs = {
            "accuracy": sk.accuracy_score(came, told),
            "precision": sk.precision_score(came, told, average="macro"),
            "recall": sk.recall_score(came, told, average="macro"),
            "f1": sk.f1_score(came, told, average="macro"),
        }
        for k, one in enumerate(names):
            for word, score in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
                theirs[f"{word}_{one}"] = score(came == k, told == k, zero_division=np.nan)
    for key, value in theirs.items():
        assert ours[key] == (None if np.isnan(value) else pytest.approx(value, abs=1e-12)), key
    if task.kind != "classes":
        assert ours["auc"] == pytest.approx(sk.roc_auc_score(rows.returns > 0, rows.signal), abs=1e-12)
        assert ours["mae"] == pytest.approx(sk.mean_absolute_error(rows.values, rows.center), abs=1e-12)
        assert ours["rmse"] == pytest.approx(sk.root_mean_squared_error(rows.values, rows.center), abs=1e-12)
        assert ours["r2"] == pytest.approx(sk.r2_score(rows.values, rows.center), abs=1e-9)
        moved = rows.values != 0
        mape = sk.mean_absolute_percentage_error(rows.values[moved], rows.center[moved])
        assert ours["mape"] == pytest.approx(mape, abs=1e-9)
    elif len(np.unique(came)) == task.n_outputs:
        each = [sk.roc_auc_score(came == k, rows.raw[:, k]) for k in range(task.n_outputs)]
        assert ours["auc"] == pytest.approx(each[1] if len(each) == 2 else np.mean(each), abs=1e-12)
        losses = sk.log_loss(came, np.clip(rows.raw, 1e-15, None), labels=range(task.n_outputs))
        assert ours["log_loss"] == pytest.approx(losses, rel=1e-6)
        assert ours["brier"] == pytest.approx(brier_score(rows.raw, rows.values), abs=1e-12)
    if task.kind == "quantiles":
        theirs = [sk.mean_pinball_loss(rows.values, rows.raw[:, k], alpha=q) for k, q in enumerate(task.quantiles)]
        assert ours["pinball"] == pytest.approx(np.mean(theirs), abs=1e-12)


@pytest.mark.parametrize("name", ["two", "three", "number", "quantiles"])
def test_they_are_the_kits_own_where_it_had_them(name):
    forecasts, label, index = made(TASKS[name], seed=3)
    rows = Rows.of(forecasts, label, index)
    ours, before = found(rows), metrics.forecast_quality(forecasts, label, index)
    assert ours["direction"] == pytest.approx(before["hit_rate"], abs=1e-12)
    assert ours["rank_ic"] == pytest.approx(before["rank_ic"], abs=1e-12)
    for k in (10, 20, 50):
        assert ours[f"precision_at_{k}_day"] == pytest.approx(before["precision_at_k"][k], abs=1e-12)
        assert ours[f"precision_at_{k}_overall"] == pytest.approx(before["precision_at_k_overall"][k], abs=1e-12)
    for loss in ("log_loss", "rmse"):
        assert loss not in before or ours[loss] == pytest.approx(before[loss], abs=1e-12)
    assert before.get("pinball_loss") == (None if "pinball" not in ours else pytest.approx(ours["pinball"]))


def of(rows: Rows, chosen: np.ndarray) -> Rows:
    """`rows` with each row as often as `chosen` names it, in its old order: what a resample is."""
    arrays = (rows.signal, rows.confidence, rows.raw, rows.values, rows.returns)
    return Rows(rows.stamps[chosen], rows.day[chosen], *(array[chosen] for array in arrays), rows.task)


@pytest.mark.parametrize("name", TASKS)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15)
def test_counts_as_weights_give_the_metric_of_the_resampled_rows(name, seed):
    rows = Rows.of(*made(TASKS[name], seed=seed, digits=2))
    counts = np.random.default_rng(seed).integers(0, 3, len(rows))
    again = of(rows, np.repeat(np.arange(len(rows)), counts))
    there = metrics_of(again)
    for key, metric in metrics_of(rows).items():
        if metric.by_day:
            continue
        weighted = metric.of(np.stack([counts, np.ones(len(rows))]).astype(np.float64))
        assert weighted[0] == pytest.approx(there[key].of(np.ones((1, len(again))))[0], abs=1e-9, nan_ok=True), key
        assert weighted[1] == pytest.approx(metric.of(np.ones((1, len(rows))))[0], abs=1e-9, nan_ok=True), key


@pytest.mark.parametrize("name", ["two", "event", "number"])
def test_day_weights_give_the_metric_of_the_resampled_days(name):
    rows = Rows.of(*made(TASKS[name], seed=5, digits=2))
    chosen = np.isin(rows.day, [0, 3])
    fewer = of(rows, np.flatnonzero(chosen))
    fewer = Rows(fewer.stamps, (fewer.day > 0).astype(np.int64), *(getattr(fewer, a) for a in AFTER))
    for key, metric in metrics_of(rows).items():
        if metric.by_day and not key.endswith("ahead"):  # its days hang together: yesterday is another one
            found = metric.of(np.array([[1.0, 0, 0, 1, 0]]))[0]
            assert found == pytest.approx(value_of(metrics_of(fewer)[key], fewer), abs=1e-12), key


AFTER = ("signal", "confidence", "raw", "values", "returns", "task")


def test_of_an_event_the_surest_rows_are_those_of_its_highest_probability():
    n = 24
    index = pd.date_range("2024-01-01", periods=n, freq="2h", tz="UTC", name="timestamp").as_unit("ns")
    p = np.linspace(0.01, 0.4, n)  # never above a half: the likeliest class is always "not"
    came = (np.arange(n) >= n - 5).astype(np.float64)  # the five surest
    label = Label(came, np.full(n, -0.01), np.arange(n) + 1, 1, TASKS["event"])  # though the return is down
    forecasts = make_forecasts(np.c_[1 - p, p], TASKS["event"], index=index, fold=0, trained_through=index[0])
    ours = found(Rows.of(forecasts, label, index))
    assert ours["precision_at_10_overall"] == 0.5
    assert ours["precision_at_10_day"] == 5 / 20  # ten a day, two days
    assert ours["precision_p_up"] is None and ours["recall_p_up"] == 0.0 and ours["auc"] == 1.0


def test_rank_ic_of_a_resample_is_spearmans():
    rows = Rows.of(*made(TASKS["number"], seed=2))
    counts = np.random.default_rng(1).integers(0, 4, len(rows))
    weighted = metrics_of(rows)["rank_ic"].of(counts[None].astype(np.float64))[0]
    assert weighted == pytest.approx(
        spearmanr(np.repeat(rows.signal, counts), np.repeat(rows.returns, counts)).statistic, abs=1e-12
    )


def test_rows_keep_what_is_known_and_are_found_by_stamp():
    forecasts, label, index = made(TASKS["three"])
    forecasts.iloc[3, :] = np.nan
    label.returns[7] = label.values[7] = np.nan
    rows = Rows.of(forecasts.iloc[2:], label, index)
    assert len(rows) == 56 and index[3] not in rows.stamps and index[7] not in rows.stamps
    part = rows.at(rows.stamps[10:13])
    assert part.values.tolist() == rows.values[10:13].tolist() and part.day.tolist() == [0, 0, 0]
    with pytest.raises(BarwiseError, match="is no bar"):
        Rows.of(forecasts, label, index + pd.Timedelta("1min"))


def test_what_is_not_defined_is_none():
    task = TASKS["number"]
    forecasts, label, index = made(task)
    flat = Label(np.zeros(60), np.zeros(60), label.ends, 1, task)
    ours = found(Rows.of(forecasts, flat, index))
    assert [ours[name] for name in ("auc", "rank_ic", "r2", "mape", "recall_up")] == [None] * 5
    nothing = Rows.of(forecasts.iloc[:0], label, index)
    assert set(found(nothing).values()) == {None}


@pytest.mark.parametrize("name", TASKS)
def test_the_loss_of_every_row_has_the_metrics_mean(name):
    rows = Rows.of(*made(TASKS[name], digits=3))
    loss, key = row_losses(rows), loss_name(TASKS[name])
    ours = found(rows)
    mean = ours["rmse"] ** 2 if key == "squared_error" else ours[key]
    assert loss.shape == (60,) and loss.mean() == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("name", ["three", "quantiles"])
def test_of_several_horizons_the_leading_one_is_judged(name):
    task = TASKS[name]
    forecasts, label, index = made(task)
    other, later, _ = made(task, seed=1)
    both = forecasts.join(other[list(task.outputs)].add_suffix("_h15"))
    returns = np.column_stack([label.returns, later.returns])
    several = Label(
        np.column_stack([label.values, later.values]), label.returns, label.ends, 1, task.over((5, 15)), "", returns
    )
    assert found(Rows.of(both, several, index)) == found(Rows.of(forecasts, label, index))
    assert found(Rows.of(both, several, index)) != found(Rows.of(*made(task, seed=1)))


def test_a_median_between_two_quantiles_is_judged_where_it_lies():
    forecasts, label, index = made(TASKS["quantiles"])
    wide = Task("quantiles", ("q10", "q90"), quantiles=(0.1, 0.9))
    rows = Rows.of(forecasts, Label(label.values, label.returns, label.ends, 1, wide), index)
    np.testing.assert_allclose(rows.center, forecasts[["q10", "q90"]].mean(axis=1))


def test_of_several_horizons_the_lead_is_judged():
    bars = random_bars(60)
    one, two = (direction(bars, horizon, 0.001) for horizon in (2, (2, 5)))
    raw = np.random.default_rng(0).dirichlet(np.ones(3), 60)
    told = [
        make_forecasts(part, label.task, index=bars.index, fold=0, trained_through=bars.index[0] - pd.Timedelta("1D"))
        for part, label in ((raw, one), (np.c_[raw, raw[::-1]], two))
    ]
    lone, lead = (Rows.of(frame, label, bars.index) for frame, label in zip(told, (one, two), strict=True))
    stamps = lone.stamps.intersection(lead.stamps)
    assert len(stamps) == 54 and found(lone.at(stamps)) == found(lead.at(stamps))


def walk(seed: int, sign: float) -> Rows:
    """A random walk of 60 days, and a model that is the surer the lower (sign -1: the higher) the price is."""
    bars = random_bars(60 * 96, seed=seed, interval="15min", volatility=0.002)
    label = forward_return(bars, 4)
    level = -sign * np.log(bars["close"] / bars["close"].iloc[0]).to_numpy()
    raw = (1.0 + level - level.min())[:, None]  # always up
    before = bars.index[0] - pd.Timedelta("1D")
    scale = ReturnScale(1.0, 5.0)
    forecasts = make_forecasts(raw, label.task, index=bars.index, fold=0, trained_through=before, scale=scale)
    return Rows.of(forecasts, label, bars.index)


def test_the_surest_of_a_day_are_right_by_hindsight_and_those_ahead_are_not():
    """On a random walk there is nothing to know; who is surest at the lowest price looks as if there were."""
    low = [found(walk(seed, 1.0)) for seed in range(4)]
    high = [found(walk(seed, -1.0)) for seed in range(4)]
    assert min(one["precision_at_10_day"] for one in low) > 0.57
    assert max(one["precision_at_10_day"] for one in high) < 0.43
    assert np.mean([one["precision_at_10_ahead"] for one in low + high]) == pytest.approx(0.5, abs=0.04)
    assert abs(np.mean([one["direction"] for one in low]) - 0.5) < 0.02


def test_the_bar_of_a_day_is_the_kth_surest_of_the_day_before():
    n = 36
    index = pd.date_range("2024-01-01", periods=n, freq="2h", tz="UTC", name="timestamp").as_unit("ns")
    p = np.r_[np.linspace(0.1, 0.21, 12), np.linspace(0.1, 0.32, 12), np.full(12, 0.301)]
    came = np.r_[np.zeros(12), np.ones(12), np.zeros(12)]
    label = Label(came, np.full(n, 0.01), np.arange(n) + 1, 1, TASKS["event"])
    forecasts = make_forecasts(np.c_[1 - p, p], TASKS["event"], index=index, fold=0, trained_through=index[0])
    hits, calls = surest_ahead(Rows.of(forecasts, label, index), 2)
    assert calls.tolist() == [0, 7, 12]  # day 2: above 0.20; day 3: above 0.30
    assert hits.tolist() == [0, 7, 0]
