import math

import numpy as np
import pytest
import torch
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.models import make_model
from mlcore.models.informer import (
    Distil,
    Informer,
    InformerLayer,
    InformerNetwork,
    ProbSparseAttention,
    TokenEmbedding,
    positions,
    sparsity,
)
from mlcore.tasks import Task
from mlcore.training import seeded
from mlcore.windows import Windows
from tests.mlcore.models.sight import bars_that_matter

NUMBER = Task("regression", ("expected_return",))


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def attention(length=40, factor=2, width=8, heads=2, seed=0):
    with seeded(seed):
        return ProbSparseAttention(width, heads, length, factor).double(), torch.randn(3, length, width).double()


def network(factor=2, dropout=0.0, layers=3, lookback=21):
    with seeded(0):
        return InformerNetwork(3, 8, 2, layers, 16, lookback, factor, dropout=dropout), torch.randn(lookback, 5, 3)


def test_parameter_counts_of_the_blocks():
    assert count(TokenEmbedding(7, 512)) == 11264
    assert count(ProbSparseAttention(512, 8, 96)) == 1050624
    assert count(InformerLayer(512, 8, 512, 96, 5, 0.0)) == 1577984
    assert count(Distil(512)) == 787968


@pytest.mark.parametrize(
    ("d", "ff", "layers", "decoder_layers", "parameters"), [(512, 512, 3, 2, 11675143), (64, 128, 2, 1, 142919)]
)
def test_the_encoder_fills_its_place_in_the_papers_parameter_count(d, ff, layers, decoder_layers, parameters):
    """METHODS.md 5.4. Left out here: a second embedding, the calendar's tables (76 entries, twice), the decoder."""
    ours = count(InformerNetwork(7, d, 4, layers, ff, 96))
    embedding, attended = 7 * 3 * d + d, 4 * (d * d + d)
    decoder = decoder_layers * (2 * attended + 2 * d * ff + ff + d + 3 * 2 * d) + 2 * d + 7 * d + 7
    assert ours + embedding + 2 * 76 * d + decoder == parameters


def test_the_number_of_active_queries_is_the_papers():
    assert [sparsity(length, 5) for length in (96, 720, 12, 1)] == [25, 35, 12, 1]


@pytest.mark.parametrize("length", [1, 5, 12, 20])
def test_with_as_many_active_queries_as_bars_it_is_full_attention(length):
    net, x = attention(length, factor=20)
    q, k, v = (layer(x).unflatten(-1, (2, 4)).transpose(1, 2) for layer in (net.query, net.key, net.value))
    full = (q @ k.transpose(-1, -2) * 4**-0.5).softmax(dim=-1) @ v
    assert torch.equal(net(x), net.out(full.transpose(1, 2).flatten(2)))


def test_sparse_attention_is_the_papers_code_on_the_same_sample():
    """Informer2020/models/attn.py, ProbAttention without a mask, written out."""
    net, x = attention()
    u = sparsity(40, 2)
    assert net.active == u == 8
    q, k, v = (layer(x).unflatten(-1, (2, 4)).transpose(1, 2) for layer in (net.query, net.key, net.value))
    context = v.mean(dim=-2, keepdim=True).repeat(1, 1, 40, 1)
    for b in range(3):
        for h in range(2):
            met = torch.stack([k[b, h, net.sampled_LU[row]] @ q[b, h, row] for row in range(40)])
            top = (met.max(dim=1).values - met.sum(dim=1) / 40).topk(u).indices
            context[b, h, top] = (q[b, h, top] @ k[b, h].T / math.sqrt(4)).softmax(dim=-1) @ v[b, h]
    torch.testing.assert_close(net(x), net.out(context.transpose(1, 2).flatten(2)))


def test_lazy_queries_look_at_all_bars_alike_and_rows_sum_to_one():
    net, x = attention()
    weights = net.weights(x)
    even = (weights == 1 / 40).all(dim=-1)
    assert even.sum(dim=-1).tolist() == [[32, 32]] * 3
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 2, 40).double())


def test_the_sample_is_drawn_once_and_by_the_seed():
    net, x = attention()
    with seeded(1):
        once = net(x)
    with seeded(2):
        assert torch.equal(net(x), once)
    assert torch.equal(attention()[0].sampled_LU, net.sampled_LU)
    assert not torch.equal(attention(seed=3)[0].sampled_LU, net.sampled_LU)
    assert (net.sampled_LU.min(), net.sampled_LU.max()) == (0, 39)


def test_predict_draws_nothing():
    model, windows = fitted()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    once = model.predict(windows)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    np.testing.assert_array_equal(model.predict(windows), once)


