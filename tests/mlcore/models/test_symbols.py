"""The symbol as an input: one embedding a symbol, their mean for a stranger, and nothing of the code itself."""

import numpy as np
import pytest
import torch

from mlcore.models.lightgbm import LightGBM
from mlcore.models.lstm import LSTM
from mlcore.models.symbols import SymbolEmbedding
from mlcore.store.state import in_and_out
from mlcore.tasks import Task
from mlcore.windows import Windows

TASK = Task("regression", ("expected_return",))
N, L = 600, 4


def market(seed=0):
    """Three symbols one below the other; the label is a sign of the feature that only the symbol tells."""
    rng = np.random.default_rng(seed)
    code = np.repeat([0.0, 1.0, 2.0], N // 3)
    x = rng.standard_normal(N)
    table = np.stack([x, code], axis=1).astype(np.float32)
    rows = np.concatenate([np.arange(start + L - 1, start + N // 3) for start in (0, 200, 400)])
    return Windows(table, rows, L), (np.array([1.0, -1.0, 1.0])[code.astype(int)] * x)[rows]


def fitted(model):
    windows, y = market()
    model.feature_names_in_ = ("x", "symbol")
    return model.fit(windows, y, task=TASK), windows, y


def test_codes_become_learnt_numbers_and_a_stranger_gets_their_mean():
    embedding = SymbolEmbedding(1, 3, 2)
    x = torch.randn(5, 4, 3)
    x[..., 1] = torch.tensor([0.0, 2.0, -1.0, 7.0])
    out = embedding(x)
    assert out.shape == (5, 4, embedding.n_out(3))
    torch.testing.assert_close(out[..., :2], x[..., [0, 2]])
    torch.testing.assert_close(out[0, 0, 2:], embedding.weight[0])
    torch.testing.assert_close(out[3, 1, 2:], embedding.weight[2])
    for stranger in (2, 3):
        torch.testing.assert_close(out[0, stranger, 2:], embedding.weight.mean(dim=0))


@pytest.mark.parametrize(
    "model",
    [LSTM(lookback=L, epochs=40, patience=40, width=16, learning_rate=0.02), LightGBM(lookback=L, num_leaves=12)],
    ids=["lstm", "lightgbm"],
)
def test_what_only_the_symbol_tells_is_found(model):
    model, windows, y = fitted(model)
    assert np.corrcoef(model.predict(windows)[:, 0], y)[0, 1] > 0.9
    mixed = Windows(windows.table.copy(), windows.rows, L)
    mixed.table[:, 1] = 1.0
    assert np.corrcoef(model.predict(mixed)[:, 0], y)[0, 1] < 0.5
    mixed.table[:, 1] = -1.0
    assert np.isfinite(model.predict(mixed)).all()


def test_the_category_is_no_number():
    model, _, _ = fitted(LightGBM(lookback=L, num_leaves=12))
    text = model.boosters_[0].model_to_string()
    assert "num_cat=1" in text
    assert model.explain(market()[0])["importance"].index.tolist().count("symbol") == 1
    assert not any(name.startswith("symbol_") for name in model.explain(market()[0])["importance"].index)


def test_the_embedding_goes_through_the_store():
    model, windows, _ = fitted(LSTM(lookback=L, epochs=1, width=4, symbol_width=2))
    again = LSTM(lookback=L, epochs=1, width=4, symbol_width=2)
    again.feature_names_in_ = ("x", "symbol")
    again.set_state(in_and_out(model.get_state()))
    assert np.array_equal(model.predict(windows), again.predict(windows))


def test_without_the_column_nothing_is_embedded():
    windows, y = market()
    model = LSTM(lookback=L, epochs=1, width=4).fit(windows, y, task=TASK)
    assert model.network_.inputs is None
    assert "symbols" not in model.get_state().values
