"""A network with its converter as one ONNX file, kept only if it answers as PyTorch does."""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InputError
from .parity import ExportError, Parity, compare_onnx

if TYPE_CHECKING:
    from onnx import ModelProto

FORMAT = 1
"""Of inputs, outputs and metadata; a reader refuses a newer one."""

INPUT = "window"
OUTPUTS = ("probabilities", "logits")

OPSETS = range(18, 22)
"""From the opset that torch's exporter is written in to the newest of ONNX Runtime 1.18."""

IR_VERSION = 10
"""Of the file; the newest that ONNX Runtime 1.18 reads."""


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how well it agrees with PyTorch.

    Attributes
    ----------
    path
        The file.
    size
        Of the file, in bytes.
    opset
        ONNX operator set.
    operators
        Number of operators in the graph, by type.
    parity
        Agreement with PyTorch on the check windows.
    """

    path: Path
    size: int
    opset: int
    operators: dict[str, int]
    parity: Parity

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "path": str(self.path),
            "size": self.size,
            "opset": self.opset,
            "operators": self.operators,
            "parity": self.parity.to_dict(),
        }


def export_onnx(
    network: nn.Module,
    path: str | os.PathLike[str],
    check_windows: NDArray[np.float32],
    metadata: Mapping[str, Any],
    opset: int = OPSETS[0],
) -> ExportReport:
    """Write a network as one ONNX file, after comparing the file with the network.

    The file's input ``window`` is float32 (batch, 3, samples) in g; its outputs ``probabilities``
    and ``logits`` are float32 (batch, classes). The batch is free, the rest is fixed.

    Parameters
    ----------
    network
        Windows (n, 3, samples) to logits (n, classes), on the CPU.
    path
        The file; one that exists is replaced.
    check_windows
        Real windows (n, 3, samples), on which the file must agree with the network.
    metadata
        Kept in the file: text as it is, anything else as JSON. ``format`` is added.
    opset
        ONNX operator set.

    Raises
    ------
    InputError
        If the folder of `path` does not exist or the opset is not supported.
    ExportError
        If the file's answers differ from the network's. Nothing is left behind.
    """
    import onnx

    target = _writable(path)
    if opset not in OPSETS:
        raise InputError(
            f"opset {opset} is not supported: choose one from {OPSETS[0]} to {OPSETS[-1]}"
        )
    windows = np.ascontiguousarray(check_windows, dtype=np.float32)
    model = _translate(network, windows, opset)
    _describe(model, metadata)
    partial = target.with_name(target.name + ".partial")
    try:
        onnx.save_model(model, partial)
        onnx.checker.check_model(partial, full_check=True)
        with torch.inference_mode():
            expected = network.eval()(torch.from_numpy(windows)).numpy()
        parity = compare_onnx(partial, windows, expected)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    operators = dict(Counter(node.op_type for node in model.graph.node).most_common())
    return ExportReport(target, target.stat().st_size, opset, operators, parity)


class _WithProbabilities(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network(window)
        return torch.softmax(logits, dim=1), logits


def _writable(path: str | os.PathLike[str]) -> Path:
    target = Path(path)
    if not target.parent.is_dir():
        raise InputError(f"cannot write {target}: the folder {target.parent} does not exist")
    if target.is_dir():
        raise InputError(f"cannot write {target}: it is a folder, give the name of a file")
    return target


def _translate(network: nn.Module, windows: NDArray[np.float32], opset: int) -> ModelProto:
    # Two windows: torch.export would take a batch of one for a constant.
    example = torch.from_numpy(windows[[0, -1]])
    with warnings.catch_warnings():
        # Notices of torch to itself, about its own coming versions.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            _WithProbabilities(network).eval(),
            (example,),
            dynamo=True,
            verbose=False,
            optimize=True,
            external_data=False,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
            opset_version=opset,
        )
    if program is None:
        raise ExportError("torch gave no ONNX program")
    model = program.model_proto
    written = {entry.domain: entry.version for entry in model.opset_import}
    if written.get("", 0) != opset:
        raise ExportError(f"torch {torch.__version__} wrote opset {written}, not {opset}")
    return model


def _describe(model: ModelProto, metadata: Mapping[str, Any]) -> None:
    import onnx

    model.ir_version = IR_VERSION
    model.producer_name = "img2imu"
    model.graph.name = "img2imu"
    model.graph.doc_string = (
        f"{INPUT}: raw triaxial accelerometer samples in g, float32 (batch, 3, samples). "
        f"{OUTPUTS[0]}, {OUTPUTS[1]}: float32 (batch, classes) in the order of the metadata's "
        "labels."
    )
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        del value.metadata_props[:]
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in {"format": FORMAT, **metadata}.items()
    }
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, texts)
