"""Many fits in one batch are the fits one by one."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from mlcore.batched import loss_key, train_together
from mlcore.errors import BarwiseError
from mlcore.heads import ClassHead, RegressionHead, make_head
from mlcore.models.bilstm import BiLSTM
from mlcore.models.cnn_lstm import CNNLSTM
from mlcore.models.gru import GRU
from mlcore.models.lstm import LSTM
from mlcore.models.tcn import TCN
from mlcore.models.tcn_attention import TCNAttention
from mlcore.models.transformer import Transformer
from mlcore.tasks import Task
from mlcore.training import seeded
from mlcore.windows import Windows

CLASSES = Task("classes", ("p_down", "p_flat", "p_up"), scores=(-1.0, 0.0, 1.0))
NUMBER = Task("regression", ("expected_return",))
QUANTILES = Task("quantiles", ("q10", "q50", "q90"), quantiles=(0.1, 0.5, 0.9))
L, N = 9, 900
RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((N, 3)).astype(np.float32)
MOVE = np.tanh(np.roll(TABLE[:, 1], 2)) + 0.5 * RNG.standard_normal(N)
ASKED = Windows(TABLE, np.arange(700, N), L)


def rows_of(fold, task=CLASSES, scale=1.0):
    """Training rows and the newest ones, held out: every fold has more of them than the one before, and one a hole."""
    train, held_out = np.arange(L - 1, 250 + 130 * fold), np.arange(280 + 130 * fold, 360 + 130 * fold)
    train = np.setdiff1d(train, np.arange(100, 120)) if fold == 1 else train
    table = (TABLE[: held_out[-1] + 1] * scale).astype(np.float32)
    y = np.digitize(MOVE, [-0.3, 0.3]).astype(float) if task.kind == "classes" else 0.01 * MOVE
    return Windows(table, train, L), y[train], (Windows(table, held_out, L), y[held_out])


def alone(model, sets, task):
    return [
        clone(one).fit(windows, y, task=task, validation=held) for one, (windows, y, held) in model_sets(model, sets)
    ]


def model_sets(model, sets):
    """Every set of rows with two seeds."""
    return [(clone(model).set_params(seed=seed), rows) for rows in sets for seed in (3, 4)]


def together(model, sets, task):
    models, fits, networks = [], [], []
    for one, (windows, y, held) in model_sets(model, sets):
        fits.append(one.begin(windows, y, task=task, validation=held))
        with seeded(one.seed):
            networks.append(one.forecaster(fits[-1])[0])
        models.append(one)
    curves = train_together(fits, networks)
    return [one.end(*rest) for one, *rest in zip(models, fits, networks, curves, strict=True)]


def same(model, task=CLASSES, folds=3, atol=1e-6, sets=None):
    """Compare forecasts, curves and best epochs; return the models trained together."""
    sets = [rows_of(fold, task) for fold in range(folds)] if sets is None else sets
    ones, all_ = alone(model, sets, task), together(model, sets, task)
    for one, other in zip(ones, all_, strict=True):
        assert one.best_epoch_ == other.best_epoch_
        for name in ("epoch", "loss", "validation"):
            told = [[entry[name] for entry in fitted.history_] for fitted in (one, other)]
            np.testing.assert_allclose(told[0], told[1], rtol=1e-5, atol=1e-5)
        unit = 1.0 if task.kind == "classes" else one.predict(ASKED).std()
        np.testing.assert_allclose(other.predict(ASKED) / unit, one.predict(ASKED) / unit, atol=atol)
    return all_


@pytest.mark.parametrize(
    ("kind", "task"), [(TCN, CLASSES), (TCN, NUMBER), (Transformer, CLASSES), (LSTM, QUANTILES), (GRU, CLASSES)]
)
def test_folds_and_seeds_together_forecast_what_they_do_one_by_one(kind, task):
    """Folds of other lengths take other numbers of steps; in double precision nothing is left but the last digits."""
    same(kind(lookback=L, width=8, epochs=2, precision="double"), task)


@pytest.mark.parametrize("kind", [TCNAttention, CNNLSTM])
def test_other_causal_networks_can_be_batched_as_they_are(kind):
    same(kind(lookback=L, width=16, epochs=1, precision="double"), folds=2)


@pytest.mark.parametrize("kind", [TCN, Transformer, LSTM])
def test_in_full_precision_they_agree_to_the_fourth_digit(kind):
    same(kind(lookback=L, width=8, epochs=2), folds=2, atol=1e-4)


@pytest.mark.parametrize("schedule", ["cosine_restarts", "plateau", "constant"])
def test_every_lane_has_its_own_schedule_and_stops_on_its_own(schedule):
    model = TCN(lookback=L, width=8, epochs=9, patience=2, learning_rate=0.03, schedule=schedule, precision="double")
    models = same(model)
    assert len({len(one.history_) for one in models}) > 1  # not all of them stopped at once
    assert len({one.best_epoch_ for one in models}) > 1


def test_stacked_layers_weight_norm_and_other_numbers_of_the_plan():
    same(LSTM(lookback=L, width=6, layers=2, epochs=2, clip=0.05, weight_decay=0.3, precision="double"), folds=2)
    same(TCN(lookback=L, width=6, weight_norm=True, epochs=2, batch=3, stretch=20, precision="double"), folds=2)


def test_windows_instead_of_stretches_can_be_batched_too():
    same(TCN(lookback=L, width=8, epochs=2, dense=False, precision="double"), folds=2)


def test_without_validation_the_last_epoch_is_kept():
    sets = [(windows, y, None) for windows, y, _ in (rows_of(0), rows_of(1))]
    same(TCN(lookback=L, width=8, epochs=3, precision="double"), sets=sets)


def test_a_lane_knows_nothing_of_the_others():
    model = TCN(lookback=L, width=8, epochs=3, precision="double")
    one = together(model, [rows_of(0), rows_of(1)], CLASSES)
    other = together(model, [rows_of(0), rows_of(1, scale=-3.0)], CLASSES)
    for lane in (0, 1):
        np.testing.assert_allclose(one[lane].predict(ASKED), other[lane].predict(ASKED), atol=1e-6)
    for lane in (2, 3):
        assert np.abs(one[lane].predict(ASKED) - other[lane].predict(ASKED)).max() > 1e-3


def test_a_class_that_one_fold_never_saw_keeps_that_fold_s_loss_its_own():
    windows, y, (held, y_held) = rows_of(0)
    sets = [(windows, np.where(y == 1, 2.0, y), (held, np.where(y_held == 1, 2.0, y_held))), rows_of(1)]
    models = same(TCN(lookback=L, width=8, epochs=3, precision="double"), sets=sets)
    assert models[0].predict(ASKED)[:, 1].max() < 1e-6


def test_heads_share_a_loss_only_where_it_is_the_same():
    assert loss_key(ClassHead((0.2, 0.8))) == loss_key(ClassHead((0.5, 0.5))) != loss_key(ClassHead((0.0, 1.0)))
    assert loss_key(RegressionHead(0.0, 1.0)) == loss_key(RegressionHead(3.0, 2.0))
    y = np.random.default_rng(0).standard_normal(300)
    assert (
        loss_key(make_head(QUANTILES, y)) == loss_key(make_head(QUANTILES, 2 * y + 1)) != loss_key(make_head(NUMBER, y))
    )
    assert loss_key(make_head(QUANTILES, y)) != loss_key(make_head(Task("quantiles", ("q20",), quantiles=(0.2,)), y))


def test_dropout_draws_numbers_of_its_own_for_every_lane():
    first, second = together(TCN(lookback=L, width=8, epochs=2, dropout=0.3), [rows_of(0)], CLASSES)
    for one in (first, second):
        assert np.isfinite(one.predict(ASKED)).all()
        assert one.history_[-1]["loss"] < 1.2


def test_what_cannot_be_batched_is_refused():
    with pytest.raises(BarwiseError, match="looks both ways"):
        together(BiLSTM(lookback=L, width=8, epochs=1), [rows_of(0)], CLASSES)
    model = TCN(lookback=L, width=8, schedule="plateau", epochs=1)
    with pytest.raises(BarwiseError, match="'plateau', which goes by the validation loss"):
        together(model, [(*rows_of(0)[:2], None)], CLASSES)
    with pytest.raises(BarwiseError, match="for some of the fits only"):
        together(TCN(lookback=L, width=8, epochs=1), [(*rows_of(0)[:2], None), rows_of(1)], CLASSES)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: batched training on a GPU did NOT run")
@pytest.mark.parametrize("kind", [TCN, Transformer, LSTM])
def test_on_cuda_they_forecast_what_they_do_one_by_one(kind):
    same(kind(lookback=L, width=8, epochs=4, precision="double", device="cuda"), atol=1e-4)
