import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mlcore.errors import BarwiseError
from mlcore.features import table_for
from mlcore.models import make_model
from mlcore.models.cnn_lstm import CNNLSTM
from mlcore.models.multiscale_lstm_cnn import Branch, MultiscaleLSTMCNN
from mlcore.tasks import Task
from mlcore.training import seeded
from mlcore.windows import Windows
from tests.mlcore.models.sight import bars_that_matter
from tests.mlcore.models.slow_market import FEATURES, found_edge, slow_market

NAMES = ("a", "5x:a", "15x:a", "b", "5x:b", "15x:b")
SMALL = {"lookback": 60, "channels": 16, "convolutions": 1, "width": 16, "learning_rate": 8e-3, "epochs": 5}


def told(model, names=NAMES):
    model.feature_names_in_ = names
    return model


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_parameter_count_is_that_of_its_parts():
    """Three branches ``C (K G + 1) + C (K C + 1)``, LSTM of METHODS.md 5.2 on 3 C, attention and norm."""
    network = told(MultiscaleLSTMCNN(channels=4, width=64, heads=4)).build(6)
    assert parameters(network.branches) == 3 * (4 * (3 * 2 + 1) + 4 * (3 * 4 + 1))
    assert parameters(network.lstm) == 4 * (64 * (12 + 64) + 2 * 64)
    assert parameters(network.attention) == 4 * 64**2 + 4 * 64
    assert parameters(network) == sum(map(parameters, (network.branches, network.lstm, network.attention))) + 2 * 64


def test_the_default_preset_is_that_of_the_study():
    """LSTM 2 x 128 over three branches of 32 channels."""
    network = told(make_model("multiscale_lstm_cnn", "default")).build(6)
    assert len(network.branches) == 3
    assert (network.lstm.num_layers, network.lstm.hidden_size, network.lstm.input_size) == (2, 128, 96)
    assert parameters(network.lstm) == 4 * (128 * (96 + 128) + 2 * 128) + 4 * (128 * 256 + 2 * 128)
    for preset in ("light", "deep"):
        told(make_model("multiscale_lstm_cnn", preset)).build(6)


def test_a_branch_is_a_convolution_that_steps_from_longer_bar_to_longer_bar():
    with seeded(0):
        branch, x = Branch([1, 4], channels=3, kernel=3, convolutions=2, scale=5), torch.randn(30, 2, 6)
    c = x[:, :, [1, 4]].permute(1, 2, 0)
    for conv in branch.convolutions:
        c = F.conv1d(c, conv.v_KCD.permute(2, 1, 0), conv.bias_D, dilation=5).relu()
    torch.testing.assert_close(branch(x), c.permute(2, 0, 1))
    assert len(branch(x)) == 30 - 2 * 2 * 5


def test_a_branch_reads_each_longer_bar_once_and_no_other_column():
    """At the newest bar, three taps at stride 5: only rows 0, 5 and 10 bars back, only its own columns."""
    with seeded(0):
        branch = Branch([1, 4], channels=8, kernel=3, convolutions=1, scale=5)
    x = torch.zeros(20, 1, 6, requires_grad=True)
    branch(x)[-1].sum().backward()
    rows, columns = np.nonzero(x.grad[:, 0].numpy())
    assert set(19 - rows) == {0, 5, 10}
    assert set(columns) == {1, 4}


def test_a_forecast_sees_its_lookback_and_not_one_bar_more():
    """With the plain column alone the LSTM begins where the longest strides end; with both, all bars of the window."""
    model = MultiscaleLSTMCNN(lookback=9, scales=(2,), channels=16, convolutions=1, width=8, epochs=1)
    assert bars_that_matter(told(model, ("a", "2x:a"))) == list(range(9))


def test_an_output_in_a_stretch_is_that_of_its_strides():
    """An LSTM over the branches' channels, all cut to the newest bars, then attention in a band, plus the state."""
    model = told(MultiscaleLSTMCNN(lookback=40, convolutions=1, channels=4, width=8))
    with seeded(0):
        network, x = model.build(6), torch.randn(50, 2, 6)
    c = torch.cat([branch(x)[-20:] for branch in network.branches], dim=-1)
    h = network.lstm(c)[0]
    expected = network.norm(h[9:] + network.attention(h))
    torch.testing.assert_close(network(x), expected)
    assert len(expected) == 50 - 40 + 1
    other = x.clone()
    other[45:] += 1
    torch.testing.assert_close(network(x)[:6], network(other)[:6], rtol=0, atol=0)


def test_it_finds_an_edge_that_only_longer_bars_show():
    """On the same bars a CNN-LSTM of plain columns finds next to nothing, and so does this one if fed plain columns."""
    bars, model = slow_market(), MultiscaleLSTMCNN(**SMALL)
    table = table_for(model, bars, FEATURES)
    plain = table[["volume_ma_ratio"]]
    fed_plain = table.assign(**{name: plain["volume_ma_ratio"] for name in table})
    edge = found_edge(model, bars, table)
    assert edge > 0.4
    assert abs(found_edge(MultiscaleLSTMCNN(**SMALL), bars, fed_plain)) < 0.15
    without = {name: value for name, value in SMALL.items() if name != "convolutions"}
    assert abs(found_edge(CNNLSTM(**without), bars, plain)) < 0.15


def test_attention_can_be_read_by_bars_back():
    model = told(MultiscaleLSTMCNN(lookback=20, scales=(2,), convolutions=1, width=8, epochs=1), ("a", "2x:a"))
    table = np.random.default_rng(0).standard_normal((300, 2)).astype(np.float32)
    windows = Windows(table, np.arange(19, 300), 20)
    model.fit(windows, table[windows.rows, 0].astype(float), task=Task("regression", ("expected_return",)))
    shares = model.explain(windows.take(slice(0, 150)))["attention"]
    assert shares.shape == (16, 4)
    np.testing.assert_allclose(shares.sum(), 1.0, rtol=1e-5)
    x = torch.from_numpy(windows[:150]).transpose(0, 1)
    newest = model.network_.network.weights(x)[0].detach().mean(dim=0)[:, -1]
    np.testing.assert_allclose(shares.loc[0], newest, rtol=1e-4)


def test_windows_without_names_or_without_longer_bars_are_refused():
    with pytest.raises(BarwiseError, match="told no names.*table_for"):
        MultiscaleLSTMCNN().build(6)
    with pytest.raises(BarwiseError, match="told 6 names"):
        told(MultiscaleLSTMCNN()).build(5)
    with pytest.raises(BarwiseError, match="no column of the clock '15x'"):
        told(MultiscaleLSTMCNN(), ("a", "5x:a")).build(2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lookback": 60}, "`convolutions`.*60 bars of `lookback` 60"),
        ({"convolutions": 0}, "`convolutions`"),
        ({"kernel": 0}, "`kernel`"),
        ({"scales": (15, 5)}, "`scales`.*rising"),
        ({"scales": (1, 5)}, "`scales`"),
        ({"scales": (5, 5)}, "`scales`"),
        ({"scales": ()}, "`scales`"),
    ],
)
def test_shapes_that_leave_nothing_are_refused(options, said):
    with pytest.raises(BarwiseError, match=said):
        told(MultiscaleLSTMCNN(**options)).build(6)
