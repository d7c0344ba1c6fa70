"""Features made again without later bars: one that looks ahead is caught, in its warm-up too."""

import pandas as pd
import pytest

from mlcore.models import make_model
from strategies import causality
from strategies.causality import check_causality
from tests.conftest import random_bars

BARS = random_bars(400)


def test_the_kits_own_features_know_no_later_bar() -> None:
    found = check_causality(make_model("linear", None), BARS)
    assert found["differs"] is None
    assert found["cuts"] == [BARS.index[row - 1] for row in (8, 40, 140, 280)]
    assert found["rows"] == 8 + 40 + 140 + 280 and found["columns"] > 10


@pytest.mark.parametrize(
    ("ahead", "first"),
    [
        (lambda close: close.shift(-1), BARS.index[7]),
        (lambda close: close.rolling(20).mean().bfill(), BARS.index[7]),
        (lambda close: close - close.mean(), BARS.index[7]),
        (lambda close: close.where(close.index != BARS.index[139], close.iloc[-1]), BARS.index[139]),
    ],
)
def test_a_feature_that_looks_ahead_is_named(ahead, first, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def table(model: object, bars: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"good": bars["close"], "bad": ahead(bars["close"])})

    monkeypatch.setattr(causality, "table_for", table)
    found = check_causality(None, BARS)
    assert f"with bars after {first} left out" in found["differs"] and "(bad)" in found["differs"]
