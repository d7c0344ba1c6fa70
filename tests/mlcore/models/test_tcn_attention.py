import numpy as np
import pytest
import torch

from mlcore.errors import BarwiseError
from mlcore.models.tcn_attention import TCNAttention, TCNAttentionNetwork
from mlcore.training import seeded
from tests.mlcore.models.sight import bars_that_matter


def test_parameter_count_is_that_of_its_parts():
    """METHODS.md 5.1: in 10, [32]*4, k 3, without weight norm 23072; attention ``4 d^2 + 4 d``; layer norm ``2 d``."""
    net = TCNAttentionNetwork(10, 32, [1, 2, 4, 8], 3, heads=4, band=9, dropout=0.0)
    assert sum(p.numel() for p in net.parameters()) == 23072 + 4 * 32**2 + 4 * 32 + 2 * 32


@pytest.mark.parametrize(("lookback", "levels"), [(60, None), (61, 4), (120, 4), (12, None), (5, None), (20, 2)])
def test_what_is_seen_is_the_lookback_and_not_one_bar_more(lookback, levels):
    net = TCNAttention(lookback=lookback, levels=levels, width=8, heads=2).build(3).double()
    assert net.receptive_field == lookback
    with seeded(1), torch.no_grad():
        for p in net.tcn.parameters():  # positive weights and inputs keep every ReLU open
            p.abs_().add_(0.01)
        net.attention.into.weight.mul_(1e-3)  # and every share of attention away from 0
        x = torch.rand(lookback + 5, 1, 3, dtype=torch.float64)
    x.requires_grad_()
    (net(x)[-1, 0] @ torch.arange(8.0, dtype=torch.float64)).backward()  # a plain sum is constant: layer norm
    seen = np.flatnonzero(x.grad.abs().sum(dim=(1, 2)).numpy()[::-1])
    np.testing.assert_array_equal(seen, np.arange(lookback))


def test_the_tcn_is_added_to_what_attention_finds():
    with seeded(0):
        net, x = TCNAttentionNetwork(3, 8, [1, 2], 3, 2, 4, 0.0).eval(), torch.randn(30, 2, 3)
    with torch.no_grad():
        net.attention.out.weight.zero_()
        net.attention.out.bias.zero_()
    torch.testing.assert_close(net(x), net.norm(net.tcn(x)[3:]))


def test_a_stretch_gives_what_windows_give():
    with seeded(0):
        net = TCNAttentionNetwork(3, 8, [1, 2], 3, 2, 6, 0.0).double().eval()
        x = torch.randn(50, 2, 3, dtype=torch.float64)
    field = net.receptive_field
    windows = torch.cat([net(x[t - field + 1 : t + 1]) for t in range(field - 1, 50)])
    torch.testing.assert_close(net(x), windows, atol=1e-4, rtol=1e-4)


def test_a_forecast_knows_no_bar_outside_its_lookback():
    seen = bars_that_matter(TCNAttention(lookback=12, width=32, epochs=1))
    assert seen[0] == 0
    assert seen[-1] <= 11


def test_a_field_longer_than_the_lookback_is_refused():
    with pytest.raises(BarwiseError, match="`levels` 4 with `kernel` 3 sees 61 bars, more than `lookback` 60"):
        TCNAttention(levels=4).build(3)
    with pytest.raises(BarwiseError, match="sees 5 bars, more than `lookback` 4"):
        TCNAttention(lookback=4).build(3)


def test_the_dilations_of_the_presets():
    for name, convolved in (("default", 61), ("deep", 125)):
        net = TCNAttention(**TCNAttention.presets[name]).build(20)
        assert net.tcn.receptive_field == convolved
