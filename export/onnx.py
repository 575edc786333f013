"""A graph as one ONNX file, and as ONNX Runtime's flat buffer."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..files import writing
from .config import OPSETS, require_opset
from .graphs import Graph
from .parity import ExportError, ExportReport, Run, compare

if TYPE_CHECKING:
    from onnx import ModelProto

IR_VERSION = 10
"""Of the file; the newest that ONNX Runtime 1.18 reads."""


def export_onnx(
    graph: Graph,
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any],
    opset: int = OPSETS[0],
) -> ExportReport:
    """Write a graph as one ONNX file, after comparing the file with the module.

    The file's input and outputs have the graph's names. The batch is free, the rest is fixed.

    Parameters
    ----------
    graph
        Such as :func:`~.graphs.end_to_end` gives.
    path
        The file; one that exists is replaced.
    metadata
        Kept in the file: text as it is, anything else as JSON. ``format``, ``form``, ``input`` and
        ``outputs`` are added.
    opset
        ONNX operator set.

    Raises
    ------
    InputError
        If the folder of `path` does not exist or the opset is not supported.
    ExportError
        If the file's answers differ from the module's. Nothing is left behind.
    """
    import onnx

    require_opset(opset)
    with writing(path) as partial:
        model = _translate(graph, opset)
        _describe(model, graph.describe(metadata))
        onnx.save_model(model, partial)
        onnx.checker.check_model(partial, full_check=True)
        parity, size = compare(run_onnx(partial), graph), partial.stat().st_size
    return ExportReport(Path(path), f"ONNX, opset {opset}", graph.form, size, parity)


def export_ort(
    graph: Graph, source: str | os.PathLike[str], path: str | os.PathLike[str]
) -> ExportReport:
    """Write an ONNX file in ONNX Runtime's own format, after comparing it with the module.

    Parameters
    ----------
    graph
        What `source` was exported from.
    source
        ONNX file.
    path
        The file; one that exists is replaced.

    Raises
    ------
    InputError
        If the folder of `path` does not exist.
    ExportError
        If the file's answers differ from the module's. Nothing is left behind.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.save_model_format", "ORT")
    # Beyond these, optimisations are bound to the processor they are made on.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with writing(path) as partial:
        options.optimized_model_filepath = os.fspath(partial)
        onnxruntime.InferenceSession(os.fspath(source), options, providers=["CPUExecutionProvider"])
        parity, size = compare(run_onnx(partial), graph), partial.stat().st_size
    return ExportReport(Path(path), "ORT", graph.form, size, parity)


def run_onnx(path: str | os.PathLike[str]) -> Run:
    """An ONNX or ORT file in ONNX Runtime on the CPU."""
    from onnxruntime import InferenceSession

    session = InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]

    def run(inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return dict(zip(names, session.run(names, {given.name: inputs}), strict=True))

    return run


def _translate(graph: Graph, opset: int) -> ModelProto:
    # Two windows: torch.export would take a batch of one for a constant.
    example = torch.from_numpy(graph.examples[[0, -1]])
    with warnings.catch_warnings():
        # Notices of torch to itself, about its own coming versions.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            graph.module,
            (example,),
            dynamo=True,
            verbose=False,
            optimize=True,
            external_data=False,
            input_names=[graph.input],
            output_names=list(graph.outputs),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=opset,
        )
    if program is None:
        raise ExportError("torch gave no ONNX program")
    model = program.model_proto
    written = {entry.domain: entry.version for entry in model.opset_import}
    if written.get("", 0) != opset:
        raise ExportError(f"torch {torch.__version__} wrote opset {written}, not {opset}")
    return model


_MEANING = {
    "window": "raw triaxial accelerometer samples in g, float32 (batch, 3, samples)",
    "image": "levels in [0, 1], float32 (batch, 3, height, width), or (batch, views, 3, height, "
    "width) for several views",
    "probabilities": "float32 (batch, classes) in the order of the metadata's labels",
    "logits": "float32 (batch, classes) in the order of the metadata's labels",
    "strangeness": "float32 (batch,): how little a window is like the labels; in people who were "
    "not learnt from the metadata's strangeness has its percentiles 0 to 100",
}


def _describe(model: ModelProto, metadata: Mapping[str, Any]) -> None:
    """Say in the file what it is, and nothing of the machine it was made on."""
    import onnx

    model.ir_version = IR_VERSION
    model.producer_name = "img2imu"
    model.graph.name = "img2imu"
    names = (metadata["input"], *metadata["outputs"])
    model.graph.doc_string = "; ".join(f"{name}: {_MEANING[name]}" for name in names)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        del value.metadata_props[:]
    del model.metadata_props[:]
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in metadata.items()
    }
    onnx.helper.set_model_props(model, texts)
