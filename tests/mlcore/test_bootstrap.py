import numpy as np
import pandas as pd
import pytest

from mlcore import bootstrap
from mlcore.bootstrap import Estimate, Resamples, block_length, differences, estimate, estimates, resample, superior
from mlcore.errors import BarwiseError
from mlcore.quality import Metric, Rows, metrics_of
from tests.mlcore.test_quality import TASKS, made


def dependent(n: int = 1000, rho: float = 0.3) -> np.ndarray:
    noise, series = np.random.default_rng(7).standard_normal(n), np.zeros(n)
    series[0] = noise[0]
    for t in range(1, n):
        series[t] = rho * series[t - 1] + noise[t]
    return 0.0005 + 0.01 * series


def test_the_block_length_is_that_of_the_most_dependent_column():
    series = dependent()
    noise = np.random.default_rng(0).standard_normal(1000)
    assert block_length(series) == pytest.approx(7.281515, abs=1e-6)  # METHODS 1.8
    assert block_length(np.c_[noise, series, np.ones(1000)]) == pytest.approx(7.281515, abs=1e-6)
    assert block_length(np.ones(100)) == block_length(np.arange(5.0)) == 1.0


@pytest.mark.parametrize(
    ("block", "exact"),
    [
        (1, 0.0003151256783669685),
        (5, 0.00042648613804242976),
        (10, 0.0004554741705719536),
        (20, 0.00048081127781872765),
    ],
)
def test_the_error_of_a_mean_is_politis_and_romanos(block, exact):
    """Their lemma gives the bootstrap's variance without any draw; 4,000 draws come within five standard errors."""
    series = dependent()
    draws = Resamples(1000, 1, block, n=4000).rows()
    means = np.concatenate([weights @ series / 1000 for weights in draws])
    assert means.std() == pytest.approx(exact, rel=5 / np.sqrt(2 * 4000))


def test_draws_are_whole_samples_the_same_every_time_and_others_for_another_seed():
    resamples = Resamples(200, 9, 4.0, 2.0, n=120)
    once, twice = np.concatenate(list(resamples.rows())), np.concatenate(list(resamples.rows()))
    assert once.shape == (120, 200) and (once.sum(axis=1) == 200).all() and (once == twice).all()
    assert (np.concatenate(list(resamples.days())).sum(axis=1) == 9).all()
    other = np.concatenate(list(Resamples(200, 9, 4.0, 2.0, n=120, seed=1).rows()))
    assert (once != other).any()


def test_an_interval_covers_the_truth_as_often_as_it_says():
    rng, covered = np.random.default_rng(0), 0
    for seed in range(150):
        x = rng.normal(1.0, 1.0, 120)
        metric = {"mean": Metric(lambda weights, x=x: weights @ x / weights.sum(axis=1))}
        drawn = resample(metric, Resamples(120, 1, 1.0, n=300, seed=seed))["mean"]
        found = estimate(float(x.mean()), drawn)
        covered += found.low <= 1.0 <= found.high
    assert 0.88 <= covered / 150 <= 0.99


def test_every_metric_gets_an_interval_around_it():
    rows = Rows.of(*made(TASKS["two"], n=600, digits=3))
    metrics = metrics_of(rows)
    found = estimates(metrics, rows, resample(metrics, Resamples(len(rows), 50, 3.0, 1.0, n=200)))
    for name in ("accuracy", "auc", "rank_ic", "precision_at_10_day", "precision_at_10_overall", "log_loss"):
        assert found[name].low < found[name].high and found[name].low <= found[name].value <= found[name].high, name


def test_what_is_often_not_defined_has_no_interval():
    drawn = np.r_[np.linspace(0, 1, 90), np.full(10, np.nan)]
    assert estimate(0.5, drawn) == Estimate(0.5)
    assert estimate(None, np.linspace(0, 1, 90)) == Estimate(None)
    assert estimate(0.5, np.linspace(0, 1, 101)) == Estimate(0.5, pytest.approx(0.025), pytest.approx(0.975))


