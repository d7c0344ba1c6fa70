import numpy as np
import pytest

from strategies.measures import sharpe_or_note


@pytest.mark.parametrize(
    ("daily", "lowest", "value", "note"),
    [
        ([0.01, -0.02], 0.9, 1.5, ""),
        ([0.01], 0.9, None, "1 daily return"),
        ([], 1.0, None, "0 daily return"),
        ([0.0, 0.0, 0.0], 1.0, 0.0, "never moves"),
        ([1e-16, -1e-16], 1.0, 0.0, "never moves"),
        ([0.01, 0.01, 0.01], 0.9, None, "equal"),
        ([0.01, -2.0], -0.5, None, "zero or below"),
        ([0.01, -1.0], 0.0, None, "zero or below"),
    ],
)
def test_a_sharpe_ratio_is_a_number_or_none_with_a_reason(daily, lowest, value, note):
    got, said = sharpe_or_note(1.5, np.array(daily), lowest)
    assert got == value
    assert note in said and bool(note) == bool(said)


@pytest.mark.parametrize("engine", [None, float("nan"), float("inf")])
def test_what_an_engine_could_not_say_is_none(engine):
    got, said = sharpe_or_note(engine, np.array([0.01, -0.02]), 0.9)
    assert got is None and "the engine gave" in said
