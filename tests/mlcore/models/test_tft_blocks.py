"""Counts are those of the paper's own code (METHODS: GRN 1120, with context 1376, attention 640, selection 8009)."""

import pytest
import torch
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.models.tft_blocks import (
    GRN,
    GateAddNorm,
    InterpretableAttention,
    Linears,
    VariableGRNs,
    VariableSelection,
)
from mlcore.training import seeded


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("block", "parameters"),
    [
        (GateAddNorm(16, 16), 576),
        (GRN(16, 16), 1120),
        (GRN(16, 16, context=True), 1376),
        (GRN(80, 16, 5), 2153),
        (GRN(80, 16, 5, context=True), 2409),
        (InterpretableAttention(16, 4), 640),
        (VariableSelection(5, 16), 8009),
        (VariableSelection(5, 16, context=False), 8009 - 256),
    ],
)
def test_parameter_counts(block, parameters):
    assert count(block) == parameters


def test_a_gated_residual_network_is_the_papers_formula():
    with seeded(0):
        grn, x, c = GRN(6, 4, 3, context=True).double(), torch.randn(5, 6).double(), torch.randn(5, 4).double()
    hidden = nn.functional.elu(grn.linear1(x) + c @ grn.context.weight.T)
    hidden = hidden @ grn.linear2.weight.T + grn.linear2.bias
    value, gate = (hidden @ grn.gate.linear.weight.T + grn.gate.linear.bias).chunk(2, dim=-1)
    summed = x @ grn.skip.weight.T + grn.skip.bias + value * torch.sigmoid(gate)
    normed = (summed - summed.mean(1, keepdim=True)) / (summed.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(grn(x, c), normed)
    assert isinstance(GRN(4, 4).skip, nn.Identity)


def test_layers_per_variable_in_one_product_are_layers_one_by_one():
    with seeded(0):
        many, x = VariableGRNs(3, 4).double(), torch.randn(3, 7, 4).double()
        nn.init.normal_(many.scale_V1D)
        nn.init.normal_(many.shift_V1D)
    for v in range(3):
        one = GRN(4, 4).double()
        for layer, of in ((one.linear1, many.linear1), (one.linear2, many.linear2), (one.gate.linear, many.gate)):
            layer.weight.data, layer.bias.data = of.weight_VIO[v].T, of.bias_V1O[v, 0]
        one.gate.norm.weight.data, one.gate.norm.bias.data = many.scale_V1D[v, 0], many.shift_V1D[v, 0]
        torch.testing.assert_close(many(x)[v], one(x[v]))


def test_a_layer_per_variable_begins_like_torchs():
    with seeded(0):
        many = Linears(50, 16, 16)
    for values in (many.weight_VIO, many.bias_V1O):
        assert values.abs().max() <= 0.25
        assert values.std().item() == pytest.approx(nn.Linear(16, 160).weight.std().item(), rel=0.1)


def test_selection_is_a_mean_by_weights_that_sum_to_one():
    with seeded(0):
        select = VariableSelection(5, 8).double().eval()
        x, c = 9 * torch.randn(5, 40, 8).double(), torch.randn(40, 8).double()
    selected, weights = select(x, c)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(40).double())
    assert weights.std(dim=0).min() > 0.001  # they differ from row to row
    torch.testing.assert_close(selected, (select.variables(x) * weights.T[..., None]).sum(dim=0))
    assert not torch.equal(select(x, c + 1)[1], weights)


def test_selection_begins_nearly_even():
    with seeded(0):
        _, weights = VariableSelection(5, 8)(torch.randn(5, 400, 8), torch.randn(400, 8))
    assert (weights - 0.2).abs().max() < 0.1


def test_heads_share_their_values_and_are_averaged():
    with seeded(0):
        attention = InterpretableAttention(8, 2).double()
        x = torch.randn(3, 6, 8).double()
    unseen = torch.ones(6, 6).triu(1).bool()
    out, weights = attention(x, x, unseen)
    assert weights.shape == (3, 2, 6, 6)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 2, 6).double())
    assert weights.triu(1).abs().max() == 0
    assert (weights.tril() > 0).sum() == 3 * 2 * 21
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        product = attention.query(x)[..., part] @ attention.key(x)[..., part].transpose(1, 2) / 2  # root of 4
        torch.testing.assert_close(weights[:, head], product.masked_fill(unseen, -torch.inf).softmax(-1))
    torch.testing.assert_close(out, attention.out(weights.mean(dim=1) @ attention.value(x)))


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(BarwiseError, match="`width` is 10.*`heads` 4"):
        InterpretableAttention(10, 4)
