import dataclasses
import json

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from mlcore.bars import bars_sha256
from mlcore.labels import direction
from mlcore.models.bilstm import BiLSTM
from mlcore.models.dual_stream import DualStream
from mlcore.models.linear import Linear
from mlcore.models.lstm import LSTM
from mlcore.plugins import MODELS
from strategies.comparison import entrants
from strategies.comparison.config import ComparisonConfig
from strategies.comparison.entrants import Protocol, enter, stride_of
from tests.conftest import random_bars

BARS = random_bars(900, seed=4)


def protocol(tmp_path, **more) -> Protocol:
    settings = {"bars": "x", "out": str(tmp_path / "out"), "train": "400", "test": "100", "n_jobs": 1}
    config = ComparisonConfig(**(settings | more))
    return Protocol(config, BARS, direction(BARS, 5, 0.0), bars_sha256(BARS))


def silent(*_: object) -> None: ...


def test_an_entrant_says_what_it_took(tmp_path):
    found = enter(protocol(tmp_path), "lightgbm", tmp_path / "work", silent)
    assert found.failure is None and found.folds > 1
    assert found.forecasts["signal"].notna().any()
    assert found.seconds > 0 and found.size > 1000
    assert 20 < len(found.latency) <= entrants.LATENCY_REPEATS and min(found.latency) > 0
    assert found.parameters["n_estimators"] > 0


def test_a_finished_model_is_kept_and_a_changed_setting_trains_anew(tmp_path, monkeypatch):
    work, trained = tmp_path / "work", []
    whole = entrants._train
    monkeypatch.setattr(entrants, "_train", lambda *a: trained.append(a[1]) or whole(*a))
    first = enter(protocol(tmp_path), "linear", work, silent)
    again = enter(protocol(tmp_path), "linear", work, silent)
    assert trained == ["linear"]
    pd.testing.assert_frame_equal(again.forecasts, first.forecasts, check_freq=False)
    assert again == again.__class__(**(again.__dict__ | {"forecasts": again.forecasts}))
    assert (again.latency, again.notes, again.size) == (first.latency, first.notes, first.size)
    for other in ({"seed": 1}, {"test": "90"}, {"lookback": 2}):
        enter(protocol(tmp_path, **other), "linear", work, silent)
    shuffled = enter(protocol(tmp_path), "linear", work, silent, shuffle_labels=True)
    assert len(trained) == 5 and shuffled.name == "shuffled_label"
    assert not shuffled.forecasts["signal"].equals(first.forecasts["signal"])


def test_other_bars_are_other_work(tmp_path, monkeypatch):
    work, trained = tmp_path / "work", []
    whole = entrants._train
    monkeypatch.setattr(entrants, "_train", lambda *a: trained.append(a[1]) or whole(*a))
    enter(protocol(tmp_path), "linear", work, silent)
    enter(dataclasses.replace(protocol(tmp_path), bars_sha256="of other bars"), "linear", work, silent)
    assert trained == ["linear", "linear"]


def test_half_written_work_is_not_taken(tmp_path):
    work = tmp_path / "work"
    enter(protocol(tmp_path), "linear", work, silent)
    (work / "linear.json").unlink()  # it is written last: without it the forecasts may be half there
    (work / "linear.parquet").write_bytes(b"half")
    assert enter(protocol(tmp_path), "linear", work, silent).forecasts is not None
    assert json.loads((work / "linear.json").read_text())["entrant"]["name"] == "linear"


class Broken(BaseEstimator):
    def __init__(self, lookback: int = 1, seed: int = 0) -> None:
        self.lookback, self.seed = lookback, seed

    def fit(self, windows, y, *, task, validation=None):
        raise ZeroDivisionError("it was bound to happen")


class Unstorable(Linear):
    get_state = property()  # type: ignore[assignment]


