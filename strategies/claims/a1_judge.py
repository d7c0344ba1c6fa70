"""The hypotheses of study A1, each with what was found, its interval, and whether it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mlcore.bootstrap import Estimate, Resamples, block_length, estimate, resample
from mlcore.metrics import PRECISION_AT
from mlcore.quality import metrics_of, value_of
from strategies.claims.a1 import BASELINES, A1Config, Evidence, Track
from strategies.claims.verdicts import (
    Verdict,
    above,
    below,
    corrected,
    daily_counts,
    in_words,
    median_of,
    pooled,
)

LATENCY_LIMITS = {"tcn": 20.0, "bilstm": 35.0, "lstm": 35.0, "transformer": 50.0}  # milliseconds
K = 10
FEWEST_DAYS = 8  # below it a resample of days is no more than a few of them over again
Key = tuple[str, int]  # model, lookback


@dataclass(frozen=True)
class Drawn:
    """Pooled numbers of all models over the days of one span, resampled together: differences are paired."""

    days: dict[Key, pd.DataFrame]
    values: dict[Key, dict[str, float | None]]
    draws: dict[Key, dict[str, np.ndarray]]

    def of(self, key: Key, number: str) -> Estimate:
        """One number with its interval."""
        return estimate(self.values[key][number], self.draws[key][number])

    def less(self, ours: Key, theirs: Key, number: str) -> Estimate:
        """Ours minus theirs, paired by day."""
        a, b = self.values[ours][number], self.values[theirs][number]
        return estimate(
            None if a is None or b is None else a - b, self.draws[ours][number] - self.draws[theirs][number]
        )


def draw(tracks: Sequence[Track], span: str, *, resamples: int, seed: int) -> Drawn:
    """Pool every model's series day by day and resample the days."""
    days: dict[Key, pd.DataFrame] = {}
    for track in tracks:
        if span in track.spans and len(track.spans[span]):
            counted = daily_counts(track.spans[span], PRECISION_AT)
            key = (track.model, track.lookback)
            days[key] = counted if key not in days else days[key].add(counted, fill_value=0.0)
    everywhere = sorted(set().union(*(frame.index for frame in days.values()))) if days else []
    days = {key: frame.reindex(everywhere, fill_value=0.0) for key, frame in days.items()}
    if not days:
        return Drawn({}, {}, {})
    daily = np.column_stack([_share(frame[f"hits_{K}"], frame[f"calls_{K}"]) for frame in days.values()])
    plan = Resamples(1, len(everywhere), 1.0, block_length(daily), n=resamples, seed=seed)
    values, draws = {}, {}
    for key, frame in days.items():
        metrics = {
            f"precision_at_{k}{ahead}": pooled(frame, f"hits_{k}{ahead}", f"calls_{k}{ahead}")
            for k in PRECISION_AT
            for ahead in ("", "_ahead")
        }
        metrics |= {"log_loss": pooled(frame, "loss", "n"), "base_rate": pooled(frame, "came", "n")}
        ones = np.ones((1, len(frame)))
        values[key] = {name: _finite(float(metric.of(ones)[0])) for name, metric in metrics.items()}
        enough = len(everywhere) >= FEWEST_DAYS
        draws[key] = resample(metrics, plan) if enough else dict.fromkeys(metrics, np.full(resamples, np.nan))
    return Drawn(days, values, draws)


def _share(top: pd.Series, bottom: pd.Series) -> np.ndarray:
    return (top / bottom.where(bottom > 0)).fillna(0.0).to_numpy(np.float64)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def choose(validation: Drawn, models: Sequence[str]) -> dict[str, Key]:
    """Return the lookback of each model with the lowest loss on the validation span: chosen before the test is seen."""
    chosen: dict[str, Key] = {}
    for model in models:
        keys = [key for key in validation.values if key[0] == model and validation.values[key]["log_loss"] is not None]
        if keys:
            chosen[model] = min(keys, key=lambda key: validation.values[key]["log_loss"] or 0.0)
    return chosen


def judge_a1(config: A1Config, tracks: Sequence[Track]) -> tuple[list[Verdict], dict[str, Drawn], dict[str, Key]]:
    """Return the verdicts, the pooled numbers of both spans, and the lookback that each model was judged with."""
    spans = {
        span: draw(tracks, span, resamples=config.resamples, seed=config.seed + number)
        for number, span in enumerate(("validation", "test"))
    }
    chosen = choose(spans["validation"], (*config.known, *BASELINES))
    chosen = {model: key for model, key in chosen.items() if key in spans["test"].values}
    latency = {
        model: 1000 * np.array([one for t in tracks if (t.model, t.lookback) == key for one in t.entrant.latency])
        for model, key in chosen.items()
    }
    architectures = [model for model in config.known if model in chosen and model not in BASELINES]
    verdicts = [
        *_transformer_beats_lstm(spans["test"], chosen),
        *_latencies(latency),
        *_sixty(spans["test"], chosen, architectures),
        *_sixty(spans["test"], chosen, architectures, ahead=True),
        *_drops(config, spans, chosen, architectures),
        *_drifts(config, tracks, chosen, architectures),
    ]
    return verdicts, spans, chosen


