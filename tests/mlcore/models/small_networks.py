"""Small networks of every kind, fitted in a second on a market that can be learned."""

import numpy as np
import pytest
from sklearn.base import clone

from mlcore.models.attention_lstm import AttentionLSTM
from mlcore.models.bilstm import BiLSTM
from mlcore.models.cnn_lstm import CNNLSTM
from mlcore.models.gru import GRU
from mlcore.models.lstm import LSTM
from mlcore.models.tcn import TCN
from mlcore.models.tcn_attention import TCNAttention
from mlcore.models.transformer import Transformer
from mlcore.tasks import Task
from mlcore.windows import Windows

CLASSES = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
NUMBER = Task("regression", ("expected_return",))
QUANTILES = Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9))
L, N = 9, 700
BOTH = pytest.mark.parametrize("kind", [LSTM, TCN])
EVERY = pytest.mark.parametrize("kind", [LSTM, TCN, GRU, BiLSTM, AttentionLSTM, CNNLSTM, TCNAttention, Transformer])


def market(seed=0):
    """Seven hundred bars; the label leans on what a feature was two bars ago."""
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((N, 3)).astype(np.float32)
    move = np.tanh(np.roll(table[:, 1], 2)) + 0.3 * rng.standard_normal(N)
    return table, move


def small(kind, **options):
    return kind(**{"lookback": L, "width": 8, "epochs": 3, **options})


def fitted(model, task=CLASSES, stop=500, validation=True):
    table, move = market()
    y = np.digitize(move, [-0.3, 0.3]).astype(float) if task.kind == "classes" else 0.01 * move
    train, held_out = np.arange(L - 1, stop - 100), np.arange(stop - 90, stop)
    held = (Windows(table, held_out, L), y[held_out]) if validation else None
    return model.fit(Windows(table, train, L), y[train], task=task, validation=held)


def state(model):
    return {name: value.numpy().tobytes() for name, value in model.network_.state_dict().items()}


def fitted_state(model):
    return state(fitted(clone(model)))
