import numpy as np
import pytest
import torch

from mlcore.errors import BarwiseError
from mlcore.models.attention_lstm import AttentionLSTM, AttentionLSTMNetwork
from mlcore.tasks import Task
from mlcore.training import seeded
from mlcore.windows import Windows
from tests.mlcore.models.sight import bars_that_matter


def fitted(lookback=8):
    table = np.random.default_rng(0).standard_normal((400, 2)).astype(np.float32)
    rows = np.arange(lookback - 1, 400)
    model = AttentionLSTM(lookback=lookback, width=8, heads=2, epochs=2)
    return model.fit(
        Windows(table, rows, lookback), table[rows, 0].astype(float), task=Task("regression", ("r",))
    ), table


def test_parameter_count_is_that_of_its_parts():
    """METHODS.md 5.2: LSTM (10, 64, 1) 19456; attention ``4 d^2 + 4 d``; layer norm ``2 d``."""
    net = AttentionLSTMNetwork(10, 64, 1, 4, lookback=20)
    assert sum(p.numel() for p in net.parameters()) == 19456 + 4 * 64**2 + 4 * 64 + 2 * 64


def test_the_state_is_added_to_what_attention_finds():
    with seeded(0):
        net, x = AttentionLSTMNetwork(3, 8, 1, 2, lookback=5).eval(), torch.randn(12, 2, 3)
    with torch.no_grad():
        net.attention.out.weight.zero_()
        net.attention.out.bias.zero_()
    torch.testing.assert_close(net(x), net.norm(net.lstm(x)[0][4:]))


def test_an_output_knows_no_later_bar():
    with seeded(0):
        net, x = AttentionLSTMNetwork(3, 8, 2, 2, lookback=5).eval(), torch.randn(20, 2, 3)
    other = x.clone()
    other[12:] += 1
    torch.testing.assert_close(net(x)[:8], net(other)[:8], rtol=0, atol=0)
    assert (net(x)[8] - net(other)[8]).abs().max() > 0


def test_a_forecast_sees_its_lookback_and_not_one_bar_more():
    assert bars_that_matter(AttentionLSTM(lookback=8, width=8, heads=2, epochs=1)) == list(range(8))


def test_attention_can_be_read_out():
    model, table = fitted()
    shares = model.attention(Windows(table, np.arange(50, 350), 8))
    assert shares.shape == (300, 2, 8)
    assert shares.min() > 0
    np.testing.assert_allclose(shares.sum(axis=2), 1.0, atol=1e-6)
    one = model.attention(Windows(table, np.array([200]), 8))
    np.testing.assert_allclose(one[0], shares[150], atol=1e-6)
    table[201:] += 9
    np.testing.assert_array_equal(model.attention(Windows(table, np.array([200]), 8)), one)
    assert model.attention(Windows(table, np.array([], dtype=int), 8)).shape == (0, 2, 8)


def test_what_is_read_out_is_what_the_forecast_weighs_by():
    model, table = fitted()
    x = torch.from_numpy(table[193:201, None])
    net = model.network_.network
    shares = torch.from_numpy(model.attention(Windows(table, np.array([200]), 8))[0]).float()
    with torch.no_grad():
        states = net.lstm(x)[0]
        values = net.attention.into(states)[:, 0, 16:].view(8, 2, 4)
        context = net.attention.out(torch.einsum("ak,kae->ae", shares, values).flatten())
        torch.testing.assert_close(net(x)[0, 0], net.norm(states[-1, 0] + context), atol=1e-5, rtol=1e-5)


def test_attention_refuses_what_predict_refuses():
    model, table = fitted()
    with pytest.raises(BarwiseError, match="`lookback` is 8"):
        model.attention(Windows(table, np.array([50]), 9))
    table[50] = np.nan
    with pytest.raises(BarwiseError, match="nan at table row 50"):
        model.attention(Windows(table, np.array([50]), 8))


def test_it_explains_itself_by_the_mean_share_of_each_bar_back():
    model, table = fitted()
    windows = Windows(table, np.arange(50, 350), 8)
    told = model.explain(windows)["attention"]
    assert (told.index.tolist(), list(told)) == ([7, 6, 5, 4, 3, 2, 1, 0], ["head 1", "head 2"])
    np.testing.assert_allclose(told["head 2"], model.attention(windows)[:, 1].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(told.sum(), 1.0, atol=1e-6)
