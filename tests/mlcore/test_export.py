"""Every network as an ONNX file forecasts what it forecasts here."""

import json

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the extra `onnx` is not installed: ONNX files were NOT tested")

import onnx

from mlcore import checks
from mlcore.checks.models import Case
from mlcore.errors import BarwiseError
from mlcore.export import OPSET, OnnxModel, export_onnx
from mlcore.models import MODELS
from mlcore.models.linear import Linear
from mlcore.models.lstm import LSTM
from mlcore.models.torch import TorchModel
from mlcore.scaling import Scaler
from mlcore.tasks import Task
from mlcore.windows import Windows

TASKS = {task.kind: task for task in checks.TASKS}
NETWORKS = [name for name in MODELS if name != "xgboost" and issubclass(MODELS[name], TorchModel)]
SMALLER = {"float16": 0.05, "int8": 0.3}  # differences, in deviations of the outputs, that are let pass


def fitted(name, kind="classes", **given):
    case = Case(MODELS[name]().set_params(epochs=1, **given), TASKS[kind])
    return case, case.fitted


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_s_file_forecasts_as_the_network(name, tmp_path):
    case, model = fitted(name)
    made = export_onnx(model, tmp_path / "model.onnx", case.windows(), about={"trained_through": "2024-01-01"})
    assert made.difference < 2e-3  # of float32 sums in another order; measured 5e-4 at most
    assert made.n_bytes == made.path.stat().st_size > 10_000
    again = OnnxModel(made.path)
    windows = case.windows()
    for some in (windows, windows.take(np.arange(1)), windows.take(np.arange(3, 140))):  # any number at a time
        scale = model.predict(windows).std()
        np.testing.assert_allclose(again.predict(some), model.predict(some), atol=2e-3 * scale)
    assert (again.lookback, again.task_, again.about["trained_through"]) == (model.lookback, model.task_, "2024-01-01")
    (opset,) = (entry.version for entry in onnx.load(made.path).opset_import if entry.domain in ("", "ai.onnx"))
    assert opset == OPSET == made.opset


@pytest.mark.parametrize("precision", sorted(SMALLER))
@pytest.mark.parametrize("name", ["lstm", "tcn", "transformer"])
def test_smaller_files_are_smaller_and_forecast_nearly_the_same(name, precision, tmp_path):
    case, model = fitted(name, "regression", width=32)
    whole = export_onnx(model, tmp_path / "whole.onnx", case.windows())
    small = export_onnx(model, tmp_path / "small.onnx", case.windows(), precision=precision)
    assert small.n_bytes < 0.95 * whole.n_bytes
    assert 1e-6 < small.difference < SMALLER[precision]  # and it is not the whole one under another name
    assert OnnxModel(small.path).predict(case.windows()).dtype == np.float64


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("quantiles", {}),
        ("classes", {"class_weights": (1.0, 5.0, 2.0)}),
        ("classes", {"loss": "focal"}),  # its probabilities are made outside the graph
    ],
    ids=["quantiles", "weights", "focal"],
)
def test_every_head_is_in_the_file_or_goes_along(kind, given, tmp_path):
    case, model = fitted("gru", kind, width=8, **given)
    made = export_onnx(model, tmp_path / "model.onnx", case.windows())
    assert made.difference < 1e-3
    (output,) = onnx.load(made.path).graph.output
    assert output.name == ("raw" if given.get("loss") == "focal" else "forecast")


def test_several_horizons_and_a_class_never_seen(tmp_path):
    table = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
    windows = Windows(table, np.arange(9, 200), 10)
    y = np.stack([np.where(table[9:, 0] > 0, 2.0, 0.0), np.arange(191) % 3.0], axis=1)
    model = LSTM(lookback=10, width=8, epochs=1).fit(windows, y, task=TASKS["classes"].over((5, 15)))
    made = export_onnx(model, tmp_path / "model.onnx", windows)
    said = OnnxModel(made.path).predict(windows)
    assert made.difference < 1e-4 and said.shape == (191, 6)
    assert said[:, 1].max() < 1e-6


def test_with_a_scaler_the_file_takes_raw_features(tmp_path):
    raw = np.random.default_rng(1).standard_normal((200, 3)) * (1e-4, 50.0, 1.0) + (0.0, 4e4, 7.0)
    raw[:, 2] = 7.0  # a constant column
    scaler = Scaler().fit(raw)
    rows = np.arange(9, 200)
    scaled = Windows(scaler.transform(raw), rows, 10)
    model = LSTM(lookback=10, width=8, epochs=1).fit(scaled, raw[9:, 0], task=Task("regression", ("expected_return",)))
    made = export_onnx(model, tmp_path / "model.onnx", scaled, scaler=scaler)
    again = OnnxModel(made.path)
    assert not again.scaled
    raw[100] *= 1e6  # beyond what the scaler lets pass
    wanted = model.predict(Windows(scaler.transform(raw), rows, 10))
    np.testing.assert_allclose(again.predict(Windows(raw, rows, 10)), wanted, atol=1e-3 * wanted.std())


def test_what_cannot_be_written_or_read_is_refused_and_nothing_is_left(tmp_path):
    case, model = fitted("gru", "regression", width=8)
    path = tmp_path / "model.onnx"
    with pytest.raises(BarwiseError, match="Did you mean 'float16'"):
        export_onnx(model, path, case.windows(), precision="float61")
    with pytest.raises(BarwiseError, match="no fitted network"):
        export_onnx(Linear(), path, case.windows())
    with pytest.raises(BarwiseError, match="two or more"):
        export_onnx(model, path, case.windows().take(np.arange(1)))
    assert list(tmp_path.iterdir()) == []
    for held in (b"", b"no graph", json.dumps({}).encode()):
        path.write_bytes(held)
        with pytest.raises(BarwiseError, match="no ONNX file of ours"):
            OnnxModel(path)
    export_onnx(model, path, case.windows())
    graph = onnx.load(path)
    del graph.metadata_props[:]
    onnx.save_model(graph, str(path))
    with pytest.raises(BarwiseError, match="no ONNX file of ours"):
        OnnxModel(path)


def test_without_the_library_the_way_to_get_it_is_said(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BarwiseError, match=r"pip install barwise\[onnx\]"):
        OnnxModel(tmp_path / "model.onnx")
