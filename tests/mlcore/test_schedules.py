import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcore.errors import BarwiseError
from mlcore.schedules import SCHEDULES, Schedule, cosine_restarts, one_cycle


def test_one_cycle_rises_in_a_line_and_falls_in_a_half_cosine():
    rate = np.array([one_cycle(step, 100, 0.2) for step in range(100)])
    np.testing.assert_allclose(rate[:20], np.arange(1, 21) / 20)
    np.testing.assert_allclose(rate[20:], 0.5 * (1 + np.cos(np.pi * np.arange(80) / 80)))
    assert one_cycle(0, 1, 0.1) == 1


def test_cosine_restarts_are_half_cosines_each_twice_as_long():
    """Loshchilov and Hutter 2017, equation 5, written out for cycles of 10, 20 and 40 steps."""
    rate = np.array([cosine_restarts(step, 70, cycles=3) for step in range(70)])
    wanted = np.concatenate([0.5 * (1 + np.cos(np.pi * np.arange(n) / n)) for n in (10, 20, 40)])
    np.testing.assert_allclose(rate, wanted, atol=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
@given(steps=st.integers(1, 400), losses=st.lists(st.floats(0, 9), max_size=30))
def test_a_share_lies_in_zero_to_one_and_the_top_is_reached(name, steps, losses):
    schedule = Schedule(name, steps)
    shares = [schedule.share(step) for step in range(steps)]
    assert max(shares) == pytest.approx(1.0)
    for loss in losses:
        schedule.see(loss)
        shares += [schedule.share(step) for step in (0, steps // 2, steps - 1)]
    assert min(shares) >= 0
    assert max(shares) <= 1


def test_the_plateau_goes_down_only_where_the_loss_gets_no_better():
    schedule = Schedule("plateau", 100, factor=0.5, after=1)
    shares = []
    for loss in (5, 4, 4, 3, 3, 3, 2, 2, 2.5, 2.1, 2.2):
        schedule.see(loss)
        shares.append(schedule.share(7))
    assert shares == [1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_other_schedules_do_not_listen_to_the_loss():
    for name in set(SCHEDULES) - {"plateau"}:
        told, untold = Schedule(name, 50), Schedule(name, 50)
        for _ in range(9):
            told.see(1.0)
        assert [told.share(step) for step in range(50)] == [untold.share(step) for step in range(50)]


def test_a_schedule_that_is_not_there_is_refused():
    with pytest.raises(BarwiseError, match="Did you mean 'plateau'"):
        Schedule("plato", 10)
