"""The exported file: PyTorch's answers, any batch, its metadata, and only if it is right."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from img2imu.errors import InputError
from img2imu.export import (
    ExportError,
    ExportReport,
    Graph,
    converter,
    end_to_end,
    export_onnx,
    export_ort,
    from_image,
)
from img2imu.export.onnx import run_onnx
from img2imu.fewshot import Img2ImuNetwork

METADATA = {
    "labels": ["gehen", "стоять", "run"],
    "sampling_rate": 50.0,
    "unit": "g",
    "samples": 250,
    "scores": {"macro_f1": 0.75},
}

RUN = """
import json, sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
windows = np.load(sys.argv[2])
answers = {
    str(n): [part.tolist() for part in session.run(None, {"window": windows[:n]})]
    for n in (1, 2, 7)
}
print(json.dumps({
    "answers": answers,
    "metadata": session.get_modelmeta().custom_metadata_map,
    "inputs": [(i.name, i.type, i.shape) for i in session.get_inputs()],
    "outputs": [(o.name, o.type, o.shape) for o in session.get_outputs()],
    "strangers": [name for name in ("torch", "img2imu", "onnx") if name in sys.modules],
}))
"""


@pytest.fixture(scope="module")
def exported(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> tuple[ExportReport, Path]:
    folder = tmp_path_factory.mktemp("exported")
    return export_onnx(graph, folder / "model.onnx", METADATA), folder


@pytest.fixture(scope="module")
def model(exported: tuple[ExportReport, Path]) -> onnx.ModelProto:
    return onnx.load(exported[0].path, load_external_data=False)


@pytest.fixture(scope="module")
def elsewhere(exported: tuple[ExportReport, Path], windows: NDArray[np.float32]) -> dict[str, Any]:
    """What a process that has only ONNX Runtime and NumPy makes of the file."""
    report, folder = exported
    np.save(folder / "windows.npy", windows)
    command = [sys.executable, "-c", RUN, str(report.path), str(folder / "windows.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_runs_without_torch(elsewhere: dict[str, Any]) -> None:
    assert elsewhere["strangers"] == []


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_answers_as_pytorch_for_any_batch(
    elsewhere: dict[str, Any], network: nn.Module, windows: NDArray[np.float32], batch: int
) -> None:
    probabilities, logits = map(np.array, elsewhere["answers"][str(batch)])
    expected = network(torch.from_numpy(windows[:batch]))
    assert logits.shape == (batch, 5)
    np.testing.assert_allclose(logits, expected.numpy(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(probabilities, expected.softmax(1).numpy(), rtol=0, atol=1e-4)
    assert np.ptp(expected.numpy()) > 1, "logits too alike for the comparison to mean anything"


def test_interface(elsewhere: dict[str, Any]) -> None:
    assert elsewhere["inputs"] == [["window", "tensor(float)", ["batch", 3, 250]]]
    assert elsewhere["outputs"] == [
        ["probabilities", "tensor(float)", ["batch", 5]],
        ["logits", "tensor(float)", ["batch", 5]],
    ]


def test_metadata_comes_back(elsewhere: dict[str, Any]) -> None:
    expected = {
        "format": 1,
        "form": "end-to-end",
        "input": "window",
        "outputs": ["probabilities", "logits"],
        **METADATA,
    }
    plain = ("form", "input", "unit")
    assert {
        name: text if name in plain else json.loads(text)
        for name, text in elsewhere["metadata"].items()
    } == expected


def test_one_file_readable_by_old_runtimes(
    exported: tuple[ExportReport, Path], model: onnx.ModelProto
) -> None:
    report, folder = exported
    assert {path.name for path in folder.glob("model*")} == {"model.onnx"}
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert model.ir_version <= 10
    assert report.size == report.path.stat().st_size


def test_no_waste_in_the_graph(model: onnx.ModelProto) -> None:
    operators = {node.op_type for node in model.graph.node}
    assert not {"Identity", "Cast", "BatchNormalization", "If", "Loop"} & operators
    contents = [tensor.raw_data for tensor in model.graph.initializer if len(tensor.raw_data) > 64]
    assert len(contents) == len(set(contents)), "a constant is stored twice"
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


def test_nothing_about_the_building_machine(exported: tuple[ExportReport, Path]) -> None:
    content = exported[0].path.read_bytes()
    assert str(Path.home()).encode() not in content
    assert b".py" not in content


def test_image_form(
    image_graph: Graph, network: Img2ImuNetwork, windows: NDArray[np.float32], tmp_path: Path
) -> None:
    report = export_onnx(image_graph, tmp_path / "m.onnx", METADATA)
    images = network.drawing(torch.from_numpy(windows))
    answers = run_onnx(report.path)(images.numpy())
    expected = network(torch.from_numpy(windows)).numpy()
    np.testing.assert_allclose(answers["logits"], expected, rtol=0, atol=1e-4)
    [given] = onnx.load(report.path).graph.input
    assert given.name == "image"
    assert [size.dim_value for size in given.type.tensor_type.shape.dim] == [0, 3, 3, 36, 48]


def test_converter_feeds_the_image_form(
    paper_network: Img2ImuNetwork, windows: NDArray[np.float32], tmp_path: Path
) -> None:
    drawing, reading = converter(paper_network, windows), from_image(paper_network, windows)
    assert reading.examples.shape == (7, 3, 96, 128), "one view needs no axis of its own"
    drawn = run_onnx(export_onnx(drawing, tmp_path / "c.onnx", METADATA).path)(windows)
    answers = run_onnx(export_onnx(reading, tmp_path / "i.onnx", METADATA).path)(drawn["image"])
    expected = paper_network(torch.from_numpy(windows)).numpy()
    np.testing.assert_allclose(answers["logits"], expected, rtol=0, atol=1e-4)


def test_one_check_window_and_the_newest_opset(
    network: Img2ImuNetwork, windows: NDArray[np.float32], tmp_path: Path
) -> None:
    graph = end_to_end(network, windows[:1])
    report = export_onnx(graph, tmp_path / "m.onnx", METADATA, opset=21)
    assert [entry.version for entry in onnx.load(report.path).opset_import] == [21]
    answers = run_onnx(report.path)(windows)
    expected = network(torch.from_numpy(windows)).numpy()
    np.testing.assert_allclose(answers["logits"], expected, rtol=0, atol=1e-4)


def test_flat_buffer(
    exported: tuple[ExportReport, Path], graph: Graph, elsewhere: dict[str, Any], tmp_path: Path
) -> None:
    report = export_ort(graph, exported[0].path, tmp_path / "m.ort")
    assert report.path.read_bytes()[4:8] == b"ORTM"
    assert report.parity.differences["logits"] <= 1e-4
    session = onnxruntime.InferenceSession(report.path)
    assert session.get_modelmeta().custom_metadata_map == elsewhere["metadata"]
    [logits] = session.run(["logits"], {"window": graph.examples[:2]})
    np.testing.assert_allclose(logits, elsewhere["answers"]["2"][1], rtol=0, atol=1e-4)


def test_flat_buffer_of_another_network_is_not_kept(
    exported: tuple[ExportReport, Path],
    paper_network: Img2ImuNetwork,
    windows: NDArray[np.float32],
    tmp_path: Path,
) -> None:
    with pytest.raises(ExportError, match="differs from PyTorch"):
        export_ort(end_to_end(paper_network, windows), exported[0].path, tmp_path / "m.ort")
    assert list(tmp_path.iterdir()) == []


def test_silence_gives_finite_answers(
    exported: tuple[ExportReport, Path], network: Img2ImuNetwork
) -> None:
    still = np.zeros((2, 3, 250), np.float32)
    still[1, 2] = 1
    expected = network(torch.from_numpy(still)).numpy()
    assert np.isfinite(expected).all()
    answers = run_onnx(exported[0].path)(still)
    np.testing.assert_allclose(answers["logits"], expected, rtol=0, atol=1e-4)


class _Forgetful(nn.Module):
    """Answers differently when traced: what a faulty translation looks like from outside."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        probabilities, logits = self.module(inputs)
        return probabilities, logits + 1e-3 if torch.compiler.is_compiling() else logits


def test_a_wrong_file_is_not_kept(graph: Graph, tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(b"the model of yesterday")
    wrong = replace(graph, module=_Forgetful(graph.module).eval())
    with pytest.raises(ExportError, match=r"check window \d of 7 by 0\.001\d* in logits"):
        export_onnx(wrong, target, METADATA)
    assert target.read_bytes() == b"the model of yesterday"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("name", "opset", "sentence"),
    [
        ("nowhere/model.onnx", 18, "nowhere does not exist"),
        (".", 18, "it is a folder"),
        ("model.onnx", 11, "opset 11 is not supported: choose one from 18 to 21"),
        ("model.onnx", 99, "opset 99 is not supported"),
    ],
)
def test_errors(graph: Graph, tmp_path: Path, name: str, opset: int, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        export_onnx(graph, tmp_path / name, METADATA, opset)
    assert list(tmp_path.iterdir()) == []
