import numpy as np
import pytest
import torch

from mlcore.models.lstm import LSTM, LSTMNetwork
from mlcore.tasks import Task
from mlcore.training import seeded
from mlcore.windows import Windows


@pytest.mark.parametrize(
    ("n_features", "width", "layers", "parameters"),
    [(10, 64, 1, 19456), (10, 64, 2, 52736), (16, 128, 2, 206848), (8, 50, 3, 52800)],
)
def test_parameter_counts(n_features, width, layers, parameters):
    """METHODS.md 5.2: ``4 (H (F + H) + 2 H)`` per layer."""
    assert sum(p.numel() for p in LSTMNetwork(n_features, width, layers).parameters()) == parameters


def test_the_cell_is_the_papers():
    with seeded(0):
        net = LSTMNetwork(3, 4)
        x = torch.randn(6, 1, 3)
    cell = net.layers
    h, c = torch.zeros(4), torch.zeros(4)
    for bar in x[:, 0]:
        gates = cell.weight_ih_l0 @ bar + cell.bias_ih_l0 + cell.weight_hh_l0 @ h + cell.bias_hh_l0
        i, f, g, o = gates.chunk(4)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    torch.testing.assert_close(net(x)[-1, 0], h)


def test_the_state_after_a_bar_knows_no_later_bar():
    with seeded(0):
        net = LSTMNetwork(3, 4, layers=2).eval()
        x = torch.randn(20, 2, 3)
    other = x.clone()
    other[12:] += 1
    torch.testing.assert_close(net(x)[:12], net(other)[:12], rtol=0, atol=0)


def test_a_forecast_sees_its_lookback_and_not_one_bar_more():
    rng = np.random.default_rng(0)
    table = rng.standard_normal((300, 2)).astype(np.float32)
    model = LSTM(lookback=8, width=4, epochs=1)
    model.fit(Windows(table, np.arange(7, 300), 8), table[7:, 0].astype(float), task=Task("regression", ("r",)))
    row = np.array([100])
    before = model.predict(Windows(table, row, 8))
    for back, seen in ((0, True), (7, True), (8, False), (-1, False)):
        other = table.copy()
        other[100 - back] += 5
        assert (model.predict(Windows(other, row, 8))[0, 0] != before[0, 0]) == seen
