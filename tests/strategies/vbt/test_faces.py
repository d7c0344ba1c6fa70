"""Features, labels and sizers as vectorbt users call them: the kit's own numbers, a column per parameter."""

import numpy as np
import pandas as pd
import pytest

from mlcore.errors import BarwiseError, LookAheadError
from mlcore.features import feature_table
from mlcore.labels import direction, forward_return
from mlcore.plugins import FEATURES, LABELS, SIZERS, UnknownPluginError
from strategies.policy import Policy, annual_volatility, target_weights
from strategies.vbt import SizedSignals, from_feature, from_label, from_sizer
from tests.conftest import random_bars
from tests.strategies.studies import fake_forecasts

BARS = random_bars(400)


@pytest.mark.parametrize("name", sorted(FEATURES))
def test_every_feature_has_a_face_that_gives_its_column(name: str) -> None:
    found, table = from_feature(name).run(BARS), feature_table(BARS, [name])
    columns = np.column_stack([getattr(found, output).to_numpy() for output in found.output_names])
    np.testing.assert_array_equal(columns, table.to_numpy())


def test_parameters_are_broadcast_as_vectorbt_does() -> None:
    found = from_feature("rsi").run(BARS, window=[7, 14, 21]).rsi
    assert list(found.columns) == [7, 14, 21] and found.columns.name == "rsi_window"
    table = feature_table(BARS, ["rsi_window7", "rsi", "rsi_window21"])
    np.testing.assert_array_equal(found.to_numpy(), table.to_numpy())
    assert (
        from_feature("macd_signal").run(BARS, fast=[6, 12], slow=[20, 26], param_product=True).macd_signal.shape[1] == 4
    )


def test_a_feature_of_a_plugin_with_a_column_of_its_own_has_a_face(monkeypatch: pytest.MonkeyPatch) -> None:
    def funding(bars: pd.DataFrame, *, window: int = 3) -> pd.Series:
        return bars["funding_rate"].rolling(window).mean()

    monkeypatch.setitem(FEATURES._entries, "funding", funding)
    bars = BARS.assign(funding_rate=np.arange(400.0))
    with pytest.raises(BarwiseError, match="funding_rate"):
        from_feature("funding")
    assert from_feature("funding", bars).run(bars, window=[2, 4]).funding.iloc[-1].tolist() == [398.5, 397.5]


def test_a_settled_label_is_the_newest_that_had_ended() -> None:
    found = from_label("direction").run(BARS, horizon=[2, 9], threshold=0.005)
    for number, horizon in enumerate((2, 9)):
        label = direction(BARS, horizon, 0.005)
        for row in (0, 3, 9, 10, 11, 50, 399):
            ended = [r for r in range(row + 1) if label.ends[r] <= row and not np.isnan(label.values[r])]
            wanted = label.values[ended[-1]] if ended else np.nan
            np.testing.assert_equal(found.settled.iloc[row, number], wanted)


@pytest.mark.parametrize("name", sorted(LABELS))
def test_what_comes_after_a_bar_changes_no_settled_label(name: str) -> None:
    whole = from_label(name).run(BARS, horizon=5).settled
    for cut in (1, 6, 7, 50, 399):
        pd.testing.assert_series_equal(from_label(name).run(BARS.iloc[:cut], horizon=5).settled, whole.iloc[:cut])
    assert whole.notna().sum() > 300


def test_the_future_is_shown_only_to_who_asks_for_it_by_name() -> None:
    safe = from_label("return").run(BARS, horizon=5)
    for hidden in ("future", "future_return"):
        with pytest.raises(LookAheadError, match="look_ahead=True"):
            getattr(safe, hidden)
    face = from_label("return", look_ahead=True)
    assert face.__name__ == "LookAheadReturn" and from_label("return").__name__ == "SettledReturn"
    seen = face.run(BARS, horizon=[5, 7])
    np.testing.assert_array_equal(seen.future.to_numpy()[:, 0], forward_return(BARS, 5).values)
    np.testing.assert_array_equal(seen.future_return.to_numpy()[:, 1], forward_return(BARS, 7).returns)
    pd.testing.assert_series_equal(seen.settled.iloc[:, 0], safe.settled, check_names=False)
    classes, label = from_label("direction", look_ahead=True).run(BARS, horizon=5), direction(BARS, 5)
    np.testing.assert_array_equal(classes.future, label.values)
    np.testing.assert_array_equal(classes.future_return, label.returns)


@pytest.mark.parametrize("sizer", sorted(SIZERS))
def test_sizes_and_rules_together_are_the_target_weights(sizer: str) -> None:
    forecasts = fake_forecasts(BARS, 5).iloc[100:]
    sizes = from_sizer(sizer).run(forecasts, BARS).size
    found = SizedSignals.run(
        forecasts["signal"], forecasts["confidence"], sizes, entry=[0.1, 0.3], exit=0.05, min_hold=3, band=0.0005
    )
    for number, entry in enumerate((0.1, 0.3)):
        policy = Policy(entry=entry, exit=0.05, min_hold=3, band=0.0005)
        wanted = target_weights(forecasts, BARS, policy=policy, sizer=sizer)
        np.testing.assert_array_equal(found.weight.iloc[:, number], wanted)
        assert np.isfinite(wanted).sum() > 20


def test_parameters_of_a_sizer_are_columns() -> None:
    forecasts = fake_forecasts(BARS, 5).iloc[100:]
    sizes = from_sizer("study_rule").run(forecasts, BARS, base=[0.1, 0.2], cap=[0.3, 1.0], param_product=True).size
    assert sizes.shape == (300, 4) and sizes.columns.names == ["study_rule_base", "study_rule_cap"]
    by_hand = SIZERS["study_rule"](forecasts, annual_volatility(BARS).iloc[100:], base=0.2, cap=0.3)
    np.testing.assert_array_equal(sizes[(0.2, 0.3)], by_hand)
    both = SizedSignals.run(forecasts["signal"], forecasts["confidence"], sizes, entry=[0.0, 0.3])
    assert both.weight.shape == (300, 8)


def test_a_sizer_is_handed_the_volatility_that_was_asked_for() -> None:
    forecasts = fake_forecasts(BARS, 5).iloc[100:]
    asked = {"volatility_window": 20, "days_per_year": 252.0}
    found = from_sizer("volatility_target").run(forecasts, BARS, target=0.1, **asked).size
    by_hand = SIZERS["volatility_target"](forecasts, annual_volatility(BARS, 20, 252.0).iloc[100:], target=0.1)
    np.testing.assert_array_equal(found, by_hand)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: from_feature("rsii"), "Did you mean 'rsi'"),
        (lambda: from_label("directon"), "Did you mean 'direction'"),
        (lambda: from_sizer("fixd"), "Did you mean 'fixed'"),
        (lambda: from_feature("rsi").run(BARS, windw=[7]), "Did you mean 'window'"),
        (lambda: from_label("return").run(BARS, horizn=5), "Did you mean 'horizon'"),
        (lambda: from_label("return").run(BARS, horizon=[(5, 15)]), "several horizons for one column"),
        (lambda: from_sizer("fixed").run(fake_forecasts(BARS, 5), BARS, sise=1), "Did you mean 'size'"),
    ],
)
def test_mistakes_are_told_in_one_line(call, word: str) -> None:
    with pytest.raises((BarwiseError, UnknownPluginError), match=word):
        call()
