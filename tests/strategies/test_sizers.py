"""Sizers: arithmetic on paper, the range, and what they do without volatility."""

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError, LookAheadError
from mlcore.plugins import SIZERS
from strategies.sizers import sizes_of

OURS = ("confidence", "fixed", "study_rule", "volatility_target")


def views(n: int = 400, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(seed)
    forecasts = pd.DataFrame({"signal": rng.uniform(-1, 1, n), "confidence": rng.uniform(0, 1, n)})
    forecasts.loc[::17, "signal"] = np.nan
    forecasts.loc[5, "signal"] = 0.0
    volatility = pd.Series(rng.lognormal(-1, 1, n))
    volatility[:10] = np.nan
    volatility[11] = 0.0
    return forecasts, volatility


def test_the_four_sizers_stand_in_the_table() -> None:
    assert set(OURS) <= set(SIZERS)


@pytest.mark.parametrize("name", OURS)
def test_sizes_are_signed_like_the_signal_and_within_one(name: str) -> None:
    forecasts, volatility = views()
    before = forecasts.copy(), volatility.copy()
    sizes = SIZERS[name](forecasts, volatility)
    known = sizes.notna()
    assert sizes.index.equals(forecasts.index)
    assert sizes.abs().max() <= 1
    assert (np.sign(sizes[known]) == np.sign(forecasts["signal"][known])).all()
    assert not known[forecasts["signal"].isna()].any()
    pd.testing.assert_frame_equal(forecasts, before[0])
    pd.testing.assert_series_equal(volatility, before[1])


@pytest.mark.parametrize("name", ["study_rule", "volatility_target"])
def test_no_volatility_is_flat_and_zero_volatility_is_the_cap(name: str) -> None:
    forecasts, volatility = views()
    sizes = SIZERS[name](forecasts, volatility)
    assert sizes[:10].isna().all()
    assert np.isfinite(sizes[11])


def test_the_study_rule_on_paper() -> None:
    forecasts = pd.DataFrame({"signal": [0.5, -1.0, 1.0, 1.0], "confidence": [0.6, 1.0, 1.0, 0.25]})
    volatility = pd.Series([0.1, 0.8, 0.2, 0.4])
    sizes = SIZERS["study_rule"](forecasts, volatility)
    np.testing.assert_allclose(sizes, [0.02 * 0.5 * 0.6, -0.02 * 0.25, 0.02, 0.02 * 0.25 * 0.5], rtol=1e-15)


def test_the_study_rule_is_capped_at_five_percent_of_equity() -> None:
    forecasts = pd.DataFrame({"signal": [1.0, -1.0, 0.1], "confidence": [1.0, 1.0, 1.0]})
    sizes = SIZERS["study_rule"](forecasts, pd.Series([0.1, 0.1, 0.1]), base=0.2)
    np.testing.assert_allclose(sizes, [0.05, -0.05, 0.02], rtol=1e-15)


def test_volatility_target_is_what_it_says() -> None:
    forecasts = pd.DataFrame({"signal": [0.01, -0.9]})
    sizes = SIZERS["volatility_target"](forecasts, pd.Series([0.5, 0.5]), target=0.1, cap=0.3)
    np.testing.assert_allclose(sizes, [0.2, -0.2], rtol=1e-15)


@pytest.mark.parametrize(
    ("name", "params", "word"),
    [
        ("fixed", {"size": 1.5}, "`size` of sizer 'fixed' is 1.5"),
        ("confidence", {"size": 0.0}, "`size`"),
        ("study_rule", {"base": -0.1}, "`base`"),
        ("study_rule", {"cap": 2.0}, "`cap`"),
        ("study_rule", {"volatility": 0.0}, "`volatility`"),
        ("volatility_target", {"target": float("nan")}, "`target`"),
    ],
)
def test_bad_parameters_are_refused(name: str, params: dict, word: str) -> None:
    with pytest.raises(BarwiseError, match=word):
        SIZERS[name](*views(), **params)


@pytest.mark.parametrize("n", [2, 3, 400])
def test_a_sizer_that_looks_at_later_rows_is_refused_where_it_is_used(n: int) -> None:
    forecasts, volatility = (part.iloc[20:].head(n) for part in views(440))

    def ranked(forecasts: pd.DataFrame, volatility: pd.Series) -> pd.Series:
        return forecasts["signal"].rank(pct=True)  # among all rows, those to come included

    def next_one(forecasts: pd.DataFrame, volatility: pd.Series) -> pd.Series:
        return forecasts["signal"].shift(-1)

    for sizer in (ranked, next_one):
        with pytest.raises(LookAheadError, match=f"`sizer` '{sizer.__name__}' .* first {n // 2} of {n} .* other rows"):
            sizes_of(forecasts, volatility, sizer, {})
    for name in OURS:
        assert len(sizes_of(forecasts, volatility, name, {})) == n


def test_a_sizer_that_looks_ahead_in_the_first_half_alone_is_refused() -> None:
    forecasts, volatility = views(440)
    forecasts.iloc[37, forecasts.columns.get_loc("confidence")] = 2.0  # the largest comes early

    def scaled(forecasts: pd.DataFrame, volatility: pd.Series) -> pd.Series:
        return forecasts["confidence"] / forecasts["confidence"].max()

    def filled(forecasts: pd.DataFrame, volatility: pd.Series) -> pd.Series:
        return (0.01 / volatility.bfill()).clip(upper=1.0)  # differs in the warm-up only

    assert volatility.iloc[:3].isna().all() and volatility.iloc[20:].notna().all()
    for sizer in (scaled, filled):
        with pytest.raises(LookAheadError, match=f"`sizer` '{sizer.__name__}' .* other rows"):
            sizes_of(forecasts, volatility, sizer, {})
