import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from mlcore.errors import BarwiseError
from mlcore.models.tcn import TCN, CausalConv, ResidualBlock, TCNNetwork, dilations_for, receptive_field
from mlcore.training import seeded


def count(module):
    return sum(p.numel() for p in module.parameters())


def network(n_features, channels, kernel, weight_norm=False):
    return TCNNetwork(n_features, channels, [2**i for i in range(len(channels))], kernel, weight_norm)


@pytest.mark.parametrize(
    ("n_features", "channels", "kernel", "with_norm", "without"),
    [
        (10, [32] * 4, 3, 23328, 23072),
        (5, [64] * 6, 2, 92672, 91904),
        (16, [64] * 5, 3, 116032, 115392),
        (1, [25] * 8, 7, 66650, 66250),
        (2, [30] * 8, 7, 96001 - 31, None),  # the adding problem of locuslab, less its Linear(30, 1)
    ],
)
def test_parameter_counts_of_the_papers_code(n_features, channels, kernel, with_norm, without):
    """METHODS.md 5.1."""
    assert count(network(n_features, channels, kernel, weight_norm=True)) == with_norm
    if without is not None:
        assert count(network(n_features, channels, kernel)) == without


def gradient_support(net, n_features, bars):
    """Bars that move the last output, counted from the newest (0)."""
    net = net.double()
    with torch.no_grad():  # positive weights and inputs keep every ReLU open
        for p in net.parameters():
            p.abs_().add_(0.01)
    x = torch.ones(bars, 1, n_features, dtype=torch.float64, requires_grad=True)
    net(x)[-1].sum().backward()
    return np.flatnonzero(x.grad.abs().sum(dim=(1, 2)).numpy()[::-1])


@pytest.mark.parametrize("kernel", [2, 3, 5, 7])
@pytest.mark.parametrize("levels", [1, 2, 3, 4, 5])
def test_receptive_field_is_what_the_gradient_says(kernel, levels):
    dilations = [2**i for i in range(levels)]
    field = 1 + 2 * (kernel - 1) * (2**levels - 1)
    assert receptive_field(dilations, kernel) == field
    seen = gradient_support(network(1, [2] * levels, kernel), 1, field + 9)
    np.testing.assert_array_equal(seen, np.arange(field))


@given(st.integers(2, 5), st.integers(0, 250))
def test_default_dilations_fill_the_lookback_and_stay_inside(kernel, more):
    lookback = 2 * kernel - 1 + more
    dilations = dilations_for(lookback, kernel)
    field = receptive_field(dilations, kernel)
    assert lookback - 2 * (kernel - 1) < field <= lookback
    before = 1
    for dilation in dilations:  # no bar is skipped: a tap reaches no farther than what one output already covers
        assert dilation <= before
        before += 2 * (kernel - 1) * dilation


def test_default_dilations_skip_no_bar():
    for lookback in (60, 61, 64, 90, 128):
        net = TCN(lookback=lookback, width=2).build(1)
        np.testing.assert_array_equal(gradient_support(net, 1, lookback), np.arange(net.receptive_field))


def test_a_small_rest_widens_the_last_level_and_a_large_one_gets_its_own():
    assert dilations_for(68) == (1, 2, 4, 9)
    assert dilations_for(60) == (1, 2, 4, 7)
    assert dilations_for(9) == (1, 1)


@pytest.mark.parametrize("channels_out", [3, 4])
def test_the_shortcut_is_of_the_same_bar(channels_out):
    with seeded(0):
        block = ResidualBlock(3, channels_out, 3, 2, weight_norm=False, dropout=0.0)
        x = torch.randn(20, 2, 3)
    with torch.no_grad():
        for p in (*block.conv1.parameters(), *block.conv2.parameters()):
            p.zero_()
    torch.testing.assert_close(block(x), block.downsample(x)[8:].relu())


def test_a_field_longer_than_the_lookback_is_refused():
    with pytest.raises(BarwiseError, match="sees 61 bars, more than `lookback` 60"):
        TCN(levels=4).build(5)
    assert TCN(levels=4, lookback=61).build(5).receptive_field == 61
    with pytest.raises(BarwiseError, match="`lookback` is 4"):
        TCN(lookback=4).build(5)


@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("kernel", [2, 3])
def test_the_convolution_is_torchs_conv1d_with_its_gradients(kernel, dilation):
    with seeded(0):
        conv = CausalConv(3, 4, kernel, dilation, weight_norm=False).double()
        x = torch.randn(12, 2, 3, dtype=torch.float64, requires_grad=True)
    weight = conv.v_KCD.detach().permute(2, 1, 0).clone().requires_grad_()
    plain = F.conv1d(x.permute(1, 2, 0), weight, conv.bias_D, dilation=dilation).relu().permute(2, 0, 1)
    torch.testing.assert_close(conv(x), plain)
    pull = torch.linspace(-1, 1, plain.numel(), dtype=torch.float64).view_as(plain)
    ours = torch.autograd.grad((conv(x) * pull).sum(), [x, conv.v_KCD, conv.bias_D])
    theirs = torch.autograd.grad((plain * pull).sum(), [x, weight, conv.bias_D])
    torch.testing.assert_close(ours[0], theirs[0])
    torch.testing.assert_close(ours[1].permute(2, 1, 0), theirs[1])
    torch.testing.assert_close(ours[2], theirs[2])


def test_weight_norm_starts_at_the_same_weights_and_splits_length_from_direction():
    with seeded(1):
        plain = CausalConv(3, 4, 3, 1, weight_norm=False)
    with seeded(1):
        normed = CausalConv(3, 4, 3, 1, weight_norm=True)
    x = torch.linspace(-1, 1, 30).view(5, 2, 3)
    torch.testing.assert_close(plain(x), normed(x))
    with torch.no_grad():
        normed.v_KCD.mul_(7.0)  # the length of v says nothing
    torch.testing.assert_close(plain(x), normed(x))


def test_dropout_is_off_when_predicting():
    with seeded(2):
        net = TCNNetwork(3, [8, 8], [1, 2], dropout=0.5)
        x = torch.randn(30, 2, 3)
        assert not torch.equal(net(x), net(x))
        net.eval()
        assert torch.equal(net(x), net(x))
