"""What holds of every torch network: forecasts, training, refusals."""

import inspect
import pickle

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.models.gru import GRU
from mlcore.models.lstm import LSTM
from mlcore.models.tcn import TCN
from mlcore.models.torch import TorchModel, best_epoch, choose_device, predict_raw
from mlcore.tasks import Task
from mlcore.windows import Windows
from tests.mlcore.models.small_networks import (
    BOTH,
    CLASSES,
    EVERY,
    NUMBER,
    QUANTILES,
    L,
    N,
    fitted,
    fitted_state,
    market,
    small,
)


@EVERY
def test_a_row_is_the_same_to_the_bit_whatever_else_is_asked_for(kind):
    model, (table, _) = fitted(small(kind)), market()
    everything = model.predict(Windows(table, np.arange(L - 1, N), L))
    rng = np.random.default_rng(1)
    for trial in range(40):
        n = int(rng.integers(1, 300))
        start = int(rng.integers(L - 1, N - n))
        rows = np.arange(start, start + n) if trial % 2 else rng.integers(L - 1, N, n)
        cut = int(rng.integers(0, rows.min() - L + 2))  # bars before the first window and after the last row are gone
        some = model.predict(Windows(table[cut : rows.max() + 1], rows - cut, L))
        np.testing.assert_array_equal(some, everything[rows - L + 1])


@EVERY
def test_every_pass_has_one_shape(kind):
    """What keeps bits apart from the rest of the batch on machines whose products sum by shape."""
    model, (table, _) = fitted(small(kind)), market()
    shapes = set()
    model.network_.network.register_forward_pre_hook(lambda _, inputs: shapes.add(tuple(inputs[0].shape)))
    for rows in (np.array([50]), np.arange(20, 321), np.arange(L - 1, N, 7)):
        model.predict(Windows(table, rows, L))
    assert len(shapes) == 1


def test_dropout_is_off_in_a_forecast():
    model, windows = fitted(small(TCN, dropout=0.5)), Windows(market()[0], np.arange(20, 90), L)
    before = model.predict(windows)
    model.network_.train()
    np.testing.assert_array_equal(model.predict(windows), before)


@EVERY
def test_stretches_forecast_what_windows_forecast_one_by_one(kind):
    model, (table, _) = fitted(small(kind)), market()
    rows = np.r_[20:120, 300, 400:430]
    windows = Windows(table, rows, L)
    with torch.no_grad():
        one_by_one = torch.cat([model.network_(torch.tensor(w[:, None]), 1)[0] for w in windows[:]])
    np.testing.assert_allclose(predict_raw(model.network_, windows), one_by_one, atol=2e-6)


@BOTH
def test_bars_that_belong_to_no_window_may_be_anything(kind):
    model, (table, move) = small(kind), market()
    y = np.digitize(move, [0.0]).astype(float)
    rows = np.r_[30:200, 230:400]
    task = Task("classes", ("p_down", "p_up"), scores=(-1.0, 1.0))
    dirty = table.copy()
    dirty[:22] = dirty[200:222] = dirty[400:] = np.nan
    clean = model.fit(Windows(table, rows, L), y[rows], task=task).predict(Windows(table, rows, L))
    other = clone(model).fit(Windows(dirty, rows, L), y[rows], task=task).predict(Windows(dirty, rows, L))
    np.testing.assert_array_equal(clean, other)


def test_one_seed_one_result_in_this_process_and_in_another():
    models = [small(LSTM, seed=3), small(TCN, seed=3, dropout=0.1)]
    there = Parallel(n_jobs=2)(delayed(fitted_state)(model) for model in models)
    for model, state_there in zip(models, there, strict=True):
        assert fitted_state(model) == state_there
        assert fitted_state(model.set_params(seed=4)) != state_there


@BOTH
def test_random_state_and_threads_of_the_caller_are_left_alone(kind):
    torch.manual_seed(5)
    expected = torch.rand(3)
    before = torch.get_num_threads()
    torch.manual_seed(5)
    try:
        torch.set_num_threads(2)
        model = fitted(small(kind, threads=1))
        model.predict(Windows(market()[0], np.array([50]), L))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert torch.equal(torch.rand(3), expected)


@BOTH
@pytest.mark.parametrize("task", [CLASSES, NUMBER, QUANTILES], ids=lambda task: task.kind)
def test_it_learns_what_is_there(kind, task):
    model, (table, move) = fitted(small(kind, width=16, epochs=30, patience=30), task), market()
    rows = np.arange(510, N)
    raw = model.predict(Windows(table, rows, L))
    told = raw @ np.array(CLASSES.scores) if task is CLASSES else raw[:, task.n_outputs // 2]
    assert np.corrcoef(told, move[rows])[0, 1] > 0.7


@BOTH
def test_the_windowed_way_learns_too(kind):
    model = fitted(small(kind, dense=False, batch=64, epochs=8, width=16))
    assert model.history_[-1]["loss"] < model.history_[0]["loss"]


@BOTH
def test_pickled_and_cloned(kind):
    model = fitted(small(kind, weight_norm=True) if kind is TCN else small(kind))
    windows = Windows(market()[0], np.arange(L, 90), L)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(windows), model.predict(windows))
    assert not hasattr(clone(model), "network_")
    assert len(pickle.dumps(model)) < 60_000  # the weights, not the table and not the optimiser


