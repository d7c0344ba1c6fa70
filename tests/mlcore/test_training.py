import numpy as np
import pytest
import torch
from torch import nn

from mlcore.errors import BarwiseError
from mlcore.heads import RegressionHead, make_head
from mlcore.models.lstm import LSTMNetwork
from mlcore.models.tcn import TCNNetwork
from mlcore.schedules import cosine_restarts, one_cycle
from mlcore.tasks import Task
from mlcore.training import Forecaster, Plan, Rows, Trainer, history_bars, row_losses, seeded, threads, train
from mlcore.windows import Windows

L = 9
NUMBER = Task("regression", ("expected_return",))


def scene(n=400, seed=0):
    """Table, rows with holes and a gap, labels."""
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((n, 3)).astype(np.float32)
    keep = np.ones(n, dtype=bool)
    keep[: L - 1] = keep[150:170] = False  # warm-up, and a gap's shadow
    keep[rng.integers(L, n, 40)] = False  # labels that a gap cut off
    rows = np.flatnonzero(keep)
    return table, rows, table[rows, 0] + rng.standard_normal(len(rows))


def model_of(head, kind="tcn", seed=0):
    with seeded(seed):
        network = TCNNetwork(3, [4, 4], [1, 1]) if kind == "tcn" else LSTMNetwork(3, 4)
        return Forecaster(network, head)


def gradients_of_an_epoch(size, offset, batch):
    """Gradient of the mean loss, summed over all batches of one pass."""
    table, rows, y = scene()
    head = make_head(NUMBER, y)
    model = model_of(head).double()
    history = history_bars(model.network, L)
    held = Rows(Windows(table, rows, L), y, head, history, size, "cpu")
    held.table, held.target = held.table.double(), held.target.double()
    blocks = held.stretches.blocks(offset)
    for at in range(0, len(blocks), batch):
        x_TBF, target, weight = held.batch(blocks[at : at + batch])
        ((head.loss(model(x_TBF, size).flatten(0, 1), target) * weight).sum() / held.n).backward()
    return torch.cat([p.grad.reshape(-1) for p in model.parameters()])


@pytest.mark.parametrize(("size", "offset"), [(2, 1), (16, 0), (16, 7), (64, 63), (500, 11)])
def test_a_dense_pass_has_the_gradient_of_all_windows(size, offset):
    """Every row is learned from once, with the same weight, through its own bars: holes and gaps included."""
    torch.testing.assert_close(gradients_of_an_epoch(size, offset, 5), gradients_of_an_epoch(1, 0, 50))


def test_an_lstm_has_all_of_its_lookback_behind_every_row():
    assert history_bars(LSTMNetwork(3, 4), L) == L - 1
    assert history_bars(TCNNetwork(3, [4], [1]), L) == 4
    assert history_bars(TCNNetwork(3, [4], [1]), 3) == 2


def test_dense_losses_are_those_of_windows_for_a_tcn():
    table, rows, y = scene()
    head = make_head(NUMBER, y)
    model = model_of(head)
    losses = [
        row_losses(model, head, Rows(Windows(table, rows, L), y, head, history_bars(model.network, L), size, "cpu"))
        for size in (1, 30, 128)
    ]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)


def test_labels_may_come_in_any_order():
    table, rows, y = scene()
    head, order = make_head(NUMBER, y), np.random.default_rng(3).permutation(len(rows))
    curves = [
        train(model_of(head), head, Windows(table, rows[o], L), y[o], validation=None, plan=Plan(epochs=2, stretch=20))
        for o in (slice(None), order)
    ]
    assert [entry["loss"] for entry in curves[0]] == [entry["loss"] for entry in curves[1]]


def test_the_flat_vector_is_the_model():
    head = RegressionHead(0.0, 1.0)
    table, rows, y = scene()
    model = model_of(head)
    trainer = Trainer(model, head, Rows(Windows(table, rows, L), y, head, 8, 16, "cpu"), Plan(stretch=16))
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    torch.testing.assert_close(trainer.flat.detach(), before)
    next(trainer.epoch())
    after = nn.utils.parameters_to_vector(model.parameters()).detach()
    torch.testing.assert_close(trainer.flat.detach(), after)
    assert not torch.equal(before, after)


