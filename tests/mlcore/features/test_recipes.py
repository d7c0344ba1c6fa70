"""A column's name is its recipe, and reads back."""

from __future__ import annotations

import pytest

from mlcore.errors import BarwiseError
from mlcore.features import column_name, parse_recipe
from mlcore.features.recipes import defaults_of, feature
from mlcore.plugins import FEATURES


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ("rsi", "rsi"),
        (("rsi", {"window": 14}), "rsi"),
        (("rsi", {"window": 7}), "rsi_window7"),
        (("bollinger_width", {"deviations": 2.5, "window": 10}), "bollinger_width_window10_deviations2.5"),
    ],
)
def test_names_hold_only_what_differs_from_the_default_and_read_back(recipe, name):
    made = column_name(*parse_recipe(recipe))
    assert made == name
    assert column_name(*parse_recipe(name)) == name


def test_every_feature_has_defaults_and_reads_back():
    for name in FEATURES:
        assert parse_recipe(column_name(name, defaults_of(name))) == (name, {})


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("rsj", "Did you mean 'rsi'"),
        ("volatilty_window7", "Did you mean 'volatility"),
        (("rsi", {"windw": 7}), "Did you mean 'window'"),
    ],
)
def test_typos_are_named(recipe, said):
    with pytest.raises(BarwiseError, match=said):
        column_name(*parse_recipe(recipe))


def test_two_features_of_one_name_are_refused():
    with pytest.raises(BarwiseError, match="registered twice"):

        @feature
        def rsi(bars):
            return bars["close"]
