"""Mixed precision is for CUDA; what can be tested of it on a CPU is tested there, the rest is skipped by name."""

import numpy as np
import pytest
import torch

from mlcore.errors import BarwiseError, BarwiseWarning
from mlcore.heads import RegressionHead
from mlcore.models.tcn import TCN
from mlcore.models.torch import choose_device
from mlcore.models.transformer import Transformer
from mlcore.precision import Precision, choose_precision
from mlcore.tasks import Task
from mlcore.training import Forecaster
from mlcore.windows import Windows

NUMBER = Task("regression", ("expected_return",))


def scene():
    rng = np.random.default_rng(0)
    table = rng.standard_normal((500, 3)).astype(np.float32)
    rows = np.arange(20, 500)
    return Windows(table, rows, 9), table[rows, 0] + 0.3 * rng.standard_normal(len(rows))


def test_mixed_is_refused_where_the_cpu_was_asked_for():
    windows, y = scene()
    with pytest.raises(BarwiseError, match="`precision` is 'mixed' and `device` 'cpu'"):
        TCN(lookback=9, width=8, precision="mixed", device="cpu").fit(windows, y, task=NUMBER)
    with pytest.raises(BarwiseError, match="it must be 'full', 'mixed' or 'double'"):
        TCN(lookback=9, width=8, precision="half").fit(windows, y, task=NUMBER)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_mixed_on_a_machine_without_cuda_is_told_and_trains_in_full():
    windows, y = scene()
    full = TCN(lookback=9, width=8).fit(windows, y, task=NUMBER)
    with pytest.warns(BarwiseWarning, match="trained in full precision on the CPU"):
        mixed = TCN(lookback=9, width=8, precision="mixed").fit(windows, y, task=NUMBER)
    np.testing.assert_array_equal(full.predict(windows), mixed.predict(windows))


def test_the_choice_on_cuda_is_the_users():
    assert choose_precision("mixed", "cuda", "auto") == choose_precision("mixed", "cuda", "cuda") == "mixed"
    assert choose_precision("full", "cuda", "auto") == choose_precision("full", "cpu", "cpu") == "full"


@pytest.mark.parametrize("kind", [TCN, Transformer])
@pytest.mark.parametrize("name", ["full", "mixed"])
def test_a_step_in_either_precision_goes_the_way_of_the_gradient(kind, name):
    """Autocast in float16 works on the CPU, too, slowly: products in half, raw outputs and weights in float32."""
    torch.manual_seed(0)
    head = RegressionHead(0.0, 1.0)
    model = Forecaster(kind(lookback=9, width=8).build(3), head)
    x_TBF, target = torch.randn(30, 4, 3), torch.randn(40)
    flat = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    losses = []
    precision = Precision(name, "cpu")
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        optimiser.zero_grad()
        raw = precision.raw(model, x_TBF, 10)
        assert raw.dtype == torch.float32
        loss = head.loss(raw.flatten(0, 1), target).mean()
        precision.step(loss, optimiser, list(model.parameters()), 1e9)
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    moved = torch.nn.utils.parameters_to_vector(model.parameters()).detach() - flat
    assert moved.dtype == torch.float32 and moved.abs().max() > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: mixed training on a GPU did NOT run")
def test_mixed_on_cuda_forecasts_nearly_what_full_does():
    windows, y = scene()
    raw = [TCN(lookback=9, width=8, precision=name).fit(windows, y, task=NUMBER).predict(windows) for name in
           ("full", "mixed")]  # fmt: skip
    assert choose_device("auto") == "cuda"
    np.testing.assert_allclose(raw[0], raw[1], atol=0.1)
