import numpy as np
import pytest
import torch
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.models.transformer import EncoderLayer, Transformer, TransformerNetwork, band_for
from mlcore.training import seeded
from tests.mlcore.models.sight import bars_that_matter


@pytest.mark.parametrize(
    ("width", "heads", "feed_forward", "parameters"),
    [(64, 4, 256, 49984), (32, 4, 128, 12704), (512, 8, 2048, 3152384)],
)
def test_parameter_counts_of_a_layer(width, heads, feed_forward, parameters):
    """METHODS.md 5.2."""
    layer = EncoderLayer(width, heads, feed_forward, band=5, dropout=0.0)
    assert sum(p.numel() for p in layer.parameters()) == parameters


def test_a_layer_without_rotation_is_torchs():
    with seeded(0):
        layer = EncoderLayer(16, 2, 32, band=4, dropout=0.0).eval()
        x = torch.randn(12, 3, 16)
    layer.attention.turns_E2.zero_()
    torchs = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, norm_first=True).eval()
    names = {"attention.into.": "self_attn.in_proj_", "attention.out": "self_attn.out_proj"}
    state = {}
    for name, weight in layer.state_dict().items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        state[name] = weight
    torchs.load_state_dict(state)
    distance = torch.arange(12)[:, None] - torch.arange(12)
    expected = torchs(x, src_mask=(distance < 0) | (distance > 3))
    torch.testing.assert_close(layer(x), expected[3:])


@pytest.mark.parametrize(("lookback", "layers"), [(60, 1), (60, 2), (60, 6), (7, 3), (5, 6)])
def test_the_receptive_field_fills_the_lookback_and_is_what_the_gradient_says(lookback, layers):
    net = Transformer(lookback=lookback, layers=layers, width=16, heads=2).build(3).double()
    assert net.receptive_field == layers * (band_for(lookback, layers) - 1) + 1
    assert lookback - layers < net.receptive_field <= lookback
    with seeded(1):
        x = torch.randn(lookback + 5, 1, 3, dtype=torch.float64, requires_grad=True)
    (net(x)[-1, 0] @ torch.arange(16.0, dtype=torch.float64)).backward()  # a plain sum is constant: layer norm
    seen = np.flatnonzero(x.grad.abs().sum(dim=(1, 2)).numpy()[::-1])
    np.testing.assert_array_equal(seen, np.arange(net.receptive_field))


def test_a_stretch_gives_what_windows_give():
    with seeded(0):
        net = TransformerNetwork(3, 16, 2, 3, 32, band=5).double().eval()
        x = torch.randn(40, 2, 3, dtype=torch.float64)
    field = net.receptive_field
    windows = torch.cat([net(x[t - field + 1 : t + 1]) for t in range(field - 1, 40)])
    torch.testing.assert_close(net(x), windows, atol=1e-4, rtol=1e-4)


def test_a_forecast_sees_its_field_and_not_one_bar_more():
    model = Transformer(lookback=9, width=8, heads=2, layers=2, epochs=1)
    assert bars_that_matter(model) == list(range(9))
    assert bars_that_matter(model.set_params(band=3)) == list(range(5))


def test_dropout_is_off_when_predicting():
    with seeded(2):
        net, x = TransformerNetwork(3, 8, 2, 2, 16, band=4, dropout=0.5), torch.randn(20, 2, 3)
        assert not torch.equal(net(x), net(x))
        assert torch.equal(net.eval()(x), net(x))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"band": 31}, "`band` 31 in 2 layers sees 61 bars.*`lookback` 60: band=None takes 30"),
        ({"band": 0}, "`band` 0"),
        ({"layers": 0}, "`layers` is 0"),
        ({"width": 30}, "`width` is 30"),
    ],
)
def test_what_cannot_be_built_is_refused(options, said):
    with pytest.raises(BarwiseError, match=said):
        Transformer(**options).build(3)


def test_the_deep_preset_is_the_issues():
    deep = Transformer.presets["deep"]
    assert [deep[name] for name in ("width", "heads", "layers", "feed_forward")] == [256, 8, 6, 1024]
    assert Transformer(**deep).build(20).receptive_field <= deep["lookback"]
