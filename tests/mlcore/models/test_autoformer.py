import numpy as np
import pytest
import torch
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.models import make_model
from mlcore.models.autoformer import (
    AutoCorrelation,
    Autoformer,
    AutoformerLayer,
    AutoformerNetwork,
    Decomposition,
    SeasonalNorm,
)
from mlcore.tasks import Task
from mlcore.training import seeded
from mlcore.windows import Windows
from tests.mlcore.models.sight import bars_that_matter

NUMBER = Task("regression", ("expected_return",))


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def attention(length=30, heads=2, factor=1):
    with seeded(0):
        return AutoCorrelation(8, heads, length, factor).double(), torch.randn(4, length, 8).double()


def network(dropout=0.0, lookback=20):
    with seeded(0):
        net = AutoformerNetwork(3, 8, 2, 2, 16, lookback, kernel=5, dropout=dropout).double()
        return net, torch.randn(lookback, 5, 3).double()


def test_parameter_counts_of_the_blocks():
    assert count(AutoCorrelation(512, 8, 96)) == 1050624
    assert count(AutoformerLayer(512, 8, 2048, 96, 25, 1, 0.0)) == 3147776
    assert count(SeasonalNorm(64)) == 128


@pytest.mark.parametrize(("d", "ff", "parameters"), [(512, 2048, 10535943), (64, 128, 120967)])
def test_the_encoder_fills_its_place_in_the_papers_parameter_count(d, ff, parameters):
    """METHODS.md 5.4. Left out here: a second embedding, two of the clock (4 inputs), the decoder."""
    ours = count(AutoformerNetwork(7, d, 4, 2, ff, 96))
    decoder = 2 * 4 * (d * d + d) + 2 * d * ff + 3 * d * 7 + 2 * d + 7 * d + 7
    assert ours + 7 * 3 * d + 2 * 4 * d + decoder == parameters


def test_the_correlation_is_that_of_the_papers_fft():
    net, x = attention()
    q, k = (layer(x).unflatten(-1, (2, 4)).transpose(1, 2) for layer in (net.query, net.key))
    spectrum = torch.fft.rfft(q, dim=2) * torch.fft.rfft(k, dim=2).conj()
    torch.testing.assert_close(net.correlation(x), torch.fft.irfft(spectrum, n=30, dim=2).mean(dim=-1))


def test_one_head_is_the_papers_code_at_forecasting():
    """Autoformer/layers/AutoCorrelation.py, time_delay_agg_inference, written out for one head."""
    net, x = attention(heads=1, factor=2)
    assert net.kept == 6  # 2 ln 30 = 6.8
    value, strength = net.value(x), net.correlation(x)[:, 0]
    context = torch.zeros_like(value)
    for b in range(4):
        weights, delays = strength[b].topk(6)
        for weight, delay in zip(weights.softmax(dim=0), delays, strict=True):
            context[b] += weight * torch.roll(value[b], -int(delay), dims=0)
    torch.testing.assert_close(net(x), net.out(context))


def test_a_series_that_repeats_finds_its_repeat():
    net, _ = attention(length=28, heads=1)
    for layer in (net.query, net.key):
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)
    x = torch.randn(2, 7, 8).double().repeat(1, 4, 1)
    best = net.correlation(x)[:, 0].topk(4).indices
    assert sorted(best[0].tolist()) == [0, 7, 14, 21]


def test_shares_sum_to_one_and_only_the_kept_delays_count():
    net, x = attention()
    weights = net.weights(x)
    assert weights.shape == (4, 2, 30, 30)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(4, 2, 30).double())
    assert ((weights > 0).sum(dim=-1) == net.kept).all()
    assert net.kept == 3


@pytest.mark.parametrize("training", [True, False])
def test_a_window_does_not_matter_to_another_in_its_batch(training):
    net, x = network()
    net.train(training)
    other = x.clone()
    other[:, 3] *= -2
    before, after = net(x)[0], net(other)[0]
    rest = [0, 1, 2, 4]
    torch.testing.assert_close(after[rest], before[rest], rtol=0, atol=0)
    assert not torch.equal(after[3], before[3])


def test_training_chooses_the_delays_that_forecasting_does():
    net, x = network()
    torch.testing.assert_close(net.train()(x), net.eval()(x), rtol=0, atol=0)


def test_delays_are_each_windows_own():
    net, x = attention()
    weights = net.weights(x)
    assert len({tuple(np.flatnonzero(weights[b, 0, -1].detach())) for b in range(4)}) > 1
    assert any(not torch.equal(weights[b, 0] > 0, weights[b, 1] > 0) for b in range(4))


