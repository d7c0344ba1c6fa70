"""Train Darts' LSTM, TCN or Transformer and print a JSON line for every check: seconds of CPU time, validation loss.

Run by the Python of another virtualenv (`make_darts_env.sh`), which has Darts and nothing of Barwise:

    python darts_side.py TASK.npz LSTM '[[32, 0.001, 3], [256, 0.004, 3]]' '[0, 1, 2]'

Each setting is batch, learning rate, epochs; each is trained once a seed. The file holds `table` (N, F) and `target`
(N,), float32: what is known at the close of bar t, and a trailing quantity; `trained`, first and last row to learn
from; `held_out` rows; `lookback`; `ahead`: row t is to foretell ``target[t + ahead]``; `checks` an epoch.

Time is of the optimiser's steps and what Lightning does around them: loggers, progress bar, checkpoints and Darts' own
validation are off, and neither the making of series and trainer nor our judging counts.
"""

from __future__ import annotations

import json
import logging
import platform
import sys
import time
import warnings

import darts
import numpy as np
import pytorch_lightning
import torch
from darts import TimeSeries
from darts.models import BlockRNNModel, TCNModel, TransformerModel
from darts.utils.data.torch_datasets.utils import ModuleStage, PLModuleInput

WIDTH = 32
KINDS = {
    "LSTM": (BlockRNNModel, {"model": "LSTM", "hidden_dim": WIDTH, "n_rnn_layers": 1}),
    "TCN": (TCNModel, {"num_filters": WIDTH, "kernel_size": 3}),  # layers: Darts covers the lookback
    "Transformer": (
        TransformerModel,
        # A decoder is not to be had without a layer; there is one token for it to decode.
        {"d_model": WIDTH, "nhead": 4, "num_encoder_layers": 2, "num_decoder_layers": 1, "dim_feedforward": 4 * WIDTH},
    ),
}


class Judge(pytorch_lightning.Callback):
    """Take the validation loss several times an epoch, outside the counted time."""

    def __init__(self, task: dict, rows_per_step: float, every: int, tell) -> None:
        self.every, self.tell, self.rows_per_step = every, tell, rows_per_step
        self.steps, self.seconds = 0, 0.0
        windows = task["held_out"][:, None] + np.arange(1 - int(task["lookback"]), 1)
        self.target = torch.from_numpy(task["target"][windows])[..., None]
        self.covariates = torch.from_numpy(task["table"][windows])
        self.truth = torch.from_numpy(task["target"][task["held_out"] + int(task["ahead"])])

    def on_train_start(self, trainer, pl_module) -> None:
        self.started = time.process_time()

    def on_train_batch_end(self, trainer, pl_module, *rest) -> None:
        self.steps += 1
        if self.steps % self.every:
            return
        self.seconds += time.process_time() - self.started
        self.tell(
            seconds=self.seconds,
            validation=self.loss(pl_module),
            rows_per_second=self.steps * self.rows_per_step / self.seconds,
        )
        self.started = time.process_time()

    def loss(self, network) -> float:
        network.eval()
        said = []
        with torch.no_grad():
            for target, covariates in zip(self.target.split(256), self.covariates.split(256), strict=True):
                shown = PLModuleInput(past_target=target, past_covariates=covariates, stage=ModuleStage.PREDICT)
                said.append(network(shown).prediction[:, -1, 0, 0])
        network.train()
        return float((torch.cat(said) - self.truth).square().mean())


def train(task: dict, kind: str, batch: int, rate: float, epochs: int, seed: int) -> None:
    first, last = (int(row) for row in task["trained"])
    lookback, ahead = int(task["lookback"]), int(task["ahead"])
    begin, n_rows = first - lookback + 1, last - first + 1
    steps = -(-n_rows // batch)

    def tell(**facts) -> None:
        print(json.dumps({"batch": batch, "learning_rate": rate, "seed": seed, **facts}), flush=True)

    judge = Judge(task, n_rows / steps, max(1, steps // int(task["checks"])), tell)
    model_class, sizes = KINDS[kind]
    model = model_class(
        input_chunk_length=lookback, output_chunk_length=1, output_chunk_shift=ahead - 1,
        batch_size=batch, n_epochs=epochs, optimizer_kwargs={"lr": rate}, random_state=seed, dropout=0.0, **sizes,
        pl_trainer_kwargs={
            "accelerator": "cpu", "callbacks": [judge], "logger": False, "enable_progress_bar": False,
            "enable_model_summary": False, "enable_checkpointing": False,
        },
    )  # fmt: skip
    series = TimeSeries.from_values(task["target"][begin : last + ahead + 1])
    covariates = TimeSeries.from_values(task["table"][begin : last + ahead + 1])
    model.fit(series, past_covariates=covariates, verbose=False)
    n_parameters = sum(p.numel() for p in model.model.parameters())
    tell(parameters=n_parameters, steps=judge.steps, expected_steps=steps * epochs)


def main(path: str, kind: str, settings: str, seeds: str) -> None:
    warnings.filterwarnings("ignore")
    for name in ("pytorch_lightning", "lightning.pytorch", "darts"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    versions = {package.__name__: str(package.__version__) for package in (darts, torch, pytorch_lightning, np)}
    print(json.dumps({"versions": {"python": platform.python_version(), **versions}}), flush=True)
    with np.load(path) as stored:
        task = dict(stored)
    for batch, rate, epochs in json.loads(settings):
        for seed in json.loads(seeds):
            train(task, kind, int(batch), float(rate), int(epochs), int(seed))


if __name__ == "__main__":
    main(*sys.argv[1:])