def test_a_difference_is_paired_draw_by_draw():
    """Two models that are wrong on the same rows differ by far less than either is uncertain."""
    rng = np.random.default_rng(0)
    hard = rng.exponential(1.0, 400)
    ours, theirs = hard, hard + 0.05 + 0.01 * rng.standard_normal(400)
    metrics = [{"loss": Metric(lambda weights, x=x: weights @ x / weights.sum(axis=1))} for x in (ours, theirs)]
    drawn = [resample(metric, Resamples(400, 1, 2.0, n=300)) for metric in metrics]
    values = [{"loss": estimate(float(x.mean()), d["loss"])} for x, d in zip((ours, theirs), drawn, strict=True)]
    found = differences(*values, *drawn)["loss"]
    assert found.value == pytest.approx(-0.05, abs=0.01) and found.high < -0.045 and found.low > -0.055
    assert values[0]["loss"].high - values[0]["loss"].low > 0.1
    assert differences(*values, {"other": drawn[0]["loss"]}, drawn[1]) == {}


def losses(n: int = 1500, k: int = 10) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    benchmark = rng.standard_normal(n) ** 2
    return benchmark, {f"m{i}": rng.standard_normal(n) ** 2 for i in range(k)}


def test_the_test_of_superiority_takes_losses_smaller_is_better():
    benchmark, models = losses()
    assert superior(benchmark, models, block=3, reps=300).better == ()
    good = benchmark - 0.1 + 0.2 * np.random.default_rng(0).standard_normal(1500)
    found = superior(benchmark, models | {"good": good}, block=3, reps=300)
    assert found.better == ("good",) and found.p_value < 0.05
    bad = superior(benchmark, {"bad": benchmark + 0.2}, block=3, reps=300)
    assert bad.better == () and bad.p_value > 0.2
    worse = superior(benchmark, {"bad": benchmark + 0.2 + 0.1 * np.sin(np.arange(1500))}, block=3, reps=300)
    assert worse.better == () and worse.p_value > 0.5


def test_a_wild_model_does_not_hide_a_steady_one():
    benchmark, models = losses()
    rng = np.random.default_rng(0)
    good, wild = benchmark - 0.02 + 0.1 * rng.standard_normal(1500), benchmark + 50 * rng.standard_normal(1500)
    assert "good" in superior(benchmark, {"good": good, "wild": wild}, block=2, reps=300).better


def test_of_many_without_skill_one_is_rarely_called_better():
    rng, called = np.random.default_rng(2), 0
    for seed in range(60):
        benchmark = rng.standard_normal(300)
        models = {f"m{i}": rng.standard_normal(300) for i in range(8)}
        called += bool(superior(benchmark, models, block=1, reps=200, seed=seed).better)
    assert called <= 9  # 5% of 60 is 3; more than 9 has a chance of 1 in 1,000


def test_long_losses_are_averaged_over_stretches(monkeypatch):
    monkeypatch.setattr(bootstrap, "MOST_LOSSES", 100)
    benchmark, models = losses(1050, 3)
    good = benchmark - 0.1 + 0.1 * np.random.default_rng(0).standard_normal(1050)
    assert superior(benchmark, models | {"good": good}, block=3, reps=300).better == ("good",)
    assert bootstrap._averaged(np.arange(7.0)[:, None], 3).ravel().tolist() == [1.0, 4.0]


def test_models_equal_to_the_benchmark_are_not_better_and_none_at_all_are_refused():
    benchmark, _ = losses()
    assert superior(benchmark, {"same": benchmark.copy()}, block=2).better == ()
    with pytest.raises(BarwiseError, match="`models` is empty"):
        superior(benchmark, {}, block=2)


def test_names_come_back_as_they_went_in():
    benchmark, models = losses(600, 2)
    good = pd.Series(benchmark - 1.0 + 0.01 * np.sin(np.arange(600))).to_numpy()
    assert superior(benchmark, models | {"a b": good}, block=2, reps=200).better == ("a b",)


def test_all_models_may_be_better_and_the_step_finds_what_the_first_look_misses():
    benchmark, _ = losses()
    rng = np.random.default_rng(0)
    models = {f"m{i}": benchmark - gain + rng.standard_normal(1500) for i, gain in enumerate([0.5, 0.4, 0.3, 0.2])}
    assert superior(benchmark, models, block=1, reps=300).better == ("m0", "m1", "m2", "m3")
    # One far better model and a single other: alone the other needs 1.65 errors, beside noise more.
    step = np.random.default_rng(1).standard_normal(1500)
    step = (step - step.mean()) / step.std()
    near = {"near": benchmark - 1.85 / np.sqrt(1500) + step}
    many = {f"sure{i}": benchmark - 5.0 + rng.standard_normal(1500) for i in range(8)}
    found = superior(benchmark, near | many, block=1, reps=2000)
    assert found.better == ("near", *many)