def test_the_trend_is_a_centred_mean_with_the_borders_repeated():
    x = torch.randn(2, 12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    seasonal, trend = Decomposition(5)(x)
    torch.testing.assert_close(seasonal + trend, x)
    padded = np.pad(x[0, :, 0].numpy(), 2, mode="edge")
    np.testing.assert_allclose(trend[0, :, 0], np.convolve(padded, np.full(5, 0.2), mode="valid"))
    level, _ = Decomposition(25)(torch.full((1, 12, 1), 3.0))
    assert level.abs().max() < 1e-6


def test_an_impulse_touches_the_bars_around_it_and_no_others():
    """METHODS.md 5.4: an impulse at 40 touches 28 to 52."""
    x = torch.zeros(1, 96, 1)
    x[0, 40] = 1
    assert np.flatnonzero(Decomposition(25)(x)[1][0, :, 0]).tolist() == list(range(28, 53))


def test_what_layers_take_off_is_added_again():
    net, x = network()
    for layer in net.layers:
        for last in (layer.attention.out, layer.linear2):
            for p in last.parameters():
                nn.init.zeros_(p)
    net.norm = nn.Identity()
    torch.testing.assert_close(net(x)[0], net.embedded(x)[:, -1])


def test_a_layer_keeps_all_of_what_it_adds():
    with seeded(0):
        layer, x = AutoformerLayer(8, 2, 16, 20, 5, 1, 0.0).double(), torch.randn(3, 20, 8).double()
    seasonal, trend = layer(x)
    middle, first = layer.decompose(x + layer.attention(x))
    inner = layer.linear2(nn.functional.gelu(layer.linear1(middle)))
    last, second = layer.decompose(middle + inner)
    torch.testing.assert_close(seasonal, last)
    torch.testing.assert_close(trend, first + second)


def test_the_seasonal_part_has_no_level():
    with seeded(0):
        norm, x = SeasonalNorm(8), 5 + torch.randn(2, 30, 8)
    torch.testing.assert_close(norm(x).mean(dim=1), torch.zeros(2, 8), atol=1e-6, rtol=0)
    torch.testing.assert_close(norm(x)[:, 1] - norm(x)[:, 0], norm.norm(x)[:, 1] - norm.norm(x)[:, 0])


def test_a_forecast_sees_its_lookback_and_not_one_bar_more():
    assert bars_that_matter(Autoformer(lookback=10, width=8, heads=2, kernel=5, epochs=1)) == list(range(10))


def test_dropout_is_off_when_predicting():
    net, x = network(dropout=0.5)
    assert not torch.equal(net(x), net(x))
    assert torch.equal(net.eval()(x), net(x))


def test_explain_tells_what_the_newest_bar_takes():
    table = np.random.default_rng(0).standard_normal((400, 2)).astype(np.float32)
    rows = np.arange(9, 400)
    model = Autoformer(lookback=10, width=8, heads=2, kernel=5, epochs=1)
    model.fit(Windows(table, rows, 10), table[rows, 0].astype(float), task=NUMBER)
    windows = Windows(table, np.arange(100, 350), 10)
    told = model.explain(windows)["attention"]
    assert list(told.index) == list(range(9, -1, -1))
    np.testing.assert_allclose(told.sum(), 1, atol=1e-6)
    one = model.explain(windows.take(np.array([0])))["attention"]
    net = model.network_.network
    with torch.no_grad():
        strength, delays = (
            net.layers[0].attention.correlation(net.embedded(torch.from_numpy(windows[:1]).transpose(0, 1)))[0].topk(2)
        )
    for head in range(2):
        back = [(10 - int(delay)) % 10 for delay in delays[head]]
        np.testing.assert_allclose(one[f"head_{head + 1}"][back], strength[head].softmax(dim=0), atol=1e-6)


@pytest.mark.parametrize("preset", ["light", "default", "deep"])
def test_presets_can_be_built(preset):
    model = make_model("autoformer", preset)
    assert model.build(20).layers[0].attention.kept < model.lookback / 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": 0}, "`layers` is 0"),
        ({"width": 30}, "`width` is 30.*`heads` 4"),
        ({"factor": 0}, "`factor` is 0"),
        ({"kernel": 4}, "`kernel` is 4.*odd"),
    ],
)
def test_what_cannot_be_built_is_refused(options, said):
    with pytest.raises(BarwiseError, match=said):
        Autoformer(**options).build(3)


def test_it_is_trained_on_windows_and_cannot_be_told_otherwise():
    assert Autoformer().plan().stretch == 1
    with pytest.raises(BarwiseError, match="`dense` is True"):
        make_model("autoformer", dense=True).plan()
