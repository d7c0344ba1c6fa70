import numpy as np
import pytest

from mlcore.checks.models import Case
from mlcore.models import MODELS, make_model
from mlcore.models.stepping import WindowState
from mlcore.models.torch import TorchModel
from mlcore.tasks import Task
from mlcore.windows import Windows

TASK = Task("regression", ("expected_return",))
TABLE = np.random.default_rng(3).standard_normal((140, 4)).astype(np.float32)
KEPT = {  # parameters that a state must come to terms with
    "lstm": {"layers": 2},
    "gru": {"layers": 2},
    "tcn": {"levels": 1, "weight_norm": True},
}


def fitted(name, lookback, **given):
    model = make_model(name, lookback=lookback, width=8, epochs=1, **given)
    model.feature_names_in_ = tuple("abcd")
    rows = np.arange(lookback - 1, 100)
    return model.fit(Windows(TABLE, rows, lookback), np.sin(rows.astype(float)), task=TASK)


@pytest.mark.parametrize("name", [name for name in MODELS if hasattr(MODELS[name], "stepper")])
def test_bar_by_bar_is_what_whole_windows_say(name):
    case = Case(MODELS[name]().set_params(epochs=1, **KEPT.get(name, {})), TASK)
    model, windows = case.fitted, case.windows()
    stepper = model.stepper()
    said = np.array([stepper.step(row) for row in case.table[windows.rows[0] - model.lookback + 1 :]])
    wanted = model.predict(windows)
    np.testing.assert_allclose(said[model.lookback - 1 :], wanted, atol=2e-4 * wanted.std())


@pytest.mark.parametrize("name", sorted(KEPT))
def test_a_state_forgets_what_is_older_than_the_lookback(name):
    model = fitted(name, 20, **KEPT[name])
    one, other = model.stepper(), model.stepper()
    assert not isinstance(one.state, WindowState)
    for row in TABLE[:30]:
        one.step(5 * row)
    said = [(one.step(row), other.step(row)) for row in TABLE[40:90]]
    np.testing.assert_allclose(*np.array(said[19:]).transpose(1, 0, 2), atol=2e-6)
    assert not np.allclose(*np.array(said[:10]).transpose(1, 0, 2), atol=1e-4)


def test_every_network_has_a_stepper():
    assert all(hasattr(kind, "stepper") for kind in map(MODELS.__getitem__, MODELS) if issubclass(kind, TorchModel))