def test_training_stops_after_patience_and_puts_the_best_weights_back():
    table, rows, y = scene()
    head = make_head(NUMBER, y)
    model, noise = model_of(head), np.random.default_rng(9).standard_normal(60)
    held_out = Windows(table, rows[-60:], L), noise
    seen = []
    curve = train(
        model, head, Windows(table, rows[:-70], L), y[:-70], validation=held_out,
        plan=Plan(epochs=60, patience=4, learning_rate=0.03, stretch=16, batch=4),
        on_check=lambda entry, at: seen.append(nn.utils.parameters_to_vector(at.parameters()).detach().clone()),
    )  # fmt: skip
    losses = [entry["validation"] for entry in curve]
    best = int(np.argmin(losses))
    assert len(curve) == len(seen) == best + 5 < 60
    torch.testing.assert_close(nn.utils.parameters_to_vector(model.parameters()).detach(), seen[best], rtol=0, atol=0)


def test_several_checks_in_an_epoch_change_nothing_but_the_curve():
    table, rows, y = scene()
    head = make_head(NUMBER, y)
    ends, lengths = [], []
    for checks in (1, 3):
        model = model_of(head)
        plan = Plan(epochs=2, stretch=16, batch=4, checks=checks)
        curve = train(model, head, Windows(table, rows, L), y, validation=None, plan=plan)
        ends.append(nn.utils.parameters_to_vector(model.parameters()).detach())
        lengths.append([entry["epoch"] for entry in curve])
    assert torch.equal(*ends)
    assert lengths == [[1, 2], pytest.approx([1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2])]


@pytest.mark.parametrize("clip", [1.0, 0.25])
def test_gradients_are_clipped_to_the_length_asked_for(clip):
    table, rows, y = scene()
    head = RegressionHead(0.0, 1e-4)
    plan = Plan(stretch=16, batch=4, clip=clip)
    trainer = Trainer(model_of(head), head, Rows(Windows(table, rows, L), y, head, 8, 16, "cpu"), plan)
    trainer.learn(trainer.rows.stretches.blocks()[:4], 64.0)
    assert float(trainer.flat.grad.norm()) == pytest.approx(clip, rel=1e-4)


def rates_of(schedule, **options):
    """The learning rate of every step, the steps that were planned, and the validation losses."""
    table, rows, y = scene()
    head = make_head(NUMBER, y)
    rates, planned, learn = [], set(), Trainer.learn

    def spied(self, blocks, per_batch):
        loss = learn(self, blocks, per_batch)
        rates.append(self.optimiser.param_groups[0]["lr"])
        planned.add(self.schedule.steps)
        return loss

    plan = Plan(stretch=16, batch=4, schedule=schedule, learning_rate=0.02, **options)
    held_out = Windows(table, rows[-60:], L), np.random.default_rng(9).standard_normal(60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "learn", spied)
        curve = train(model_of(head), head, Windows(table, rows[:-70], L), y[:-70], validation=held_out, plan=plan)
    return np.array(rates) / 0.02, *planned, [entry["validation"] for entry in curve]


@pytest.mark.parametrize(
    ("schedule", "law"),
    [("one_cycle", one_cycle), ("cosine_restarts", cosine_restarts), ("constant", lambda step, steps: 1.0)],
)
def test_the_optimiser_steps_at_the_rate_of_the_schedule(schedule, law):
    rates, planned, _ = rates_of(schedule, epochs=7, patience=7)
    assert abs(len(rates) - planned) <= 7  # an epoch may cut its stretches so that one batch more or less comes out
    np.testing.assert_allclose(rates, [law(step, planned) for step in range(len(rates))], atol=1e-12)


def test_the_plateau_halves_the_rate_after_two_epochs_without_a_better_validation_loss():
    rates, _, losses = rates_of("plateau", epochs=12, patience=12)
    expected, share, lowest, since = [], 1.0, np.inf, 0
    for loss in losses:
        expected.append(share)
        since, lowest = (0, loss) if loss < lowest else (since + 1, lowest)
        if since == 2:
            share, since = share / 2, 0
    assert [rate for rate, before in zip(rates, [None, *rates], strict=False) if rate != before] == sorted(
        set(expected), reverse=True
    )
    assert len(set(expected)) > 1


def test_a_plateau_needs_validation_rows():
    table, rows, y = scene()
    head = make_head(NUMBER, y)
    with pytest.raises(BarwiseError, match="'plateau', which goes by the validation loss"):
        train(model_of(head), head, Windows(table, rows, L), y, validation=None, plan=Plan(schedule="plateau"))


def test_threads_and_random_state_are_given_back():
    before, state = torch.get_num_threads(), torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), threads(before + 1), seeded(3):
        assert torch.get_num_threads() == before + 1
        torch.rand(3)
        raise ZeroDivisionError
    assert torch.get_num_threads() == before
    assert torch.equal(torch.get_rng_state(), state)
    with threads(None):
        assert torch.get_num_threads() == before
