import pytest
import torch
import torch.nn.functional as F

from mlcore.errors import BarwiseError
from mlcore.models.cnn_lstm import CNNLSTM, CNNLSTMNetwork
from mlcore.training import seeded
from tests.mlcore.models.sight import bars_that_matter


def test_parameter_count_is_that_of_its_parts():
    """Convolutions ``C (K F + 1)`` and ``C (K C + 1)``; the LSTM of METHODS.md 5.2 on C = 10: 19456."""
    net = CNNLSTMNetwork(7, channels=10, kernel=3, convolutions=2, width=64, layers=1, dropout=0.0)
    assert sum(p.numel() for p in net.parameters()) == 10 * (3 * 7 + 1) + 10 * (3 * 10 + 1) + 19456


def test_it_is_convolutions_then_lstm():
    with seeded(0):
        net = CNNLSTMNetwork(3, 5, 3, 2, width=4, layers=1, dropout=0.0)
        x = torch.randn(12, 2, 3)
    c = x.permute(1, 2, 0)
    for convolution in net.convolutions:
        c = F.conv1d(c, convolution.v_KCD.permute(2, 1, 0), convolution.bias_D).relu()
    expected = net.lstm(c.permute(2, 0, 1))[0]
    assert len(expected) == 8
    torch.testing.assert_close(net(x), expected)


def test_an_output_knows_no_later_bar():
    with seeded(0):
        net, x = CNNLSTMNetwork(3, 5, 3, 2, width=4, layers=1, dropout=0.0), torch.randn(20, 2, 3)
    other = x.clone()
    other[12:] += 1
    torch.testing.assert_close(net(x)[:8], net(other)[:8], rtol=0, atol=0)
    assert (net(x)[8] - net(other)[8]).abs().max() > 0


def test_a_forecast_sees_its_lookback_and_not_one_bar_more():
    assert bars_that_matter(CNNLSTM(lookback=8, channels=16, width=8, epochs=1)) == list(range(8))


@pytest.mark.parametrize("options", [{"lookback": 4}, {"convolutions": 0}, {"kernel": 0}])
def test_convolutions_that_leave_nothing_are_refused(options):
    with pytest.raises(BarwiseError, match="`convolutions`.*`kernel`.*`lookback`"):
        CNNLSTM(**options).build(3)
