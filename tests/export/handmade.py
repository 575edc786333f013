"""A page with a model so small that its answers follow from a formula."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from img2imu.export.web import write_page

LABELS = ("x up", "y up", "z up", "upside down")
WEIGHTS = 6 * np.array([[1, 0, 0, -0.6], [0, 1, 0, -0.6], [0, 0, 1, -0.6]], np.float32)
SAMPLES, RATE = 100, 50.0
METADATA: Mapping[str, Any] = {
    "img2imu": "0",
    "labels": list(LABELS),
    "sampling_rate": RATE,
    "samples": SAMPLES,
    "unit": "g",
}


def probabilities(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Which way is up, by the mean acceleration: what the model computes."""
    scores = np.exp(windows.mean(axis=2) @ WEIGHTS)
    answers: NDArray[np.float32] = scores / scores.sum(axis=1, keepdims=True)
    return answers


def write_model(path: Path, weights: NDArray[np.float32] = WEIGHTS) -> None:
    """The same as an ONNX file."""
    nodes = [
        helper.make_node("ReduceMean", ["window", "time"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    shapes = {"window": ["n", 3, SAMPLES], "probabilities": ["n", len(LABELS)]}
    given, answer = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    )
    constants = [
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.array([2], np.int64), "time"),
    ]
    graph = helper.make_graph(nodes, "handmade", [given], [answer], constants)
    imports = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10), path)


def write_handmade(folder: Path) -> None:
    """The page, with four windows to check, one of each label."""
    up = np.vstack([np.eye(3), [[-0.5, -0.5, -0.7]]])
    noise = np.random.default_rng(0).normal(0, 0.1, (4, 3, SAMPLES))
    windows = (up[:, :, None] + noise).astype(np.float32)
    graph: Any = SimpleNamespace(
        examples=windows,
        answers={"probabilities": probabilities(windows)},
        rounding={"probabilities": np.zeros(4, np.float32)},
    )
    folder.mkdir()
    write_model(folder / "model.onnx")
    write_page(folder, graph, {"model.onnx": "float32"}, METADATA)
