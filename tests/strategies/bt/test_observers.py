import numpy as np
import pandas as pd
import pytest

from strategies.bt import Exposure, build_cerebro
from tests.conftest import random_bars


@pytest.mark.parametrize("runonce", [True, False])
def test_exposure_is_what_is_held_over_what_there_is(runonce):
    bars = random_bars(40)
    cerebro = build_cerebro(
        bars, pd.Series(np.r_[[np.nan] * 10, [-0.5] * 20, [np.nan] * 10], bars.index), runonce=runonce
    )
    cerebro.addobserver(Exposure)
    seen = cerebro.run()[0].observers.exposure
    exposure, target = (np.array(line.array)[:40] for line in (seen.lines.exposure, seen.lines.target))
    assert exposure[11] == pytest.approx(-0.5, abs=0.02) and exposure[5] == exposure[35] == 0
    np.testing.assert_array_equal(target, np.r_[[0.0] * 10, [-0.5] * 20, [0.0] * 10])