@pytest.mark.parametrize("training", [True, False])
def test_a_window_does_not_matter_to_another_in_its_batch(training):
    net, x = network()
    net.train(training)
    other = x.clone()
    other[:, 3] += 5
    before, after = net(x)[0], net(other)[0]
    rest = [0, 1, 2, 4]
    torch.testing.assert_close(after[rest], before[rest], rtol=0, atol=0)
    assert not torch.equal(after[3], before[3])


def test_distilling_halves_the_window_between_layers():
    net, _ = network(layers=3, lookback=21)
    lengths = [len(layer.attention.sampled_LU) for layer in net.stack if isinstance(layer, InformerLayer)]
    assert lengths == [21, 11, 6]
    with seeded(0):
        distil, x = Distil(4), torch.randn(2, 21, 4)
    assert distil(x).shape == (2, 11, 4)
    other = x.clone()
    other[:, -1] += 5
    same = (distil(other) == distil(x)).all(dim=-1)[0]
    assert same.tolist() == [True] * 9 + [False] * 2  # the window's end does not run into its beginning
    whole = Informer(distil=False, layers=3).build(3)
    assert [type(layer) for layer in whole.stack] == [InformerLayer] * 3


def test_bars_are_told_apart_by_their_place():
    told = positions(50, 16)
    assert told.shape == (50, 16)
    torch.testing.assert_close(told[7, :2], torch.tensor([math.sin(7), math.cos(7)]))
    torch.testing.assert_close(told[7, 2:4], torch.tensor([math.sin(7 / 10**0.5), math.cos(7 / 10**0.5)]))
    net, _ = network()
    alike = torch.ones(21, 1, 3)
    assert net.embedded(alike)[0].std(dim=0).max() > 0.1


def test_a_forecast_sees_its_lookback_and_not_one_bar_more():
    sparse = Informer(lookback=10, width=8, heads=2, factor=1, epochs=1)
    assert bars_that_matter(sparse) == list(range(10))


def fitted():
    rng = np.random.default_rng(0)
    table = rng.standard_normal((400, 2)).astype(np.float32)
    rows = np.arange(9, 400)
    model = Informer(lookback=10, width=8, heads=2, factor=1, epochs=2)
    model.fit(Windows(table, rows, 10), table[rows, 0].astype(float), task=NUMBER)
    return model, Windows(table, np.arange(100, 350), 10)


def test_dropout_is_off_when_predicting():
    net, x = network(dropout=0.5)
    assert not torch.equal(net(x), net(x))
    assert torch.equal(net.eval()(x), net(x))


def test_the_store_keeps_the_sample():
    model, windows = fitted()
    again = Informer(**model.get_params()).set_state(model.get_state())
    sample = model.network_.network.stack[0].attention.sampled_LU
    assert torch.equal(again.network_.network.stack[0].attention.sampled_LU, sample)
    other = Informer(**model.get_params() | {"seed": 9}).set_state(model.get_state())  # drew another one at first
    np.testing.assert_array_equal(other.predict(windows), model.predict(windows))


def test_explain_tells_what_the_newest_bar_takes():
    model, windows = fitted()
    told = model.explain(windows)["attention"]
    assert list(told.index) == list(range(9, -1, -1))
    assert list(told) == ["mean", "head_1", "head_2"]
    np.testing.assert_allclose(told.sum(), 1, atol=1e-6)
    first = torch.from_numpy(windows[:1]).transpose(0, 1)
    with torch.no_grad():
        net = model.network_.network
        expected = net.stack[0].attention.weights(net.embedded(first))[0, :, -1]
    one = model.explain(windows.take(np.array([0])))["attention"]
    np.testing.assert_allclose(one[["head_1", "head_2"]].to_numpy().T, expected, atol=1e-6)


def test_it_is_trained_on_windows_and_cannot_be_told_otherwise():
    assert Informer().plan().stretch == 1
    with pytest.raises(BarwiseError, match="`dense` is True"):
        make_model("informer", dense=True).plan()


@pytest.mark.parametrize("preset", ["light", "default", "deep"])
def test_presets_can_be_built_and_are_sparse(preset):
    model = make_model("informer", preset)
    first = model.build(20).stack[0].attention
    assert first.active < model.lookback


@pytest.mark.parametrize(
    ("options", "said"),
    [({"layers": 0}, "`layers` is 0"), ({"width": 30}, "`width` is 30.*`heads` 4"), ({"factor": 0}, "`factor` is 0")],
)
def test_what_cannot_be_built_is_refused(options, said):
    with pytest.raises(BarwiseError, match=said):
        Informer(**options).build(3)
