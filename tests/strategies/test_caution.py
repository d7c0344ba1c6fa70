"""Less weight where a forecast deserves less, and nothing from later rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from mlcore.labels import direction, triple_barrier
from mlcore.retraining.rules import Decayed
from strategies.caution import cut_when_wide, shrink_by_disagreement, stop_when_decayed
from tests.conftest import random_bars

INDEX = pd.date_range("2024", periods=4, freq="1h", tz="UTC")
WEIGHTS = pd.Series([0.4, -0.4, 0.4, np.nan], INDEX)


def test_disagreement_shrinks_and_silence_is_flat():
    forecasts = pd.DataFrame({"disagreement": [0.0, 0.25, 2.0, 0.0]}, INDEX)
    assert shrink_by_disagreement(WEIGHTS, forecasts).tolist() == pytest.approx(
        [0.4, -0.2, np.nan, np.nan], nan_ok=True
    )
    some = shrink_by_disagreement(WEIGHTS, forecasts.iloc[:1])
    assert some.iloc[0] == 0.4 and some.iloc[1:].isna().all()
    with pytest.raises(BarwiseError, match="no disagreement"):
        shrink_by_disagreement(WEIGHTS, forecasts * np.nan)
    with pytest.raises(BarwiseError, match="`most` is 0"):
        shrink_by_disagreement(WEIGHTS, forecasts, most=0)


def test_a_wide_interval_pauses_or_halves():
    forecasts = pd.DataFrame({"q10": [-0.007, -0.008, np.nan, 0.0], "q90": [0.007, 0.008, 0.0, 0.0]}, INDEX)
    assert cut_when_wide(WEIGHTS, forecasts).tolist() == pytest.approx([0.4] + [np.nan] * 3, nan_ok=True)
    halved = cut_when_wide(WEIGHTS, forecasts, keep=0.5)
    assert halved.tolist() == pytest.approx([0.4, -0.2, np.nan, np.nan], nan_ok=True)
    assert cut_when_wide(WEIGHTS, forecasts, limit=0.017).iloc[1] == -0.4
    for wrong, said in (({"limit": 0}, "`limit` is 0"), ({"keep": 2}, "`keep` is 2")):
        with pytest.raises(BarwiseError, match=said):
            cut_when_wide(WEIGHTS, forecasts, **wrong)
    with pytest.raises(BarwiseError, match="no column 'q10'"):
        cut_when_wide(WEIGHTS, forecasts[["q90"]])


RULE = Decayed(newest=3, before=6, share=0.9)


def calls(bars, label, wrong_from):
    """Forecasts that are right until a row and wrong from it on."""
    came = np.nan_to_num(label.values)
    said = np.where(np.arange(len(bars)) < wrong_from, came, 2.0 - came)
    raw = np.eye(3)[said.astype(int)]
    frame = pd.DataFrame(raw, bars.index, list(label.task.outputs))
    return frame.assign(signal=raw @ np.array([-1.0, 0.0, 1.0]), confidence=0.5)


@pytest.mark.parametrize("make", [direction, triple_barrier])
def test_a_decayed_model_is_not_traded_from_the_close_that_settled_it(make):
    bars = random_bars(120, volatility=0.02)
    label = make(bars, 4)
    forecasts = calls(bars, label, wrong_from=60)
    weights = pd.Series(0.5, bars.index)
    made = stop_when_decayed(weights, forecasts, label, bars.index, RULE)
    for row in range(120):  # the rule, read slowly
        known = sorted((end, at) for at, end in enumerate(label.ends) if end <= row)
        hits = np.array([np.argmax(forecasts.iloc[at, :3]) == label.values[at] for _, at in known], dtype=bool)
        assert np.isnan(made.iloc[row]) == (RULE.said(hits) is not None), row
    assert made.isna().any() and made.iloc[: 60 + 1].notna().all()


def test_decay_looks_at_nothing_later():
    bars = random_bars(120)
    label = triple_barrier(bars, 4)
    forecasts = calls(bars, label, wrong_from=50)
    whole = stop_when_decayed(pd.Series(0.5, bars.index), forecasts, label, bars.index, RULE)
    for cut in (3, 55, 70, 119):
        part = bars.iloc[:cut]
        made = stop_when_decayed(
            pd.Series(0.5, part.index),
            forecasts.iloc[:cut],
            triple_barrier(part, 4),
            pd.DatetimeIndex(part.index),
            RULE,
        )
        pd.testing.assert_series_equal(made, whole.iloc[:cut])
