import pytest
import torch

from mlcore.errors import BarwiseError
from mlcore.models import make_model
from mlcore.models.bilstm import BiLSTM, BiLSTMNetwork
from mlcore.training import seeded
from tests.mlcore.models.sight import bars_that_matter


def test_parameter_count():
    """METHODS.md 5.2: ``4 (h (i + h) + 2 h)`` per layer and direction."""
    assert sum(p.numel() for p in BiLSTMNetwork(5, 32, 1).parameters()) == 9984


def test_it_is_two_layers_of_128_units_with_dropout():
    net = BiLSTM().build(20)
    assert (net.lstm.num_layers, net.lstm.hidden_size, net.lstm.bidirectional) == (2, 128, True)
    assert net.lstm.dropout == net.dropout.p == 0.3
    assert net.width == 256


def test_each_direction_is_read_where_it_ends():
    with seeded(0):
        net = BiLSTMNetwork(3, 4, layers=1).eval()
        x = torch.randn(6, 2, 3)
    forward, backward = torch.nn.LSTM(3, 4), torch.nn.LSTM(3, 4)
    weights = net.lstm.state_dict()
    forward.load_state_dict({name: w for name, w in weights.items() if not name.endswith("reverse")})
    backward.load_state_dict({name[:-8]: w for name, w in weights.items() if name.endswith("_reverse")})
    expected = torch.cat([forward(x)[0][-1], backward(x.flip(0))[0][-1]], dim=-1)
    torch.testing.assert_close(net(x)[0], expected)


def test_dropout_is_off_when_predicting():
    with seeded(0):
        net, x = BiLSTMNetwork(3, 8, layers=1), torch.randn(6, 2, 3)
        assert not torch.equal(net(x), net(x))
        assert torch.equal(net.eval()(x), net(x))


def test_a_forecast_sees_its_lookback_and_not_one_bar_more():
    assert bars_that_matter(BiLSTM(lookback=8, width=4, epochs=1)) == list(range(8))


def test_it_is_trained_on_windows_and_cannot_be_told_otherwise():
    assert not BiLSTM.causal
    assert BiLSTM().plan().stretch == 1
    with pytest.raises(BarwiseError, match="`dense` is True"):
        make_model("bilstm", dense=True).plan()
