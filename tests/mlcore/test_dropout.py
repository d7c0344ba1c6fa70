import numpy as np
import pytest
import torch
from torch import nn

from mlcore.checks.models import TASKS, Case
from mlcore.dropout import thinned
from mlcore.models.bilstm import BiLSTM
from mlcore.models.gru import GRU
from mlcore.models.lstm import LSTM
from mlcore.models.tcn import TCN
from mlcore.models.tcn_attention import TCNAttention

CLASSES, NUMBER, _ = TASKS
NETWORKS = [
    TCN(lookback=9, width=8, epochs=1, dropout=0.3),
    TCNAttention(lookback=9, width=8, epochs=1, dropout=0.3),
    LSTM(lookback=9, width=8, layers=2, epochs=1, dropout=0.3),
    GRU(lookback=9, width=8, layers=3, epochs=1, dropout=0.3),
    BiLSTM(lookback=9, width=8, epochs=1),
]


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda model: type(model).__name__)
def case(request):
    return Case(request.param, CLASSES)


def test_passes_differ_from_each_other_and_are_the_same_again(case):
    windows = case.windows()
    passes = case.fitted.predict_passes(windows, 4)
    assert passes.shape == (4, len(windows), 3)
    assert len(np.unique(passes[:, 0, 0])) == 4
    np.testing.assert_allclose(passes.sum(axis=2), 1.0)
    torch.manual_seed(99)
    np.testing.assert_array_equal(case.fitted.predict_passes(windows, 4), passes)
    np.testing.assert_array_equal(case.fitted.predict_passes(windows, 2), passes[:2])
    np.testing.assert_array_equal(case.fitted.predict(windows), case.forecast)  # nothing of it stays


def test_a_row_is_the_same_in_another_batch(case):
    windows = case.windows()
    passes = case.fitted.predict_passes(windows, 2)
    for rows in (np.array([0]), np.arange(50, 90), np.array([120, 3, 77])):
        np.testing.assert_allclose(case.fitted.predict_passes(windows.take(rows), 2), passes[:, rows], atol=2e-6)


def test_rows_of_later_bars_are_not_looked_at(case):
    table = case.table.copy()
    table[760:] = 5.0
    before = case.windows().rows < 760
    other = case.fitted.predict_passes(case.windows(table=table), 2)
    np.testing.assert_array_equal(other[:, before], case.fitted.predict_passes(case.windows(), 2)[:, before])


def test_another_seed_drops_other_units():
    model = Case(NETWORKS[0], NUMBER).fitted
    windows = Case(NETWORKS[0], NUMBER).windows()
    first = model.predict_passes(windows, 1)
    model.seed = 8
    assert not np.array_equal(model.predict_passes(windows, 1), first)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("both", [False, True], ids=["causal", "both ways"])
def test_layers_one_by_one_are_the_stack_where_nothing_is_dropped(kind, both, monkeypatch):
    torch.manual_seed(0)
    network = kind(3, 5, num_layers=3, dropout=0.5, bidirectional=both).eval()
    x = torch.randn(7, 4, 3)
    monkeypatch.setattr("mlcore.dropout._masked", lambda x, *_: x)
    whole, state = network(x)
    with thinned(network, 0, 0) as places:
        layered, layered_state = network(x)
    assert places == 1
    assert torch.allclose(whole, layered, atol=1e-6)
    for one, other in zip(torch.as_tensor(state[0]), torch.as_tensor(layered_state[0]), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_share_of_units_is_dropped_and_the_rest_scaled_the_same_for_all_rows():
    layer = nn.Sequential(nn.Dropout(0.25), nn.Dropout(0.0))
    ones = torch.ones(6, 2, 4000)
    with thinned(layer, 3, 1) as places:
        out = layer(ones)
        assert torch.equal(layer(ones), out)
    assert places == 1
    assert torch.equal(out, out[:1, :1].expand_as(out))
    assert set(np.unique(out.numpy()).round(6)) == {0.0, np.float32(4 / 3).round(6)}
    assert abs(float((out == 0).float().mean()) - 0.25) < 0.03
    layer.eval()
    assert torch.equal(layer(ones), ones)
