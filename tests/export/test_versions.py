"""Exported files in the oldest ONNX Runtime that they are written for, and in the newest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from img2imu.export import Graph, export_onnx, quantize_onnx
from img2imu.export.config import OPSETS
from img2imu.export.onnx import run_onnx

from .conftest import Written

OLDEST = ("onnxruntime==1.18.0", "numpy==1.26.4")
"""What :data:`img2imu.export.onnx.IR_VERSION` and the opsets stand for; it knows no NumPy 2."""

NEWEST = ("onnxruntime", "numpy")

PINNED_TO = (3, 12)
"""Last Python that the oldest has wheels for."""

ANSWER = """
import json, sys
import numpy, onnxruntime
inputs = numpy.load(sys.argv[1])
answers = {"version": onnxruntime.__version__}
for path in sys.argv[2:]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    answers[path] = session.run(["logits"], {"window": inputs})[0].tolist()
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def files(
    written: Written,
    graph: Graph,
    windows: NDArray[np.float32],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """A file of each kind that takes windows, and one of the newest opset."""
    folder = tmp_path_factory.mktemp("versions")
    plain = written.folder / "model.onnx"
    quantize_onnx(plain, folder / "fp16.onnx", "fp16", windows)
    export_onnx(graph, folder / "opset.onnx", {}, opset=OPSETS[-1])
    int8, ort = written.folder / "model.int8.onnx", written.folder / "model.ort"
    half, opset = folder / "fp16.onnx", folder / "opset.onnx"
    return {"float": plain, "int8": int8, "fp16": half, "ort": ort, "newest opset": opset}


@pytest.mark.parametrize("wanted", [OLDEST, NEWEST], ids=["oldest", "newest"])
def test_files_answer_as_here(
    wanted: tuple[str, ...], files: dict[str, Path], windows: NDArray[np.float32], tmp_path: Path
) -> None:
    if wanted == OLDEST and sys.version_info[:2] > PINNED_TO:
        pytest.skip(f"{OLDEST[0]} has no wheel for this Python")
    target = install(wanted, tmp_path / "libraries")
    np.save(tmp_path / "windows.npy", windows)
    command = [sys.executable, "-S", "-c", ANSWER, str(tmp_path / "windows.npy")]
    # Nothing but what was installed: neither this package nor torch.
    alone = {**os.environ, "PYTHONPATH": str(target)}
    done = subprocess.run(
        [*command, *map(str, files.values())], capture_output=True, text=True, env=alone
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    if wanted == OLDEST:
        assert answers["version"] == "1.18.0"
    for kind, path in files.items():
        here = run_onnx(path)(windows)["logits"]
        # Kernels may differ; a step of int8 or a rounding of half precision is what may show.
        tolerance = {"int8": 0.05, "fp16": 0.01}.get(kind, 1e-4) * np.abs(here).max()
        np.testing.assert_allclose(answers[str(path)], here, rtol=0, atol=tolerance, err_msg=kind)


def install(wanted: tuple[str, ...], target: Path) -> Path:
    """Wheels into a folder of their own; skips where the registry cannot be reached."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    options = ["--only-binary=:all:", "--retries=0", "--timeout=15", "--target", str(target)]
    done = subprocess.run([*pip, *options, *wanted], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip cannot install {wanted[0]}: {done.stderr.strip().splitlines()[-1:]}")
    return target
