import pytest
import torch
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.models.stepped import Stepped, stepped


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("layers", [1, 3])
def test_layers_written_out_give_what_torch_s_own_give(kind, layers):
    torch.manual_seed(0)
    whole, x_TBF = kind(5, 4, num_layers=layers).double(), torch.randn(17, 3, 5, dtype=torch.float64)
    ours = Stepped(whole)
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in whole.named_parameters()]
    torch.testing.assert_close(ours(x_TBF)[0], whole(x_TBF)[0], rtol=0, atol=1e-14)
    wanted = torch.autograd.grad(whole(x_TBF)[0].square().sum(), list(whole.parameters()))
    found = torch.autograd.grad(ours(x_TBF)[0].square().sum(), list(ours.parameters()))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_dropout_between_layers_is_for_training_only():
    torch.manual_seed(0)
    ours, x_TBF = Stepped(nn.LSTM(5, 4, num_layers=2, dropout=0.5)), torch.randn(9, 3, 5)
    assert not torch.equal(ours(x_TBF)[0], ours(x_TBF)[0])
    ours.eval()
    assert torch.equal(ours(x_TBF)[0], ours(x_TBF)[0])


def test_every_recurrent_layer_inside_is_replaced():
    module = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.LSTM(2, 3), nn.GRU(3, 3)))
    names = [name for name, _ in module.named_parameters()]
    assert stepped(module) is module
    assert not [part for part in module.modules() if isinstance(part, nn.LSTM | nn.GRU)]
    assert [name for name, _ in module.named_parameters()] == names


@pytest.mark.parametrize("options", [{"bidirectional": True}, {"proj_size": 2}, {"batch_first": True}, {"bias": False}])
def test_layers_of_another_shape_are_refused(options):
    with pytest.raises(BarwiseError, match="cannot be batched"):
        Stepped(nn.LSTM(5, 4, **options))
