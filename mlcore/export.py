"""Fitted networks as ONNX files, whole or smaller, and back again as models that forecast (extra `onnx`)."""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mlcore.errors import BarwiseError, did_you_mean
from mlcore.heads import ClassHead, FocalHead, Head, HorizonsHead, QuantileHead, RegressionHead, head_of, head_values
from mlcore.models.inputs import check_finite, check_windows
from mlcore.scaling import Scaler
from mlcore.store.state import from_plain, task_of, task_values, to_plain
from mlcore.training import Forecaster
from mlcore.windows import Windows

# Shape suffix legend
#   N = windows, L = lookback, T = bars, F = features, R = raw outputs, O = outputs of the task

OPSET = 20
PRECISIONS = ("float32", "float16", "int8")
PREDICT_WINDOWS = 128  # windows of a pass
ABOUT = "barwise"  # key of our own words in the file's metadata


@dataclass(frozen=True)
class ExportedModel:
    """What `export_onnx` wrote: where, how large, and how far its forecasts are from the network's own at most.

    `difference` is in units of the outputs' deviation over the windows that were tried.
    """

    path: Path
    precision: str
    n_bytes: int
    opset: int
    difference: float


class _Graph(nn.Module):
    """``(N, L, F)`` to ``(N, O)``: scaling where it is known, the network, and the head where a graph can hold it."""

    def __init__(self, network: Forecaster, head: Head | None, scaler: Scaler | None) -> None:
        super().__init__()
        self.network, self.head = network, head
        self.clip = None if scaler is None else scaler.clip
        self.mean_F: torch.Tensor
        self.scale_F: torch.Tensor
        if scaler is not None:
            self.register_buffer("mean_F", torch.from_numpy(scaler.mean_))
            self.register_buffer("scale_F", torch.from_numpy(scaler.scale_))

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        x_NLF = windows
        if self.clip is not None:
            x_NLF = ((x_NLF - self.mean_F) / self.scale_F).clamp(-self.clip, self.clip).float()
        raw_NR = self.network(x_NLF.transpose(0, 1), 1)[0]
        return raw_NR if self.head is None else _spoken(self.head, raw_NR)


def _spoken(head: Head, raw_NR: torch.Tensor) -> torch.Tensor:
    """What `head.forecast` says, as a graph can say it."""
    if isinstance(head, HorizonsHead):
        return torch.cat([_spoken(one, raw) for one, raw in zip(head.heads, head._split(raw_NR), strict=True)], dim=1)
    if isinstance(head, QuantileHead):
        return head._rising(raw_NR) * head.scale + head.centre
    if isinstance(head, RegressionHead):
        return raw_NR * head.scale + head.centre
    told_NO = torch.softmax(head._logits(raw_NR), dim=-1)  # type: ignore[attr-defined]
    weights = getattr(head, "weights", None)
    if weights is not None:
        told_NO = told_NO / told_NO.new_tensor(weights)
        told_NO = told_NO / told_NO.sum(dim=-1, keepdim=True)
    return told_NO


def _in_graph(head: Head) -> bool:
    heads = head.heads if isinstance(head, HorizonsHead) else (head,)
    return all(
        isinstance(one, ClassHead | RegressionHead | QuantileHead) and not isinstance(one, FocalHead) for one in heads
    )


def export_onnx(
    model: Any,
    path: str | Path,
    windows: Windows,
    *,
    precision: str = "float32",
    scaler: Scaler | None = None,
    about: Mapping[str, Any] | None = None,
) -> ExportedModel:
    """Write a fitted `TorchModel` to `path` as ONNX (opset 20) and try it on `windows`.

    The graph takes ``windows (N, L, F)``, any number of them, oldest bar first, and gives ``(N, n_outputs)`` named
    ``forecast``: probabilities, returns or quantiles; of a head that a graph cannot hold (focal loss) the raw outputs,
    named ``raw``. With a `scaler` it takes raw features as float64 and scales them itself, else scaled ones as float32.
    A file that exists is replaced, at once or not at all.

    Parameters
    ----------
    windows : scaled windows to trace the network with and to measure `ExportedModel.difference` on; two or more.
    precision : ``"float32"``; ``"float16"`` (weights and sums in half precision, inputs and outputs as they are);
        ``"int8"`` (weights of matrix products, and of recurrent layers, in 8 bits; products in integers). Open a
        float16 file elsewhere with ``ORT_ENABLE_BASIC`` at most, too (see `OnnxModel`).
    about : what else to write into the file's metadata, for instance ``trained_through``; JSON values.

    Raises
    ------
    BarwiseError
        A model that is no fitted network, an unknown precision, ONNX not installed.
    """
    if precision not in PRECISIONS:
        raise BarwiseError(
            f"`precision` is {precision!r}.{did_you_mean(precision, PRECISIONS)} Known: {', '.join(PRECISIONS)}."
        )
    if not isinstance(getattr(model, "network_", None), Forecaster):
        raise BarwiseError(f"`model` {type(model).__name__} is no fitted network: only those become ONNX files.")
    check_windows(windows, lookback=model.lookback, n_features=model.n_features_in_)
    if len(windows) < 2:
        raise BarwiseError(f"`windows` are {len(windows)}; two or more are needed to try the file on.")
    path = Path(path)
    told = _told(model, scaler, precision, about)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = _made(model, windows, scaler, precision, Path(folder), told)
        exported = OnnxModel(made)
        difference = _difference(model, exported, windows, scaler)
        made.replace(path)
    return ExportedModel(path, precision, path.stat().st_size, OPSET, difference)