def test_a_model_that_fails_says_so_and_raises_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS._entries, "broken", Broken)
    found = enter(protocol(tmp_path), "broken", tmp_path / "work", silent)
    assert found.forecasts is None and found.failure == "ZeroDivisionError: it was bound to happen"
    assert not (tmp_path / "work" / "broken.json").exists()  # the next run tries it again


def test_a_model_that_cannot_be_stored_has_no_size_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS._entries, "unstorable", Unstorable)
    found = enter(protocol(tmp_path), "unstorable", tmp_path / "work", silent)
    assert found.failure is None and found.size is None and found.latency == ()
    assert "cannot be stored" in found.notes[-1]


def test_a_model_that_cannot_be_timed_keeps_its_forecasts(tmp_path, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("no step")

    monkeypatch.setattr(entrants.LiveForecaster, "step", broken)
    found = enter(protocol(tmp_path), "linear", tmp_path / "work", silent)
    assert found.failure is None and found.forecasts is not None and found.latency == ()
    assert "latency is not measured: RuntimeError: no step" in found.notes


def test_a_stride_is_for_networks_that_read_windows():
    assert stride_of(BiLSTM(), 5) == 5
    assert stride_of(LSTM(), 5) == stride_of(Linear(), 5) == 1
    assert stride_of(LSTM(dense=False), 5) == 5


def test_the_stride_reaches_the_training(tmp_path, monkeypatch):
    seen = {}
    whole = entrants.walk_forward
    monkeypatch.setattr(entrants, "walk_forward", lambda *a, **k: seen.update(k) or whole(*a, **k))
    settings = {"stride": 4, "lookback": 8, "set": {"width": 4, "epochs": 1}}
    found = enter(protocol(tmp_path, **settings), "bilstm", tmp_path / "work", silent)
    assert found.failure is None and seen["stride"] == found.stride == 4
    assert np.isfinite(found.forecasts["signal"]).any()


def test_decisions_are_timed_on_bars_that_the_model_was_not_trained_on(tmp_path, monkeypatch):
    stepped = []
    whole = entrants.LiveForecaster.step
    monkeypatch.setattr(entrants.LiveForecaster, "step", lambda *a: stepped.append(a[1]) or whole(*a))
    found = enter(protocol(tmp_path, lookback=8, set={"width": 4, "epochs": 1}), "lstm", tmp_path / "work", silent)
    last = found.forecasts["trained_through"].iloc[-1]
    assert stepped[0] > last and stepped[-1] == BARS.index[-1]
    assert len(found.latency) == len(stepped) - entrants.WARM_UP_REPEATS


def test_a_long_lookback_puts_off_the_start_of_all():
    label = direction(BARS, 5, 0.0)
    short, long, never = entrants.first_rows(BARS, [Linear(), LSTM(lookback=60), LSTM(lookback=2000)], 3)
    memory = entrants.table_for(Linear(), BARS).attrs["memory"]
    assert short >= memory and long == short + 59 and never == len(BARS)
    later = entrants.one_start(label, long)
    assert int(np.isfinite(later.values).argmax()) == long
    np.testing.assert_array_equal(later.values[long:], label.values[long:])
    np.testing.assert_array_equal(later.returns, label.returns)


def test_a_model_whose_clock_is_quicker_than_the_bars_costs_the_others_nothing(tmp_path):
    slow = random_bars(900, seed=4, interval="4h")
    assert entrants.first_rows(slow, [DualStream()], 3) == [len(slow)]
    found = enter(dataclasses.replace(protocol(tmp_path), bars=slow), "dual_stream", tmp_path / "work", silent)
    assert "`clock` is '1h', no whole multiple of the bars' interval 0 days 04:00:00" in found.failure


def test_a_model_that_cannot_speak_by_the_rule_says_so(tmp_path):
    found = enter(protocol(tmp_path, confidence="monte_carlo_dropout"), "linear", tmp_path / "work", silent)
    assert any("`confidence` 'monte_carlo_dropout' is not for this model" in note for note in found.notes)