def _transformer_beats_lstm(test: Drawn, chosen: Mapping[str, Key]) -> list[Verdict]:
    verdicts = []
    for rival in ("bilstm", "lstm"):
        claim = f"the Transformer's precision@{K} is at least 5 points above the {rival}'s"
        if "transformer" not in chosen or rival not in chosen:
            verdicts.append(Verdict(claim, "not tested", "One of them was not trained."))
            continue
        less = test.less(chosen["transformer"], chosen[rival], f"precision_at_{K}")
        ours, theirs = (test.of(chosen[name], f"precision_at_{K}") for name in ("transformer", rival))
        found = f"{in_words(ours)} against {in_words(theirs)}: {in_words(less, '{:+.1%}')}."
        verdicts.append(Verdict(claim, above(less, 0.05), found))
    return verdicts


def _latencies(latency: Mapping[str, np.ndarray]) -> list[Verdict]:
    verdicts = []
    for model, limit in LATENCY_LIMITS.items():
        if model not in latency or not len(latency[model]):
            verdicts.append(Verdict(f"{model} decides in under {limit:.0f} ms", "not tested", "It was not trained."))
            continue
        median = median_of(latency[model])
        over = f"over {len(latency[model]):,} decisions, features included, one thread"
        found = f"Median {in_words(median, '{:.2f}')} ms {over}."
        verdicts.append(Verdict(f"{model} decides in under {limit:.0f} ms", below(median, limit), found))
    return verdicts


def _sixty(test: Drawn, chosen: Mapping[str, Key], models: Sequence[str], *, ahead: bool = False) -> list[Verdict]:
    """The study's bars of 60% and 55%; `ahead`: for calls that could have been taken as they came."""
    number = f"precision_at_{K}{'_ahead' * ahead}"
    what = f"precision@{K}" + " on calls as sure as the tenth of the day before (no hindsight)" * ahead
    each = {
        model: corrected(test.draws[chosen[model]][number], test.values[chosen[model]][number], len(models))
        for model in models
    }
    if not each:
        return [Verdict(f"some architecture has more than 60% {what}", "not tested", "None was trained.")]
    listed = "; ".join(f"{model} {in_words(one)}" for model, one in each.items())
    base = np.mean([test.values[chosen[model]]["base_rate"] for model in models])
    listed += f" (intervals hold for all {len(each)} at once). A move came on {base:.1%} of all bars."
    outcomes = {limit: [above(one, limit) for one in each.values()] for limit in (0.60, 0.55)}
    some = "holds" if "holds" in outcomes[0.60] else "does not hold"
    if some != "holds" and "undecided" in outcomes[0.60]:
        some = "undecided"
    none = "does not hold" if "holds" in outcomes[0.55] else "holds"
    if none == "holds" and "undecided" in outcomes[0.55]:
        none = "undecided"
    meaning = {
        "holds": "NO-GO by the study's own rule.",
        "does not hold": "No no-go: at least one is above 55%.",
        "undecided": "Neither go nor no-go is shown.",
    }
    return [
        Verdict(f"some architecture has more than 60% {what}", some, listed),  # type: ignore[arg-type]
        Verdict(f"none has more than 55% {what}, which means no-go", none, meaning[none]),  # type: ignore[arg-type]
    ]


def _drops(
    config: A1Config, spans: Mapping[str, Drawn], chosen: Mapping[str, Key], models: Sequence[str]
) -> list[Verdict]:
    """Validation and test are other days, so their draws are independent: the two spreads add up."""
    verdicts = []
    for model in models:
        key, number = chosen[model], f"precision_at_{K}"
        before, after = (spans[span].of(key, number) for span in ("validation", "test"))
        drop = None if before.value is None or after.value is None else before.value - after.value
        one = estimate(drop, spans["validation"].draws[key][number] - spans["test"].draws[key][number])
        found = f"{in_words(before)} before, {in_words(after)} after: a drop of {in_words(one, '{:+.1%}')}."
        outcome = "not tested" if one.low is None else "holds" if one.low > 0 else "undecided"
        if one.high is not None and one.high <= 0:
            outcome = "does not hold"
        verdicts.append(Verdict(f"{model}: precision@{K} drops from validation to test", outcome, found))  # type: ignore[arg-type]
    return verdicts


def _drifts(
    config: A1Config, tracks: Sequence[Track], chosen: Mapping[str, Key], models: Sequence[str]
) -> list[Verdict]:
    verdicts = []
    for model in models:
        one, loss = drift(config, [t for t in tracks if (t.model, t.lookback) == chosen[model]])
        found = (
            f"Precision@{K} changes by {in_words(one, '{:+.2%}')} with each day since the refit, the log loss by "
            f"{in_words(loss, '{:+.5f}')}."
        )
        outcome = "not tested" if one.high is None else "holds" if one.high < 0 else "undecided"
        if one.low is not None and one.low >= 0:
            outcome = "does not hold"
        verdicts.append(Verdict(f"{model}: precision@{K} falls within the days after a refit", outcome, found))  # type: ignore[arg-type]
    return verdicts


