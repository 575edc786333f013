"""The exported file: PyTorch's answers, any batch, its metadata, and only if it is right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from img2imu.errors import InputError
from img2imu.export import ExportError, ExportReport, compare_onnx, export_onnx

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
def exported(
    network: nn.Module, windows: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory
) -> tuple[ExportReport, Path]:
    folder = tmp_path_factory.mktemp("exported")
    return export_onnx(network, folder / "model.onnx", windows, METADATA), folder


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
    texts = elsewhere["metadata"]
    assert texts.pop("unit") == "g"
    assert {name: json.loads(text) for name, text in texts.items()} == {
        "format": 1,
        **{name: value for name, value in METADATA.items() if name != "unit"},
    }


def test_one_file_readable_by_old_runtimes(exported: tuple[ExportReport, Path]) -> None:
    report, folder = exported
    model = onnx.load(report.path, load_external_data=False)
    assert {path.name for path in folder.glob("model*")} == {"model.onnx"}
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert model.ir_version <= 10
    assert report.size == report.path.stat().st_size
    assert sum(report.operators.values()) == len(model.graph.node)


def test_no_waste_in_the_graph(exported: tuple[ExportReport, Path]) -> None:
    model = onnx.load(exported[0].path)
    assert not {"Identity", "Cast", "BatchNormalization", "If", "Loop"} & set(exported[0].operators)
    contents = [tensor.raw_data for tensor in model.graph.initializer if len(tensor.raw_data) > 64]
    assert len(contents) == len(set(contents)), "a constant is stored twice"
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


def test_nothing_about_the_building_machine(exported: tuple[ExportReport, Path]) -> None:
    content = exported[0].path.read_bytes()
    assert str(Path.home()).encode() not in content
    assert b".py" not in content


def test_paper_form(paper_network: nn.Module, windows: NDArray[np.float32], tmp_path: Path) -> None:
    report = export_onnx(paper_network, tmp_path / "m.onnx", windows, METADATA)
    assert report.parity.windows == len(windows)
    assert report.parity.logits <= 1e-4


def test_one_check_window_and_the_newest_opset(
    network: nn.Module, windows: NDArray[np.float32], tmp_path: Path
) -> None:
    report = export_onnx(network, tmp_path / "m.onnx", windows[:1], METADATA, opset=21)
    assert [entry.version for entry in onnx.load(report.path).opset_import] == [21]
    answers = compare_onnx(report.path, windows, network(torch.from_numpy(windows)).numpy())
    assert answers.logits <= 1e-4


def test_silence_gives_finite_answers(
    exported: tuple[ExportReport, Path], network: nn.Module
) -> None:
    still = np.zeros((2, 3, 250), np.float32)
    still[1, 2] = 1
    expected = network(torch.from_numpy(still)).numpy()
    assert np.isfinite(expected).all()
    assert compare_onnx(exported[0].path, still, expected).windows == 2


class _Forgetful(nn.Module):
    """Answers differently when traced: what a faulty translation looks like from outside."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        logits = self.network(windows)
        return logits + 2e-4 if torch.compiler.is_compiling() else logits


def test_a_wrong_file_is_not_kept(
    network: nn.Module, windows: NDArray[np.float32], tmp_path: Path
) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(b"the model of yesterday")
    with pytest.raises(ExportError, match=r"check window \d of 7 by 0\.0002\d* in a logit"):
        export_onnx(_Forgetful(network), target, windows, METADATA)
    assert target.read_bytes() == b"the model of yesterday"
    assert list(tmp_path.iterdir()) == [target]


def test_comparison_names_the_worst_window(
    exported: tuple[ExportReport, Path], network: nn.Module, windows: NDArray[np.float32]
) -> None:
    expected = network(torch.from_numpy(windows)).numpy()
    expected[2, 0] += 0.001
    expected[4, 1] -= 0.5
    with pytest.raises(ExportError, match=r"check window 4 of 7 by 0\.5 "):
        compare_onnx(exported[0].path, windows, expected)


def test_not_a_number_is_a_difference(
    exported: tuple[ExportReport, Path], network: nn.Module, windows: NDArray[np.float32]
) -> None:
    expected = network(torch.from_numpy(windows)).numpy()
    expected[3] = np.nan
    with pytest.raises(ExportError, match="check window 3"):
        compare_onnx(exported[0].path, windows, expected)


@pytest.mark.parametrize(
    ("name", "opset", "sentence"),
    [
        ("nowhere/model.onnx", 18, "nowhere does not exist"),
        (".", 18, "it is a folder"),
        ("model.onnx", 11, "opset 11 is not supported: choose one from 18 to 21"),
        ("model.onnx", 99, "opset 99 is not supported"),
    ],
)
def test_errors(
    network: nn.Module,
    windows: NDArray[np.float32],
    tmp_path: Path,
    name: str,
    opset: int,
    sentence: str,
) -> None:
    with pytest.raises(InputError, match=sentence):
        export_onnx(network, tmp_path / name, windows, METADATA, opset)
    assert list(tmp_path.iterdir()) == []
