"""Negative controls: sizers that break a law must be caught."""

import numpy as np
import pytest

from mlcore.checks import BrokenLawError, check_sizer
from mlcore.checks import sizers as laws


def honest(forecasts, volatility):
    return forecasts["signal"] * forecasts["confidence"]


def spoiler(forecasts, volatility):
    forecasts["signal"] *= 0.5
    return forecasts["signal"]


BROKEN = {
    "spoils its input": (laws.sizer_is_pure, spoiler),
    "another index": (laws.sizer_is_pure, lambda f, v: honest(f, v).reset_index(drop=True)),
    "drawn by lot": (laws.sizer_is_pure, lambda f, v: honest(f, v) * np.random.default_rng().uniform()),
    "borrows": (laws.sizer_stays_within_the_account, lambda f, v: np.sign(f["signal"]) * 0.2 / v),
    "contrarian": (laws.sizer_follows_the_sign_of_the_signal, lambda f, v: -honest(f, v)),
    "long without a word": (laws.sizer_follows_the_sign_of_the_signal, lambda f, v: honest(f, v).fillna(0.1)),
    "never holds": (laws.sizer_follows_the_sign_of_the_signal, lambda f, v: 0.0 * f["signal"]),
    "scaled by the sample": (laws.sizer_looks_at_its_own_row_only, lambda f, v: f["signal"] / f["signal"].abs().sum()),
    "looks at the next row": (laws.sizer_looks_at_its_own_row_only, lambda f, v: f["signal"].shift(-1)),
}


def test_an_honest_sizer_passes():
    check_sizer(honest)


@pytest.mark.parametrize(("check", "sizer"), BROKEN.values(), ids=BROKEN)
def test_a_broken_sizer_is_caught(check, sizer):
    with pytest.raises(BrokenLawError):
        check(sizer)