def _told(model: Any, scaler: Scaler | None, precision: str, about: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "model": type(model).__name__,
        "lookback": int(model.lookback),
        "n_features": int(model.n_features_in_),
        "features": list(getattr(model, "feature_names_in_", ())),
        "task": to_plain(task_values(model.task_), "task"),
        "head": to_plain(head_values(model.head_), "head"),
        "scaled_inside": scaler is not None,
        "precision": precision,
        "about": to_plain(dict(about or {}), "about"),
    }


def _made(
    model: Any, windows: Windows, scaler: Scaler | None, precision: str, folder: Path, told: dict[str, Any]
) -> Path:
    onnx = _library("onnx")
    _library("onnxscript")
    inside = _in_graph(model.head_)
    graph = _Graph(model.network_, model.head_ if inside else None, scaler).eval()
    x = torch.from_numpy(np.ascontiguousarray(windows[:2], dtype=np.float32 if scaler is None else np.float64))
    path = folder / "whole.onnx"
    with _quiet():
        program = torch.onnx.export(
            graph, (x,), dynamo=True, opset_version=OPSET, input_names=["windows"], verbose=False,
            output_names=["forecast" if inside else "raw"], dynamic_shapes={"windows": {0: torch.export.Dim("n")}},
        )  # fmt: skip
        proto = program.model_proto  # type: ignore[union-attr]
        if precision == "float16":
            from onnxruntime.transformers.float16 import convert_float_to_float16

            proto = convert_float_to_float16(proto, keep_io_types=True, disable_shape_infer=True)
        onnx.helper.set_model_props(proto, {ABOUT: json.dumps(told)})
        onnx.save_model(proto, str(path))
        if precision == "int8":
            path = _in_integers(path, folder / "int8.onnx")
    return path


def _in_integers(whole: Path, made: Path) -> Path:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(whole, made, weight_type=QuantType.QInt8, per_channel=False)
    return made


def _difference(model: Any, exported: OnnxModel, windows: Windows, scaler: Scaler | None) -> float:
    if scaler is not None:  # back to raw features, of which the scaled ones were made
        table = windows.table.astype(np.float64) * np.where(np.isfinite(scaler.scale_), scaler.scale_, 1.0)
        again = exported.predict(Windows(table + scaler.mean_, windows.rows, windows.lookback))
    else:
        again = exported.predict(windows)
    own = model.predict(windows)
    return float(np.abs(again - own).max() / max(float(own.std(axis=0).max()), 1e-12))


class OnnxModel:
    """A network read from an ONNX file that `export_onnx` wrote; forecasts as the fitted model does. One thread.

    Loading runs no code of the file; ONNX Runtime reads the graph. `scaled` is False where the file scales for itself:
    then it is handed raw features.

    Parameters
    ----------
    path : the file.
    """

    def __init__(self, path: str | Path) -> None:
        runtime = _library("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # ONNX Runtime 1.31 ends the process where it fuses the attention of a float16 graph: no fusing of operators.
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        try:
            self.session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            told = json.loads(self.session.get_modelmeta().custom_metadata_map[ABOUT])
        except Exception as error:  # ONNX Runtime has no common class of errors
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BarwiseError(f"`path` {str(path)!r} is no ONNX file of ours: {said}") from None
        self.lookback, self.n_features_in_ = int(told["lookback"]), int(told["n_features"])
        self.feature_names_in_ = tuple(told["features"])
        self.task_, self.head_ = task_of(from_plain(told["task"])), head_of(from_plain(told["head"]))
        self.scaled, self.about = not told["scaled_inside"], told["about"]
        self._dtype = np.float32 if self.scaled else np.float64
        (output,) = self.session.get_outputs()
        self._raw = output.name == "raw"

    def predict(self, windows: Windows) -> np.ndarray:
        """Return ``(N, n_outputs)`` float64 in the order of ``task.outputs``."""
        check_windows(windows, lookback=self.lookback, n_features=self.n_features_in_)
        said = [np.empty((0, self.task_.n_outputs))]
        for at in range(0, len(windows), PREDICT_WINDOWS):
            x = check_finite(windows[at : at + PREDICT_WINDOWS])
            (out,) = self.session.run(None, {"windows": np.ascontiguousarray(x, dtype=self._dtype)})
            said.append(self.head_.forecast(torch.from_numpy(out)) if self._raw else out.astype(np.float64))
        return np.concatenate(said)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter logs every pass, and warns of its own inner workings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _library(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError:
        raise BarwiseError(f"ONNX files need the library {name}: `pip install barwise[onnx]`.") from None
