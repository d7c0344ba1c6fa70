"""Shares of one account: sums, caps, late symbols, and nothing from later rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError
from strategies.account import clock_of
from strategies.allocation import WAYS, allocate
from strategies.policy import annual_volatility
from tests.conftest import random_bars

BARS = {
    "A": random_bars(100, seed=1),
    "B": random_bars(100, seed=2, volatility=0.03).iloc[20:],
    "C": random_bars(100, seed=3).drop(random_bars(100).index[40:50]).iloc[:80],
}


def views(bars, seed=0):
    rng = np.random.default_rng(seed)
    return {name: pd.Series(rng.choice([1.0, -1.0, 0.5, np.nan], 200)[: len(f)], f.index) for name, f in bars.items()}


def forecasts(bars):
    return {
        name: pd.DataFrame({"signal": 0.1, "confidence": np.linspace(0, 1, len(frame))}, frame.index)
        for name, frame in bars.items()
    }


def test_symbols_share_alike_and_a_late_one_changes_the_shares():
    made = allocate({name: pd.Series(1.0, frame.index) for name, frame in BARS.items()}, BARS, gross=0.9)
    assert made.index.equals(clock_of(BARS)) and list(made) == list(BARS)
    assert made.iloc[0].tolist() == pytest.approx([0.45, np.nan, 0.45], nan_ok=True)
    assert made.iloc[45].tolist() == pytest.approx([0.3] * 3)  # a gap keeps its share
    assert made.iloc[-1].tolist() == pytest.approx([0.3] * 3)  # that it has ended is known only in hindsight


def test_inverse_volatility_and_confidence():
    ones = {name: pd.Series(1.0, frame.index) for name, frame in BARS.items()}
    row = clock_of(BARS)[75]
    by_risk = allocate(ones, BARS, way="inverse_volatility", volatility_window=10).loc[row]
    inverse = pd.Series({name: 1 / annual_volatility(frame, 10).loc[row] for name, frame in BARS.items()})
    np.testing.assert_allclose(by_risk, inverse / inverse.sum())
    sure = allocate(ones, BARS, way="confidence", forecasts=forecasts(BARS)).loc[row]
    np.testing.assert_allclose(sure, [forecasts(BARS)[name]["confidence"].loc[row] / 3 for name in BARS])


@pytest.mark.parametrize("way", WAYS)
def test_gross_and_net_hold_on_every_row(way):
    made = allocate(views(BARS), BARS, way=way, forecasts=forecasts(BARS), gross=1.2, net=0.3).fillna(0.0)
    assert (made.abs().sum(axis=1) <= 1.2 + 1e-12).all()
    assert (made.sum(axis=1).abs() <= 0.3 + 1e-12).all() and (made.sum(axis=1).abs() > 0.29).any()


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_known_early(way):
    whole = allocate(views(BARS), BARS, way=way, forecasts=forecasts(BARS), volatility_window=5, band=0.05)
    for cut in (30, 45, 70, 95):
        stamp = clock_of(BARS)[cut]
        bars = {name: frame[frame.index < stamp] for name, frame in BARS.items()}
        seen = {name: view[view.index < stamp] for name, view in views(BARS).items()}
        made = allocate(seen, bars, way=way, forecasts=forecasts(BARS), volatility_window=5, band=0.05)
        pd.testing.assert_frame_equal(made, whole.iloc[:cut], check_freq=False)


def test_a_band_spares_small_changes_and_nonsense_is_refused():
    free = allocate(views(BARS), BARS, way="inverse_volatility", volatility_window=5)
    spared = allocate(views(BARS), BARS, way="inverse_volatility", volatility_window=5, band=0.1)
    assert (spared.fillna(0).diff() != 0).sum().sum() < (free.fillna(0).diff() != 0).sum().sum()
    for wrong, said in (
        ({"way": "equally"}, "Did you mean 'equal'"),
        ({"gross": 0.0}, "`gross` is 0.0"),
        ({"way": "confidence"}, "`forecasts` are missing"),
        ({"views": {"A": views(BARS)["A"]}}, "same symbols"),
    ):
        with pytest.raises(BarwiseError, match=said):
            allocate(**{"views": views(BARS), "bars": BARS, **wrong})
