"""TorchScript: the same answers without this package, in old PyTorch too, and no wrong shape."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from img2imu.export import (
    FORMS,
    ExportError,
    Graph,
    check_torchscript,
    export_torchscript,
)
from img2imu.export.golden import write_golden
from img2imu.fewshot import Img2ImuClassifier, Img2ImuNetwork

METADATA = {"labels": ["gehen", "стоять"], "unit": "g"}

pytestmark = pytest.mark.filterwarnings("ignore:`?torch.jit:FutureWarning")


@pytest.fixture(scope="module")
def path(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("torchscript") / "model.pt"
    report = export_torchscript(graph, target, METADATA)
    assert report.size == target.stat().st_size
    return target


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_answers_as_pytorch_for_any_batch(
    path: Path, network: Img2ImuNetwork, windows: NDArray[np.float32], batch: int
) -> None:
    given = torch.from_numpy(windows[:batch])
    probabilities, logits = torch.jit.load(path)(given)
    torch.testing.assert_close(logits, network(given), rtol=0, atol=1e-4)
    torch.testing.assert_close(probabilities, network(given).softmax(1), rtol=0, atol=1e-4)


def test_the_file_says_nothing_of_where_it_was_made(path: Path) -> None:
    here = os.fsencode(Path(__file__).parents[2])
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert any(name.endswith(".py") for name in contents)
    assert not [name for name, content in contents.items() if here in content]


def test_metadata_comes_back(path: Path) -> None:
    extra = {"metadata.json": ""}
    torch.jit.load(path, _extra_files=extra)
    assert json.loads(extra["metadata.json"]) == {
        "format": 1,
        "form": "end-to-end",
        "input": "window",
        "outputs": ["probabilities", "logits"],
        **METADATA,
    }


@pytest.mark.parametrize("shape", [(2, 3, 200), (3, 250), (1, 6, 250)])
def test_another_shape_is_refused(path: Path, shape: tuple[int, ...]) -> None:
    module = torch.jit.load(path)
    with pytest.raises(torch.jit.Error, match=r"window must have shape \(n, 3, 250\), not"):
        module(torch.zeros(shape))


class _Forgetful(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        probabilities, logits = self.module(inputs)
        return probabilities, logits + 1e-3 if torch.jit.is_tracing() else logits


def test_a_wrong_file_is_not_kept(graph: Graph, tmp_path: Path) -> None:
    wrong = replace(graph, module=_Forgetful(graph.module).eval())
    with pytest.raises(ExportError, match=r"check window \d of 7 by 0\.001\d* in logits"):
        export_torchscript(wrong, tmp_path / "m.pt", METADATA)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", FORMS)
def test_in_another_pytorch(form: str, model: Path, tmp_path: Path) -> None:
    """IMG2IMU_OLD_PYTHON names the interpreter of an environment with torch 1.13.1."""
    classifier = Img2ImuClassifier.load(model)
    graph = FORMS[form](classifier.network_, classifier.check_windows_)
    export_torchscript(graph, tmp_path / "model.pt", METADATA)
    write_golden(tmp_path / "golden", classifier)
    files = str(tmp_path / "model.pt"), str(tmp_path / "golden")
    found = check_torchscript.check(*files)
    if python := os.environ.get("IMG2IMU_OLD_PYTHON"):
        command = [python, check_torchscript.__file__, *files]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "logits of 4 golden windows within" in found
    logits = np.fromfile(tmp_path / "golden" / "logits.bin", "<f4")
    logits[2] += 0.01
    logits.tofile(tmp_path / "golden" / "logits.bin")
    with pytest.raises(SystemExit, match="more than allowed"):
        check_torchscript.check(*files)


def test_deprecation_is_not_hidden(graph: Graph, tmp_path: Path) -> None:
    with pytest.warns(FutureWarning, match="torch.jit.*deprecated"):
        export_torchscript(graph, tmp_path / "m.pt", METADATA)
