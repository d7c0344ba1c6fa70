"""Features: pure functions of past bars, one family a file. A new family is one more import below."""

from mlcore.features import calendar, momentum, returns, trend, volatility, volume
from mlcore.features.clocks import clock_bars, clock_columns, plain_columns, table_for
from mlcore.features.recipes import Recipe, column_name, feature, parse_recipe
from mlcore.features.table import DEFAULT_FEATURES, feature_table

__all__ = [
    "DEFAULT_FEATURES",
    "Recipe",
    "clock_bars",
    "clock_columns",
    "column_name",
    "feature",
    "feature_table",
    "parse_recipe",
    "plain_columns",
    "table_for",
]

_FAMILIES = (calendar, momentum, returns, trend, volatility, volume)  # importing a family enters its features
