import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.models.attention import BandedAttention
from mlcore.training import seeded


def made(width=16, heads=2, band=5, bars=20, seed=0, **options):
    with seeded(seed):
        attention = BandedAttention(width, heads, band, **options).double().eval()
        return attention, torch.randn(bars, 3, width, dtype=torch.float64)


def by_hand(attention, x_TBD, t, b):
    """Bar t's output by the formula, the pairs of a head as complex numbers that are turned by the bar's place."""
    d = x_TBD.shape[2]
    e = d // attention.heads
    bars = range(t - attention.band + 1, t + 1)
    context = []
    for head in range(attention.heads):

        def part(bar, which, head=head):
            return attention.into(x_TBD[bar, b])[which * d + head * e :][:e].detach().numpy()

        def turned(bar, which, part=part):
            v = part(bar, which)
            turns = 10_000.0 ** (-np.arange(e // 2) / (e // 2))
            return (v[: e // 2] + 1j * v[e // 2 :]) * np.exp(1j * bar * turns)

        products = np.array([(turned(t, 0) * turned(bar, 1).conj()).real.sum() for bar in bars]) / np.sqrt(e)
        shares = np.exp(products) / np.exp(products).sum()
        context.append(sum(share * part(bar, 2) for share, bar in zip(shares, bars, strict=True)))
    return attention.out(torch.tensor(np.concatenate(context))).detach()


def test_it_is_the_formula():
    attention, x = made()
    out = attention(x)
    assert out.shape == (16, 3, 16)
    for t, b in ((4, 0), (11, 1), (19, 2)):
        torch.testing.assert_close(out[t - 4, b], by_hand(attention, x, t, b), atol=1e-5, rtol=1e-5)


def test_without_rotation_it_is_torchs():
    attention, x = made()
    attention.turns_E2.zero_()
    torchs = nn.MultiheadAttention(16, 2).double()
    torchs.in_proj_weight.data, torchs.in_proj_bias.data = attention.into.weight.data, attention.into.bias.data
    torchs.out_proj.load_state_dict(attention.out.state_dict())
    place = torch.arange(20)
    distance = place[:, None] - place
    expected, weights = torchs(x, x, x, attn_mask=(distance < 0) | (distance > 4), average_attn_weights=False)
    torch.testing.assert_close(attention(x), expected[4:])
    for t in (4, 10, 19):
        torch.testing.assert_close(attention.weights(x)[t - 4], weights[:, :, t, t - 4 : t + 1])
    assert sum(p.numel() for p in attention.parameters()) == sum(p.numel() for p in torchs.parameters())


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(0, 12), st.integers(0, 200))
def test_a_bar_is_the_same_wherever_the_stretch_begins(band, more, before):
    attention, x = made(band=band, bars=before + band + more)
    torch.testing.assert_close(attention(x)[before:], attention(x[before:]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("band", [1, 4, 7])
def test_a_bar_sees_its_band_and_nothing_else(band):
    attention, x = made(band=band)
    x.requires_grad_()
    attention(x)[12 - band + 1, 1].sum().backward()
    seen = np.argwhere(x.grad.abs().sum(dim=2).numpy() > 0)
    np.testing.assert_array_equal(seen, [[t, 1] for t in range(12 - band + 1, 13)])


def test_the_order_of_the_past_matters():
    attention, x = made()
    mixed = x[[1, 0, *range(2, 20)]]
    assert (attention(x)[0] - attention(mixed)[0]).abs().max() > 1e-3


def test_weights_are_shares_and_give_the_output():
    attention, x = made()
    shares = attention.weights(x)
    assert shares.shape == (16, 3, 2, 5)
    assert shares.min() >= 0
    torch.testing.assert_close(shares.sum(dim=-1), torch.ones(16, 3, 2, dtype=torch.float64))
    values = attention.into(x)[..., 32:].view(20, 3, 2, 8)
    context = torch.einsum("bak,kbae->bae", shares[6], values[6:11]).flatten(1)
    torch.testing.assert_close(attention.out(context), attention(x)[6])


def test_dropout_is_off_when_predicting():
    attention, x = made(dropout=0.5)
    assert torch.equal(attention(x), attention(x))
    assert not torch.equal(attention.train()(x), attention(x))


@pytest.mark.parametrize(("width", "heads"), [(30, 4), (12, 4), (16, 0)])
def test_a_width_that_heads_do_not_divide_in_pairs_is_refused(width, heads):
    with pytest.raises(BarwiseError, match=f"`width` is {width}; with `heads` {heads}"):
        BandedAttention(width, heads, 5)
