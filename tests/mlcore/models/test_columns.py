from types import SimpleNamespace

import pytest

from mlcore.errors import BarwiseError
from mlcore.models.columns import told_column, told_columns


def test_columns_are_found_by_the_names_that_were_told():
    model = SimpleNamespace(feature_names_in_=("rsi", "log_return"))
    assert told_columns(model, 2) == ("rsi", "log_return")
    assert told_column(model, "log_return", 2) == 1


def test_what_was_not_told_is_refused():
    with pytest.raises(BarwiseError, match="3 features and SimpleNamespace was told 2 names"):
        told_columns(SimpleNamespace(feature_names_in_=("rsi", "log_return")), 3)
    with pytest.raises(BarwiseError, match="told no names"):
        told_columns(SimpleNamespace(), 3)
    with pytest.raises(BarwiseError, match="no column 'log_return'.*Did you mean 'log_returns'.*table_for"):
        told_column(SimpleNamespace(feature_names_in_=("rsi", "log_returns")), "log_return", 2)


def test_of_a_pool_the_symbols_numbers_come_last():
    model = SimpleNamespace(feature_names_in_=("a", "1h:a", "symbol"))
    assert told_columns(model, 5) == ("a", "1h:a", "symbol_0", "symbol_1", "symbol_2")
    assert told_columns(model, 3) == ("a", "1h:a", "symbol")
    with pytest.raises(BarwiseError, match="5 features"):
        told_columns(SimpleNamespace(feature_names_in_=("a", "1h:a")), 5)
