"""ExecuTorch: the same answers where its package is installed, one sentence where it is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from img2imu.errors import InputError
from img2imu.export import Graph, executorch, export_executorch


def test_missing_package(graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executorch, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'img2imu\[executorch\]'"):
        export_executorch(graph, tmp_path / "m.pte", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["graph", "image_graph"])
def test_answers_as_pytorch(form: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    runtime = pytest.importorskip(
        "executorch.runtime", reason="the package executorch is not installed"
    )
    graph: Graph = request.getfixturevalue(form)
    report = export_executorch(graph, tmp_path / "m.pte", {"labels": ["a", "b"]})
    program = runtime.Runtime.get().load_program(report.path)
    [text] = program.load_method("metadata").execute([])
    assert json.loads(text)["labels"] == ["a", "b"]
    import torch

    _, logits = program.load_method("forward").execute([torch.from_numpy(graph.examples[2:3])])
    expected = graph.answers["logits"][2:3]
    np.testing.assert_allclose(logits.numpy(), expected, rtol=0, atol=1e-4)
