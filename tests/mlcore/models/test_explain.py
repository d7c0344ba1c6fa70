import numpy as np
import pytest
import torch

from mlcore.errors import BarwiseError
from mlcore.models.explain import WINDOWS, by_bars_back, mean_over_windows
from mlcore.models.lstm import LSTM
from mlcore.tasks import Task
from mlcore.windows import Windows


@pytest.fixture(scope="module")
def model():
    table = np.random.default_rng(0).standard_normal((200, 2)).astype(np.float32)
    rows = np.arange(3, 200)
    model = LSTM(lookback=4, width=4, epochs=1)
    return model.fit(Windows(table, rows, 4), table[rows, 0].astype(float), task=Task("regression", ("r",)))


def test_it_is_the_mean_over_all_windows_pass_by_pass(model):
    table = np.random.default_rng(1).standard_normal((500, 2)).astype(np.float32)
    windows = Windows(table, np.arange(3, 3 + 2 * WINDOWS + 7), 4)
    sizes = []

    def looks(network, x_TBF):
        assert network is model.network_.network
        assert not torch.is_grad_enabled()
        sizes.append(x_TBF.shape[1])
        return {"bars": x_TBF.transpose(0, 1)[..., 0], "states": network(x_TBF)[-1]}

    told = mean_over_windows(model, windows, looks)
    assert sizes == [WINDOWS, WINDOWS, 7]
    np.testing.assert_allclose(told["bars"], windows[:][..., 0].mean(axis=0), atol=1e-6)
    states = model.network_.network(torch.from_numpy(windows[:]).transpose(0, 1))[-1]
    np.testing.assert_allclose(told["states"], states.detach().mean(dim=0), atol=1e-6)


def test_what_predict_refuses_is_refused(model):
    table = np.zeros((50, 2), dtype=np.float32)
    table[20] = np.nan
    for windows, said in (
        (Windows(table, np.array([10]), 5), "`lookback` is 4"),
        (Windows(table[:, :1], np.array([10]), 4), "1 features"),
        (Windows(table, np.array([21]), 4), "nan at table row 20"),
        (Windows(table, np.array([], dtype=int), 4), "`windows` is empty"),
    ):
        with pytest.raises(BarwiseError, match=said):
            mean_over_windows(model, windows, lambda network, x_TBF: {})


def test_the_newest_bar_is_the_last_row_and_steps_ahead_count_below_it():
    shares = np.array([[0.5, 0.2, 0.3], [0.1, 0.8, 0.1]])
    told = by_bars_back(shares)
    assert list(told.index) == [2, 1, 0]
    assert told.index.name == "bars back"
    np.testing.assert_allclose(told["mean"], [0.3, 0.5, 0.2])
    np.testing.assert_array_equal(told[["head_1", "head_2"]].to_numpy(), shares.T)
    assert list(by_bars_back(shares, ahead=(15,)).index) == [1, 0, -15]
