"""The exported classifier in Python: the same labels, one sentence for what does not fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from img2imu.errors import InputError
from img2imu.export import ExportedClassifier
from img2imu.fewshot import Img2ImuClassifier

from .conftest import Written


@pytest.fixture
def folder(written: Written) -> Path:
    """The classifier of the folder `model` in files of every kind."""
    return written.folder


@pytest.mark.parametrize("name", ["model.onnx", "model.ort"])
def test_answers_as_the_classifier(
    name: str, folder: Path, model: Path, windows: NDArray[np.float32]
) -> None:
    exported, classifier = ExportedClassifier(folder / name), Img2ImuClassifier.load(model)
    assert exported.classes_.tolist() == ["strong", "weak"]
    given = windows.astype(np.float64)[:, :, ::-1]
    assert exported.predict(given).tolist() == classifier.predict(given).tolist()
    np.testing.assert_allclose(
        exported.predict_proba(given), classifier.predict_proba(given), rtol=0, atol=1e-4
    )


def test_needs_neither_torch_nor_scikit_learn(folder: Path) -> None:
    program = (
        "import sys, numpy\n"
        "from img2imu.export import ExportedClassifier\n"
        "print(ExportedClassifier(sys.argv[1]).predict(numpy.zeros((1, 3, 250))))\n"
        "print({'torch', 'sklearn', 'scipy', 'onnx'} & set(sys.modules))\n"
    )
    command = [sys.executable, "-c", program, str(folder / "model.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "set()"


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda X: X[:, :, :200], r"\(n, 3, 250\), 5 s at 50 Hz, not \(7, 3, 200\)"),
        (lambda X: X[0], r"not \(3, 250\)"),
        (lambda X: X[:0], r"not \(0, 3, 250\)"),
        (lambda X: X.transpose(0, 2, 1), r"not \(7, 250, 3\)"),
        (lambda X: np.where(X[4, 1, 7] == X, np.nan, X), "window 4 holds NaN or infinity"),
        (lambda X: X * 9.80665, "must be in g, but by gravity these are in m/s2"),
        (lambda X: X * 1000, "must be in g, but by gravity these are in mg"),
    ],
)
def test_windows_that_do_not_fit(folder, windows, spoil, sentence):  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=sentence):
        ExportedClassifier(folder / "model.onnx").predict(spoil(windows))


def test_no_gravity_in_the_windows_is_no_error(folder: Path, windows: NDArray[np.float32]) -> None:
    moving = windows - windows.mean(2, keepdims=True)
    assert len(ExportedClassifier(folder / "model.onnx").predict(moving)) == 7


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nothing.onnx", "does not exist"),
        ("model.image.onnx", "is not a classifier of windows"),
        ("text.onnx", "cannot be read by ONNX Runtime"),
    ],
)
def test_files_that_do_not_fit(folder: Path, tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    place = tmp_path if name == "text.onnx" else folder
    with pytest.raises(InputError, match=sentence):
        ExportedClassifier(place / name)