def drift(config: A1Config, tracks: Sequence[Track]) -> tuple[Estimate, Estimate]:
    """Return the slope of precision@10, and of the log loss, on days since the refit, over both spans.

    Least squares over the 24-hour stretches that begin with a refit, each as heavy as its calls (rows); whole
    stretches are resampled.
    """
    total: pd.DataFrame | None = None
    for track in tracks:
        frame = track.entrant.forecasts
        if frame is None:
            continue
        opened = pd.Series(frame.index, frame.index).groupby(frame["fold"]).transform("first")
        age = np.asarray((frame.index - pd.DatetimeIndex(opened)) // pd.Timedelta("1D"))
        where = pd.Series(frame["fold"].to_numpy() * 1000 + age, frame.index)
        for rows in track.spans.values():
            if len(rows):
                counted = daily_counts(rows, (K,), where.loc[rows.stamps].to_numpy())
                total = counted if total is None else total.add(counted, fill_value=0.0)
    if total is None or len(total) < FEWEST_DAYS:
        return Estimate(None), Estimate(None)
    age = (total.index.to_numpy() % 1000).astype(np.float64)
    plan = Resamples(1, len(total), 1.0, 1.0, n=config.resamples, seed=config.seed)
    found = []
    for top, bottom in ((f"hits_{K}", f"calls_{K}"), ("loss", "n")):
        weight, sums = total[bottom].to_numpy(), total[top].to_numpy()
        parts = np.column_stack([weight, weight * age, weight * age**2, sums, sums * age])
        drawn = np.concatenate([_slope(counts @ parts) for counts in plan.days()])
        found.append(estimate(_finite(float(_slope(parts.sum(axis=0)[None])[0])), drawn))
    return found[0], found[1]


def _slope(sums: np.ndarray) -> np.ndarray:
    """Weighted least squares of sums / weight on age, from ``(B, 5)`` sums of w, w a, w a^2, w y, w y a."""
    n, a, aa, y, ya = sums.T
    spread = n * aa - a**2
    return np.divide(n * ya - a * y, spread, out=np.full(len(n), np.nan), where=spread > 1e-9)


def track_table(tracks: Sequence[Track], spans: Mapping[str, Drawn]) -> pd.DataFrame:
    """Return one row a model, lookback, span and series (``pooled``: all of them), with every metric of it."""
    rows = []
    for track in tracks:
        told = {"model": track.model, "lookback": track.lookback, "series": track.series}
        told |= {"failure": track.entrant.failure, "train_seconds": track.entrant.seconds}
        told |= {"latency_ms": 1000 * float(np.median(track.entrant.latency)) if track.entrant.latency else None}
        if not track.spans:
            rows.append(told | {"span": None})
        for span, of in track.spans.items():
            metrics = {name: value_of(metric, of) for name, metric in metrics_of(of).items()}
            rows.append(told | {"span": span, "n": len(of), "base_rate": float(np.mean(of.values == 1))} | metrics)
    for span, drawn in spans.items():
        for key in drawn.values:
            row = {"model": key[0], "lookback": key[1], "series": "pooled", "span": span}
            for number in drawn.values[key]:
                one = drawn.of(key, number)
                name = f"{number}_day" if number.startswith("precision") and not number.endswith("ahead") else number
                row |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}  # type: ignore[dict-item]
            rows.append(row)
    return pd.DataFrame(rows)


def evidence_words(config: A1Config, evidence: Sequence[Evidence]) -> list[str]:
    """Return what each stride cost against the densest one that was tried, with a paired interval."""
    said = []
    for model in dict.fromkeys(one.model for one in evidence):
        ours = [one for one in evidence if one.model == model and one.rows is not None]
        said += [f"{one.model} at stride {one.stride} failed: {one.failure}" for one in evidence if one.failure]
        if not ours:
            continue
        best = min(ours, key=lambda one: one.stride)
        for one in ours:
            assert one.rows is not None and best.rows is not None
            days = [daily_counts(each.rows, (K,)) for each in (one, best)]  # type: ignore[arg-type]
            metrics = {"ours": pooled(days[0], "loss", "n"), "best": pooled(days[1], "loss", "n")}
            ones = np.ones((1, len(days[0])))
            plan = Resamples(1, len(days[0]), 1.0, 1.0, n=config.resamples, seed=config.seed)
            drawn = resample(metrics, plan)
            value = float(metrics["ours"].of(ones)[0])
            less = estimate(value - float(metrics["best"].of(ones)[0]), drawn["ours"] - drawn["best"])
            versus = "" if one is best else f", {in_words(less, '{:+.5f}')} against stride {best.stride}"
            said.append(
                f"{model} at stride {one.stride}: {one.seconds:,.0f} s, log loss of the week after {value:.5f}{versus}."
            )
    return said
