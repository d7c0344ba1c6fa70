import pytest
import torch

from mlcore.models.gru import GRU, GRUNetwork
from mlcore.training import seeded
from tests.mlcore.models.sight import bars_that_matter


@pytest.mark.parametrize(("layers", "parameters"), [(1, 14592), (2, 39552)])
def test_parameter_counts(layers, parameters):
    """METHODS.md 5.2, ten features and 64 units."""
    assert sum(p.numel() for p in GRUNetwork(10, 64, layers).parameters()) == parameters


def test_the_cell_is_the_papers_with_torchs_reset_gate():
    with seeded(0):
        net = GRUNetwork(3, 4)
        x = torch.randn(6, 1, 3)
    cell, h = net.layers, torch.zeros(4)
    for bar in x[:, 0]:
        of_bar = (cell.weight_ih_l0 @ bar + cell.bias_ih_l0).chunk(3)
        of_state = (cell.weight_hh_l0 @ h + cell.bias_hh_l0).chunk(3)
        reset, update = (torch.sigmoid(a + b) for a, b in zip(of_bar[:2], of_state[:2], strict=True))
        new = torch.tanh(of_bar[2] + reset * of_state[2])
        h = (1 - update) * new + update * h
    torch.testing.assert_close(net(x)[-1, 0], h)


def test_the_state_after_a_bar_knows_no_later_bar():
    with seeded(0):
        net = GRUNetwork(3, 4, layers=2).eval()
        x = torch.randn(20, 2, 3)
    other = x.clone()
    other[12:] += 1
    torch.testing.assert_close(net(x)[:12], net(other)[:12], rtol=0, atol=0)


def test_a_forecast_sees_its_lookback_and_not_one_bar_more():
    assert bars_that_matter(GRU(lookback=8, width=4, epochs=1)) == list(range(8))
