"""The report on the forecasts: how good they were, and whether surer ones were better."""

from __future__ import annotations

from typing import Any

from strategies.report import figures, numbers
from strategies.report.page import facts, figure, notes, said
from strategies.report.words import shown
from strategies.study import Study

QUALITY_WORDS = {
    "n": "forecasts with a known outcome",
    "hit_rate": "hit rate",
    "rank_ic": "rank IC (Spearman)",
    "log_loss": "log loss, nats",
    "rmse": "RMSE, log return",
    "pinball_loss": "pinball loss, log return",
}


def forecasts_body(study: Study) -> str:
    """Return what the forecasts were worth, and what their confidence was."""
    found = [
        (words, _quality(key, study.forecast[key])) for key, words in QUALITY_WORDS.items() if key in study.forecast
    ]
    for key, words in (("precision_at_k", "a day"), ("precision_at_k_overall", "overall")):
        at_k = study.forecast.get(key)
        pairs = at_k.items() if isinstance(at_k, dict) else [("k", at_k)] if at_k is not None else []
        found += [(f"precision@{k}, {words}", shown(value, "{:.1%}")) for k, value in pairs]
    for horizon, quality in (study.forecast.get("horizons") or {}).items():  # those that do not lead
        pairs = [(QUALITY_WORDS[key], _quality(key, value)) for key, value in quality.items()]
        found += [(f"{words}, {horizon} bars ahead", value) for words, value in pairs]
    silent = int(study.forecasts["signal"].isna().sum())
    quiet = f"{silent:,} of {len(study.forecasts):,} bars have no forecast (their past is not whole) and are held flat."
    body = facts(found) + (said(quiet) if silent else "")
    known = study.forecast.get("notes") or ()
    return body + _confidence(study) + notes(known)


def _quality(key: str, value: Any) -> str:
    return shown(value, {"n": "{:,}", "hit_rate": "{:.2%}", "rank_ic": "{:+.4f}"}.get(key, "{:.4g}"))


def _confidence(study: Study) -> str:
    if not study.forecasts["confidence"].notna().any():
        return said("No forecast carries a confidence.")
    counts = figure(figures.confidence_figure(study.forecasts), "confidence-figure", "How sure the model was.")
    buckets = numbers.confidence_buckets(study)
    if buckets is None:
        words = (
            "Outcomes by confidence are not drawn: too few directional calls with a known return, or all equally sure."
        )
        return counts + said(words, "small")
    hits = (
        f"Do surer calls hit more often? Calls in {len(buckets)} buckets of equal count; bars are 95% intervals for "
        "independent calls (labels that overlap make them too narrow). Dashed: a coin."
    )
    fee = 2 * (float(study.config.get("commission") or 0.0) + float(study.config.get("slippage") or 0.0))
    earned = (
        "Do surer calls earn more? Mean return of the same calls, in their direction, before costs, over the label's "
        f"horizon; bars as beside. Dashed: what a way in and out costs, {1e4 * fee:.1f} basis points."
    )
    drawn = figure(figures.bucket_figure(buckets), "bucket-figure", hits)
    drawn += figure(figures.earned_figure(buckets, fee), "earned-figure", earned)
    return f'<div class="grid three">{counts}{drawn}</div>'