@BOTH
def test_the_best_epoch_is_kept(kind):
    model = fitted(small(kind, epochs=40, patience=3, learning_rate=0.05))
    losses = [entry["validation"] for entry in model.history_]
    assert model.best_epoch_ == int(np.argmin(losses)) == len(losses) - 4  # then three epochs in vain
    table, move = market()
    rows = np.arange(410, 500)
    y = np.digitize(move, [-0.3, 0.3])[rows]
    p = model.predict(Windows(table, rows, L))
    # dense and windowed differ for an LSTM only in what lies before the lookback
    assert -np.log(p[np.arange(90), y]).mean() == pytest.approx(min(losses), rel=1e-5 if kind is TCN else 0.02)


def test_without_validation_the_last_epoch_is_kept():
    model = fitted(small(LSTM), validation=False)
    assert model.best_epoch_ == 2
    assert np.isnan(model.history_[-1]["validation"])
    assert best_epoch([{"epoch": i + 1, "validation": loss} for i, loss in enumerate((2.0, 1.0, 3.0))]) == 1


@BOTH
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lookback": 0}, "`lookback` is 0"),
        ({"stretch": 0}, "`stretch` is 0"),
        ({"epochs": 1.5}, "`epochs` is 1.5"),
        ({"learning_rate": 0.0}, "`learning_rate` is 0.0; it must be a finite number above 0"),
        ({"weight_decay": -1.0}, "`weight_decay` is -1.0"),
        ({"device": "gpu"}, "`device` is 'gpu'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(kind, options, said):
    table, move = market()
    model = small(kind, **options)
    lookback = max(model.lookback, 1)
    windows = Windows(table, np.arange(20, 200), lookback)
    with pytest.raises(BarwiseError, match=said):
        model.fit(windows, (move[20:200] > 0).astype(float), task=CLASSES)


@BOTH
def test_rows_it_cannot_learn_from_are_refused(kind):
    table, move = market()
    rows = np.arange(20, 200)
    y = (move[rows] > 0).astype(float)
    holed = table.copy()
    holed[100, 1] = np.nan
    model = fitted(small(kind))
    refused = [
        (lambda: small(kind).fit(Windows(holed, rows, L), y, task=CLASSES), "nan at table row 100, column 1"),
        (lambda: small(kind).fit(Windows(table, rows, L), y * 0, task=CLASSES), "one class only"),
        (lambda: small(kind).fit(Windows(table, rows[:31], L), y[:31], task=CLASSES), "31 rows"),
        (lambda: small(kind).fit(Windows(table, rows, L + 1), y, task=CLASSES), "`lookback` is 9"),
        (lambda: model.predict(Windows(holed, rows, L)), "nan at table row 100"),
        (lambda: model.predict(Windows(table[:, :2], rows, L)), "fitted on 3"),
    ]
    held = (Windows(holed, rows, L), y), (Windows(table, rows, L), y[:-1]), (Windows(table, rows, L), y * np.nan)
    for validation, said in zip(held, ("nan at table row 100", "shape", "finite"), strict=True):
        refused.append(
            (
                lambda v=validation: small(kind).fit(Windows(table, rows, L), y, task=CLASSES, validation=v),
                said,
            )
        )
    for call, said in refused:
        with pytest.raises(BarwiseError, match=said):
            call()


def test_no_rows_to_predict_and_none_to_validate_on():
    model, empty = fitted(small(LSTM)), Windows(market()[0], np.array([], dtype=int), L)
    assert model.predict(empty).shape == (0, 3)
    table, move = market()
    y = (move[20:200] > 0).astype(float)
    again = small(LSTM).fit(Windows(table, np.arange(20, 200), L), y, task=CLASSES, validation=(empty, np.array([])))
    assert again.best_epoch_ == 2


def test_a_cuda_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(BarwiseError, match="no CUDA device"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == "cuda"


class BothWays(nn.Module):
    def __init__(self, n_features):
        super().__init__()
        self.width = 8
        self.lstm = nn.LSTM(n_features, 4, bidirectional=True)

    def forward(self, x_TBF):
        return self.lstm(x_TBF)[0]


class Undecided(TorchModel):
    causal = False

    def __init__(self, lookback=L, dense=True, stretch=64, batch=64, epochs=2, patience=5, learning_rate=0.01,
                 weight_decay=0.01, seed=0, threads=1, device="auto"):  # fmt: skip
        for name, value in {**locals()}.items():
            if name != "self":
                setattr(self, name, value)

    def build(self, n_features):
        return BothWays(n_features)


def test_a_network_that_looks_both_ways_is_trained_on_windows_only():
    with pytest.raises(BarwiseError, match="`dense` is True; Undecided looks both ways"):
        fitted(Undecided())
    model, (table, _) = fitted(Undecided(dense=False)), market()
    before = model.predict(Windows(table, np.array([100]), L))
    table[101:] += 9
    np.testing.assert_array_equal(model.predict(Windows(table, np.array([100]), L)), before)


def test_lstm_and_tcn_take_the_same_training_arguments():
    shared = {"dense", "stretch", "batch", "epochs", "patience", "learning_rate", "weight_decay"}
    shared |= {"seed", "threads", "device"}
    for kind in (LSTM, TCN):
        parameters = inspect.signature(kind).parameters
        assert shared <= set(parameters)
        assert {parameters[name].kind for name in shared} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize(
    ("task", "options"),
    [
        (CLASSES, {"loss": "focal"}),
        (CLASSES, {"loss": "focal", "loss_params": {"gamma": 1.0}, "class_weights": "balanced"}),
        (CLASSES, {"class_weights": (1.0, 2.0, 4.0)}),
        (NUMBER, {"loss": "huber"}),
        (NUMBER, {"loss": "weighted_squared", "loss_params": {"threshold": 0.01}}),
    ],
)
def test_every_loss_learns_something_else_than_the_plain_one_and_keeps_its_signal(task, options):
    table, move = market()
    held = Windows(table, np.arange(500, N), L)
    told = []
    for given in ({}, options):
        raw = fitted(small(GRU, epochs=12, **given), task).predict(held)
        view = raw @ np.asarray(CLASSES.scores) if task is CLASSES else raw[:, 0]
        told.append(view)
        assert np.corrcoef(view, move[500:])[0, 1] > 0.5
        if task is CLASSES:  # weights or not: probabilities are about as frequent as what comes
            codes = np.digitize(move[500:], [-0.3, 0.3])
            np.testing.assert_allclose(raw.mean(axis=0), np.bincount(codes) / len(codes), atol=0.1)
    assert not np.array_equal(*told)


def test_a_loss_that_does_not_fit_the_label_is_refused_before_the_rows_are_looked_at():
    with pytest.raises(BarwiseError, match="`loss` is 'huber', which is not for a label of kind 'classes'"):
        fitted(small(LSTM, loss="huber"))
    with pytest.raises(BarwiseError, match="`class_weights` is 'balanced', and a label of kind 'regression'"):
        fitted(small(LSTM, class_weights="balanced"), NUMBER)


@EVERY
def test_every_network_foretells_several_horizons_each_by_its_own_answer(kind):
    table, move = market()
    other = 0.02 * table[:, 0] + 0.003 * np.random.default_rng(1).standard_normal(N)
    y = np.column_stack([0.01 * move, other])
    options = {} if kind.causal else {"dense": False}
    model = small(kind, epochs=12, width=16, **options)
    rows, held = np.arange(L - 1, 400), np.arange(410, 500)
    model.fit(
        Windows(table, rows, L), y[rows], task=NUMBER.over((5, 15)), validation=(Windows(table, held, L), y[held])
    )
    raw = model.predict(Windows(table, np.arange(500, N), L))
    found = np.corrcoef(np.column_stack([raw, y[500:]]).T)
    assert found[0, 2] > 0.3
    assert found[1, 3] > 0.7
    assert found[0, 3] < 0.3  # swapped, it would be near 1
    assert np.std(raw[:, 1]) / np.std(other) == pytest.approx(1.0, abs=0.35)  # in units of its own


def test_validation_of_another_shape_is_refused():
    table, move = market()
    windows, y = Windows(table, np.arange(L - 1, 300), L), np.column_stack([move, move])[L - 1 : 300]
    with pytest.raises(BarwiseError, match=r"`validation` has labels of shape \(292,\); they must be \(292, 2\)"):
        small(LSTM).fit(windows, y, task=NUMBER.over((5, 15)), validation=(windows, y[:, 0]))


def test_what_the_loop_is_told_is_what_was_asked_for():
    asked = {"schedule": "plateau", "clip": 0.3, "precision": "double", "batch": 3, "epochs": 4, "patience": 2}
    plan = small(TCN, **asked).plan()
    assert {name: getattr(plan, name) for name in asked} == asked
    for name, value in (("schedule", "plato"), ("clip", 0.0), ("precision", "half"), ("warm_rate", -1.0)):
        with pytest.raises(BarwiseError, match=f"`{name}` is"):
            small(TCN, **{name: value}).plan()


@pytest.mark.parametrize(
    ("name", "value"), [("width", 0), ("layers", -1), ("dropout", 1.0), ("dropout", 2), ("dropout", -0.1)]
)
def test_sizes_and_shares_out_of_range_are_refused(name, value):
    with pytest.raises(BarwiseError, match=f"`{name}` is {value}"):
        LSTM(**{name: value}).plan()
